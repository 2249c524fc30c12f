"""Non-finite steps in loops: reported, and fatal after three in a row."""

import pytest

from aevb._skipped_steps import MAX_SKIP_NOTES, MAX_SKIP_STREAK, SkippedSteps
from aevb.errors import NumericalError


def test_a_skipped_step_has_a_note_with_its_position_and_cause():
    skipped = SkippedSteps(("Lower the learning rate",))
    skipped.report("log p(x|z)", 1, 7, epoch=2, batch=3)
    (note,) = skipped.notes
    assert (note.code, note.level) == ("step_skipped", "warning")
    assert note.data == {"step": 7, "culprit": "log p(x|z)", "epoch": 2, "batch": 3}


def test_three_skipped_steps_in_a_row_end_the_loop():
    skipped = SkippedSteps(("Lower the learning rate",))
    for streak in range(1, MAX_SKIP_STREAK):
        skipped.report("the gradient", streak, streak)
    with pytest.raises(NumericalError) as caught:
        skipped.report("the gradient", MAX_SKIP_STREAK, MAX_SKIP_STREAK)
    assert caught.value.suggestions == ("Lower the learning rate",)


def test_the_number_of_notes_is_limited():
    skipped = SkippedSteps(())
    for step in range(100):
        skipped.report("the gradient", 1, step)
    assert len(skipped.notes) == MAX_SKIP_NOTES
