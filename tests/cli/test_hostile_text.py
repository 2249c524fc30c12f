"""Text from data is printed verbatim on a single line, never as option, markup or code."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest

from aevb.cli._console import ConsoleOutput
from aevb.cli._style import encodable, text_of
from aevb.errors import DataError
from aevb.notes import message

NAMES = ["seed=3", "--out", "a`b", "[red]x[/red]", "two\nlines", "\x1b[31mred", "\u202eright"]
SHOWN = ["seed=3", "--out", "a`b", "[red]x[/red]", r"two\nlines", r"\x1b[31mred", r"\u202eright"]


@pytest.fixture
def odd(tmp_path):
    """A CSV file with hostile column names and an empty cell in a text column."""
    polars = pytest.importorskip("polars")
    values = np.random.default_rng(0).normal(size=(40, len(NAMES)))
    polars.DataFrame(values, schema=NAMES).write_csv(tmp_path / "odd.csv")
    return tmp_path / "odd.csv"


def test_column_names_are_shown_as_they_are(aevb, odd):
    done = aevb("fit", odd, "--epochs", 1, "--hidden", 4, "--no-report", "--out", "run")
    assert done.code == 0, done.err
    line = done.out.splitlines()[0]
    for shown in SHOWN[:4]:
        assert shown in line
    assert "\x1b" not in done.out and "\u202e" not in done.out
    assert aevb("sample", "run", "-n", 3, "--out", "new.csv").code == 0
    polars = pytest.importorskip("polars")
    assert polars.read_csv("new.csv").columns == NAMES


@pytest.mark.parametrize("name, shown", list(zip(NAMES, SHOWN, strict=True)))
def test_every_way_to_print_makes_control_characters_visible(capsys, name, shown):
    console = ConsoleOutput()
    console.print_paragraph("Data", f"column {name}", message("column {name}", name=name))
    console.print_table([(name, "1")], ("name", name))
    console.print_result(name)
    console.print_note(name)
    out, err = capsys.readouterr()
    assert out.count(shown) == 5 and err == f"note: {shown}\n"
    assert out.count("\n") == 5


def test_errors_show_values_of_the_user_as_they_are(refused):
    sentence = refused("evaluate", "no\x1b[31m\nrun")
    assert r"no\x1b[31m\nrun" in sentence and "\x1b" not in sentence
    assert text_of(DataError("column `beta=2` is empty").reason) == "column `beta=2` is empty"


def test_ascii_streams_receive_ascii():
    ascii_stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert encodable("1 ± 2 – 3", ascii_stream) == "1 +- 2 - 3"
    assert encodable("é", ascii_stream) == r"\xe9"
    assert encodable("±", io.StringIO()) == "±"


def test_the_command_prints_to_an_ascii_terminal(tmp_path):
    script = "import sys; from aevb.cli import main; sys.exit(main(['presets', 'vae']))"
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_json_contains_the_text_unchanged(aevb, odd):
    aevb("fit", odd, "--epochs", 1, "--hidden", 4, "--no-report", "--out", "run", "--quiet")
    assert json.loads(aevb("evaluate", "run", str(odd), "--samples", 2, "--json").out)["n"] == 40
