"""Run folders, and the data that belong to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AevbError, DataError
from .options import Common, Model, Reading
from .screen import Screen
from .setting import Settings

if TYPE_CHECKING:
    from ..data import Dataset, Rows, Spec
    from ..models import VAE

READS = ("key", "labels", "shape", "binarise", "likelihood", "network", "split", "order", "condition", "seed")


@dataclass(frozen=True)
class Opened:
    """A run folder as read: the model on its device, what its data are, and how it was trained."""

    path: Path
    model: VAE
    spec: Spec
    training: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings it was trained with, as they were typed or chosen."""
        return self.training.get("config", {})

    @property
    def samplable(self) -> bool:
        """Whether codes were brought to the prior that samples come from, in training or afterwards: those of an autoencoder are not."""
        from ..objectives import MMD, PriorCritic
        from ..persistence import NAMES

        matched = json.dumps(self.training.get("objective", ""))
        return self.model.posterior.density or "prior" in self.training or any(f'"{NAMES[part]}"' in matched for part in (MMD, PriorCritic))

    @property
    def about(self) -> str:
        """The model in a few words."""
        latent = " x ".join(str(side) for side in self.model.latent_shape)
        prior = f" with a prior fitted afterwards ({self.settings['prior']})" if "prior" in self.settings else ""
        return f"{self.settings.get('preset', 'model')}{prior}, latent {latent}, data {self.spec.name}"


def open_run(path: Path, common: Common) -> Opened:
    """The model of a run folder on its device. Raises ``RunError`` for what is no whole run folder of this version or an older one."""
    from ..persistence import read
    from ..training.door import pick_device

    saved = read(path)
    if saved.spec is None:
        raise DataError(f"`{path}` was saved without a description of its data: use it from Python, as aevb.load({str(path)!r}).")
    return Opened(path, saved.model.to(pick_device(common.device)), saved.spec, saved.training)


def load_data(settings: dict[str, Any]) -> Dataset:
    """The data of a run, read and split as its settings say, with the labels that its preset is told."""
    import aevb

    labels = aevb.presets.find(settings.get("preset", Model.preset)).labels
    reads: dict[str, Any] = reading_of(settings)
    if "split" in reads:
        reads["split"] = tuple(reads["split"])
    if labels:
        reads = {"condition": "label", **reads, "partial": labels == "few"}
    data = aevb.data.load(settings["source"], **reads)
    return aevb.data.few_labels(data, Settings(settings.get("set")).labels(), reads.get("seed", 0)) if labels == "few" else data


def reading_of(settings: dict[str, Any]) -> dict[str, Any]:
    """How the data of a run are read and split: the arguments of ``aevb.data.load``.

    >>> reading_of({"source": "digits", "latent": 2, "seed": 3, "split_seed": 0})
    {'seed': 0}
    """
    reads = {name: settings[name] for name in READS if settings.get(name) is not None}
    return reads if settings.get("split_seed") is None else reads | {"seed": settings["split_seed"]}


def own_data(run: Opened, screen: Screen) -> Dataset:
    """The data that the run was trained on. Raises ``DataError`` where they cannot be found again."""
    if "source" not in run.settings:
        raise DataError(f"`{run.path}` does not say which data it was trained on: give SOURCE behind it.")
    try:
        data = load_data(run.settings)
    except DataError as error:
        raise DataError(f"the data of `{run.path}` cannot be read again: {error} Or give SOURCE behind the run.") from error
    if data.spec != run.spec:
        screen.note(
            f"{run.settings['source']} is not what it was when `{run.path}` was trained on it: its test rows may be rows of training."
        )
    return data


def rows_of(run: Opened, source: str | None, reading: Reading, screen: Screen) -> Rows:
    """The rows of ``source`` as the model takes them, or the test rows of the run's own data."""
    if source is None:
        return own_data(run, screen).test
    return _other_rows(run, source, reading)


def say_copies(run: Opened, rows: Rows, source: str, screen: Screen) -> None:
    """Say it where rows from elsewhere are rows that the run was trained on: no number of theirs is one of held-out data."""
    from ..data.keys import copies

    if "source" not in run.settings:
        return
    try:
        train = load_data(run.settings).train
    except AevbError:  # its data are gone: nobody can tell
        return
    if not train.in_file and (share := copies(rows, train).double().mean().item()) > 0:
        screen.note(f"{share:.0%} of the rows of {source} are rows that {run.path} was trained on: its numbers are those of known data.")


def _other_rows(run: Opened, source: str, reading: Reading) -> Rows:
    import aevb

    return aevb.data.load_as(source, run.spec, key=reading.key, labels=reading.labels, seed=reading_of(run.settings).get("seed", 0))


def next_run(name: str, root: Path = Path("runs")) -> Path:
    """The first ``runs/<name>-<n>`` that is free."""
    number = 1
    while (root / f"{name}-{number}").exists():
        number += 1
    return root / f"{name}-{number}"
