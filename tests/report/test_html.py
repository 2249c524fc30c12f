"""Pieces of a page show foreign text safely."""

import pytest

from aevb.notes import Note, visible_text
from aevb.report._html import data_table, escape_html, note_list, use_minus_signs


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("abc\u202edef\u2066\u200f", r"abc\u202edef\u2066\u200f"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("half of a pair \ud800", r"half of a pair \ud800"),
        ("Größe, 東京, नमस्ते, 👩\u200d🔬", "Größe, 東京, नमस्ते, 👩\u200d🔬"),
    ],
)
def test_control_characters_are_visible_and_letters_stay(text, shown):
    assert visible_text(text) == shown


def test_quotes_and_tags_are_entities():
    assert escape_html("""<i title='a' class="b">&""") == (
        "&lt;i title=&#x27;a&#x27; class=&quot;b&quot;&gt;&amp;"
    )


def test_headers_and_cells_of_a_table_are_escaped():
    table = data_table(("", "<b>"), [("<i>", "<u>")])
    assert "&lt;b&gt;" in table and "&lt;i&gt;" in table and "&lt;u&gt;" in table


def test_warnings_stand_out_among_notes():
    notes = (Note("choice", "Chose -3."), Note("problem", "<b>", "warning"), "Read 3 rows.")
    assert note_list(notes) == (
        '<ul><li class="info">Chose −3.</li><li class="warning">&lt;b&gt;</li>'
        '<li class="info">Read 3 rows.</li></ul>'
    )
    assert note_list(()) == ""


def test_hyphens_of_names_stay():
    assert use_minus_signs("run-1: -2 to -1e-5") == "run-1: −2 to −1e-5"
