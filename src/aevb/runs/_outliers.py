"""How usual the rows of a table are under a model, by several scores, and what each column adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import inference
from .._random import seed_scope
from ..data import Rows
from ..errors import IncompatibleError, check_choice
from ..inference._batches import seeded_evaluation
from ..inference._inputs import resolve_input
from ..inference._row_bounds import row_bounds
from ..notes import Argument, message
from ._impute import pairs_at_once
from ._score import column_names

if TYPE_CHECKING:
    from ._run import Run

MAX_REFERENCE_ROWS = 10_000  # training rows that scores compare with
BASELINE_ROWS = 1000  # drawn rows that tell how likely a cell usually is
NEIGHBOURS = 5


@dataclass(frozen=True)
class OutlierReference:
    """What scores compare rows with.

    Args:
        mean_log_p: Mean of log p(x) of training rows; NaN where the score does not use it.
        codes: Means of the posterior of training rows, ``[M, *latent]``; empty where not used.
    """

    mean_log_p: float
    codes: Tensor


@dataclass(frozen=True)
class ScoreContributions:
    """The parts of the score of each row: ``columns.sum(1) + remainder`` is the score.

    Args:
        names: The columns.
        columns: What each cell adds to the score, compared with the mean of the model: negative for
            a cell that makes the row unusual, 0 for a missing one; ``[N, columns]`` float64.
        remainder: What no column has a part in, ``[N]``.
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
    mean, codes = torch.nan, torch.empty(0)
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

    A cell adds the mean of ``log p(x_d | z)`` over the posterior, minus its mean over rows of the
    model. The remainder has the mean itself, and minus ``KL(p(z | x) || p(z))``.

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
    usual = _usual_log_p(run, seed)
    parts = torch.where(found.observed, found.expected.double() - usual, 0.0).flatten(1).cpu()
    if score == "typicality":
        parts = parts * (reference.mean_log_p - found.log_p.cpu()).sign()[:, None]
    return ScoreContributions(column_names(run), parts, scores - parts.sum(1), scores)


@torch.no_grad()
def _usual_log_p(run: Run, seed: int) -> Tensor:
    """The mean of ``log p(x_d | z)`` over rows and latents of the model, ``[*event]`` float64."""
    model = run.model
    with seeded_evaluation(model, seed), seed_scope(seed, model.device):
        z, p = model.sample_joint(BASELINE_ROWS)
        return model.likelihood.cells(z[None], p.sample(), None)[0].double().mean(0)
