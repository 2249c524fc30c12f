"""``aevb quality``: what a run makes up, what it gives back, and what its codes tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..errors import DataError
from .options import ORDERED, Common, Flag, Json, Reading
from .runs import Opened, open_run, own_data, rows_of, say_copies
from .screen import Screen

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import Rows
    from ..metrics.disentanglement import Disentanglement
    from ..metrics.quality import Quality

Line = tuple[str, str, str, str]  # name, value with its interval, what it is compared with, what it means

FeaturesOption = Annotated[
    str | None,
    Parameter(
        help="What samples are compared in: pixels, standardised, pca, encoder, or a network in a .pt2 or .onnx file; pixels of small "
        "images, principal components of larger ones, standardised columns by default.",
        group=ORDERED["Run"],
    ),
]
FactorsOption = Annotated[
    Path | None,
    Parameter(
        help="Known factors of the rows measured: an .npy file of class numbers, a column for each factor. Sprites have theirs.",
        group=ORDERED["Data"],
    ),
]
MeanOption = Annotated[bool, Flag, Parameter(help="Compare means of p(x|z) in place of draws.", group=ORDERED["Run"])]


def quality(
    run: Annotated[Path, Parameter(help="The run folder.")],
    source: Annotated[str | None, Parameter(help="Other data of the same kind; the test rows of the run's own data by default.")] = None,
    /,
    *,
    features: FeaturesOption = None,
    factors: FactorsOption = None,
    mean: MeanOption = False,
    reading: Reading = Reading(),
    json: Json = False,
    common: Common = Common(),
) -> None:
    """Samples, reconstructions and codes of a run against held-out data, each number with its 95 % interval."""
    from ..metrics.quality import as_record
    from ..metrics.quality import quality as measure

    screen = Screen(common.quiet, json)
    opened = open_run(run, common)
    train, rows, known = _data(opened, source, factors, reading, screen)
    compared = _features(features, opened)
    found = measure(opened.model, train, rows, opened.spec, features=compared, mean=mean, factors=known, seed=common.seed)
    if json:
        screen.object({"run": str(run), "data": source or opened.settings.get("source"), "seed": common.seed} | as_record(found))
        return
    screen.tell("Run", f"{run}: {opened.about}.")
    _print(screen, found, source or f"test rows of {opened.spec.name}", mean)


def _data(run: Opened, source: str | None, factors: Path | None, reading: Reading, screen: Screen) -> tuple[Rows, Rows, Tensor | None]:
    """Training rows, rows to measure, and their factors where these are known."""
    from ..data import sprites

    data = own_data(run, screen)
    rows = data.test if source is None else rows_of(run, source, reading, screen)
    if source is not None:
        say_copies(run, rows, source, screen)
    if factors is not None:
        return data.train, rows, _read(factors, len(rows))
    return data.train, rows, sprites.factors(rows) if run.spec.name == "sprites" and source is None else None


def _read(path: Path, rows: int) -> Tensor:
    import numpy as np
    import torch

    try:
        table = torch.from_numpy(np.load(path, allow_pickle=False))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f'--factors "{path}" cannot be read as an array of numbers ({str(error).rstrip(".")}): write it with np.save(path, factors).'
        ) from error
    if table.ndim != 2 or len(table) != rows:
        raise DataError(
            f'--factors "{path}" has the shape {tuple(table.shape)}, and {rows:,} rows are measured: one line of factors for each.'
        )
    return table


def _features(name: str | None, run: Opened) -> Any:
    if name != "encoder":
        return name
    from ..metrics import features

    return features.encoder(run.model)


def _print(screen: Screen, found: Quality, data: str, mean: bool) -> None:
    groups = [("Samples", _samples_said(found, mean), _samples(found))] if found.samples else []
    groups.append(("Codes", (f"of {found.rows:,} {data}.",), _reconstruction(found) + _codes(found)))
    if found.disentanglement and found.shuffled:
        groups.append(("Factors", ("beside each score what codes of other rows get.",), _factors(found.disentanglement, found.shuffled)))
    for label, said, lines in groups:
        screen.tell(label, *said)
        screen.table(lines, ("", "value (95 % interval)", "beside", ""))
    if not found.samples:
        screen.note(f"no samples were compared: {found.unasked}.")


def _samples_said(found: Quality, mean: bool) -> tuple[str, ...]:
    frechet = found.samples.frechet if found.samples else None
    if frechet is None:
        return ()
    what = "means of p(x|z)" if mean else "draws"
    return (
        f"{frechet.generated:,} {what} against {frechet.real:,} held-out rows, in {frechet.features}.",
        "Beside each number that of as many training rows in their place.",
        *frechet.said,
    )


def _samples(found: Quality) -> list[Line]:
    made, real = found.samples, found.training
    assert made is not None
    assert real is not None
    lines = [
        ("Frechet distance", made.frechet.distance, real.frechet.distance, "best 0; biased upwards"),
        ("  without that bias", made.frechet.corrected, real.frechet.corrected, "best 0"),
        ("kernel distance", made.kernel.distance, real.kernel.distance, "best 0"),
        ("precision", made.cover.precision, real.cover.precision, "samples like data"),
        ("recall", made.cover.recall, real.cover.recall, "data like samples"),
        ("density", made.cover.density, real.cover.density, "1 as among data"),
        ("coverage", made.cover.coverage, real.cover.coverage, "data near samples"),
    ]
    if made.test is not None and real.test is not None:
        lines.append(("told from data", made.test.accuracy, real.test.accuracy, f"best 0.5; p = {made.test.p_value:.2g}"))
    return [(name, str(value), value.figure(beside.value), means) for name, value, beside, means in lines if value and beside]


def _reconstruction(found: Quality) -> list[Line]:
    made = found.reconstruction
    if made.psnr is None:
        return [("squared error", str(made.squared_error), "1", "that of columns' means")]
    lines = [("squared error", str(made.squared_error), "", "per value"), ("PSNR", str(made.psnr), "", "decibels")]
    return lines if made.ssim is None else [*lines, ("SSIM", str(made.ssim), "", "best 1")]


def _codes(found: Quality) -> list[Line]:
    told, lines = found.separation, []
    if told is not None:
        lines.append(("5 neighbours", str(told.neighbours), f"{told.chance:.3g}", "class, and chance"))
        lines.append(("  of drawn codes", str(told.drawn), f"{told.chance:.3g}", "with their noise"))
    if told is not None and told.probe is not None:
        lines.append(("linear probe", str(told.probe), f"{told.chance:.3g}", "class, and chance"))
    if told is not None and told.clustering is not None:
        lines.append(("clusters, Rand", str(told.clustering.adjusted_rand), "0", "adjusted; best 1"))
        lines.append(("clusters, MI", str(told.clustering.mutual_information), "0", "adjusted; best 1"))
    if found.total_correlation is not None:
        lines.append(("total correlation", str(found.total_correlation.corrected), "", "nats, if Gaussian"))
    return lines


def _factors(found: Disentanglement, chance: Disentanglement) -> list[Line]:
    rows = [
        ("MIG", found.mutual_information_gap, chance.mutual_information_gap, "gap of information"),
        ("SAP", found.separated_attribute_predictability, chance.separated_attribute_predictability, "gap of prediction"),
        ("modularity", found.modularity, chance.modularity, "one factor per code"),
        ("FactorVAE score", found.factor_vae, chance.factor_vae, "factors by variance"),
        ("beta-VAE score", found.beta_vae, chance.beta_vae, "factors by pairs"),
        ("robustness (IRS)", found.interventional_robustness, chance.interventional_robustness, "own factor alone"),
    ]
    if found.dci is not None and chance.dci is not None:
        rows += [
            ("DCI disentangled", found.dci.disentanglement, chance.dci.disentanglement, "one factor per code"),
            ("DCI complete", found.dci.completeness, chance.dci.completeness, "one code per factor"),
            ("DCI informative", found.dci.informativeness, chance.dci.informativeness, "factors by trees"),
        ]
    there = [(name, value, beside, means) for name, value, beside, means in rows if value is not None and beside is not None]
    return [(name, str(value), value.figure(beside.value), means) for name, value, beside, means in there]
