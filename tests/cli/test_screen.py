"""Layout of terminal output."""

import os
import sys

import pytest

from aevb.cli import main
from aevb.cli._console import ConsoleOutput


@pytest.fixture
def shown(capsys, monkeypatch):
    """Lines that a screen method prints on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def lines(method, *arguments):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        method(ConsoleOutput(), *arguments)
        return capsys.readouterr().out.splitlines()

    return lines


def test_paragraphs_are_wrapped_under_their_label(shown):
    lines = shown(ConsoleOutput.print_paragraph, "Data", "word " * 30, "Short.")
    assert lines[0].startswith("\x1b[1mData\x1b[0m     word word")
    assert all(line.startswith(" " * 9) for line in lines[1:]) and lines[-1].strip() == "Short."
    assert all(len(line) <= 80 for line in lines[1:])


def test_no_escapes_where_the_terminal_is_dumb(shown, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(ConsoleOutput.print_paragraph, "Data", "Short.") == ["Data     Short."]


def test_the_last_column_of_a_table_is_wrapped(shown):
    first, second, last = shown(
        ConsoleOutput.print_table,
        [("rate", "0.65", "word " * 20), ("distortion", "110.19", "short")],
    )
    assert (
        first.startswith("rate        0.65    word")
        and second.startswith(" " * 20 + "word")
        and last == "distortion  110.19  short"
    )


def test_quiet_keeps_results_and_notes(capsys):
    screen = ConsoleOutput(quiet=True)
    screen.print_paragraph("Data", "nothing of this")
    screen.print_result("42")
    screen.print_note("beware")
    assert tuple(capsys.readouterr()) == ("42\n", "note: beware\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [["presets"], ["data", "list", "--json"], ["--version"]])
def test_a_full_disk_behind_stdout_is_an_error_and_no_bug(monkeypatch, capsys, arguments):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_streams_that_are_closed_are_no_bug(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["presets"]) == 0
    assert main(["evaluate", "nowhere", "--json"]) == 2
    sys.stdout.close()
    sys.stderr.close()
