"""``aevb evaluate``: the numbers of a run on held-out data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ._console import ConsoleOutput
from ._options import (
    RUN_GROUP,
    CommonOptions,
    Integer,
    Json,
    OtherSource,
    ReadingOptions,
    RunArgument,
    TrustSource,
)

if TYPE_CHECKING:
    from ..metrics import Accuracy, Evaluation

DEFAULT_AIS_ROWS = 100  # about a minute for a small network


def evaluate(
    run: RunArgument,
    source: OtherSource = None,
    /,
    *,
    samples: Annotated[
        Integer | None,
        Parameter(
            help="Importance samples per row (100), or annealed chains (16); more are closer to "
            "log p(x).",
            group=RUN_GROUP,
        ),
    ] = None,
    method: Annotated[
        Literal["auto", "importance", "annealing", "exact"],
        Parameter(
            help="Estimator of log p(x): importance samples, annealed chains, which are slow and "
            "tight, or exact, for models that have it; auto anneals some rows where the importance "
            "weights cannot be trusted.",
            group=RUN_GROUP,
        ),
    ] = "auto",
    temperatures: Annotated[
        Integer | None,
        Parameter(
            help="Temperatures of annealed chains (500); twice as many halve their error.",
            group=RUN_GROUP,
        ),
    ] = None,
    start: Annotated[
        Literal["posterior", "prior"] | None,
        Parameter(
            help="Start of annealed chains: the posterior, mostly the shorter path, or the prior.",
            group=RUN_GROUP,
        ),
    ] = None,
    defensive: Annotated[
        float,
        Parameter(help="Share of importance samples from the prior, as 0.1.", group=RUN_GROUP),
    ] = 0.0,
    bracket: Annotated[
        Integer,
        Parameter(
            help="Also bound log p(x) from both sides for this many rows drawn from the model, as "
            "32.",
            group=RUN_GROUP,
        ),
    ] = 0,
    max_rows: Annotated[
        Integer | None,
        Parameter(
            help="Use at most this many rows, evenly spaced: all, or 100 with --method annealing.",
            group=RUN_GROUP,
        ),
    ] = None,
    reading: ReadingOptions = ReadingOptions(),
    trust_source: TrustSource = False,
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Likelihood, bounds, rate and distortion of held-out data, each with its standard error."""
    from ..metrics import MethodChoice
    from ..runs import Run
    from ..runs._run import apply_choice, evaluation_options, evenly_spaced

    console = ConsoleOutput(common.quiet, json)
    options = evaluation_options(samples, method, temperatures, start, defensive, bracket)
    opened = Run.open(run, device=common.device, trust_source=trust_source)
    rows = opened.rows(source, **reading.reading_arguments)
    if max_rows is None and method == "annealing":
        max_rows = DEFAULT_AIS_ROWS
    used = evenly_spaced(rows, max_rows)
    choice = MethodChoice(options.method)
    if method == "auto":
        choice = opened.choose_method(used, options, seed=common.seed)
        for note in choice.notes:  # which says how long it takes
            console.print_note(note)
        options, used = apply_choice(options, choice), evenly_spaced(used, choice.max_rows)
    with console.progress_bar("log p(x)", options.total_work(len(used))) as advance:
        result = opened.evaluate(
            used,
            samples=options.samples,
            method=options.method,
            temperatures=temperatures,
            start=start or choice.start,
            defensive=defensive,
            bracket=bracket,
            seed=common.seed,
            on_progress=advance,
        )
    accuracy = opened.accuracy(used)
    for note in opened.data_notes(source, rows):
        console.print_note(note)
    for note in result.notes:
        if note.level == "warning":
            console.print_note(note)
    if json:
        head = {"run": opened.name, "state": opened.status.state}
        head |= {"source": source or opened.config.get("source")}
        console.print_json(
            head
            | {"seed": common.seed, "method_choice": choice.to_dict()}
            | result.to_dict()
            | accuracy_record(accuracy)
        )
        return
    console.print_paragraph("Run", f"{opened.name}: {opened.title}.")
    part = f"{len(used):,} of " if len(used) < len(rows) else ""
    which = f"rows of {source}" if source else opened.own_rows_noun
    context = ", ".join(factor.name for factor in opened.spec.condition or ())
    conditional = opened.capabilities.context == "required"
    console.print_paragraph(
        "Data",
        f"{part}{len(rows):,} {which}.",
        *([f"Every number is of p(x) given {context}."] if conditional else []),
        *(str(note) for note in result.notes if note.code == "mixed_measure"),
        *accuracy_sentences(accuracy),
        "",
    )
    print_evaluation(result, console)


def print_evaluation(result: Evaluation, console: ConsoleOutput) -> None:
    """The numbers with their units, then their meanings."""
    console.print_table([(each.label, str(each), each.unit) for each in result.table])
    console.print_result("")
    console.print_table([(each.label, each.meaning) for each in result.table])


def accuracy_sentences(accuracy: Accuracy | None) -> list[str]:
    """The accuracy of inferred labels, and that of the nearest neighbour."""
    if accuracy is None:
        return []
    text = f"{_percent(accuracy.value)} of {accuracy.n_rows:,} test rows get the right label"
    if accuracy.nearest_neighbour is not None:
        text += (
            f", with {accuracy.n_labels:,} labels known; the nearest labelled row has the right "
            f"one for {_percent(accuracy.nearest_neighbour)}"
        )
    return [f"{text}."]


def accuracy_record(accuracy: Accuracy | None) -> dict[str, Any]:
    """The accuracy for JSON."""
    if accuracy is None:
        return {}
    return {
        "accuracy": estimate_record(accuracy.value),
        "nearest_neighbour_accuracy": estimate_record(accuracy.nearest_neighbour),
        "labelled_rows": accuracy.n_labels,
    }


def estimate_record(value: Any) -> dict[str, float] | None:
    """A mean and its standard error for JSON."""
    return value and {"mean": value.mean, "standard_error": value.standard_error}


def _percent(share: Any) -> str:
    return f"{100 * share.mean:.1f} ± {100 * share.standard_error:.1f} %"
