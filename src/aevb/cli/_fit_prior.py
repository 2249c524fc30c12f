"""``aevb fit-prior``: a prior fitted to the codes of a model, as a run of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import ArgumentError
from ._console import ConsoleOutput
from ._formatting import estimate_record, format_estimate
from ._options import OPTION_GROUPS, CommonOptions, Flag, Integer, Json, ReadingOptions
from ._run_folder import LoadedRun, load_own_data, load_rows, load_run

if TYPE_CHECKING:
    from ..data import Dataset
    from ..metrics import LogLikelihood
    from ..models import VAE

PRIOR_COMPARISON_SAMPLES = 100  # per test row, in the likelihood before and after
FamilyOption = Annotated[
    Literal["mixture", "flow", "two_stage", "autoregressive"],
    Parameter(
        help="mixture (Gaussians of full covariance), flow, two_stage (a second VAE), or autoregressive (of discrete codes).",
        group=OPTION_GROUPS["Run"],
    ),
]


def fit_prior(
    run: Annotated[Path, Parameter(help="The run folder.")],
    source: Annotated[
        str | None,
        Parameter(help="Other data of the same kind; the training rows of the run by default."),
    ] = None,
    /,
    *,
    family: FamilyOption = "mixture",
    components: Annotated[
        Integer, Parameter(help="Gaussians of a mixture.", group=OPTION_GROUPS["Run"])
    ] = 10,
    steps: Annotated[
        Integer,
        Parameter(help="Steps of learning of every other family.", group=OPTION_GROUPS["Run"]),
    ] = 2000,
    out: Annotated[
        Path | None,
        Parameter(help="The new run folder; RUN-FAMILY by default.", group=OPTION_GROUPS["Run"]),
    ] = None,
    force: Annotated[
        bool, Flag, Parameter(help="Replace the run in --out.", group=OPTION_GROUPS["Run"])
    ] = False,
    reading: ReadingOptions = ReadingOptions(),
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Fit a prior to the codes of a trained model, and write both as a new run; the run that was given stays as it is.

    Codes of all data together are seldom where the prior is that they were trained under; those of an autoencoder have none at all. The
    new run samples from the fitted prior and is measured with it; encoding, decoding and reconstruction are what they were.
    """
    import aevb

    from ..training._run import prepare_run_folder

    screen = ConsoleOutput(common.quiet, json)
    opened = load_run(run, common)
    out = out or run.with_name(f"{run.name}-{family.replace('_', '-')}")
    if out.resolve() == run.resolve():
        raise ArgumentError(f"--out {out} is the run itself, which stays as it is; choose another.")
    if not force:
        prepare_run_folder(
            out, overwrite=False
        )  # what is to be replaced goes when there is something to replace it
    data = _load_training_data(opened, source, reading, screen)
    screen.print_paragraph("Run", f"{run}: {opened.description}.")
    screen.print_paragraph(
        "Prior",
        f"{family}, fitted to the codes of {len(data.train):,} training rows, seed {common.seed}.",
    )
    fitted = aevb.fit_prior(
        opened.model, data, family, components=components, steps=steps, seed=common.seed
    )
    prepare_run_folder(out, overwrite=force)
    _save_run(
        opened,
        fitted,
        out,
        {
            "family": family,
            "components": components,
            "steps": steps,
            "seed": common.seed,
            "of": str(run),
        },
    )
    before, after = (
        _estimate_log_likelihood(model, data, common.seed) for model in (opened.model, fitted)
    )
    if before is not None and after is not None:
        screen.print_paragraph("Before", _log_likelihood_sentence(before, opened))
        screen.print_paragraph("After", _log_likelihood_sentence(after, opened))
    screen.print_paragraph(
        "Changed",
        f"samples, likelihoods and reports of {out} are those of the new prior; codes and reconstructions stay.",
    )
    screen.print_paragraph(
        "Next", f"aevb sample {out} -n 64 --out samples{'.png' if opened.spec.image else '.csv'}"
    )
    if json:
        screen.print_json(
            {
                "run": str(out),
                "family": family,
                "before": estimate_record(before),
                "after": estimate_record(after),
            }
        )
    elif common.quiet:
        screen.print_result(str(out))


def _load_training_data(
    loaded_run: LoadedRun, source: str | None, reading: ReadingOptions, console: ConsoleOutput
) -> Dataset:
    from ..data import Dataset

    if source is None:
        return load_own_data(loaded_run, console)
    rows = load_rows(loaded_run, source, reading, console)
    return Dataset(rows, rows, rows, loaded_run.spec)


def _save_run(loaded_run: LoadedRun, model: VAE, out: Path, prior_record: dict[str, Any]) -> None:
    """The new model with the story of the old one."""
    from .._persistence import save

    training = loaded_run.training | {
        "prior": prior_record,
        "config": loaded_run.config | {"prior": prior_record["family"]},
    }
    save(model, out, spec=loaded_run.spec, training=training)
    history = loaded_run.path / "history.jsonl"
    if history.exists():
        shutil.copyfile(history, out / history.name)


def _estimate_log_likelihood(model: VAE, data: Dataset, seed: int) -> LogLikelihood | None:
    from .. import metrics
    from ._evaluation import with_row_parameters

    if not model.posterior.has_density:
        return None
    rows = data.test.to(model.device)
    return metrics.log_likelihood(
        with_row_parameters(model, rows), rows, PRIOR_COMPARISON_SAMPLES, seed=seed
    )


def _log_likelihood_sentence(log_likelihood: LogLikelihood, loaded_run: LoadedRun) -> str:
    return f"log p(x) {format_estimate(log_likelihood)} nats per {loaded_run.spec.item_noun} of the test rows, by importance sampling."
