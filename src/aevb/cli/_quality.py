"""``aevb quality``: what a run makes up, what it gives back, and what its codes tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..errors import DataError
from ._console import ConsoleOutput
from ._options import OPTION_GROUPS, CommonOptions, Flag, Json, ReadingOptions
from ._run_folder import LoadedRun, load_own_data, load_rows, load_run, warn_about_duplicates

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import Rows
    from ..metrics._quality import Quality
    from ..metrics.disentanglement import Disentanglement

QualityTableRow = tuple[
    str, str, str, str
]  # name, value with its interval, what it is compared with, what it means

FeaturesOption = Annotated[
    str | None,
    Parameter(
        help="What samples are compared in: pixels, standardised, pca, encoder, or a network in a .pt2 or .onnx file; pixels of small "
        "images, principal components of larger ones, standardised columns by default.",
        group=OPTION_GROUPS["Run"],
    ),
]
FactorsOption = Annotated[
    Path | None,
    Parameter(
        help="Known factors of the rows measured: an .npy file of class numbers, a column for each factor. Sprites have theirs.",
        group=OPTION_GROUPS["Data"],
    ),
]
MeanOption = Annotated[
    bool,
    Flag,
    Parameter(help="Compare means of p(x|z) in place of draws.", group=OPTION_GROUPS["Run"]),
]


def quality(
    run: Annotated[Path, Parameter(help="The run folder.")],
    source: Annotated[
        str | None,
        Parameter(
            help="Other data of the same kind; the test rows of the run's own data by default."
        ),
    ] = None,
    /,
    *,
    features: FeaturesOption = None,
    factors: FactorsOption = None,
    mean: MeanOption = False,
    reading: ReadingOptions = ReadingOptions(),
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Samples, reconstructions and codes of a run against held-out data, each number with its 95 % interval."""
    from ..metrics._quality import quality as measure
    from ..metrics._quality import to_record

    screen = ConsoleOutput(common.quiet, json)
    opened = load_run(run, common)
    train, rows, known = _load_rows_and_factors(opened, source, factors, reading, screen)
    compared = _resolve_features(features, opened)
    found = measure(
        opened.model,
        train,
        rows,
        opened.spec,
        features=compared,
        mean=mean,
        factors=known,
        seed=common.seed,
    )
    if json:
        screen.print_json(
            {"run": str(run), "data": source or opened.config.get("source"), "seed": common.seed}
            | to_record(found)
        )
        return
    screen.print_paragraph("Run", f"{run}: {opened.description}.")
    _print_quality(screen, found, source or f"test rows of {opened.spec.name}", mean)


def _load_rows_and_factors(
    run: LoadedRun,
    source: str | None,
    factors: Path | None,
    reading: ReadingOptions,
    console: ConsoleOutput,
) -> tuple[Rows, Rows, Tensor | None]:
    """Training rows, rows to measure, and their factors where these are known."""
    from ..data import _sprites as sprites

    data = load_own_data(run, console)
    rows = data.test if source is None else load_rows(run, source, reading, console)
    if source is not None:
        warn_about_duplicates(run, rows, source, console)
    if factors is not None:
        return data.train, rows, _read_factors(factors, len(rows))
    return (
        data.train,
        rows,
        sprites.sprite_factors(rows) if run.spec.name == "sprites" and source is None else None,
    )


def _read_factors(path: Path, n_rows: int) -> Tensor:
    import numpy as np
    import torch

    try:
        table = torch.from_numpy(np.load(path, allow_pickle=False))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f'--factors "{path}" cannot be read as an array of numbers ({str(error).rstrip(".")}): write it with np.save(path, factors).'
        ) from error
    if table.ndim != 2 or len(table) != n_rows:
        raise DataError(
            f'--factors "{path}" has the shape {tuple(table.shape)}, and {n_rows:,} rows are measured: one line of factors for each.'
        )
    return table


def _resolve_features(name: str | None, run: LoadedRun) -> Any:
    if name != "encoder":
        return name
    from ..metrics import _features as features

    return features.encoder_features(run.model)


def _print_quality(console: ConsoleOutput, result: Quality, data: str, mean: bool) -> None:
    groups = (
        [("Samples", _sample_notes(result, mean), _sample_table(result))] if result.samples else []
    )
    groups.append(
        (
            "Codes",
            (f"of {result.n_rows:,} {data}.",),
            _reconstruction_table(result) + _latent_table(result),
        )
    )
    if result.disentanglement and result.disentanglement_chance_level:
        groups.append(
            (
                "Factors",
                ("beside each score what codes of other rows get.",),
                _factor_table(result.disentanglement, result.disentanglement_chance_level),
            )
        )
    for label, said, lines in groups:
        console.print_paragraph(label, *said)
        console.print_table(lines, ("", "value (95 % interval)", "beside", ""))
    if not result.samples:
        console.print_note(f"no samples were compared: {result.reason_not_sampled}.")


