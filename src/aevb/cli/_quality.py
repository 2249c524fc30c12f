"""``aevb quality``: samples, reconstructions and encodings of a run against held-out data."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..notes import visible_text
from ._console import ConsoleOutput, open_run
from ._options import (
    OPTION_GROUPS,
    RUN_GROUP,
    CommonOptions,
    Flag,
    Json,
    OtherSource,
    ReadingOptions,
    RunArgument,
    TrustSource,
)

if TYPE_CHECKING:
    from ..metrics import ClosestRecords, HiddenCells, Quality, SampleComparison

N_WORST, N_WORST_PAIRS = 8, 5
NAME_WIDTH = 16

DISTANCE_TEXTS = {"kolmogorov_smirnov": "Kolmogorov-Smirnov", "total_variation": "total variation"}
ATOM_TEXT = "total variation of repeated values"
ASSOCIATION_TEXTS = {
    "spearman": "Spearman",
    "cramers_v": "Cramer's V",
    "correlation_ratio": "correlation ratio",
}
HEADERS = {
    "Samples": ("", "value (95 % interval)", "reference", ""),
    "Columns": ("", "distance", "training rows", ""),
    "Pairs": ("", "association", "training rows", ""),
    "Hidden": ("", "coverage (95 % interval)", "asked for", ""),
}
PRIVACY_SENTENCES = (
    "Distance of draws to the closest training row.",
    "The reference is that of held-out rows.",
)

QualityTableRow = tuple[str, str, str, str]  # name, value with interval, reference, meaning

# name, attribute of the result and of its reference, meaning
SAMPLE_ROWS = (
    ("Frechet distance", "frechet_distance.distance", "best 0; biased upwards"),
    ("  without that bias", "frechet_distance.bias_corrected", "best 0"),
    ("kernel distance", "kernel_distance.distance", "best 0"),
    ("precision", "precision_recall.precision", "samples like data"),
    ("recall", "precision_recall.recall", "data like samples"),
    ("density", "precision_recall.density", "1 as among data"),
    ("coverage", "precision_recall.coverage", "data near samples"),
    ("classifier test", "classifier_test.accuracy", "boosted trees, p = {p:.2g}"),
    ("  its AUC", "classifier_test.auc", "best 0.5"),
    ("  linear, AUC", "linear_classifier_test.auc", "logistic regression"),
)
FACTOR_ROWS = (
    ("MIG", "mutual_information_gap", "gap of information"),
    ("SAP", "separated_attribute_predictability", "gap of prediction"),
    ("modularity", "modularity", "one factor per variable"),
    ("FactorVAE score", "factor_vae_score", "factors by variance"),
    ("beta-VAE score", "beta_vae_score", "factors by pairs"),
    ("robustness (IRS)", "interventional_robustness", "own factor alone"),
    ("DCI disentangled", "dci.disentanglement", "one factor per variable"),
    ("DCI complete", "dci.completeness", "one variable per factor"),
    ("DCI informative", "dci.informativeness", "factors by trees"),
)
CLASS_ROWS = (
    ("5 neighbours", "knn_accuracy", "chance_level", "class, and chance"),
    ("  of sampled z", "knn_accuracy_sampled", "chance_level", "with their noise"),
    ("linear probe", "linear_probe_accuracy", "chance_level", "class, and chance"),
    ("clusters, Rand", "clustering.adjusted_rand_index", "", "adjusted; best 1"),
    ("clusters, MI", "clustering.adjusted_mutual_information", "", "adjusted; best 1"),
)


def quality(
    run: RunArgument,
    source: OtherSource = None,
    /,
    *,
    features: Annotated[
        str | None,
        Parameter(
            help="Features in which samples are compared: pixels, standardised, pca, encoder, or a "
            "network in a .pt2 or .onnx file; by default pixels of small images, principal "
            "components of larger ones, standardised columns.",
            group=RUN_GROUP,
        ),
    ] = None,
    factors: Annotated[
        Path | None,
        Parameter(
            help="Known factors of the rows: an .npy file of class numbers, a column for each "
            "factor. Sprites have theirs.",
            group=OPTION_GROUPS["Data"],
        ),
    ] = None,
    mean: Annotated[
        bool, Flag, Parameter(help="Compare means of p(x|z) instead of draws.", group=RUN_GROUP)
    ] = False,
    reading: ReadingOptions = ReadingOptions(),
    trust_source: TrustSource = False,
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Samples, reconstructions and encodings against held-out data, with 95 % intervals."""
    from ..metrics._quality import to_record

    console = ConsoleOutput(common.quiet, json)
    opened = open_run(run, common, console, trust_source)
    rows = opened.rows(source, **reading.reading_arguments)
    for note in opened.data_notes(source, rows):
        console.print_note(note)
    result = opened.quality(
        None if source is None else rows,
        features=features,
        factors=factors,
        mean=mean,
        seed=common.seed,
    )
    if json:
        head = {"run": opened.name, "source": source or opened.config.get("source")}
        console.print_json(head | {"seed": common.seed} | to_record(result))
        return
    console.print_paragraph("Run", f"{opened.name}: {opened.title}.")
    _print_quality(console, result, source or opened.own_rows_noun, mean)


