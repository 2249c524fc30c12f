"""What all tests share: one thread, and double precision where the mathematics is at stake."""

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from aevb import _row_noise

torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the key of this user, which tests must not touch."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture
def float64() -> Iterator[None]:
    """Build everything in double precision: fixed values are then exact to 1e-16, not 1e-8."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(autouse=True)
def seed() -> None:
    """Each test has the same random numbers alone as among the others."""
    torch.manual_seed(0)


@pytest.fixture
def foreground() -> Iterator[None]:
    """Signals act as in a terminal, also where the tests run under nohup or in the background."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    actions = (signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL)
    before = [signal.signal(*pair) for pair in zip(numbers, actions, strict=True)]
    yield
    for pair in zip(numbers, before, strict=True):
        signal.signal(*pair)


@pytest.fixture
def replicates(monkeypatch) -> None:
    """Equal rows have noise of their own: ``n`` copies of a row are ``n`` replicates."""
    first = itertools.count(step=1 << 20)
    monkeypatch.setattr(
        _row_noise, "_hash_rows", lambda rows: torch.arange(len(rows)) + next(first)
    )
