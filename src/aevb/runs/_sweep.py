"""Runs that differ in a few settings: every combination of values, with several seeds each."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _config_file as config_file
from ..errors import ArgumentError, RunError
from ..notes import Argument, message
from ._confirmation import SIGNATURE, source_record
from ._set_values import parse_set_value
from ._settings import RunSettings, setting

if TYPE_CHECKING:
    import torch

    from .._recipe import Recipe
    from ..data import Dataset
    from ._sweep_result import SweepResult

Job = TypeVar("Job")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Values to combine, each with every other; described by ``aevb sweep --help``."""

    latent: tuple[int, ...] | None = setting(
        None, "Numbers of latent variables; one that suits the data by default."
    )
    beta: tuple[float, ...] | None = setting(
        None, "Weights of the KL divergence in the target; the preset's by default."
    )
    lr: tuple[float, ...] | None = setting(
        None, "Learning rates of Adam; that of the preset by default, mostly 0.0015."
    )
    seeds: int = setting(3, "Runs of each combination, with seeds from --seed upwards.")

    def check(self) -> None:
        """Raise ``ArgumentError`` for values that no run could use."""
        _check_values("latent", self.latent, (2, 4, 8), "whole numbers from 1", lambda x: x >= 1)
        _check_values("beta", self.beta, (0.5, 1, 4), "numbers from 0", lambda x: 0 <= x < math.inf)
        _check_values("lr", self.lr, (0.001, 0.003), "numbers above 0", lambda x: 0 < x < math.inf)
        if self.seeds < 1:
            raise ArgumentError(
                "give the number of runs of each combination, at least 1",
                argument="seeds",
                value=self.seeds,
            )


