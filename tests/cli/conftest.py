"""Fixtures: commands as functions, and a small shared run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from aevb.cli import main

SMALL = ["--latent", "2", "--hidden", "8", "--epochs", "2", "--no-report"]


@dataclass(frozen=True)
class Done:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


Aevb = Callable[..., Done]


@pytest.fixture
def aevb(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Aevb:
    """Run commands in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(aevb: Aevb) -> Callable[..., str]:
    """Run a command that must be refused; return its error message."""

    def run(*arguments: object) -> str:
        done = aevb(*arguments)
        assert done.code == 2, done.err
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1
        return done.err

    return run


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the digits."""
    run = tmp_path_factory.mktemp("shared") / "digits"
    assert main(["fit", "digits", "--out", str(run), "--quiet", *SMALL]) == 0
    return run


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A csv of three columns and a label."""
    path = tmp_path_factory.mktemp("data") / "flowers.csv"
    values = np.random.default_rng(0).normal(size=(60, 3)) @ np.array(
        [[2, 1, 0], [0, 1, 1], [0, 0, 0.2]]
    )
    rows = [f"{a:.4f},{b:.4f},{c:.4f},{'red' if a > 0 else 'blue'}" for a, b, c in values]
    path.write_text("\n".join(["width,height,depth,colour", *rows]) + "\n")
    return path
