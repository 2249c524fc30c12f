"""``aevb fit-prior``: a prior fitted to the encodings of a model, as a run of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ._console import ConsoleOutput, open_run
from ._evaluate import estimate_record
from ._options import (
    RUN_GROUP,
    CommonOptions,
    Flag,
    Integer,
    Json,
    ReadingOptions,
    RunArgument,
    TrustSource,
)


def fit_prior(
    run: RunArgument,
    source: Annotated[
        str | None,
        Parameter(help="Other data of the same kind; the training rows of the run by default."),
    ] = None,
    /,
    *,
    family: Annotated[
        Literal["mixture", "flow", "two_stage", "autoregressive"],
        Parameter(
            help="mixture (Gaussians of full covariance), flow, two_stage (a second VAE), or "
            "autoregressive (of discrete codes).",
            group=RUN_GROUP,
        ),
    ] = "mixture",
    components: Annotated[
        Integer, Parameter(help="Components of a mixture.", group=RUN_GROUP)
    ] = 10,
    steps: Annotated[
        Integer, Parameter(help="Training steps of every other family.", group=RUN_GROUP)
    ] = 2000,
    out: Annotated[
        Path | None, Parameter(help="The new run folder; RUN-FAMILY by default.", group=RUN_GROUP)
    ] = None,
    force: Annotated[
        bool, Flag, Parameter(help="Replace the run in --out.", group=RUN_GROUP)
    ] = False,
    reading: ReadingOptions = ReadingOptions(),
    trust_source: TrustSource = False,
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Fit a prior to the encodings of a trained model, and write both as a new run.

    The encodings of all data together are seldom distributed as the prior of the training; those
    of an autoencoder have no prior at all. The new run samples from the fitted prior and is
    evaluated with it; encoding, decoding and reconstruction do not change, nor does the old run.
    """
    console = ConsoleOutput(common.quiet, json)
    opened = open_run(run, common, console, trust_source)
    out = out or run.with_name(f"{run.name}-{family.replace('_', '-')}")
    for note in opened.data_notes() if source is None else ():
        console.print_note(note)
    console.print_paragraph("Run", f"{opened.name}: {opened.title}.")
    how = {name: value for name, value in reading.reading_arguments.items() if name != "labels"}
    n_rows = len(opened.data().train if source is None else opened.rows(source, **how))
    console.print_paragraph(
        "Prior",
        f"{family}, fitted to the encodings of {n_rows:,} training rows, seed {common.seed}.",
    )
    fitted = opened.fit_prior(
        family,
        source=source,
        components=components,
        steps=steps,
        seed=common.seed,
        out=out,
        overwrite=force,
        **how,
    )
    before, after = (
        each.log_likelihood(source, seed=common.seed, **how) for each in (opened, fitted)
    )
    if before is not None and after is not None:
        for label, found in (("Before", before), ("After", after)):
            console.print_paragraph(
                label,
                f"log p(x) {found.value} nats per {opened.spec.item_noun} of held-out rows, by "
                "importance sampling.",
            )
    console.print_paragraph(
        "Effect",
        f"samples, likelihoods and reports of {out} use the new prior; encodings and "
        "reconstructions do not change.",
    )
    ending = {"table": ".csv", "series": ".npy"}.get(opened.spec.kind, ".png")
    console.print_paragraph("Next", f"aevb sample {out} -n 64 --out samples{ending}")
    if json:
        console.print_json(
            {
                "run": str(out),
                "family": family,
                "log_likelihood_before": estimate_record(before),
                "log_likelihood_after": estimate_record(after),
            }
        )
    elif common.quiet:
        console.print_result(str(out))
