"""Commands that write one file: samples, encodings, reconstructions, paths, labels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import ArgumentError
from ..notes import Argument, message
from . import _output_files as outputs
from ._console import ConsoleOutput, open_run
from ._options import (
    RUN_GROUP,
    CommonOptions,
    ContextOption,
    Flag,
    Integer,
    Json,
    OutputOptions,
    ReadingOptions,
    RunArgument,
    WhereOption,
)
from ._output_files import OutputArrays

if TYPE_CHECKING:
    import numpy as np

    from ..data import Rows
    from ..runs import ConditionalRows, Run

MAX_RECONSTRUCTION_PAIRS, IMAGES_PER_LINE = 64, 16
SourceArgument = Annotated[
    str, Parameter(help="A file, a folder of images, or the name of a data set (its test rows).")
]


def sample(
    run: RunArgument,
    /,
    *,
    n: Annotated[
        Integer, Parameter(name=("-n", "--number"), help="Number of draws.", group=RUN_GROUP)
    ] = 64,
    mean: Annotated[
        bool, Flag, Parameter(help="The mean of p(x|z) instead of a draw.", group=RUN_GROUP)
    ] = False,
    context_values: ContextOption = None,
    where: WhereOption = None,
    balance: Annotated[
        str | None,
        Parameter(
            help="A column of a table: the same number of rows for each of its levels.",
            group=RUN_GROUP,
        ),
    ] = None,
    output: OutputOptions,
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Draw z from the prior and x from the likelihood; with --where, rows that meet conditions.

    A folder of images (one png each), png (all in one), npz, npy, csv, parquet; of tables of mixed
    columns csv, parquet, json, jsonl.
    """
    console = ConsoleOutput(common.quiet, json)
    opened = _open(run, output, common, latents=False)
    if not opened.matches_prior:
        console.print_note(
            "the encodings of this autoencoder were not matched to a prior, and z is drawn from "
            f"N(0, I), where there may be none; `aevb fit-prior {run}` fits a prior to them."
        )
    label = _parse_context(opened, context_values)
    record = {"run": opened.name, "out": str(output.out), "n": n, "seed": common.seed}
    if balance is not None:
        x = opened.sample(
            n, label=label, where=where or None, balance=balance, mean=mean, seed=common.seed
        )
        record |= {"where": list(where or ()), "balance": balance}
    elif where and not mean:
        found = opened.condition(where, n, label=label, seed=common.seed)
        x = found.rows
        record |= {"where": list(where)} | found.to_dict()
        console.print_paragraph("Where", *_condition_sentences(found, where))
    else:
        x = opened.sample(n, label=label, where=where, mean=mean, seed=common.seed)
    _write_events(opened, output, {"x": x}, console, f"{n:,} samples")
    if json:
        console.print_json(record)


def _condition_sentences(found: ConditionalRows, where: tuple[str, ...]) -> list[Any]:
    """The conditions, their probability, and how rows were drawn under them."""
    return [
        f"{', '.join(where)}: probability {found.probability:.2g} under the model.",
        *found.sample.notes,
    ]


