"""The history of a run in its file: one line per epoch."""

from dataclasses import replace

import pytest

from aevb.errors import RunError
from aevb.training._history import Epoch, append_history, read_history, write_history


def epoch(number: int, **fields) -> Epoch:
    start = Epoch(number, 10 * number, 1.5, -3.0, "bound", -2.0, 1.0, -4.0, 0.5, 1e-3, 0.25, 0)
    return replace(start, **fields)


EPOCHS = tuple(
    epoch(i, validation=-float(i), kl=None if i == 2 else 1.0, metrics={"kl_1": 0.5 * i})
    for i in (1, 2, 3)
)


def test_lines_are_written_appended_and_read(tmp_path):
    assert read_history(tmp_path) == []
    write_history(tmp_path, EPOCHS[:2])
    append_history(tmp_path, EPOCHS[2])
    assert read_history(tmp_path) == list(EPOCHS)
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 3


def test_a_last_line_that_was_cut_short_is_left_out(tmp_path):
    write_history(tmp_path, EPOCHS)
    path = tmp_path / "history.jsonl"
    path.write_text(path.read_text()[:-9])
    assert read_history(tmp_path) == list(EPOCHS[:2])


@pytest.mark.parametrize("line", [0, 1])
def test_any_other_damage_is_an_error(tmp_path, line):
    write_history(tmp_path, EPOCHS)
    path = tmp_path / "history.jsonl"
    lines = path.read_text().splitlines()
    lines[line] = lines[line][:-3]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError):
        read_history(tmp_path)


def test_empty_lines_and_unknown_fields_are_left_out(tmp_path):
    write_history(tmp_path, EPOCHS[:1])
    path = tmp_path / "history.jsonl"
    path.write_text("\n" + path.read_text().replace('{"epoch"', '{"new": 3, "epoch"'))
    assert read_history(tmp_path) == [EPOCHS[0]]


def test_the_clock_is_not_reproducible():
    first, second = EPOCHS[0], replace(EPOCHS[0], seconds=9.0)
    assert first.to_reproducible_dict() == second.to_reproducible_dict()
    assert "seconds" not in first.to_reproducible_dict()
    assert len(first.to_reproducible_dict()) == 19
