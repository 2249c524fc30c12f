"""Details of a run: the training curves, the data and the model."""

from __future__ import annotations

from collections.abc import Iterator

from .. import plots
from ..data._formatting import format_count, format_shape
from ..data._labels import describe_labels
from ..networks import Condition
from ..notes import PYTHON, Note, render
from ..plots._curves import available_quantities
from ..training._tuning import TABLE_HEADER, Tuning
from ._html import (
    Section,
    data_table,
    escape_html,
    figure_grid,
    name_value_table,
    note_list,
    paragraph,
)
from ._model_summary import NameValuePairs, architecture_pairs, best_epoch, training_pairs
from ._report_context import ReportContext

CURVE_FIGURE_NAMES = {"bound": "bound", "log_likelihood": "log-likelihood", "kl": "kl-curve"}
MIN_SCALED_EPOCHS = 10
"""Number of epochs from which the first tenth does not set the scale."""


def data_section(report: ReportContext) -> Section:
    """The data, with the notes of their reader."""
    return Section(
        "data",
        "Data",
        name_value_table(_data_pairs(report))
        + note_list((*_data_notes(report), *report.spec.notes)),
    )


def _data_pairs(report: ReportContext) -> NameValuePairs:
    """Shape, split, classes and context."""
    spec, noun = report.spec, report.item_noun
    sides = f"{format_shape(spec.event_shape)}: " if spec.image else ""
    rows = [
        ("name", spec.name),
        ("shape", f"{sides}{format_count(report.dimensions, 'number')} per {noun}"),
    ]
    if report.data is not None:
        train, validation, test = (
            len(part) for part in (report.data.train, report.data.validation, report.data.test)
        )
        rows.append(("rows", f"{train:,} train, {validation:,} validation, {test:,} test"))
        is_all = len(report.rows) == len(report.data.evaluation_rows)
        noun = report.data.evaluation_noun
        evaluated = f"all {noun}" if is_all else f"{len(report.rows):,} {noun}, evenly spaced"
    else:
        evaluated = f"{format_count(len(report.rows), 'row')} of other data"
    rows.append(("evaluated", evaluated))
    if spec.class_names:
        unseen = "" if report.is_conditioned_on_labels else "; the model has not seen the labels"
        rows.append(("classes", f"{describe_labels(spec.class_names)}{unseen}"))
    if spec.condition:
        names = ", ".join(variable.name for variable in spec.condition)
        rows.append(("context", f"{names}; {_condition_phrase(Condition(spec.condition))}"))
    return rows


def _condition_phrase(condition: Condition) -> str:
    """What the numbers mean for a model with context."""
    if condition.is_optional:
        return "inferred by the model where it is missing"
    return "every number is of p(x) conditioned on the context"


def _data_notes(report: ReportContext) -> Iterator[Note]:
    """Notes on other data and on binarisation."""
    trained, spec = report.training_name, report.spec
    if report.data is not None:
        yield from report.data.evaluation_notes
    if trained is not None and trained != spec.name:
        yield Note(
            "other_data",
            f'The model was trained on "{trained}"; this report evaluates it on "{spec.name}".',
            "warning",
            {"trained_on": trained, "evaluated_on": spec.name},
        )
    if spec.binarisation is not None:
        when = (
            "again in every epoch of training"
            if spec.binarisation == "dynamic"
            else "once before training"
        )
        yield Note(
            "binarisation",
            f"Binarisation: {spec.binarisation}. Grey values became 0 or 1 at random, {when}; "
            "those of held-out rows once. Likelihoods are of the binary images and comparable only "
            "for the same binarisation.",
            data={"binarisation": spec.binarisation},
        )


def tuning_section(report: ReportContext) -> Section | None:
    """The candidates among which the settings were chosen; None for a run that was not tuned."""
    tuning = Tuning.from_record(report.training)
    if tuning is None:
        return None
    how = (
        "The difference is row by row, with the same noise, and after as many steps of both. No "
        "candidate has seen the test rows."
    )
    table = data_table(TABLE_HEADER, tuning.table_rows, "listing")
    return Section("tuning", "Candidate settings", paragraph(tuning.summary, how) + table)


def training_section(report: ReportContext) -> Section | None:
    """Training curves; None for fewer than two epochs."""
    if len(report.history) < 2:
        return None
    figures = [
        report.figures.add_figure(
            name,
            plots.training_curves(report.history, [quantity]),
            f"{name} against epochs, training and validation.",
        )
        for quantity, name in CURVE_FIGURE_NAMES.items()
        if quantity in available_quantities(report.history)
    ]
    best = best_epoch(report.history)
    kept = (
        f"The weights are from epoch {best.epoch}, which has the best validation." if best else ""
    )
    scale = (
        "The steep first tenth of the epochs does not set the scale."
        if len(report.history) >= MIN_SCALED_EPOCHS
        else ""
    )
    return Section("training", "Training curves", paragraph(kept, scale) + figure_grid(*figures))


def model_section(report: ReportContext) -> Section:
    """The parts of the model, the settings of its training, and code that loads it."""
    rows = architecture_pairs(report.model) + training_pairs(report.training, report.history)
    event = "".join(f", {size}" for size in report.spec.event_shape)
    condition = report.model.condition
    context = (
        ""
        if condition is None or condition.is_optional
        else f", {render(condition.example_argument)}"
    )
    if report.spec.schema is not None:
        run = f"aevb.Run.open({PYTHON.value(report.name)})"
        code = f"import aevb\n\nrun = {run}\nrun.sample(10{context})  # a data frame"
        return Section("model", "Model", name_value_table(rows) + _code_block(code))
    use = (
        f"model.sample(10{context})  # [10{event}]"
        if report.model.posterior.has_density
        else f"model.reconstruct(x)  # x: [N{event}]"
    )
    code = f"import aevb\n\nmodel = aevb.load({PYTHON.value(report.name)})\n{use}"
    return Section("model", "Model", name_value_table(rows) + _code_block(code))


def _code_block(code: str) -> str:
    """Code with its line breaks."""
    return f"<pre>{'<br>'.join(escape_html(line) for line in code.splitlines())}</pre>"
