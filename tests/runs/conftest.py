"""Small runs that the tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from aevb.runs import ModelSettings, Run, RunSettings, TrainingSettings

SHORT = TrainingSettings(epochs=2)


def small(preset: str = "vae", **options) -> RunSettings:
    """Settings of a small model of the digits."""
    model = ModelSettings(preset=preset, latent=2, hidden=(8,), **options)
    return RunSettings("digits", model=model, training=SHORT)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a small model of the digits."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    small().fit(out, device="cpu", progress=False)
    return out


@pytest.fixture(scope="session")
def run(folder: Path) -> Run:
    return Run.open(folder, device="cpu")
