"""From data to codes, from codes to data, and new data: each reads, computes in blocks, and writes one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import ArgumentError
from . import _output_files as outputs
from ._console import ConsoleOutput
from ._options import (
    OPTION_GROUPS,
    CommonOptions,
    ContextOption,
    Flag,
    Integer,
    OutputOptions,
    ReadingOptions,
)
from ._output_files import OutputArrays
from ._run_folder import LoadedRun, load_rows, load_run

if TYPE_CHECKING:
    import numpy as np

    from ..data import Rows

MAX_RECONSTRUCTION_PAIRS, IMAGES_PER_LINE = (
    64,
    16,
)  # at most so many reconstructions in a picture, and so many to a line
RunArgument = Annotated[Path, Parameter(help="The run folder.")]
SourceArgument = Annotated[
    str,
    Parameter(
        help="A file, a folder of images, or the name of a set (of which the test rows are taken)."
    ),
]


def sample(
    run: RunArgument,
    /,
    *,
    n: Annotated[
        Integer, Parameter(name=("-n", "--number"), help="How many.", group=OPTION_GROUPS["Run"])
    ] = 64,
    mean: Annotated[
        bool,
        Flag,
        Parameter(
            help="The expected data for each drawn code, not a draw of the data.",
            group=OPTION_GROUPS["Run"],
        ),
    ] = False,
    context_values: ContextOption = None,
    output: OutputOptions,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Draw new data: codes from the prior, data from the likelihood. png (images), npz, npy, csv, parquet."""
    import torch

    from .. import inference

    opened = _open_run_for_output(run, output, common)
    if not opened.has_sampling_prior:
        ConsoleOutput(common.quiet).print_note(
            f"the codes of an autoencoder follow no prior, and these are decoded from N(0, I), where none may lie; `aevb fit-prior {run}` "
            "fits one to its codes."
        )
    whole = torch.int32 if opened.model.likelihood.unbounded else torch.uint8
    kind = (
        whole if opened.spec.discrete and not mean else None
    )  # as they would be stored, where they are counted in steps
    context = opened.model.resolve_context(n, None, _parse_context(opened, context_values))
    with _seeded_draws(opened, common):
        x = inference.sample(opened.model, n, context, mean=mean, dtype=kind)
    _write_events(opened, output, {"x": x.numpy()})
    print_written(common, output, f"{n:,} samples")


