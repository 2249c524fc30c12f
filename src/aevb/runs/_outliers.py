"""How usual the rows of a table are under a model, by several scores, and what each column adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import inference
from ..data import Rows
from ..errors import IncompatibleError, check_choice
from ..inference._inputs import resolve_input
from ..inference._row_bounds import row_bounds
from ..notes import Argument, message
from ._impute import pairs_at_once
from ._score import column_names

if TYPE_CHECKING:
    from ._run import Run

MAX_REFERENCE_ROWS = 10_000  # training rows that scores compare with
NEIGHBOURS = 5


@dataclass(frozen=True)
class OutlierReference:
    """What scores compare rows with.

    Args:
        mean_log_p: Mean of log p(x) of training rows; 0 where the score does not use it.
        codes: Means of the posterior of training rows, ``[M, *latent]``; empty where not used.
    """

    mean_log_p: float
    codes: Tensor


@dataclass(frozen=True)
class ScoreContributions:
    """The parts of the score of each row: ``columns.sum(1) + remainder`` is the score.

    Args:
        names: The columns.
        columns: What each cell adds to the score: negative for a cell that makes the row unusual, 0
            for a missing one; ``[N, columns]`` float64.
        remainder: What no single column adds, ``[N]``.
        score: The score, ``[N]``.
    """

    names: Sequence[str]
    columns: Tensor
    remainder: Tensor
    score: Tensor


def log_p_scores(run: Run, rows: Rows, samples: int, seed: int) -> Tensor:
    """log p(x), ``[N]`` float64.

    Raises:
        IncompatibleError: The model has no density.
    """
    found = run.log_likelihood(rows, samples=samples, seed=seed)
    if found is None:
        raise IncompatibleError("this model has no density", argument="method", value="log_prob")
    return found.per_datum.cpu()


def elbo_scores(run: Run, rows: Rows, samples: int, seed: int) -> Tensor:
    """The ELBO, ``[N]`` float64."""
    model, rows = resolve_input(run, rows)
    return row_bounds(model, rows, samples, seed).cpu()


def typicality_scores(
    run: Run, rows: Rows, samples: int, seed: int, reference: OutlierReference
) -> Tensor:
    """Minus the distance of log p(x) from its mean over training rows, ``[N]`` float64."""
    return -(log_p_scores(run, rows, samples, seed) - reference.mean_log_p).abs()


def neighbour_scores(run: Run, rows: Rows, reference: OutlierReference) -> Tensor:
    """Minus the distance to the k-th nearest encoding of training rows, ``[N]`` float64.

    A training row itself is one of its neighbours, at the distance 0.
    """
    codes, known = run.encode(rows).flatten(1).double(), reference.codes.flatten(1).double()
    nearest = min(NEIGHBOURS, len(known))
    blocks = (torch.cdist(part, known).kthvalue(nearest, 1).values for part in codes.split(1024))
    return -torch.cat([*blocks])


_Score = Callable[["Run", Rows, int, int, OutlierReference], Tensor]
OUTLIER_SCORES: dict[str, _Score] = {
    "log_prob": lambda run, rows, samples, seed, _: log_p_scores(run, rows, samples, seed),
    "elbo": lambda run, rows, samples, seed, _: elbo_scores(run, rows, samples, seed),
    "typicality": typicality_scores,
    "latent_knn": lambda run, rows, _, __, reference: neighbour_scores(run, rows, reference),
}
"""Scores by name; the larger, the more usual a row is."""


def outlier_reference(
    run: Run, rows: Rows, score: str, *, samples: int = 100, seed: int = 0
) -> OutlierReference:
    """What a score compares rows with, from training rows."""
    check_choice("method", score, [*OUTLIER_SCORES])
    mean, codes = 0.0, torch.empty(0)
    count = min(len(rows), MAX_REFERENCE_ROWS)
    part = rows.subset([place * len(rows) // count for place in range(count)])
    if score == "typicality":
        mean = log_p_scores(run, part, samples, seed).mean().item()
    if score == "latent_knn":
        codes = run.encode(part).float()
    return OutlierReference(mean, codes)


def outlier_scores(
    run: Run,
    source: Any,
    score: str = "log_prob",
    *,
    reference: OutlierReference,
    samples: int = 100,
    seed: int = 0,
) -> Tensor:
    """Score rows: the larger, the more usual.

    Args:
        run: The run.
        source: As for ``Run.rows``.
        score: The name of a score.
        reference: The result of ``outlier_reference``.
        samples: Draws of the latent per row.
        seed: Seed of the draws.

    Returns:
        The score of each row, ``[N]`` float64.
    """
    check_choice("method", score, [*OUTLIER_SCORES])
    return OUTLIER_SCORES[score](run, run.rows(source), samples, seed, reference)


def explain_scores(
    run: Run,
    source: Any,
    score: str,
    scores: Tensor,
    *,
    reference: OutlierReference,
    samples: int = 100,
    seed: int = 0,
) -> ScoreContributions:
    """Divide scores among the columns.

    A cell adds minus its surprise (see ``Explanation``): ``log p(x_d | all other cells)`` minus
    what it usually is there. The remainder is the score of a row without surprises, and what
    columns tell about each other.

    Args:
        run: The run.
        source: As for ``Run.rows``.
        score: The name of a score other than ``"latent_knn"``.
        scores: The scores, ``[N]``.
        reference: As for ``outlier_scores``.
        samples: As for ``outlier_scores``.
        seed: As for ``outlier_scores``.

    Returns:
        The parts, which sum to the score.

    Raises:
        IncompatibleError: The score is a distance in the latent space, which has no columns.
    """
    if score == "latent_knn":
        raise IncompatibleError(
            "a distance between encodings has no columns",
            argument="method",
            value=score,
            suggestions=(message("Use {log}", log=Argument("method", "log_prob")),),
        )
    found = inference.explain(
        run, run.rows(source), samples, seed=seed, max_pairs=pairs_at_once(run)
    )
    parts = -found.surprise.double().flatten(1).cpu()
    if score == "typicality":
        parts = parts * (reference.mean_log_p - found.log_p.cpu()).sign()[:, None]
    return ScoreContributions(column_names(run), parts, scores - parts.sum(1), scores)