def encode(
    run: RunArgument,
    source: SourceArgument,
    /,
    *,
    draw: Annotated[
        bool,
        Flag,
        Parameter(help="A draw from the posterior instead of its mean.", group=RUN_GROUP),
    ] = False,
    reading: ReadingOptions = ReadingOptions(),
    output: OutputOptions,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Encode data: the mean of the posterior, with the labels. csv, parquet, npz, npy."""
    opened = _open(run, output, common, images=False)
    rows = _read_rows(opened, source, reading, common)
    z = opened.encode(rows, draw=draw, seed=common.seed)
    names = outputs.latent_column_names(opened.latent_shape)
    arrays = OutputArrays({"z": z.numpy()}, names, labels=_label_names(opened, rows))
    _write(output, arrays, ConsoleOutput(common.quiet), f"{len(rows):,} encodings")


def decode(
    run: RunArgument,
    latents: Annotated[
        Path,
        Parameter(name="FILE", help="Encodings: a table with columns z0, z1 ..., or an array z."),
    ],
    /,
    *,
    context_values: ContextOption = None,
    output: OutputOptions,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Decode encodings to the mean of p(x|z).

    A folder of images (one png each), png (all in one), npz, npy, csv, parquet.
    """
    opened = _open(run, output, common)
    x = opened.decode(_read_latents(latents, opened), label=_parse_context(opened, context_values))
    _write_events(opened, output, {"x": x}, ConsoleOutput(common.quiet), f"{len(x):,} rows")


def reconstruct(
    run: RunArgument,
    source: SourceArgument,
    /,
    *,
    reading: ReadingOptions = ReadingOptions(),
    output: OutputOptions,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Encode data and decode them again.

    A folder of images, png (64, originals above), npz (x and original), npy, csv, parquet.
    """
    opened = _open(run, output, common)
    rows = _read_rows(opened, source, reading, common)
    if output.out.suffix.lower() == ".png":
        rows = rows.subset(slice(0, MAX_RECONSTRUCTION_PAIRS))
        made = opened.reconstruct(rows)
    else:
        made = opened.reconstruct(source, **reading.reading_arguments)
    _write_events(
        opened,
        output,
        {"x": made, "original": opened.spec.to_source(rows.tensor())},
        ConsoleOutput(common.quiet),
        f"{len(rows):,} reconstructions",
        image_arrays=("original", "x"),
        n_columns=min(IMAGES_PER_LINE, len(rows)),
    )


def interpolate(
    run: RunArgument,
    source: SourceArgument,
    /,
    *,
    from_row: Annotated[
        Integer, Parameter(name="--from", help="The first row, counted from 0.", group=RUN_GROUP)
    ],
    to_row: Annotated[Integer, Parameter(name="--to", help="The last row.", group=RUN_GROUP)],
    steps: Annotated[
        Integer, Parameter(help="Points of the path, both ends included.", group=RUN_GROUP)
    ] = 11,
    path: Annotated[
        Literal["linear", "spherical", "geodesic"],
        Parameter(
            help="Straight, an arc, or the shortest path as measured in the data.", group=RUN_GROUP
        ),
    ] = "linear",
    reading: ReadingOptions = ReadingOptions(),
    output: OutputOptions,
    common: CommonOptions = CommonOptions(),
) -> None:
    """A path between the encodings of two rows. png (images), npz (x and z), npy, csv, parquet."""
    opened = _open(run, output, common)
    rows = _read_rows(opened, source, reading, common)
    walk = opened.interpolate(rows, from_row, to_row, steps=steps, path=path)
    _write_events(
        opened,
        output,
        {"x": opened.spec.to_source(walk.x), "z": walk.z},
        ConsoleOutput(common.quiet),
        f"{steps} steps from row {from_row} to row {to_row}",
        n_columns=steps,
    )


def predict(
    run: RunArgument,
    source: SourceArgument,
    /,
    *,
    reading: ReadingOptions = ReadingOptions(),
    output: OutputOptions,
    common: CommonOptions = CommonOptions(),
) -> None:
    """The label of each row, and the probability of every label: csv, parquet, npz, npy."""
    opened = _open(run, output, common, images=False, latents=False)
    opened.check_predicts_labels()
    found = opened.predict(_read_rows(opened, source, reading, common))
    arrays = OutputArrays(
        {"probabilities": found.probabilities.numpy()},
        [f"p_{name}" for name in found.class_names],
        labels=found.predicted_names,
    )
    _write(output, arrays, ConsoleOutput(common.quiet), f"{len(found.predicted_names):,} labels")


def _open(
    run: Path,
    output: OutputOptions,
    common: CommonOptions,
    images: bool = True,
    latents: bool = True,
) -> Run:
    """The run, once it is certain that the result can be written; whose latents, if it has any."""
    console = ConsoleOutput(common.quiet)
    opened = open_run(run, common, console)
    for note in opened.latent_notes() if latents else ():
        console.print_note(note)
    outputs.check_output(output, outputs.allowed_endings(opened.spec if images else None))
    return opened


def _read_rows(run: Run, source: str, reading: ReadingOptions, common: CommonOptions) -> Rows:
    """The rows of a source; what was left out of them is printed."""
    rows = run.rows(source, **reading.reading_arguments)
    for note in rows.notes:
        ConsoleOutput(common.quiet).print_note(note)
    return rows


def _label_names(run: Run, rows: Rows) -> list[str] | None:
    names = run.spec.class_names
    if rows.labels is None or names is None:
        return None
    return ["" if number < 0 else names[number] for number in rows.labels.tolist()]


def _parse_context(run: Run, texts: tuple[str, ...] | None) -> Any:
    """The context: a value, or values by name."""
    condition = run.model.condition
    if not texts or condition is None:
        return texts
    next_name = f",(?=(?:{'|'.join(map(re.escape, condition.names))})=)"  # as errors write them
    pairs = [part.partition("=") for text in texts for part in re.split(next_name, text)]
    if all(equals and name in condition.names for name, equals, _ in pairs):
        return {name: value for name, _, value in pairs}
    if len(texts) == len(condition.names) == 1:
        return texts[0]
    options = {
        f"option_{place}": Argument("label", f"{each.name}={each.example}")
        for place, each in enumerate(condition.variables)
    }
    raise ArgumentError(
        f"the model is conditioned on {', '.join(condition.names)}",
        argument="label",
        value=texts,
        suggestions=(message(f"Write {' '.join(f'{{{name}}}' for name in options)}", **options),),
    )


def _read_latents(path: Path, run: Run) -> np.ndarray:
    import numpy as np

    from ..data._raw import ReadOptions
    from ..data._readers import read_path

    shape, ending = run.latent_shape, path.suffix.lower()
    names = tuple(outputs.latent_column_names(shape))
    options = {".npz": ReadOptions("z")} | dict.fromkeys(
        (".csv", ".parquet"), ReadOptions(columns=names)
    )
    values = np.asarray(read_path(path, options.get(ending, ReadOptions())).values)
    if values[0].size != len(names):
        raise ArgumentError(
            f"`{path}` has {values[0].size} numbers per row, and the model of `{run.name}` takes "
            f"{len(names)}"
        )
    return values.astype("float32").reshape(-1, *shape)


def _write_events(
    run: Run,
    output: OutputOptions,
    arrays: dict[str, Any],
    console: ConsoleOutput,
    description: str,
    image_arrays: tuple[str, ...] = (),
    n_columns: int | None = None,
) -> None:
    names = outputs.event_column_names(run.spec)
    if run.schema is not None:
        result = OutputArrays({}, names, run.spec, frame=next(iter(arrays.values())))
    else:
        values = {name: array.cpu().numpy() for name, array in arrays.items()}
        result = OutputArrays(
            values, names, run.spec, image_arrays=image_arrays, n_columns=n_columns
        )
    _write(output, result, console, description)


def _write(
    output: OutputOptions, result: OutputArrays, console: ConsoleOutput, description: str
) -> None:
    outputs.write_output(output, result)
    console.print_paragraph("Output", f"{output.out}: {description}.")
