"""Whether importance weights can be trusted, and annealing where they cannot."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

from .._random import seed_scope
from ..data import Rows
from ..errors import IncompatibleError
from ..inference import AISOptions
from ..inference._ais import DEFAULT_CHAINS, check_ais
from ..inference._batches import iter_batches, model_dtype
from ..inference._importance import check_importance_sampling
from ..models import VAE
from ..models._eval_mode import eval_mode
from ..notes import Argument, Note, message
from ._comparison import gain_of_last_doubling
from ._exact import enumerable_latent
from ._log_likelihood import (
    LIKELIHOOD_SAMPLES,
    LikelihoodMethod,
    LogLikelihood,
    default_chain_start,
    log_likelihood,
)
from ._rows import evenly_spaced_rows

TRIAL_TEMPERATURES, TRIAL_ROWS = 20, 16  # of the chains that choose their start
TIMED_TEMPERATURES = 6  # of the chains that tell how long annealing takes

ChainStart = Literal["posterior", "prior"]


@dataclass(frozen=True)
class ReliabilityLimits:
    """When importance weights cannot be trusted, and how many rows are annealed instead.

    Heavy tails alone do little harm: of a well-trained model of digits, Pareto k is above 0.7 for
    six rows in ten, and 100 samples are 0.1 nats below log p(x). The estimate has to rise, too, and
    noticeably beside its error.

    Args:
        pareto_k: Shape of the tail of the weights of a row above which its estimate converges
            slowly (Vehtari et al. 2024).
        share: Share of such rows from which the weights of a set of rows are examined further.
        gain: Nats per row that doubling the samples gained last, above which the estimate has not
            converged, unless its standard error over rows is larger.
        largest_gain: Such a gain at any standard error.
        look_rows: Number of rows that are examined.
        look_samples: Least number of importance samples of each of these rows.
        flops: Floating-point operations of the decoder that annealing may take: one to some
            minutes on two cores.
        min_rows: Least number of annealed rows.
        max_rows: Largest number of annealed rows.
    """

    pareto_k: float = 0.7
    share: float = 0.5
    gain: float = 0.3
    largest_gain: float = 1.0
    look_rows: int = 100
    look_samples: int = 100
    flops: float = 1e12
    min_rows: int = 16
    max_rows: int = 400


LIMITS = ReliabilityLimits()


@dataclass(frozen=True)
class MethodChoice:
    """How log p(x) of some rows is estimated.

    Args:
        method: ``"importance"``, ``"annealing"`` or ``"exact"``.
        max_rows: Number of rows to use, evenly spaced; None for all.
        share: Share of the examined rows whose Pareto k is above the limit.
        gain: Nats per row that doubling the importance samples gained last.
        seconds: How long annealing is likely to take.
        start: Start of the annealed chains.
        notes: The reason and the cost of another method than importance sampling.
    """

    method: LikelihoodMethod = "importance"
    max_rows: int | None = None
    share: float | None = None
    gain: float | None = None
    seconds: float | None = None
    start: ChainStart | None = None
    notes: tuple[Note, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Convert the choice to values that JSON can hold, without the time."""
        fields = asdict(self)
        return {name: fields[name] for name in ("method", "max_rows", "share", "gain")}


def heavy_tailed_share(estimate: LogLikelihood, limits: ReliabilityLimits = LIMITS) -> float | None:
    """Share of rows with Pareto k above the limit; None where there are no weights."""
    if estimate.pareto_k is None or bool(estimate.pareto_k.isnan().all()):
        return None
    return (estimate.pareto_k > limits.pareto_k).double().mean().item()


def is_untrustworthy(
    estimate: LogLikelihood, limits: ReliabilityLimits = LIMITS, *, n_rows: int | None = None
) -> bool:
    """Whether importance weights have heavy tails, and their estimate still rises noticeably.

    Args:
        estimate: An estimate of log p(x).
        limits: The limits of both.
        n_rows: The number of rows that the estimate stands for; by default its own.

    Returns:
        Whether it should be replaced by annealing.
    """
    share = heavy_tailed_share(estimate, limits)
    if share is None or share <= limits.share:
        return False
    size = len(estimate.per_datum)
    error = estimate.standard_error * math.sqrt(size / (n_rows or size))
    least = max(limits.gain, min(limits.largest_gain, math.inf if math.isnan(error) else error))
    return not gain_of_last_doubling(estimate) <= least  # also where it is not a number


def choose_method(
    model: VAE,
    rows: Rows,
    samples: int | None = None,
    *,
    seed: int = 0,
    limits: ReliabilityLimits = LIMITS,
) -> MethodChoice:
    """Look at the importance weights of some rows, and choose annealing where they fail.

    Args:
        model: The model, with parameters for ``rows`` where it has some for each row.
        rows: The rows whose log p(x) is wanted.
        samples: Importance samples per row.
        seed: Seed of the draws.
        limits: When weights are not trusted.

    Returns:
        The method, the number of rows, and what to say about it.
    """
    try:
        check_importance_sampling(model, "importance sampling")
    except IncompatibleError:  # there is no estimate, or another number in its place
        return MethodChoice()
    look = evenly_spaced_rows(rows, limits.look_rows).to(model.device)
    count = max(limits.look_samples, samples or LIKELIHOOD_SAMPLES["importance"])
    found = log_likelihood(model, look, count, seed=seed)
    if not is_untrustworthy(found, limits, n_rows=len(rows)):
        return MethodChoice(share=heavy_tailed_share(found), gain=gain_of_last_doubling(found))
    return _fall_back(model, rows, found, seed, limits)


