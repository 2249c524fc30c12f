"""From data to codes, from codes to data, and new data: each reads, computes in blocks, and writes one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import ArgumentError
from . import outputs
from .options import ORDERED, Common, Count, Flag, Output, Reading, Told
from .outputs import Result
from .runs import Opened, open_run, rows_of
from .screen import Screen

if TYPE_CHECKING:
    import numpy as np

    from ..data import Rows

PAIRS, PER_LINE = 64, 16  # at most so many reconstructions in a picture, and so many to a line
Run = Annotated[Path, Parameter(help="The run folder.")]
Source = Annotated[str, Parameter(help="A file, a folder of images, or the name of a set (of which the test rows are taken).")]


def sample(
    run: Run,
    /,
    *,
    n: Annotated[Count, Parameter(name=("-n", "--number"), help="How many.", group=ORDERED["Run"])] = 64,
    mean: Annotated[
        bool, Flag, Parameter(help="The expected data for each drawn code, not a draw of the data.", group=ORDERED["Run"])
    ] = False,
    label: Told = None,
    output: Output,
    common: Common = Common(),
) -> None:
    """Draw new data: codes from the prior, data from the likelihood. png (images), npz, npy, csv, parquet."""
    import torch

    from .. import inference

    opened = _ready(run, output, common)
    if not opened.samplable:
        Screen(common.quiet).note(
            f"the codes of an autoencoder follow no prior, and these are decoded from N(0, I), where none may lie; `aevb fit-prior {run}` "
            "fits one to its codes."
        )
    whole = torch.int32 if opened.model.likelihood.unbounded else torch.uint8
    kind = whole if opened.spec.discrete and not mean else None  # as they would be stored, where they are counted in steps
    context = opened.model.told(n, None, _label(opened, label))
    with _drawing(opened, common):
        x = inference.sample(opened.model, n, context, mean=mean, dtype=kind)
    _write_events(opened, output, {"x": x.numpy()})
    told(common, output, f"{n:,} samples")


def encode(
    run: Run,
    source: Source,
    /,
    *,
    draw: Annotated[bool, Flag, Parameter(help="A draw from the posterior in place of its mean.", group=ORDERED["Run"])] = False,
    reading: Reading = Reading(),
    output: Output,
    common: Common = Common(),
) -> None:
    """Turn data into codes, the means of the posterior. Columns z0, z1 ... and label where there are labels: csv, parquet, npz, npy."""
    from .. import inference

    opened = _ready(run, output, common, codes=True)
    rows = _rows(opened, source, reading, common)
    with _drawing(opened, common):
        z = inference.encode(opened.model, rows, rows.context, sample=draw)
    names = outputs.code_names(opened.model.latent_shape)
    outputs.write(output, Result({"z": z.numpy()}, names, labels=_labels(opened, rows)))
    told(common, output, f"{len(rows):,} codes")


def decode(
    run: Run,
    codes: Annotated[Path, Parameter(name="FILE", help="Codes: a table with columns z0, z1 ..., or an array z.")],
    /,
    *,
    label: Told = None,
    output: Output,
    common: Common = Common(),
) -> None:
    """Turn codes into the data expected there. png (images), npz, npy, csv, parquet."""
    from .. import inference

    opened = _ready(run, output, common)
    z = _codes(codes, opened)
    x = inference.decode(opened.model, z, opened.model.told(len(z), None, _label(opened, label)))
    _write_events(opened, output, {"x": x.numpy()})
    told(common, output, f"{len(x):,} rows")


def reconstruct(run: Run, source: Source, /, *, reading: Reading = Reading(), output: Output, common: Common = Common()) -> None:
    """Encode data and decode them again. png (the first 64 images, originals above), npz (x and original), npy, csv, parquet."""
    from .. import inference

    opened = _ready(run, output, common)
    rows = _rows(opened, source, reading, common)
    if output.out.suffix.lower() == ".png":
        rows = rows.subset(slice(0, PAIRS))
    x = inference.reconstruct(opened.model, rows, rows.context)
    arrays = {"x": x.numpy(), "original": rows.tensor().numpy()}
    _write_events(opened, output, arrays, picture=("original", "x"), columns=min(PER_LINE, len(rows)))
    told(common, output, f"{len(rows):,} reconstructions")


def interpolate(
    run: Run,
    source: Source,
    /,
    *,
    start: Annotated[Count, Parameter(name="--from", help="The first row, counted from 0.", group=ORDERED["Run"])],
    end: Annotated[Count, Parameter(name="--to", help="The last row.", group=ORDERED["Run"])],
    steps: Annotated[Count, Parameter(help="Rows of the walk, its ends among them.", group=ORDERED["Run"])] = 11,
    path: Annotated[
        Literal["linear", "spherical", "geodesic"],
        Parameter(help="Between the codes: straight, an arc, or shortest as measured in the data.", group=ORDERED["Run"]),
    ] = "linear",
    reading: Reading = Reading(),
    output: Output,
    common: Common = Common(),
) -> None:
    """Walk from one row to another between their codes. png (images), npz (x and z), npy, csv, parquet."""
    import torch

    from .. import inference

    opened = _ready(run, output, common)
    rows = _rows(opened, source, reading, common)
    ends = rows.subset([_place("--from", start, rows, source), _place("--to", end, rows, source)]).to(opened.model.device)
    unit = torch.tensor(opened.spec.scale)
    unit = unit.reshape(opened.spec.event_shape if len(unit) > 1 else ())
    walk = inference.interpolate(opened.model, ends[0], ends[1], steps, path, context=ends.context, unit=unit)
    _write_events(opened, output, {"x": walk.x.cpu().numpy(), "z": walk.z.cpu().numpy()}, columns=steps)
    told(common, output, f"{steps} steps from row {start} to row {end}")


def _ready(run: Path, output: Output, common: Common, codes: bool = False) -> Opened:
    """The run, once it is clear that the result can be written."""
    opened = open_run(run, common)
    outputs.claim(output, outputs.kinds(None if codes else opened.spec))
    return opened


def _drawing(opened: Opened, common: Common):
    from ..random import seeded

    return seeded(common.seed, opened.model.device)


def _rows(opened: Opened, source: str, reading: Reading, common: Common) -> Rows:
    return rows_of(opened, source, reading, Screen(common.quiet)).to(opened.model.device)


def _labels(opened: Opened, rows: Rows) -> list[str] | None:
    if rows.labels is None or opened.spec.classes is None:
        return None
    return ["" if number < 0 else opened.spec.classes[number] for number in rows.labels.tolist()]


def _label(opened: Opened, texts: tuple[str, ...] | None) -> Any:
    """What was typed as a model takes it: a value, or values by name. Raises ``ArgumentError`` where it is neither."""
    condition = opened.model.condition
    if not texts or condition is None:
        return texts
    pairs = [text.partition("=") for text in texts]
    if all(equals and name in condition.names for name, equals, _ in pairs):
        return {name: value for name, _, value in pairs}
    if len(texts) > 1 or len(condition.names) > 1:
        typed = " ".join(f"--label {factor.name}={factor.example}" for factor in condition.factors)
        raise ArgumentError(f"--label {' --label '.join(texts)}: the model is told {', '.join(condition.names)}; write {typed}.")
    return next(iter(texts))


def _codes(path: Path, opened: Opened) -> np.ndarray:
    import numpy as np

    from ..data.raw import Ask
    from ..data.read import read_path

    shape, ending = opened.model.latent_shape, path.suffix.lower()
    names = tuple(outputs.code_names(shape))
    asks = {".npz": Ask("z"), ".csv": Ask(columns=names), ".parquet": Ask(columns=names)}
    values = np.asarray(read_path(path, asks.get(ending, Ask())).values)
    if values[0].size != len(names):
        raise ArgumentError(f"`{path}` has {values[0].size} numbers per code, and the model of `{opened.path}` takes {len(names)}.")
    return values.astype("float32").reshape(-1, *shape)


def _place(option: str, number: int, rows: Rows, source: str) -> int:
    if not 0 <= number < len(rows):
        raise ArgumentError(f"{option} {number}: {source} has rows 0 to {len(rows) - 1}.")
    return number


def _write_events(
    opened: Opened, output: Output, arrays: dict[str, np.ndarray], picture: tuple[str, ...] = (), columns: int | None = None
) -> None:
    outputs.write(output, Result(arrays, outputs.event_names(opened.spec), opened.spec, picture=picture, columns=columns))


def told(common: Common, output: Output, what: str) -> None:
    Screen(common.quiet).tell("Wrote", f"{output.out}: {what}.")
