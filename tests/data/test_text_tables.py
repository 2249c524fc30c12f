"""Text files of every kind as tables: bytes in, columns out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aevb import data as library
from aevb.data import load_as
from aevb.errors import AevbError, ArgumentError, DataError

pl = pytest.importorskip("polars")


def load(source, **arguments):
    """Load the complete rows of the columns of numbers of a table."""
    return library.load(source, **{"likelihood": "normal"} | arguments)


ROWS = [[1, 2.5], [3, 4.5], [5, 6.5], [7, 8.5]]


def columns(path, **arguments):
    """Return the columns of a table by name, with rows in their order."""
    data = load(path, order="time", **arguments)
    parts = [part.tensor().numpy() for part in (data.train, data.validation, data.test)]
    return dict(zip(data.spec.columns, np.concatenate(parts).T.tolist(), strict=True))


def note(path, code, **arguments):
    """Return the data of the note with this code, or None."""
    notes = load(path, **arguments).spec.notes
    return next((dict(each.data) for each in notes if each.code == code), None)


A_B = {"a": [1, 3, 5, 7], "b": [2.5, 4.5, 6.5, 8.5]}
NUMBERED = {"column_1": A_B["a"], "column_2": A_B["b"]}
PLAIN = "a,b\n1,2.5\n3,4.5\n5,6.5\n7,8.5\n"
UMLAUT = "ä,b\n1,2.5\n3,4.5\n5,6.5\n7,8.5\n"
COMMA = "a;b\n1;2,5\n3;4,5\n5;6,5\n7;8,5\n"
X_Y = {"x": [1, 2, 3], "y": [4.5, 5.5, 6.5]}

CASES = {
    "utf-8": (UMLAUT.encode(), {"ä": A_B["a"], "b": A_B["b"]}),
    "utf-8 with a byte order mark": (UMLAUT.encode("utf-8-sig"), {"ä": A_B["a"], "b": A_B["b"]}),
    "utf-16": (UMLAUT.encode("utf-16"), {"ä": A_B["a"], "b": A_B["b"]}),
    "utf-16 without a mark": (UMLAUT.encode("utf-16-le"), {"ä": A_B["a"], "b": A_B["b"]}),
    "utf-16, big end first": (UMLAUT.encode("utf-16-be"), {"ä": A_B["a"], "b": A_B["b"]}),
    "cp1252": (UMLAUT.encode("cp1252"), {"ä": A_B["a"], "b": A_B["b"]}),
    "semicolons": (PLAIN.replace(",", ";").encode(), A_B),
    "tabs": (PLAIN.replace(",", "\t").encode(), A_B),
    "pipes": (PLAIN.replace(",", "|").encode(), A_B),
    "blanks": (PLAIN.replace(",", " ").encode(), A_B),
    "blanks in columns": (b"  a    b\n  1  2.5\n  3  4.5\n 5   6.5\n  7  8.5  \n", A_B),
    "blanks and a quotation": (
        b'18.0  8  1\t"chevrolet malibu"\n15.0  6  1\t"buick"\n16.5  4  2\t"amc rebel"\n',
        {"column_1": [18, 15, 16.5], "column_2": [8, 6, 4], "column_3": [1, 1, 2]},
    ),
    "blank after comma": (PLAIN.replace(",", ", ").encode(), A_B),
    "blank before quotation": (
        b'# a, "b"\n"x", "y", "c"\n1, 4.5, "x, y"\n2, 5.5, "z"\n3, 6.5, "w"\n', X_Y
    ),
    "decimal comma": (COMMA.encode(), A_B),
    "decimal comma with tabs": (COMMA.replace(";", "\t").encode(), A_B),
    "decimal comma in quotations": (b'x,y\n1,"4,5"\n2,"5,5"\n3,"6,5"\n', X_Y),
    "decimal comma and points": (
        b"x;y\n1.234;0,5\n22.345;1,5\n950;2,5\n",
        {"x": [1234, 22345, 950], "y": [0.5, 1.5, 2.5]},
    ),
    "thousands": (
        b'x,y\n"1,234",0.5\n"12,345.5",1.5\n7,2.5\n',
        {"x": [1234, 12345.5, 7], "y": [0.5, 1.5, 2.5]},
    ),
    "thousands with blanks": (
        "x;y\n1\u202f234;0.5\n12 345;1.5\n7;2.5\n".encode(),
        {"x": [1234, 12345, 7], "y": [0.5, 1.5, 2.5]},
    ),
    "currency": (
        b'x,y\n"$1,200.50",4.5\n$3,5.5\n-$7,6.5\n',
        {"x": [1200.5, 3, -7], "y": X_Y["y"]},
    ),
    "currency behind": (
        "x;y\n1,5 €;4.5\n2,5 €;5.5\n3 €;6.5\n".encode(),
        {"x": [1.5, 2.5, 3], "y": X_Y["y"]},
    ),
    "percent": (b"x,y\n1%,4.5\n2 %,5.5\n3%,6.5\n", X_Y),
    "unit": (b"x,y\n1 kg,4.5\n2 kg,5.5\n3kg,6.5\n", X_Y),
    "minus sign": ("x,y\n−1,4.5\n−2,5.5\n3,6.5\n".encode(), {"x": [-1, -2, 3], "y": X_Y["y"]}),
    "comment": (b"# exported\n# twice\nx,y\n1,4.5\n2,5.5\n3,6.5\n", X_Y),
    "comments among rows": (b"x,y\n1,4.5\n# a, long, note\n2,5.5\n3,6.5\n# end\n", X_Y),
    "header in a comment": (b"# x y\n1 4.5\n2 5.5\n3 6.5\n", X_Y),
    "header with a mark": (b"#x,y\n1,4.5\n2,5.5\n3,6.5\n", X_Y),
    "sep line": (b"sep=;\nx;y\n1;4.5\n2;5.5\n3;6.5\n", X_Y),
    "CR": (PLAIN.replace("\n", "\r").encode(), A_B),
    "CRLF": (PLAIN.replace("\n", "\r\n").encode(), A_B),
    "no header": (PLAIN[4:].encode(), NUMBERED),
    "no header, text": (
        b"45,Private,1.5\n38,State,2.5\n51,Private,3.5\n28,Private,4.5\n",
        {"column_1": [45, 38, 51, 28], "column_3": [1.5, 2.5, 3.5, 4.5]},
    ),
    "no header, decimal comma": (COMMA[4:].encode(), NUMBERED),
    "header of years": (
        b"land,1990,1991,1992\nx,1.5,2.5,3.5\ny,1,2,3\nz,5,6,7\n",
        {"1990": [1.5, 1, 5], "1991": [2.5, 2, 6], "1992": [3.5, 3, 7]},
    ),
    "header of numbers": (
        b",0,1\n0,1.5,2.5\n1,3.5,4.5\n2,5.5,6.5\n",
        {"0": [1.5, 3.5, 5.5], "1": [2.5, 4.5, 6.5]},
    ),
    "names of rows without a header": (b"x,y\nr1,1,4.5\nr2,2,5.5\nr3,3,6.5\n", X_Y),
    "delimiter behind every row": (b"x;y\n1;4.5;\n2;5.5;\n3;6.5;\n", X_Y),
    "unnamed index": (b",x,y\n0,1,4.5\n1,2,5.5\n2,3,6.5\n", X_Y),
    "unnamed index, shuffled": (b",x,y\n2,1,4.5\n0,2,5.5\n1,3,6.5\n", X_Y),
    "pandas index": (b"Unnamed: 0,x,y\n0,1,4.5\n1,2,5.5\n2,3,6.5\n", X_Y),
    "identifier": (b"customerID,x,y\n904,1,4.5\n17,2,5.5\n333,3,6.5\n", X_Y),
    "no identifier": (b"acid,x,y\n1,1,4.5\n2,2,5.5\n3,3,6.5\n", {"acid": [1, 2, 3]} | X_Y),
    "equal names": (b"x,x\n1,4.5\n2,5.5\n3,6.5\n", {"x": X_Y["x"], "x_2": X_Y["y"]}),
    "dates are not numbers": (
        b"d,x,y\n2004-01-02,1,4.5\n2004-01-03,2,5.5\n04/01/2004,3,6.5\n", X_Y
    ),
    "times are not numbers": (b"d;x;y\n18.00.00;1;4.5\n19.00.00;2;5.5\n20.00.00;3;6.5\n", X_Y),
    "codes are not numbers": (b"d,x,y\nA1,1,4.5\nA2,2,5.5\nB1,3,6.5\n", X_Y),
    "colours are not comments": (b"c,x,y\n#7f,1,4.5\n#8f,2,5.5\n#9f,3,6.5\n", X_Y),
    "dashes are empty": (b"x,y\n1,4.5\n2,-\n3,6.5\n4,8\n", {"x": [1, 3, 4], "y": [4.5, 6.5, 8]}),
    "booleans": (b"x,y\nTrue,4.5\nFalse,5.5\nTrue,6.5\n", {"x": [1, 0, 1], "y": X_Y["y"]}),
    "one column": (b"x\n1\n2\n3.5\n", {"x": [1, 2, 3.5]}),
    "line end in a quotation": (b'x,"long\nname",y\n1,a,4.5\n2,b,5.5\n3,c,6.5\n', X_Y),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bytes_become_columns(tmp_path, case):
    content, wanted = CASES[case]
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert columns(path) == wanted
    rows = load_as(path, load(path).spec)
    np.testing.assert_array_equal(rows.tensor().numpy().T, list(wanted.values()))


def test_a_header_may_be_longer_than_the_sample(tmp_path):
    names = [f"expression of gene {i}".ljust(300, ".") for i in range(1_000)]
    rows = [",".join(str((i + k) % 7) for i in range(1_000)) for k in range(5)]
    (tmp_path / "t.csv").write_text("\n".join([",".join(names), *rows]))
    assert load(tmp_path / "t.csv").spec.columns == tuple(names)


NOTES = {
    "cp1252": ("encoding_detected", {"encoding": "cp1252"}),
    "no header, text": ("header_missing", {"columns": ["column_1", "column_2", "column_3"]}),
    "unit": (
        "text_read_as_numbers",
        {"columns": {"x": {"decimal": ".", "units": ["kg"], "thousands": [], "ambiguous": False}}},
    ),
    "decimal comma": (
        "text_read_as_numbers",
        {"columns": {"b": {"decimal": ",", "units": [], "thousands": [], "ambiguous": False}}},
    ),
    "unnamed index": ("columns_excluded", {"columns": {"": "index"}}),
    "pandas index": ("columns_excluded", {"columns": {"Unnamed: 0": "index"}}),
    "identifier": ("columns_excluded", {"columns": {"customerID": "identifier"}}),
}


@pytest.mark.parametrize("case", NOTES)
def test_what_was_detected_is_in_a_note(tmp_path, case):
    (tmp_path / "t.csv").write_bytes(CASES[case][0])
    code, data = NOTES[case]
    assert note(tmp_path / "t.csv", code) == data


def test_columns_with_equal_names_are_named(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,a,a\n" + "1.5,2.5,3.5,4.5\n2,3,1,7\n9,5,4,2.5\n" * 4)
    assert note(tmp_path / "t.csv", "columns_renamed") == {"columns": ["a_2", "a_3"]}


def test_a_plain_table_has_no_such_note(tmp_path):
    (tmp_path / "t.csv").write_text(PLAIN)
    codes = {each.code for each in load(tmp_path / "t.csv").spec.notes}
    assert not codes & {each for each, _ in NOTES.values()} | {"missing_codes"} & codes


OPTIONS = {
    "encoding": (UMLAUT.encode("utf-16-le"), {"encoding": "utf-16-le"}, CASES["utf-8"][1]),
    "delimiter": (b"x y z\n1 2 3\n", {"delimiter": ","}, DataError),
    "delimiter by name": (PLAIN.replace(",", "|").encode(), {"delimiter": "pipe"}, A_B),
    "decimal": (b'x\n"1,234"\n"5,678"\n7\n', {"decimal": ","}, {"x": [1.234, 5.678, 7]}),
    "thousands by default": (b'x\n"1,234"\n"5,678"\n7\n', {}, {"x": [1234, 5678, 7]}),
    "header": (PLAIN[4:].encode(), {"header": True}, {"1": A_B["a"][1:], "2.5": A_B["b"][1:]}),
    "no header": (b"x,1\ny,2\nz,3\n", {"header": False}, {"column_2": [1, 2, 3]}),
    "missing": (
        b"x,y\n1,4.5\n-9,5.5\n2,-9\n3,6.5\n4,7\n",
        {"missing": -9},
        {"x": [1, 3, 4], "y": [4.5, 6.5, 7]},
    ),
    "missing in a column": (
        b"x,y\n1,4.5\n-9,5.5\n2,-9\n3,6.5\n",
        {"missing": ["x=-9"]},
        {"x": [1, 2, 3], "y": [4.5, -9, 6.5]},
    ),
    "missing text": (b"x\n1\n2\nno\n4\n", {"missing": ["no"]}, {"x": [1, 2, 4]}),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_overrule_what_is_detected(tmp_path, case):
    content, options, wanted = OPTIONS[case]
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    if wanted is DataError:
        with pytest.raises(DataError):
            load(path, **options)
        return
    found = columns(path, **options)
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-6)  # float32
    spec = load(path, **options).spec
    assert len(load_as(path, spec)) == len(next(iter(wanted.values())))  # read in the same way


def test_options_are_for_tables_of_text(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((9, 2)))
    for options in ({"encoding": "cp1252"}, {"missing": -1}, {"header": True}):
        with pytest.raises(ArgumentError) as caught:
            load(tmp_path / "x.npy", **options)
        assert caught.value.argument == next(iter(options))
    frame = pl.DataFrame({"x": [1.5, -9.0, 2.5, 4.0]})
    assert columns(frame, missing=-9) == {"x": [1.5, 2.5, 4.0]}
    with pytest.raises(ArgumentError):
        load(frame, delimiter=";")


@pytest.mark.parametrize(
    "options", [{"encoding": "klingon"}, {"delimiter": ";;"}, {"decimal": "x"}, {"missing": [None]}]
)
def test_impossible_options_are_refused(tmp_path, options):
    (tmp_path / "t.csv").write_text(PLAIN)
    with pytest.raises(ArgumentError) as caught:
        load(tmp_path / "t.csv", **options)
    assert caught.value.argument == next(iter(options))


@pytest.mark.parametrize(
    "content, options, cause",
    [
        (b"a,b\n1,2\n\x81\x8d,4\n", {}, ["UTF-8", "0x81", "line 3"]),
        (b"a,b\n1,2\n3,\x96\n", {"encoding": "utf-8"}, ["utf-8", "0x96", "line 3"]),
        (b"PK\x03\x04\0\0\0", {}, ["ZIP"]),
        (b"\x93NUMPY\x01\0v\0", {}, ["NumPy"]),
        (b"a,b\n1,2\n3,4,5\n", {}, ["3 cells", "line 3", "2 columns"]),
        (b'a,b\n1,2\n3,"4\n5,6\n', {}, ["quotation", "line 3"]),
        (b"", {}, ["empty"]),
        (b"\n\n", {}, ["empty"]),
    ],
)
def test_refusals_name_the_true_cause(tmp_path, content, options, cause):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(tmp_path / "t.csv", **options)
    assert all(word in str(caught.value) for word in cause)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    "values, codes",
    [
        ([1, 2, 3, -200, 5, -200], [-200]),
        ([20.5, 22, 9999, 23, 9999], [9999]),
        ([600, 900, 2000, -999, 700, -999], [-999]),
        ([-20, 30, 9, -999.9, -999.9], [-999.9]),
        ([-99, 5, 999, 6, 7, -99, 999], [-99, 999]),
        ([1, 2, 3, -200, 5], []),  # once
        ([1, 2, 3, -1, 5, -1], []),  # not written as a code
        ([17, 50, 90, 99, 99], []),  # no gap
        ([-300, -100, -200, 400, -300, 0], []),  # no gap
        ([0, 99, 0, 99], []),  # two values
    ],
)
def test_likely_codes_for_missing_values_are_named(values, codes):
    frame = pl.DataFrame({"x": [float(value) for value in values], "y": np.arange(len(values)) / 3})
    notes = [each for each in load(frame).spec.notes if each.code == "missing_codes"]
    found = [code["value"] for each in notes for code in each.data["columns"]["x"]]
    assert found == codes
    assert all(each.level == "warning" for each in notes)
    if codes:
        kept = columns(frame, missing=codes)["x"]
        np.testing.assert_allclose(kept, [each for each in values if each not in codes], rtol=1e-6)


def test_rows_that_were_left_out_are_left_out_again(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,c\n1,2,x\n3,,y\n5,6.5,z\n7,8,w\n")
    data = load(tmp_path / "t.csv")
    rows = load_as(tmp_path / "t.csv", data.spec)
    np.testing.assert_array_equal(rows.tensor().numpy(), [[1, 2], [5, 6.5], [7, 8]])
    (left_out,) = rows.notes
    assert (left_out.code, left_out.data["dropped"]) == ("rows_dropped", 1)


CELLS = st.one_of(
    st.integers(-(10**6), 10**6),
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3)),
    st.none(),
)
FRAMES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=4, max_size=12)
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(rows=FRAMES, delimiter=st.sampled_from([",", ";", "\t", "|"]), comma=st.booleans())
def test_what_polars_writes_is_read(tmp_path_factory, rows, delimiter, comma):
    """Frames with holes are written with any delimiter, and come back or are refused."""
    schema = {f"c{i}": pl.Float64 for i in range(len(rows[0]))}
    floats = [[None if cell is None else float(cell) for cell in row] for row in rows]
    frame = pl.DataFrame(floats, schema=schema, orient="row")
    path = tmp_path_factory.mktemp("frames") / "t.csv"
    frame.write_csv(path, separator=delimiter, decimal_comma=comma and delimiter != ",")
    kept = [name for name in frame.columns if frame[name].null_count() < len(frame)]
    complete = frame.select(kept).drop_nulls() if kept else frame.clear()
    try:
        found = columns(path)
    except AevbError:
        assert len(complete) < 3
        return
    assert list(found) == kept
    for name in kept:
        np.testing.assert_allclose(found[name], complete[name], rtol=1e-6)  # float32
