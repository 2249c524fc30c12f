"""Completed cells in the form of a text file."""

import numpy as np
import polars

from aevb.data._text_cells import TextCells


def test_filled_cells_are_written_as_in_the_file(tmp_path):
    texts = polars.DataFrame({"a": ["1,50", None], "b": ["True", ""], "c": ["x", "y"]})
    completed = polars.DataFrame({"a": ["1,50", "2,25"], "b": [True, False], "c": ["x", "y"]})
    empty = {"a": np.array([False, True]), "b": np.array([False, True]), "c": np.zeros(2, bool)}
    TextCells(texts, ";").fill(completed, empty).write(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "a;b;c\n1,50;True;x\n2,25;False;y\n"


def test_truths_are_spelled_as_in_their_column(tmp_path):
    texts = polars.DataFrame({"b": ["TRUE", "FALSE", None, None]})
    completed = polars.DataFrame({"b": [True, False, False, True]})
    filled = TextCells(texts).fill(completed, {"b": np.array([False, False, True, True])})
    assert filled.frame["b"].to_list() == ["TRUE", "FALSE", "FALSE", "TRUE"]