def _fall_back(
    model: VAE, rows: Rows, found: LogLikelihood, seed: int, limits: ReliabilityLimits
) -> MethodChoice:
    """Annealing, or importance sampling with a warning where the model cannot be annealed."""
    share, gain = heavy_tailed_share(found, limits), gain_of_last_doubling(found)
    facts = {"share": share, "gain": gain, "samples": found.samples}
    why = (
        f"Importance weights cannot be trusted: Pareto k is above {limits.pareto_k} for "
        f"{share or 0:.0%} of {len(found.per_datum):,} rows, and twice the samples raise log p(x) "
        f"by {gain:.1f} nats"
    )
    if enumerable_latent(model) is not None:
        note = Note(
            "summed_exactly", f"{why}. Log p(x) is summed over all states instead.", data=facts
        )
        return MethodChoice("exact", None, share, gain, notes=(note,))
    try:
        check_ais(model, AISOptions(start="prior"))
    except IncompatibleError as error:
        text = message(
            f"{why}. Annealing is not possible ({{reason}}), so that log p(x) is likely to be "
            "higher than estimated.",
            reason=error.reason,
        )
        note = Note("importance_unreliable", text, "warning", facts)
        return MethodChoice("importance", None, share, gain, notes=(note,))
    options = AISOptions(start=_choose_start(model, rows, seed))
    size = annealed_rows(model, rows, limits)
    seconds = _estimate_seconds(model, evenly_spaced_rows(rows, size), options, seed)
    text = message(
        f"{why}. All numbers are of {size:,} of {len(rows):,} rows, whose log p(x) is estimated by "
        f"annealing instead, which takes about {_format_seconds(seconds)}; {{method}} keeps the "
        "weights.",
        method=Argument("method", "importance"),
    )
    note = Note("annealed_instead", text, "warning", facts | {"rows": size})
    return MethodChoice("annealing", size, share, gain, seconds, options.start, (note,))


def annealed_rows(model: VAE, rows: Rows, limits: ReliabilityLimits = LIMITS) -> int:
    """The number of rows that annealing can estimate in the operations that it may take.

    Args:
        model: The model.
        rows: The rows to choose from.
        limits: The operations, and the least and the largest number.

    Returns:
        The number of rows.
    """
    batch = next(iter_batches(rows.subset([0]).to(model.device), 1, model_dtype(model)))
    # without the linear layers of `seeded_evaluation`, which are not counted
    with eval_mode(model), torch.no_grad(), seed_scope(0, model.device):
        z = model.infer(batch).sample()
        with FlopCounterMode(display=False) as counter:
            model.likelihood(z, batch.context).log_prob(batch.x)
    decoding = counter.get_total_flops()
    # a move is a pass forwards and back
    per_row = 3 * decoding * AISOptions().total_moves(1, DEFAULT_CHAINS)
    affordable = limits.max_rows if not per_row else int(limits.flops / per_row)
    return min(len(rows), max(limits.min_rows, min(limits.max_rows, affordable)))


def _choose_start(model: VAE, rows: Rows, seed: int) -> ChainStart:
    """The start of the chains with the higher lower bound after a short path.

    From a posterior that misses the exact one, chains may arrive later than from the prior.
    """
    if default_chain_start(model) == "prior":
        return "prior"
    few = evenly_spaced_rows(rows, TRIAL_ROWS).to(model.device)
    starts: tuple[ChainStart, ...] = ("posterior", "prior")
    bounds = [
        _anneal(model, few, AISOptions(TRIAL_TEMPERATURES, start), seed).lower_bound.mean
        for start in starts
    ]
    return "prior" if bounds[1] > bounds[0] else "posterior"


def _estimate_seconds(model: VAE, rows: Rows, options: AISOptions, seed: int) -> float:
    """How long annealing takes, from chains on a short path."""
    short = replace(options, temperatures=TIMED_TEMPERATURES)
    began = time.perf_counter()
    _anneal(model, rows.to(model.device), short, seed)
    taken, size = time.perf_counter() - began, len(rows)
    moves = [each.total_moves(size, DEFAULT_CHAINS) for each in (options, short)]
    return taken * moves[0] / moves[1]


def _anneal(model: VAE, rows: Rows, options: AISOptions, seed: int) -> LogLikelihood:
    return log_likelihood(model, rows, method="annealing", annealing=options, seed=seed)


def _format_seconds(seconds: float) -> str:
    """A rough duration.

    >>> _format_seconds(3.2), _format_seconds(200)
    ('4 s', '4 min')
    """
    return f"{math.ceil(seconds)} s" if seconds < 90 else f"{math.ceil(seconds / 60)} min"
