"""Run folders, and the data that belong to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AevbError, DataError
from ._console import ConsoleOutput
from ._options import CommonOptions, ModelOptions, ReadingOptions
from ._set_option import SetOptions

if TYPE_CHECKING:
    from ..data import Dataset, Rows, Spec
    from ..models import VAE

DATA_CONFIG_KEYS = (
    "key",
    "labels",
    "shape",
    "binarise",
    "likelihood",
    "network",
    "split",
    "order",
    "condition",
    "seed",
)


@dataclass(frozen=True)
class LoadedRun:
    """A run folder as read: the model on its device, what its data are, and how it was trained."""

    path: Path
    model: VAE
    spec: Spec
    training: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """The settings it was trained with, as they were typed or chosen."""
        return self.training.get("config", {})

    @property
    def has_sampling_prior(self) -> bool:
        """Whether codes were brought to the prior that samples come from, in training or afterwards: those of an autoencoder are not."""
        from .._persistence import NAME_BY_CLASS
        from ..objectives import MMD, PriorCritic

        matched = json.dumps(self.training.get("objective", ""))
        return (
            self.model.posterior.has_density
            or "prior" in self.training
            or any(f'"{NAME_BY_CLASS[part]}"' in matched for part in (MMD, PriorCritic))
        )

    @property
    def description(self) -> str:
        """The model in a few words."""
        latent = " x ".join(str(side) for side in self.model.latent_shape)
        prior = (
            f" with a prior fitted afterwards ({self.config['prior']})"
            if "prior" in self.config
            else ""
        )
        return (
            f"{self.config.get('preset', 'model')}{prior}, latent {latent}, data {self.spec.name}"
        )


def load_run(path: Path, common: CommonOptions) -> LoadedRun:
    """The model of a run folder on its device. Raises ``RunError`` for what is no whole run folder of this version or an older one."""
    from .._hardware import resolve_device
    from .._persistence import load_saved_model

    saved = load_saved_model(path)
    if saved.spec is None:
        raise DataError(
            f"`{path}` was saved without a description of its data: use it from Python, as aevb.load({str(path)!r})."
        )
    return LoadedRun(
        path, saved.model.to(resolve_device(common.device)), saved.spec, saved.training
    )


def load_run_data(config: dict[str, Any]) -> Dataset:
    """The data of a run, read and split as its settings say, with the labels that its preset is told."""
    import aevb

    labels = aevb.presets.find_preset(config.get("preset", ModelOptions.preset)).label_requirement
    reads: dict[str, Any] = data_config(config)
    if "split" in reads:
        reads["split"] = tuple(reads["split"])
    if labels:
        reads = {"condition": "label", **reads, "partial": labels == "few"}
    data = aevb.data.load(config["source"], **reads)
    return (
        aevb.data.mask_labels(
            data, SetOptions(config.get("set")).take_label_count(), reads.get("seed", 0)
        )
        if labels == "few"
        else data
    )


def data_config(config: dict[str, Any]) -> dict[str, Any]:
    """How the data of a run are read and split: the arguments of ``aevb.data.load``.

    >>> data_config({"source": "digits", "latent": 2, "seed": 3, "split_seed": 0})
    {'seed': 0}
    """
    reads = {name: config[name] for name in DATA_CONFIG_KEYS if config.get(name) is not None}
    return reads if config.get("split_seed") is None else reads | {"seed": config["split_seed"]}


def load_own_data(run: LoadedRun, console: ConsoleOutput) -> Dataset:
    """The data that the run was trained on. Raises ``DataError`` where they cannot be found again."""
    if "source" not in run.config:
        raise DataError(
            f"`{run.path}` does not say which data it was trained on: give SOURCE behind it."
        )
    try:
        data = load_run_data(run.config)
    except DataError as error:
        raise DataError(
            f"the data of `{run.path}` cannot be read again: {error} Or give SOURCE behind the run."
        ) from error
    if data.spec != run.spec:
        console.print_note(
            f"{run.config['source']} is not what it was when `{run.path}` was trained on it: its test rows may be rows of training."
        )
    return data


def load_rows(
    run: LoadedRun, source: str | None, reading: ReadingOptions, console: ConsoleOutput
) -> Rows:
    """The rows of ``source`` as the model takes them, or the test rows of the run's own data."""
    if source is None:
        return load_own_data(run, console).test
    return _load_source_rows(run, source, reading)


def warn_about_duplicates(run: LoadedRun, rows: Rows, source: str, console: ConsoleOutput) -> None:
    """Say it where rows from elsewhere are rows that the run was trained on: no number of theirs is one of held-out data."""
    from ..data._fingerprints import find_duplicates

    if "source" not in run.config:
        return
    try:
        train = load_run_data(run.config).train
    except AevbError:  # its data are gone: nobody can tell
        return
    if (
        not train.is_memory_mapped
        and (share := find_duplicates(rows, train).double().mean().item()) > 0
    ):
        console.print_note(
            f"{share:.0%} of the rows of {source} are rows that {run.path} was trained on: its numbers are those of known data."
        )


def _load_source_rows(run: LoadedRun, source: str, reading: ReadingOptions) -> Rows:
    import aevb

    return aevb.data.load_as(
        source,
        run.spec,
        key=reading.key,
        labels=reading.labels,
        seed=data_config(run.config).get("seed", 0),
    )


def next_run_folder(name: str, root: Path = Path("runs")) -> Path:
    """The first ``runs/<name>-<n>`` that is free."""
    number = 1
    while (root / f"{name}-{number}").exists():
        number += 1
    return root / f"{name}-{number}"
