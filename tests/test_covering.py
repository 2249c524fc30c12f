"""Selection of covering combinations."""

import pytest
from tests.covering import few


@pytest.mark.parametrize("sizes", [(31, 41), (41, 31), (7, 7), (3, 12), (5, 1), (4, 6, 9)])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_every_value_occurs_in_several_combinations(sizes, times):
    axes = [range(size) for size in sizes]
    chosen = few(*axes, times=times)
    assert len(chosen) == len(set(chosen)) <= times * max(sizes)
    for place, axis in enumerate(axes):
        for value in axis:
            contexts = {row[:place] + row[place + 1 :] for row in chosen if row[place] == value}
            assert len(contexts) >= min(
                times, *(size for other, size in enumerate(sizes) if other != place)
            ), (place, value)
    assert chosen == few(*axes, times=times)