def _print_quality(console: ConsoleOutput, result: Quality, data: str, mean: bool) -> None:
    groups: list[tuple[str, Sequence[Any], list[QualityTableRow]]] = []
    if result.generated and result.training_baseline:
        frechet, test = result.generated.frechet_distance, result.generated.classifier_test
        rows = _compared(result.generated, result.training_baseline, SAMPLE_ROWS)
        sentences = (
            f"{frechet.n_generated:,} {'means of p(x|z)' if mean else 'draws'} against "
            f"{frechet.n_real:,} held-out rows, in {frechet.features}.",
            "The reference is as many training rows in their place.",
            *frechet.notes,
        )
        if test is not None:
            rows = [(*row[:3], row[3].format(p=test.p_value)) for row in rows]
        groups.append(("Samples", sentences, rows))
        groups += _table_groups(result.generated, result.training_baseline)
    if result.closest_records is not None:
        rows = _privacy_rows(result.closest_records)
        if result.membership is not None:
            auc = str(result.membership.auc)
            rows.append(("membership, AUC", auc, "0.5", "log p tells training rows"))
        groups.append(("Privacy", PRIVACY_SENTENCES, rows))
    if result.hidden_cells is not None:
        groups.append(_hidden_group(result.hidden_cells))
    latents = (f"of {result.n_rows:,} {data}.",)
    groups.append(("Latents", latents, _reconstruction_rows(result) + _latent_rows(result)))
    if result.disentanglement and result.disentanglement_chance_level:
        rows = _compared(result.disentanglement, result.disentanglement_chance_level, FACTOR_ROWS)
        groups.append(("Factors", ("The reference is the score of shuffled rows.",), rows))
    for label, sentences, rows in groups:
        console.print_paragraph(label, *sentences)
        console.print_table(rows, HEADERS.get(label, HEADERS["Samples"]))
    if not result.generated:
        console.print_note(f"no samples were compared: {result.samples_skipped_reason}.")


