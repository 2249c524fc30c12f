"""Tables, arrays and compressed files that other programs write."""

import bz2
import gzip
import io
import lzma
import zipfile

import numpy as np
import pytest

from aevb.data import load, load_as
from aevb.errors import DataError

pl = pytest.importorskip("polars")

TABLE = {"x": [1.0, 2.0, 3.5], "y": [4.5, 5.5, 6.5]}
CSV = b"x,y,k\n1,4.5,p\n2,5.5,q\n3.5,6.5,p\n"
COUNTS = np.random.default_rng(0).poisson(0.5, (30, 6)).astype(np.float32)


def columns(path, **arguments):
    """Return the columns of numbers of a table by name, with rows in their order."""
    data = load(path, order="time", likelihood="normal", **arguments)
    parts = [part.tensor().numpy() for part in (data.train, data.validation, data.test)]
    return dict(zip(data.spec.columns, np.concatenate(parts).T.tolist(), strict=True))


def values(path, **arguments):
    """Return all rows of a file in their order."""
    data = load(path, order="time", **arguments)
    parts = (data.train, data.validation, data.test)
    return np.concatenate([part.tensor().numpy() for part in parts])


def zipped(**members):
    """Return an archive of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def zstandard(content):
    """Return the content as a .zst file."""
    zstd = pytest.importorskip("backports.zstd")
    return zstd.compress(content)


PACKERS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard,
    "zip": lambda content: zipped(**{"d/t.csv": content, "__MACOSX/d/._t.csv": b"x", "d/.x": b""}),
}


@pytest.mark.parametrize("ending", PACKERS)
def test_compressed_files_are_read(tmp_path, ending):
    path = tmp_path / f"Prices.csv.{ending}"
    path.write_bytes(PACKERS[ending](CSV))
    assert columns(path) == TABLE
    assert load(path).spec.name == "Prices"


def test_an_archive_needs_one_file(tmp_path):
    (tmp_path / "t.zip").write_bytes(zipped(**{"a.csv": CSV, "b.csv": CSV}))
    with pytest.raises(DataError, match=r"a\.csv, b\.csv"):
        load(tmp_path / "t.zip")
    (tmp_path / "t.zip").write_bytes(b"PK\x03\x04" + b"x" * 50)
    with pytest.raises(DataError, match="ZIP"):
        load(tmp_path / "t.zip")


@pytest.mark.parametrize("ending", ["jsonl", "ndjson", "arrow", "feather", "parquet", "arff"])
def test_tables_of_other_programs_are_read(tmp_path, ending):
    frame, path = pl.read_csv(CSV), tmp_path / f"t.{ending}"
    if ending == "arff":
        head = "% c\n@RELATION r\n@attribute x numeric\n@ATTRIBUTE 'y' REAL\n@attribute k {p, q}\n"
        path.write_bytes(head.encode() + b"@DATA\n" + CSV.split(b"\n", 1)[1] + b"?,1,p\n")
    else:
        writers = {"jsonl": "ndjson", "arrow": "ipc", "feather": "ipc"}
        getattr(frame, f"write_{writers.get(ending, ending)}")(path)
    assert columns(path) == TABLE
    data = load(path, labels="k", likelihood="normal")
    assert (data.spec.columns, data.spec.class_names) == (("x", "y"), ("p", "q"))
    assert len(load_as(path, data.spec)) == 3


def test_arrow_streams_are_read(tmp_path):
    pl.read_csv(CSV).write_ipc_stream(tmp_path / "t.arrow")
    assert columns(tmp_path / "t.arrow") == TABLE


SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{rows}'
    "</sheetData></worksheet>"
)
TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default '
    'Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)
RELATIONS = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def excel(sheets):
    """Return an .xlsx file with these sheets of rows."""
    members = {"[Content_Types].xml": TYPES}
    members["_rels/.rels"] = (
        f'{RELATIONS}<Relationship Id="r" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
        "</Relationships>"
    )
    names, links = "", ""
    for number, (name, rows) in enumerate(sheets.items(), 1):
        names += f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>'
        target = f"worksheets/sheet{number}.xml"
        links += f'<Relationship Id="r{number}" Type="{OFFICE}/worksheet" Target="{target}"/>'
        cells = "".join(f"<row>{''.join(map(excel_cell, row))}</row>" for row in rows)
        members[f"xl/{target}"] = SHEET.format(rows=cells)
    members["xl/workbook.xml"] = (
        '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
        f'xmlns:r="{OFFICE}"><sheets>{names}</sheets></workbook>'
    )
    members["xl/_rels/workbook.xml.rels"] = f"{RELATIONS}{links}</Relationships>"
    return zipped(**members)


def excel_cell(value):
    """Return the cell of a sheet."""
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
    return f"<c><v>{value}</v></c>"


def test_sheets_are_read(tmp_path):
    pytest.importorskip("fastexcel")
    rows = [["x", "y", "k"], [1, 4.5, "p"], [2, 5.5, "q"], [3.5, 6.5, "p"]]
    (tmp_path / "t.xlsx").write_bytes(excel({"first": rows}))
    assert columns(tmp_path / "t.xlsx") == TABLE
    assert load(tmp_path / "t.xlsx", labels="k").spec.class_names == ("p", "q")
    (tmp_path / "t.xlsx").write_bytes(excel({"first": [row[:2] for row in rows[1:]]}))
    assert list(columns(tmp_path / "t.xlsx", header=False).values()) == list(TABLE.values())


def test_a_sheet_is_chosen(tmp_path):
    pytest.importorskip("fastexcel")
    rows = [["x", "y"], [1, 4.5], [2, 5.5], [3.5, 6.5]]
    (tmp_path / "t.xlsx").write_bytes(excel({"info": [["a"], ["b"]], "values": rows}))
    assert columns(tmp_path / "t.xlsx", key="values") == TABLE
    for arguments in ({}, {"key": "valeus"}):
        with pytest.raises(DataError, match="info, values") as caught:
            load(tmp_path / "t.xlsx", **arguments)
        assert caught.value.argument == "key"


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "dia"])
def test_sparse_archives_are_read(tmp_path, kind):
    sparse = pytest.importorskip("scipy.sparse")
    sparse.save_npz(tmp_path / "x.npz", getattr(sparse, f"{kind}_matrix")(COUNTS))
    np.testing.assert_array_equal(values(tmp_path / "x.npz"), COUNTS)
    codes = [note.code for note in load(tmp_path / "x.npz").spec.notes]
    assert "sparse_matrix" in codes


def test_an_index_outside_of_a_sparse_matrix_is_refused(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(COUNTS)
    matrix.indices[3] = 10**6
    sparse.save_npz(tmp_path / "x.npz", matrix)
    with pytest.raises(DataError):
        load(tmp_path / "x.npz")


def test_matlab_files_are_read(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    sparse = pytest.importorskip("scipy.sparse")
    labels = np.arange(30) % 3
    scipy_io.savemat(tmp_path / "x.mat", {"x": COUNTS, "y": labels})
    np.testing.assert_array_equal(values(tmp_path / "x.mat", labels="y"), COUNTS)
    assert load(tmp_path / "x.mat", labels="y").spec.class_names == ("0", "1", "2")
    with pytest.raises(DataError, match="2 arrays: x, y"):
        load(tmp_path / "x.mat")
    scipy_io.savemat(tmp_path / "s.mat", {"x": sparse.csc_matrix(COUNTS.astype(float))})
    np.testing.assert_array_equal(values(tmp_path / "s.mat"), COUNTS)
    (tmp_path / "h.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF")
    with pytest.raises(DataError, match=r"7\.3"):
        load(tmp_path / "h.mat")


@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
def test_cells_and_genes_are_read(tmp_path, kind):
    h5py = pytest.importorskip("h5py")
    sparse = pytest.importorskip("scipy.sparse")
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        if kind == "dense":
            file["X"] = COUNTS
        else:
            matrix, group = getattr(sparse, f"{kind}_matrix")(COUNTS), file.create_group("X")
            group.attrs["encoding-type"], group.attrs["shape"] = f"{kind}_matrix", COUNTS.shape
            for part in ("data", "indices", "indptr"):
                group[part] = getattr(matrix, part)
        file["layers/raw"] = COUNTS + 1
        file["var/_index"] = [f"gene {i}" for i in range(6)]
        file["var"].attrs["_index"] = "_index"
        file["obs/type/codes"] = np.arange(30) % 2
        file["obs/type/categories"] = ["B", "T"]
    found = columns(tmp_path / "x.h5ad")
    assert list(found) == [f"gene {i}" for i in range(6)]
    np.testing.assert_array_equal(np.array(list(found.values())).T, COUNTS)
    np.testing.assert_array_equal(values(tmp_path / "x.h5ad", key="raw"), COUNTS + 1)
    assert load(tmp_path / "x.h5ad", labels="type").spec.class_names == ("B", "T")
    with pytest.raises(DataError) as caught:
        load(tmp_path / "x.h5ad", key="row")
    assert caught.value.argument == "key"