@dataclass(frozen=True)
class SweepShare:
    """A share of the runs of a sweep, for one of several machines or jobs.

    Args:
        number: Which share, from 1.
        count: Number of shares.

    Example:
        >>> SweepShare.parse("2/3").of([10, 11, 12, 13, 14])
        [11, 14]
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> SweepShare:
        """Read a share as ``"3/16"``.

        Raises:
            ArgumentError: It is none.
        """
        parts = text.split("/")
        if len(parts) == 2 and all(part.strip().isdecimal() for part in parts):
            number, count = map(int, parts)
            if 1 <= number <= count:
                return cls(number, count)
        raise ArgumentError(
            "it is no share of a sweep",
            argument="only",
            value=text,
            suggestions=(
                message("Write {only} for the third of 16", only=Argument("only", "3/16")),
            ),
        )

    def of(self, jobs: Sequence[Job]) -> list[Job]:
        """The runs of the share: every ``count``-th one."""
        return [*jobs[self.number - 1 :: self.count]]


@dataclass(frozen=True)
class SweepSettings:
    """All that decides a sweep.

    Args:
        settings: The settings that the runs share; ``settings.seed`` is the first seed, and
            the seed of the split.
        grid: The values to combine.
    """

    settings: RunSettings
    grid: Grid = field(default_factory=Grid)

    def to_dict(self) -> dict[str, Any]:
        """The contents of the ``config.toml`` of the sweep."""
        grid = {
            "latent": self.grid.latent,
            "beta": self.grid.beta,
            "lr": self.grid.lr,
            "seeds": self.grid.seeds,
        }
        return self.settings.to_dict() | {
            name: value for name, value in grid.items() if value is not None
        }

    @property
    def seeds(self) -> range:
        """The seeds of the grid."""
        return range(self.settings.seed, self.settings.seed + self.grid.seeds)

    @property
    def description(self) -> str:
        """The grid in a sentence."""
        named = {"latent": self.grid.latent, "beta": self.grid.beta, "lr": self.grid.lr}
        parts = [
            f"{name} {', '.join(map(format_grid_value, values))}"
            for name, values in named.items()
            if values is not None
        ]
        first, last = self.seeds[0], self.seeds[-1]
        parts.append(f"seed {first}" if first == last else f"seeds {first} to {last}")
        return "; ".join(parts)

    def check(
        self,
        out: str | Path | None = None,
        *,
        resume: bool = False,
        share: SweepShare | None = None,
    ) -> None:
        """Check all that can be checked before data are read.

        Args:
            out: The folder of the sweep.
            resume: Continue the sweep in ``out``.
            share: The share of the runs that are trained; others may have begun in ``out``.

        Raises:
            ArgumentError: A grid without runs, or a value that no run could use.
            RunError: ``out`` is not empty, or contains another sweep than the one to resume.
        """
        from ..training._compatibility import check_seed
        from ._recipe import check_model_settings

        if self.settings.training.refit:
            raise ArgumentError(
                "the runs of a sweep are compared on validation rows, which then train",
                argument="refit",
                value=True,
                suggestions=("Refit the best run afterwards",),
            )
        self.grid.check()
        if self.settings.members > 1:
            raise ArgumentError(
                "a sweep compares single models",
                argument="ensemble",
                value=self.settings.members,
                suggestions=("Leave it out",),
            )
        for text in self.settings.model.set or ():
            name = parse_set_value(text).name
            if getattr(self.grid, name, None) is not None:
                raise ArgumentError(
                    message("the grid gives it as well, by {axis}", axis=Argument(name)),
                    argument="set",
                    value=text,
                    suggestions=("Leave one of them out",),
                )
        for seed in (self.seeds[0], self.seeds[-1]):
            check_seed(seed)
        check_model_settings(self.run_settings()[0].model)
        if share is not None and out is None:
            raise ArgumentError(
                "all shares of a sweep have one folder",
                argument="only",
                value=f"{share.number}/{share.count}",
                suggestions=(message("Name it, as {out}", out=Argument("out", "runs/sweep")),),
            )
        if out is not None:
            self._check_folder(Path(out), resume or can_resume(out, share))

    def _check_folder(self, out: Path, resume: bool) -> None:
        from ..training._checkpoint import check_settings

        if resume:
            if (out / "model.json").exists():
                raise RunError(
                    "this is a single run, not a sweep",
                    argument="out",
                    value=str(out),
                    suggestions=(f"Continue it with `aevb fit --resume --out {out}`",),
                )
            saved = config_file.read_config(out / config_file.CONFIG_FILE_NAME)
            check_settings(out, _without_grid(saved), _without_grid(self.to_dict()))
        elif out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise RunError(
                "it exists and is never overwritten",
                argument="out",
                value=str(out),
                suggestions=(
                    message(
                        "Choose another {out}, or continue a sweep in it with {resume}",
                        out=Argument("out"),
                        resume=Argument("resume", True),
                    ),
                ),
            )

    def run_settings(self) -> list[RunSettings]:
        """Return the settings of each run; runs of one combination are neighbours.

        All runs share the rows of one split, and each has its own seed.
        """
        shared = self.settings
        data = replace(shared.data, split_seed=shared.split_seed)
        axes = (
            self.grid.latent or (None,),
            self.grid.beta or (None,),
            self.grid.lr or (None,),
            self.seeds,
        )
        return [
            RunSettings(
                shared.source,
                data,
                replace(shared.model, latent=latent, beta=beta),
                replace(shared.training, lr=lr),
                seed,
            )
            for latent, beta, lr, seed in itertools.product(*axes)
        ]

    def jobs(self, data: Dataset) -> list[SweepJob]:
        """Build the runs with fresh weights.

        Args:
            data: The data.

        Returns:
            A job for each run, in the order of ``run_settings``.

        Raises:
            ArgumentError: The model has no rate to compare.
        """
        return [SweepJob.from_settings(settings, data) for settings in self.run_settings()]

    def train(
        self,
        out: str | Path,
        *,
        data: Dataset | None = None,
        jobs: Sequence[SweepJob] | None = None,
        resume: bool = False,
        share: SweepShare | None = None,
        device: str | torch.device | None = None,
        progress: bool | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> SweepResult:
        """Train all runs, and evaluate them on the same rows.

        Args:
            out: The folder of the sweep, in which every run has a folder.
            data: The data; loaded by default.
            jobs: The result of ``jobs``; built by default.
            resume: Whether to keep the finished runs in ``out`` and to continue the others.
            share: The share of the runs to train; runs of other shares may be under way.
            device: As for ``aevb.fit``.
            progress: As for ``aevb.fit``.
            on_progress: Called with 1 after the evaluation of each run.

        Returns:
            The runs and their means per combination.

        Raises:
            RunError: ``out`` is not empty, or contains another sweep than the one to resume.
        """
        from ..training import fit_many
        from ._data_parts import check_same_data, data_parts_record
        from ._sweep_result import SweepResult

        folder = Path(out)
        data = self.settings.load_data() if data is None else data
        jobs = self.jobs(data) if jobs is None else jobs
        jobs, resume = (share.of(jobs) if share else jobs), resume or share is not None
        if not jobs:
            return SweepResult((), "validation", 0, data.spec.item_noun, self, folder, seconds=0.0)
        shared = jobs[0].settings.training.to_fit_arguments()
        del shared["optimizer"], shared["minutes"]
        began, parts = time.monotonic(), data_parts_record(data)
        for job in jobs if resume else ():
            check_same_data(folder / job.folder_name, parts)
        with self._written_to(folder, keep=share is not None):
            results = fit_many(
                [job.recipe for job in jobs],
                data,
                **shared,
                names=[job.folder_name for job in jobs],
                optimizer=[job.settings.training.to_fit_arguments()["optimizer"] for job in jobs],
                seed=[job.settings.seed for job in jobs],
                device=device,
                out=folder,
                resume=resume,
                progress=progress,
                metadata=[job.settings.to_record() | parts for job in jobs],
            )
        return SweepResult.from_fits(
            self, folder, data, jobs, results, time.monotonic() - began, on_progress
        )

    @contextmanager
    def _written_to(self, folder: Path, *, keep: bool) -> Iterator[None]:
        """Keep the settings in the folder while the runs are trained, so that it can be resumed.

        Nothing is left of a sweep that is refused, unless others may ``keep`` the folder.
        """
        from .._files import write_atomically

        path = folder / config_file.CONFIG_FILE_NAME
        config = self.to_dict()
        config |= source_record(config)
        created = [each for each in (folder, *folder.parents) if not each.exists()]
        write_atomically(path, config_file.render_config(config, {}, "sweep").encode())
        try:
            yield
        except BaseException:
            if not keep and list(folder.iterdir()) == [path]:
                path.unlink()
            for each in () if keep else created:
                with suppress(OSError):
                    each.rmdir()
            raise


@dataclass(frozen=True)
class SweepJob:
    """A run to train: its settings, and the recipe with fresh weights."""

    settings: RunSettings
    recipe: Recipe

    @classmethod
    def from_settings(cls, settings: RunSettings, data: Dataset) -> SweepJob:
        """The job that ``RunSettings.fit`` would train with the same settings."""
        settings = settings.with_defaults_for(data.spec)
        recipe = settings.recipe(data.spec, len(data.train))
        if not recipe.model.posterior.has_density:
            family = settings.model.posterior
            argument = "preset" if family is None else "posterior"
            raise ArgumentError(
                "an autoencoder has no rate and no ELBO to compare",
                argument=argument,
                value=family or settings.model.preset,
                suggestions=(
                    message(
                        "Write {other}", other=Argument(argument, "normal" if family else "vae")
                    ),
                    "Train single runs with `aevb fit`",
                ),
            )
        return cls(settings, recipe)

    @property
    def grid_values(self) -> dict[str, Any]:
        """Its values of the grid; the seed is the last."""
        return {
            "latent": self.settings.model.latent,
            "beta": self.final_beta,
            "lr": self.settings.training.lr,
            "seed": self.settings.seed,
        }

    @property
    def final_beta(self) -> float | None:
        """The weight of the KL divergence at the end of training; None where there is none."""
        schedule = self.recipe.objective.schedules.get("beta")
        return None if schedule is None else schedule(schedule.final_schedule_step or 0)

    @property
    def folder_name(self) -> str:
        """Its folder, which depends on the run alone, so that a wider grid finds it again."""
        usual = {"beta": None, "lr": self.recipe.training.lr}
        return "_".join(
            f"{name}-{format_grid_value(value)}"
            for name, value in self.grid_values.items()
            if value != usual.get(name, math.nan)
        )


def sweep(
    source: str | RunSettings,
    *,
    latent: Sequence[int] | None = None,
    beta: Sequence[float] | None = None,
    lr: Sequence[float] | None = None,
    seeds: int = 3,
    out: str | Path | None = None,
    resume: bool = False,
    only: str | None = None,
    device: str | torch.device | None = None,
    progress: bool | None = None,
) -> SweepResult:
    """Train every combination of settings with several seeds, and compare them.

    Args:
        source: The path of a file or folder, the name of a data set, or the settings that all runs
            share.
        latent: Numbers of latent variables; a number that suits the data by default.
        beta: Weights of the KL divergence; the preset's weight by default.
        lr: Learning rates of Adam; 0.0015 by default.
        seeds: Number of runs of each combination.
        out: The folder of the sweep; ``runs/<data>-sweep-1`` (or -2 ...) by default.
        resume: Continue the sweep in ``out``; the grid may be wider than before.
        only: A share of the runs, as ``"3/16"``: every 16th, from the third on. Each of several
            processes trains another share in the same folder ``out``, and continues what it finds
            of it; a last sweep with ``resume`` compares all runs.
        device: As for ``aevb.fit``.
        progress: As for ``aevb.fit``.

    Returns:
        The runs and their means per combination, also written to ``out`` where all were asked for.

    Raises:
        ArgumentError: A grid without runs, or a value that no run could use.
        RunError: ``out`` is not empty, or contains another sweep than the one to resume.
        DataError: The data cannot be read.
    """
    from ._run import next_run_folder

    shared = source if isinstance(source, RunSettings) else RunSettings(source)
    axes = {"latent": latent, "beta": beta, "lr": lr}
    grid = Grid(
        **{name: None if values is None else tuple(values) for name, values in axes.items()},
        seeds=seeds,
    )
    settings = SweepSettings(shared, grid)
    share = None if only is None else SweepShare.parse(only)
    settings.check(out, resume=resume, share=share)
    data = shared.load_data()
    folder = next_run_folder(f"{data.spec.name}-sweep") if out is None else Path(out)
    result = settings.train(
        folder, data=data, resume=resume, share=share, device=device, progress=progress
    )
    if share is None:
        result.write()
    return result


def can_resume(out: str | Path, share: SweepShare | None) -> bool:
    """Whether a share of a sweep goes on in a folder that holds its settings."""
    return share is not None and (Path(out) / config_file.CONFIG_FILE_NAME).exists()


def format_grid_value(value: float) -> str:
    """A value of a grid in its shortest form.

    Example:
        >>> format_grid_value(4.0), format_grid_value(0.0015), format_grid_value(16)
        ('4', '0.0015', '16')
    """
    return f"{value:.10g}"


def _without_grid(config: dict[str, Any]) -> dict[str, Any]:
    """The settings that all runs of a sweep share."""
    return {
        name: value
        for name, value in config.items()
        if name not in ("latent", "beta", "lr", "seeds", SIGNATURE)
    }


def _check_values(
    argument: str,
    values: Sequence[float] | None,
    example: Sequence[float],
    kind: str,
    is_valid: Callable[[float], bool],
) -> None:
    if values is None:
        return
    suggestion = message(f"Give {kind}, as {{example}}", example=Argument(argument, tuple(example)))
    texts = [format_grid_value(value) for value in values]
    wrong = [text for text, value in zip(texts, values, strict=True) if not is_valid(value)]
    twice = [text for text in texts if texts.count(text) > 1]
    reason = (
        "it is empty"
        if not values
        else f"{wrong[0]} is not one of {kind}"
        if wrong
        else f"{twice[0]} occurs twice"
        if twice
        else None
    )
    if reason is not None:
        raise ArgumentError(
            reason, argument=argument, value=tuple(values), suggestions=(suggestion,)
        )