def encode(
    run: RunArgument,
    source: SourceArgument,
    /,
    *,
    draw: Annotated[
        bool,
        Flag,
        Parameter(
            help="A draw from the posterior in place of its mean.", group=OPTION_GROUPS["Run"]
        ),
    ] = False,
    reading: ReadingOptions = ReadingOptions(),
    output: OutputOptions,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Turn data into codes, the means of the posterior. Columns z0, z1 ... and label where there are labels: csv, parquet, npz, npy."""
    from .. import inference

    opened = _open_run_for_output(run, output, common, latents=True)
    rows = _load_device_rows(opened, source, reading, common)
    with _seeded_draws(opened, common):
        z = inference.encode(opened.model, rows, rows.context, sample=draw)
    names = outputs.latent_column_names(opened.model.latent_shape)
    outputs.write_output(
        output, OutputArrays({"z": z.numpy()}, names, labels=_label_names(opened, rows))
    )
    print_written(common, output, f"{len(rows):,} codes")


def decode(
    run: RunArgument,
    latents: Annotated[
        Path, Parameter(name="FILE", help="Codes: a table with columns z0, z1 ..., or an array z.")
    ],
    /,
    *,
    context_values: ContextOption = None,
    output: OutputOptions,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Turn codes into the data expected there. png (images), npz, npy, csv, parquet."""
    from .. import inference

    opened = _open_run_for_output(run, output, common)
    z = _read_latents(latents, opened)
    x = inference.decode(
        opened.model,
        z,
        opened.model.resolve_context(len(z), None, _parse_context(opened, context_values)),
    )
    _write_events(opened, output, {"x": x.numpy()})
    print_written(common, output, f"{len(x):,} rows")


def reconstruct(
    run: RunArgument,
    source: SourceArgument,
    /,
    *,
    reading: ReadingOptions = ReadingOptions(),
    output: OutputOptions,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Encode data and decode them again. png (the first 64 images, originals above), npz (x and original), npy, csv, parquet."""
    from .. import inference

    opened = _open_run_for_output(run, output, common)
    rows = _load_device_rows(opened, source, reading, common)
    if output.out.suffix.lower() == ".png":
        rows = rows.subset(slice(0, MAX_RECONSTRUCTION_PAIRS))
    x = inference.reconstruct(opened.model, rows, rows.context)
    arrays = {"x": x.numpy(), "original": rows.tensor().numpy()}
    _write_events(
        opened,
        output,
        arrays,
        image_arrays=("original", "x"),
        n_columns=min(IMAGES_PER_LINE, len(rows)),
    )
    print_written(common, output, f"{len(rows):,} reconstructions")


def interpolate(
    run: RunArgument,
    source: SourceArgument,
    /,
    *,
    start: Annotated[
        Integer,
        Parameter(name="--from", help="The first row, counted from 0.", group=OPTION_GROUPS["Run"]),
    ],
    end: Annotated[
        Integer, Parameter(name="--to", help="The last row.", group=OPTION_GROUPS["Run"])
    ],
    steps: Annotated[
        Integer,
        Parameter(help="Rows of the walk, its ends among them.", group=OPTION_GROUPS["Run"]),
    ] = 11,
    path: Annotated[
        Literal["linear", "spherical", "geodesic"],
        Parameter(
            help="Between the codes: straight, an arc, or shortest as measured in the data.",
            group=OPTION_GROUPS["Run"],
        ),
    ] = "linear",
    reading: ReadingOptions = ReadingOptions(),
    output: OutputOptions,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Walk from one row to another between their codes. png (images), npz (x and z), npy, csv, parquet."""
    import torch

    from .. import inference

    opened = _open_run_for_output(run, output, common)
    rows = _load_device_rows(opened, source, reading, common)
    ends = rows.subset(
        [
            _check_row_index("--from", start, rows, source),
            _check_row_index("--to", end, rows, source),
        ]
    ).to(opened.model.device)
    unit = torch.tensor(opened.spec.scale)
    unit = unit.reshape(opened.spec.event_shape if len(unit) > 1 else ())
    walk = inference.interpolate(
        opened.model, ends[0], ends[1], steps, path, context=ends.context, unit=unit
    )
    _write_events(
        opened, output, {"x": walk.x.cpu().numpy(), "z": walk.z.cpu().numpy()}, n_columns=steps
    )
    print_written(common, output, f"{steps} steps from row {start} to row {end}")


def _open_run_for_output(
    run: Path, output: OutputOptions, common: CommonOptions, latents: bool = False
) -> LoadedRun:
    """The run, once it is clear that the result can be written."""
    opened = load_run(run, common)
    outputs.check_output(output, outputs.allowed_endings(None if latents else opened.spec))
    return opened


def _seeded_draws(loaded_run: LoadedRun, common: CommonOptions):
    from .._random import seed_scope

    return seed_scope(common.seed, loaded_run.model.device)


def _load_device_rows(
    loaded_run: LoadedRun, source: str, reading: ReadingOptions, common: CommonOptions
) -> Rows:
    return load_rows(loaded_run, source, reading, ConsoleOutput(common.quiet)).to(
        loaded_run.model.device
    )


def _label_names(loaded_run: LoadedRun, rows: Rows) -> list[str] | None:
    if rows.labels is None or loaded_run.spec.class_names is None:
        return None
    return [
        "" if number < 0 else loaded_run.spec.class_names[number] for number in rows.labels.tolist()
    ]


def _parse_context(loaded_run: LoadedRun, texts: tuple[str, ...] | None) -> Any:
    """What was typed as a model takes it: a value, or values by name. Raises ``ArgumentError`` where it is neither."""
    condition = loaded_run.model.condition
    if not texts or condition is None:
        return texts
    pairs = [text.partition("=") for text in texts]
    if all(equals and name in condition.names for name, equals, _ in pairs):
        return {name: value for name, _, value in pairs}
    if len(texts) > 1 or len(condition.names) > 1:
        typed = " ".join(
            f"--label {factor.name}={factor.example}" for factor in condition.variables
        )
        raise ArgumentError(
            f"--label {' --label '.join(texts)}: the model is told {', '.join(condition.names)}; write {typed}."
        )
    return next(iter(texts))


def _read_latents(path: Path, loaded_run: LoadedRun) -> np.ndarray:
    import numpy as np

    from ..data._raw import ReadOptions
    from ..data._readers import read_path

    shape, ending = loaded_run.model.latent_shape, path.suffix.lower()
    names = tuple(outputs.latent_column_names(shape))
    asks = {
        ".npz": ReadOptions("z"),
        ".csv": ReadOptions(columns=names),
        ".parquet": ReadOptions(columns=names),
    }
    values = np.asarray(read_path(path, asks.get(ending, ReadOptions())).values)
    if values[0].size != len(names):
        raise ArgumentError(
            f"`{path}` has {values[0].size} numbers per code, and the model of `{loaded_run.path}` takes {len(names)}."
        )
    return values.astype("float32").reshape(-1, *shape)


def _check_row_index(option: str, number: int, rows: Rows, source: str) -> int:
    if not 0 <= number < len(rows):
        raise ArgumentError(f"{option} {number}: {source} has rows 0 to {len(rows) - 1}.")
    return number


def _write_events(
    loaded_run: LoadedRun,
    output: OutputOptions,
    arrays: dict[str, np.ndarray],
    image_arrays: tuple[str, ...] = (),
    n_columns: int | None = None,
) -> None:
    outputs.write_output(
        output,
        OutputArrays(
            arrays,
            outputs.event_column_names(loaded_run.spec),
            loaded_run.spec,
            image_arrays=image_arrays,
            n_columns=n_columns,
        ),
    )


def print_written(common: CommonOptions, output: OutputOptions, description: str) -> None:
    ConsoleOutput(common.quiet).print_paragraph("Wrote", f"{output.out}: {description}.")
