"""Columns of encoded images, as the library `datasets` writes them."""

import json
from io import BytesIO

import numpy as np
import pytest

from aevb.data import load, load_as
from aevb.errors import DataError

pl = pytest.importorskip("polars")
pd = pytest.importorskip("pandas")
Image = pytest.importorskip("PIL.Image")

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 7, 3)).astype(np.uint8)
ROWS = np.moveaxis(PIXELS, -1, 1)


def encode(pixels, **options):
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def records():
    return [{"bytes": encode(pixels), "path": f"{i}.png"} for i, pixels in enumerate(PIXELS)]


def all_rows(source, **settings):
    data = load(source, order="time", **settings)
    parts = (data.train, data.validation, data.test)
    return (
        np.concatenate([part.tensor().numpy() for part in parts]),
        None if data.labels is None else np.concatenate([part.labels for part in parts]).tolist(),
    )


def write(tmp_path, frame, **options):
    frame.write_parquet(tmp_path / "x.parquet", **options)
    return tmp_path / "x.parquet"


@pytest.mark.parametrize("form", ["struct", "bytes", "polars", "pandas"])
def test_images_are_decoded_and_labels_are_labels(tmp_path, form):
    cells = records() if form != "bytes" else [cell["bytes"] for cell in records()]
    columns = {"image": cells, "label": [0, 1, 2, 0, 1, 2]}
    frame = pd.DataFrame(columns) if form == "pandas" else pl.DataFrame(columns)
    source = frame if form in ("polars", "pandas") else write(tmp_path, frame)
    rows, labels = all_rows(source)
    np.testing.assert_array_equal(rows, ROWS)
    assert labels == [0, 1, 2, 0, 1, 2]
    assert load(source).spec.class_names == ("0", "1", "2")


def test_recorded_names_of_classes_are_used(tmp_path):
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    frame = pl.DataFrame({"image": records(), "label": [0, 1, -1, 0, 1, 1]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path = write(tmp_path, frame, metadata=metadata)
    data = load(path, allow_missing_labels=True)
    assert data.spec.class_names == ("cat", "dog")
    labels = load(path, condition="label", allow_missing_labels=True, order="time").labels
    assert labels.tolist() == [0, 1, -1, 0]
    unlabelled = frame.with_columns(label=-1)
    rows = load_as(write(tmp_path, unlabelled, metadata=metadata), data.spec)
    assert rows.labels is None and len(rows) == 6


def test_another_label_and_a_condition_are_columns(tmp_path):
    frame = pl.DataFrame({"image": records(), "coarse": list("aabbcc"), "label": [0, 1] * 3})
    assert load(write(tmp_path, frame), labels="coarse").spec.class_names == ("a", "b", "c")
    spec = load(write(tmp_path, frame), condition="coarse").spec
    assert [variable.name for variable in spec.condition] == ["coarse"]
    assert spec.class_names == ("0", "1") and spec.event_shape == (3, 5, 7)


def test_settings_of_images_hold_for_cells(tmp_path):
    path = write(tmp_path, pl.DataFrame({"image": records()}))
    data = load(path, resize=(4, 4))
    assert data.spec.event_shape == (3, 4, 4)
    assert load_as(path, data.spec).event_shape == (3, 4, 4)


def test_cells_without_an_image_are_named(tmp_path):
    cells = records()
    cells[3] = {"bytes": None, "path": "3.png"}
    with pytest.raises(DataError, match="image, row 4"):
        load(write(tmp_path, pl.DataFrame({"image": cells})))
    cells[3] = {"bytes": b"no image", "path": "3.png"}
    with pytest.raises(DataError, match=r"image, row 4.*decoded"):
        load(write(tmp_path, pl.DataFrame({"image": cells})))