def _table_groups(
    samples: SampleComparison, baseline: SampleComparison
) -> list[tuple[str, Sequence[Any], list[QualityTableRow]]]:
    """The columns and the pairs of columns that differ most."""
    found, reference = samples.marginals, baseline.marginals
    pairs, usual = samples.associations, baseline.associations
    if found is None or reference is None or pairs is None or usual is None:
        return []
    by_name = {column.name: column for column in reference.columns}
    columns = [
        (
            _short(column.name),
            f"{column.largest:.3f}",
            f"{by_name[column.name].largest:.3f}",
            DISTANCE_TEXTS[column.statistic] if column.largest == column.distance else ATOM_TEXT,
        )
        for column in found.worst_first[:N_WORST]
        if column.largest >= 0
    ]
    more = len(found.columns) - len(columns)
    sentences = (
        f"{found.n_synthetic:,} draws, distances from 0 to 1"
        + (f"; {more:,} columns are closer." if more else "."),
    )
    lines = [
        (
            f"{_short(each.columns[0])}, {_short(each.columns[1])}",
            f"{each.real:.2f}, draws {each.synthetic:.2f}",
            "",
            ASSOCIATION_TEXTS[each.statistic],
        )
        for each in pairs.largest[:N_WORST_PAIRS]
    ]
    if pairs.mean_difference is not None and usual.mean_difference is not None:
        mean = f"{pairs.mean_difference:.3f}"
        lines.insert(0, ("mean difference", mean, f"{usual.mean_difference:.3f}", "best 0"))
    return [
        ("Columns", sentences, columns),
        ("Pairs", ("Associations in held-out rows and in draws.",), lines),
    ]


def _short(name: str) -> str:
    """A name of a column in a narrow table."""
    text = visible_text(name)
    return text if len(text) <= NAME_WIDTH else text[: NAME_WIDTH - 1] + "…"


def _privacy_rows(found: ClosestRecords) -> list[QualityTableRow]:
    """Distances to training rows, and copies of them."""
    return [
        (
            "closest, median",
            f"{found.synthetic.median:.4f}",
            f"{found.held_out.median:.4f}",
            "distance from 0 to 1",
        ),
        ("  lowest 5 %", f"{found.synthetic.low:.4f}", f"{found.held_out.low:.4f}", "same"),
        ("training closer", str(found.closer_to_training), "0.5", "than held-out rows"),
        (
            "exact copies",
            str(found.copies),
            found.copies.format_number(found.duplicates.value),
            "of training rows",
        ),
    ]


def _hidden_group(found: HiddenCells) -> tuple[str, Sequence[Any], list[QualityTableRow]]:
    """Coverage of hidden cells."""
    kinds = (("numbers", found.numbers), ("categories", found.categories))
    rows = [
        (name, str(value), f"{found.level:g}", "inside the interval or set")
        for name, value in kinds
        if value is not None
    ]
    sentence = (
        f"{found.hidden_share:.0%} of the cells of {found.n_rows:,} rows, hidden and imputed."
    )
    return "Hidden", (sentence,), rows


def _compared(
    result: Any, reference: Any, rows: Sequence[tuple[str, str, str]]
) -> list[QualityTableRow]:
    """Rows of a result next to the same numbers of a reference, where both have them."""
    found = [
        (name, _attribute(result, path), _attribute(reference, path), meaning)
        for name, path, meaning in rows
    ]
    return [
        (name, str(value), value.format_number(other.value), meaning)
        for name, value, other, meaning in found
        if value is not None and other is not None
    ]


def _attribute(result: Any, path: str) -> Any:
    """A number inside a result; None where it is missing."""
    group, _, name = path.rpartition(".")
    inner = attrgetter(group)(result) if group else result
    return None if inner is None else getattr(inner, name)


def _reconstruction_rows(result: Quality) -> list[QualityTableRow]:
    found = result.reconstruction
    if found.psnr is None:
        return [("squared error", str(found.squared_error), "1", "that of columns' means")]
    rows = [
        ("squared error", str(found.squared_error), "", "per value"),
        ("PSNR", str(found.psnr), "", "decibels"),
    ]
    return rows if found.ssim is None else [*rows, ("SSIM", str(found.ssim), "", "best 1")]


def _latent_rows(result: Quality) -> list[QualityTableRow]:
    separation, rows = result.class_separation, []
    if separation is not None:
        rows = [
            (name, str(value), f"{separation.chance_level:.3g}" if chance else "0", meaning)
            for name, path, chance, meaning in CLASS_ROWS
            if (value := _attribute(separation, path)) is not None
        ]
    if result.total_correlation is not None:
        value = str(result.total_correlation.bias_corrected)
        rows.append(("total correlation", value, "", "nats, if Gaussian"))
    return rows
