"""``aevb fit-prior``: a prior fitted to the codes of a model, as a run of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import ArgumentError
from .figures import record_of, with_error
from .options import ORDERED, Common, Count, Flag, Json, Reading
from .runs import Opened, open_run, own_data, rows_of
from .screen import Screen

if TYPE_CHECKING:
    from ..data import Dataset
    from ..metrics import LogLikelihood
    from ..models import VAE

SAMPLES = 100  # per test row, in the likelihood before and after
Family = Annotated[
    Literal["mixture", "flow", "two_stage", "autoregressive"],
    Parameter(
        help="mixture (Gaussians of full covariance), flow, two_stage (a second VAE), or autoregressive (of discrete codes).",
        group=ORDERED["Run"],
    ),
]


def fit_prior(
    run: Annotated[Path, Parameter(help="The run folder.")],
    source: Annotated[str | None, Parameter(help="Other data of the same kind; the training rows of the run by default.")] = None,
    /,
    *,
    family: Family = "mixture",
    components: Annotated[Count, Parameter(help="Gaussians of a mixture.", group=ORDERED["Run"])] = 10,
    steps: Annotated[Count, Parameter(help="Steps of learning of every other family.", group=ORDERED["Run"])] = 2000,
    out: Annotated[Path | None, Parameter(help="The new run folder; RUN-FAMILY by default.", group=ORDERED["Run"])] = None,
    force: Annotated[bool, Flag, Parameter(help="Replace the run in --out.", group=ORDERED["Run"])] = False,
    reading: Reading = Reading(),
    json: Json = False,
    common: Common = Common(),
) -> None:
    """Fit a prior to the codes of a trained model, and write both as a new run; the run that was given stays as it is.

    Codes of all data together are seldom where the prior is that they were trained under; those of an autoencoder have none at all. The
    new run samples from the fitted prior and is measured with it; encoding, decoding and reconstruction are what they were.
    """
    import aevb

    from ..training.run import claim

    screen = Screen(common.quiet, json)
    opened = open_run(run, common)
    out = out or run.with_name(f"{run.name}-{family.replace('_', '-')}")
    if out.resolve() == run.resolve():
        raise ArgumentError(f"--out {out} is the run itself, which stays as it is; choose another.")
    if not force:
        claim(out, overwrite=False)  # what is to be replaced goes when there is something to replace it
    data = _data(opened, source, reading, screen)
    screen.tell("Run", f"{run}: {opened.about}.")
    screen.tell("Prior", f"{family}, fitted to the codes of {len(data.train):,} training rows, seed {common.seed}.")
    fitted = aevb.fit_prior(opened.model, data, family, components=components, steps=steps, seed=common.seed)
    claim(out, overwrite=force)
    _save(opened, fitted, out, {"family": family, "components": components, "steps": steps, "seed": common.seed, "of": str(run)})
    before, after = (_measured(model, data, common.seed) for model in (opened.model, fitted))
    if before is not None and after is not None:
        screen.tell("Before", _said(before, opened))
        screen.tell("After", _said(after, opened))
    screen.tell("Changed", f"samples, likelihoods and reports of {out} are those of the new prior; codes and reconstructions stay.")
    screen.tell("Next", f"aevb sample {out} -n 64 --out samples{'.png' if opened.spec.image else '.csv'}")
    if json:
        screen.object({"run": str(out), "family": family, "before": record_of(before), "after": record_of(after)})
    elif common.quiet:
        screen.result(str(out))


def _data(opened: Opened, source: str | None, reading: Reading, screen: Screen) -> Dataset:
    from ..data import Dataset

    if source is None:
        return own_data(opened, screen)
    rows = rows_of(opened, source, reading, screen)
    return Dataset(rows, rows, rows, opened.spec)


def _save(opened: Opened, fitted: VAE, out: Path, how: dict[str, Any]) -> None:
    """The new model with the story of the old one."""
    from ..persistence import save

    training = opened.training | {"prior": how, "config": opened.settings | {"prior": how["family"]}}
    save(fitted, out, spec=opened.spec, training=training)
    history = opened.path / "history.jsonl"
    if history.exists():
        shutil.copyfile(history, out / history.name)


def _measured(model: VAE, data: Dataset, seed: int) -> LogLikelihood | None:
    from .. import metrics
    from .measure import able

    if not model.posterior.density:
        return None
    rows = data.test.to(model.device)
    return metrics.log_likelihood(able(model, rows), rows, SAMPLES, seed=seed)


def _said(value: LogLikelihood, opened: Opened) -> str:
    return f"log p(x) {with_error(value)} nats per {opened.spec.one} of the test rows, by importance sampling."
