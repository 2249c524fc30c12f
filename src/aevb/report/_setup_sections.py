"""What was there before the first picture: the data, the model, the training."""

from __future__ import annotations

from .. import plots
from ..data._formatting import format_count, format_shape
from ..data._labels import describe_labels
from ..networks import Condition
from ..plots._curves import available_quantities
from . import _model_summary as parts
from ._html import Section, bullets, escape_html, figure_grid, name_value_table, paragraph
from ._report_context import ReportContext

CURVE_FIGURE_NAMES = {"bound": "bound", "log_likelihood": "log-likelihood", "kl": "kl-curve"}


def data_section(report: ReportContext) -> Section:
    """What was read, and what was decided about it."""
    spec, split = report.spec, report.data
    measured = (
        "all test rows"
        if len(report.rows) == len(split.test)
        else f"{len(report.rows):,} test rows, evenly spread"
    )
    rows = [
        ("name", spec.name),
        (
            "shape",
            (f"{format_shape(spec.event_shape)}: " if spec.image else "")
            + f"{format_count(report.dimensions, 'number')} per {report.item_noun}",
        ),
        (
            "rows",
            f"{len(split.train):,} train, {len(split.validation):,} validation, {len(split.test):,} test",
        ),
        ("measured on", measured),
    ]
    if spec.class_names:
        rows.append(
            (
                "classes",
                f"{describe_labels(spec.class_names)}{'' if report.is_conditioned_on_labels else '; the model has not seen them'}",
            )
        )
    if spec.condition:
        what = (
            "the model infers it where it is not told"
            if Condition(spec.condition).is_optional
            else "every number is of p(x) given it"
        )
        rows.append(
            ("told of each datum", f"{', '.join(factor.name for factor in spec.condition)}; {what}")
        )
    return Section(
        "data",
        "The data",
        name_value_table(rows)
        + bullets((*_other_data_note(report), *spec.notes))
        + _binarisation_note(report),
    )


def _other_data_note(report: ReportContext) -> tuple[str, ...]:
    """Whose data these are, where they are not those of training."""
    trained = report.saved_model.spec
    if trained is None or trained.name == report.spec.name:
        return ()
    return (
        f'The model was trained on "{trained.name}"; this report measures it on "{report.spec.name}".',
    )


def training_section(report: ReportContext) -> Section | None:
    """How training went."""
    if len(report.history) < 2:
        return None
    drawn = [
        report.figures.add_figure(
            name,
            plots.training_curves(report.history, [quantity]),
            f"{name} against epochs, training and validation.",
        )
        for quantity, name in CURVE_FIGURE_NAMES.items()
        if quantity in available_quantities(report.history)
    ]
    best = parts.best_epoch(report.history)
    kept = (
        f"Training was judged on validation rows, and the weights of epoch {best.epoch} were kept."
        if best
        else ""
    )
    scale = (
        "The steep first tenth of the epochs does not set the scale."
        if len(report.history) >= 10
        else ""
    )
    return Section("training", "Training", paragraph(kept, scale) + figure_grid(*drawn))


def model_section(report: ReportContext) -> Section:
    """What was built, how it was trained, and how to take it up again."""
    rows = parts.architecture_pairs(report.model) + parts.training_pairs(
        report.saved_model.training, report.history
    )
    shape = ", ".join(map(str, (10, *report.spec.event_shape)))
    condition = report.model.condition
    told = "" if condition is None or condition.is_optional else f", {condition.example_argument}"
    use = (
        f"model.sample(10{told})  # [{shape}]"
        if report.model.posterior.has_density
        else f"model.reconstruct(x)  # x: [N, {shape[4:]}]"
    )
    code = f'import aevb\n\nmodel = aevb.load("{report.saved_model.path.name}")\n{use}'
    return Section("model", "The model", name_value_table(rows) + f"<pre>{escape_html(code)}</pre>")


def _binarisation_note(report: ReportContext) -> str:
    if report.spec.binarisation is None:
        return ""
    how = (
        "afresh at every epoch of training"
        if report.spec.binarisation == "dynamic"
        else "once, before training"
    )
    return paragraph(
        f"Binarisation: {report.spec.binarisation}. Grey values were made 0 or 1 at random, {how}; held-out rows once.",
        "Likelihoods are those of the binary images, and compare only with numbers of the same binarisation.",
    )