def _sample_notes(result: Quality, mean: bool) -> tuple[str, ...]:
    frechet = result.samples.frechet if result.samples else None
    if frechet is None:
        return ()
    what = "means of p(x|z)" if mean else "draws"
    return (
        f"{frechet.n_generated:,} {what} against {frechet.n_real:,} held-out rows, in {frechet.features}.",
        "Beside each number that of as many training rows in their place.",
        *frechet.notes,
    )


def _sample_table(result: Quality) -> list[QualityTableRow]:
    made, real = result.samples, result.training_baseline
    assert made is not None
    assert real is not None
    lines = [
        (
            "Frechet distance",
            made.frechet.distance,
            real.frechet.distance,
            "best 0; biased upwards",
        ),
        ("  without that bias", made.frechet.bias_corrected, real.frechet.bias_corrected, "best 0"),
        ("kernel distance", made.kernel.distance, real.kernel.distance, "best 0"),
        (
            "precision",
            made.precision_recall.precision,
            real.precision_recall.precision,
            "samples like data",
        ),
        ("recall", made.precision_recall.recall, real.precision_recall.recall, "data like samples"),
        (
            "density",
            made.precision_recall.density,
            real.precision_recall.density,
            "1 as among data",
        ),
        (
            "coverage",
            made.precision_recall.coverage,
            real.precision_recall.coverage,
            "data near samples",
        ),
    ]
    if made.classifier_test is not None and real.classifier_test is not None:
        lines.append(
            (
                "told from data",
                made.classifier_test.accuracy,
                real.classifier_test.accuracy,
                f"best 0.5; p = {made.classifier_test.p_value:.2g}",
            )
        )
    return [
        (name, str(value), value.figure(beside.value), means)
        for name, value, beside, means in lines
        if value and beside
    ]


def _reconstruction_table(result: Quality) -> list[QualityTableRow]:
    made = result.reconstruction
    if made.psnr is None:
        return [("squared error", str(made.squared_error), "1", "that of columns' means")]
    lines = [
        ("squared error", str(made.squared_error), "", "per value"),
        ("PSNR", str(made.psnr), "", "decibels"),
    ]
    return lines if made.ssim is None else [*lines, ("SSIM", str(made.ssim), "", "best 1")]


def _latent_table(result: Quality) -> list[QualityTableRow]:
    told, lines = result.separation, []
    if told is not None:
        lines.append(
            (
                "5 neighbours",
                str(told.neighbour_accuracy),
                f"{told.chance_level:.3g}",
                "class, and chance",
            )
        )
        lines.append(
            (
                "  of drawn codes",
                str(told.sampled_neighbour_accuracy),
                f"{told.chance_level:.3g}",
                "with their noise",
            )
        )
    if told is not None and told.probe_accuracy is not None:
        lines.append(
            (
                "linear probe",
                str(told.probe_accuracy),
                f"{told.chance_level:.3g}",
                "class, and chance",
            )
        )
    if told is not None and told.clustering is not None:
        lines.append(
            ("clusters, Rand", str(told.clustering.adjusted_rand_index), "0", "adjusted; best 1")
        )
        lines.append(
            (
                "clusters, MI",
                str(told.clustering.adjusted_mutual_information),
                "0",
                "adjusted; best 1",
            )
        )
    if result.total_correlation is not None:
        lines.append(
            (
                "total correlation",
                str(result.total_correlation.bias_corrected),
                "",
                "nats, if Gaussian",
            )
        )
    return lines


def _factor_table(scores: Disentanglement, chance_scores: Disentanglement) -> list[QualityTableRow]:
    rows = [
        (
            "MIG",
            scores.mutual_information_gap,
            chance_scores.mutual_information_gap,
            "gap of information",
        ),
        (
            "SAP",
            scores.separated_attribute_predictability,
            chance_scores.separated_attribute_predictability,
            "gap of prediction",
        ),
        ("modularity", scores.modularity, chance_scores.modularity, "one factor per code"),
        (
            "FactorVAE score",
            scores.factor_vae_score,
            chance_scores.factor_vae_score,
            "factors by variance",
        ),
        ("beta-VAE score", scores.beta_vae_score, chance_scores.beta_vae_score, "factors by pairs"),
        (
            "robustness (IRS)",
            scores.interventional_robustness,
            chance_scores.interventional_robustness,
            "own factor alone",
        ),
    ]
    if scores.dci is not None and chance_scores.dci is not None:
        rows += [
            (
                "DCI disentangled",
                scores.dci.disentanglement,
                chance_scores.dci.disentanglement,
                "one factor per code",
            ),
            (
                "DCI complete",
                scores.dci.completeness,
                chance_scores.dci.completeness,
                "one code per factor",
            ),
            (
                "DCI informative",
                scores.dci.informativeness,
                chance_scores.dci.informativeness,
                "factors by trees",
            ),
        ]
    there = [
        (name, value, beside, means)
        for name, value, beside, means in rows
        if value is not None and beside is not None
    ]
    return [
        (name, str(value), value.figure(beside.value), means)
        for name, value, beside, means in there
    ]
