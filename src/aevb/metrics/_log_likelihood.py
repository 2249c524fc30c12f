"""The log-likelihood: an estimate, a lower and an upper bound, each under its own name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import torch
from torch import Tensor

from .._memory import explain_out_of_memory
from ..data import Rows
from ..distributions._support import has_real_support
from ..errors import ArgumentError, NumericalError, check_choice, check_counts
from ..inference import AISOptions, annealed_importance_sampling, importance_weights
from ..inference._ais import DEFAULT_CHAINS, ais_block_size
from ..inference._batches import iter_batches, model_dtype, network_precision, seeded_evaluation
from ..inference._importance import DEFAULT_MAX_PAIRS, group_sizes
from ..inference._inputs import TrainedModel, resolve_input
from ..inference._pareto import pareto_k_threshold
from ..models import VAE
from ..notes import Argument, Part, message
from ..types import Batch, ProgressCallback
from ._estimate import Estimate, format_with_error
from ._exact import enumerable_latent, exact_log_likelihood
from ._rate_distortion import RateDistortion

ENCODING_BLOCK_SIZE = 256
"""Rows that are encoded at once."""

COMPILE_FROM_PAIRS = 10_000_000
"""(sample, row) pairs from which a few seconds of compilation pay off."""

LIKELIHOOD_SAMPLES = {"importance": 100, "annealing": DEFAULT_CHAINS, "exact": 0}
"""Default number of samples or chains per row, by method."""

LikelihoodMethod = Literal["importance", "annealing", "exact"]


@dataclass(frozen=True)
class ConvergenceCurve:
    """The estimate with fewer samples, from the same draws.

    It rises from the ELBO at 1 sample towards ``log p(x)``.

    Args:
        samples: Numbers of samples: 1, 2, 4 ... and all.
        values: The estimate with each of them.
    """

    samples: tuple[int, ...]
    values: tuple[Estimate, ...]


@dataclass(frozen=True)
class LogLikelihood:
    """``log p(x)`` in nats per row: an estimate, a lower bound, for simulated data an upper bound.

    Means over rows with standard errors over rows, which include the noise of the draws. Bounds
    hold in expectation. The estimates of ``"importance"`` and ``"annealing"`` are lower bounds in
    expectation, too, and tighter ones; that of ``"exact"`` is the true value.

    Args:
        mean: The estimate.
        standard_error: Its standard error.
        effective_sample_size: Mean over rows, between 1 and ``samples``.
        samples: Importance samples or annealed chains per row, 0 for ``"exact"``.
        per_datum: The estimate for each row, ``[N]`` float64. It depends on the row, the seed and
            the number of samples, and not on the other rows.
        per_datum_error: Standard error of ``per_datum`` over the draws, ``[N]``: 0 for ``"exact"``,
            NaN for a single sample. Where ``pareto_k`` is large, the true error is larger.
        lower_bound: Mean log-weight: the ELBO for ``"importance"``, the annealed bound for
            ``"annealing"``, the value itself for ``"exact"``.
        upper_bound: An upper bound for rows that were drawn from the model; ``None`` for others.
        bound_gap: ``upper_bound - lower_bound``, row by row.
        method: ``"importance"``, ``"annealing"`` or ``"exact"``.
        pareto_k: Shape of the tail of the importance weights of each row, ``[N]``.
        convergence_curve: The estimate with fewer importance samples.
        acceptance_rate: Share of accepted proposals of the annealed chains.
        rate_distortion: The two terms of the lower bound, from the same draws, where all of these
            come from the posterior.
    """

    mean: float
    standard_error: float
    effective_sample_size: float
    samples: int
    per_datum: Tensor
    per_datum_error: Tensor
    lower_bound: Estimate
    upper_bound: Estimate | None = None
    bound_gap: Estimate | None = None
    method: LikelihoodMethod = "importance"
    pareto_k: Tensor | None = None
    convergence_curve: ConvergenceCurve | None = None
    acceptance_rate: float | None = None
    rate_distortion: RateDistortion | None = None

    @property
    def value(self) -> Estimate:
        """The estimate with its standard error."""
        return Estimate(self.mean, self.standard_error)

    @property
    def elbo(self) -> Estimate:
        """The lower bound, by its name in importance sampling."""
        return self.lower_bound

    @property
    def zero_density_rows(self) -> Tensor:
        """Rows with likelihood 0 at every draw: their ``log p(x)`` and the mean are ``-inf``."""
        return self.per_datum.isneginf().nonzero()[:, 0]

    @property
    def reliable_fraction(self) -> float | None:
        """Share of rows with ``pareto_k`` below ``min(1 - 1/log10(samples), 0.7)``, where known."""
        if self.pareto_k is None or bool(self.pareto_k.isnan().all()):
            return None
        return (self.pareto_k < pareto_k_threshold(self.samples)).double().mean().item()

    def __str__(self) -> str:
        rows = self.zero_density_rows.tolist()
        more = (
            f"; likelihood 0 at every draw for row{'s' if len(rows) > 1 else ''} {list_rows(rows)}"
            if rows
            else ""
        )
        method = {
            "importance": f"{self.samples} samples, effective {self.effective_sample_size:.1f}",
            "annealing": f"{self.samples} annealed chains, effective "
            f"{self.effective_sample_size:.1f}",
            "exact": "exact",
        }[self.method]
        return f"{format_with_error(self.mean, self.standard_error)} nats ({method}{more})"


def log_likelihood(
    model: VAE | TrainedModel,
    x: Any = None,
    samples: int | None = None,
    method: LikelihoodMethod = "importance",
    *,
    annealing: AISOptions = AISOptions(),
    defensive: float = 0.0,
    seed: int = 0,
    max_pairs: int = DEFAULT_MAX_PAIRS,
    precision: Literal["float32", "bfloat16"] = "float32",
    on_progress: ProgressCallback | None = None,
) -> LogLikelihood:
    """Estimate log p(x) for each row.

    Importance sampling with the posterior as proposal: ``log 1/K sum_k p(x, z_k) / q(z_k|x)``, a
    lower bound in expectation (Burda et al. 2016). Annealed importance sampling is tighter and
    slower (Neal 2001). Exact values exist for linear-Gaussian models, by formula, and for a
    discrete latent of at most 4096 states, by a sum.

    Args:
        model: The model, or a run. Its weights are not changed.
        x: Rows ``[N, *event]``: an array, a tensor or a list, ``Rows``, a data frame of numbers, a
            path, or a ``Dataset``, of which the test rows count. For a run, data that it reads;
            its test rows by default. NaN is a missing cell where the model accepts it.
        samples: Importance samples (100) or annealed chains (16) per row.
        method: ``"importance"``, ``"annealing"`` or ``"exact"``. A discrete latent of few states is
            summed over instead of annealed.
        annealing: Path of the annealed chains.
        defensive: Share of the importance samples that come from the prior.
        seed: Seed of the draws; other random streams are not changed.
        max_pairs: Largest number of (sample, row) pairs that are decoded at once, which bounds the
            memory.
        precision: Precision of the networks. Densities are float32 or better either way; bfloat16
            networks change the mean by some thousandths of a nat.
        on_progress: Receives the number of (sample, row) pairs that were done: in total rows times
            samples, or ``annealing.total_moves(...)``.

    Returns:
        Estimates per row in nats, with their mean, standard error, effective sample size and
        Pareto k.

    Raises:
        ArgumentError: A value is out of range, or belongs to another method.
        IncompatibleError: The method does not exist for the model.
        DataError: A row has another shape, or lies outside the likelihood's support.
        NumericalError: The log-likelihood of a row is not a number.

    Example:
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(networks.MLP(6), 2),
        ...     likelihoods.Normal(networks.MLP(2), (6,)),
        ... )
        >>> x = torch.randn(50, 6)
        >>> exact = log_likelihood(model, x, method="exact")
        >>> estimate = log_likelihood(model, x, samples=1000)
        >>> bool(estimate.lower_bound.mean < estimate.mean < exact.mean + 0.1)
        True
    """
    check_likelihood_arguments(method, samples, annealing, defensive, max_pairs)
    count = LIKELIHOOD_SAMPLES[method] if samples is None else samples
    model, data = resolve_input(model, x)
    if method == "annealing" and enumerable_latent(model) is not None:
        method = "exact"
    with (
        seeded_evaluation(model, seed),
        network_precision(model, precision),
        explain_out_of_memory("in an evaluation", rows=max_pairs),
    ):
        if method == "exact":
            return _compute_exactly(model, data, max_pairs)
        if method == "annealing":
            batches = (
                (batch, None)
                for batch in _iter_model_blocks(model, data, ais_block_size(count, max_pairs))
            )
            return _estimate_by_annealing(
                model, batches, count, annealing, max_pairs, seed, on_progress
            )
        return _estimate_by_importance(model, data, count, defensive, max_pairs, seed, on_progress)


def bidirectional_monte_carlo(
    model: VAE,
    n: int = 32,
    samples: int = DEFAULT_CHAINS,
    *,
    context: Tensor | None = None,
    label: Any = None,
    annealing: AISOptions | None = None,
    seed: int = 0,
    max_pairs: int = DEFAULT_MAX_PAIRS,
    on_progress: ProgressCallback | None = None,
) -> LogLikelihood:
    """Bound log p(x) from both sides, for rows that are drawn from the model.

    The latents that the rows were drawn with are exact draws from ``p(z|x)``: chains that run
    backwards from them give an upper bound, as chains that run forwards give a lower bound. Other
    data have no upper bound; but where the model resembles its data, the width of this bracket is
    the error of annealed bounds on those, too. Grosse, Ghahramani and Adams (2015); Wu et al.
    (2017).

    Args:
        model: The model. Its weights are not changed.
        n: Number of rows to draw.
        samples: Chains per row, in each direction.
        context: Context ``[n, C]`` of a conditional model.
        label: The context as labels, as for ``VAE.sample``.
        annealing: Path of the chains. By default it starts at the posterior for real latents and
            an encoder, else at the prior: a posterior with thinner tails than the exact one makes
            the upper bound arbitrarily loose.
        seed: Seed of the draws; other random streams are not changed.
        max_pairs: Largest number of (chain, row) pairs that are decoded at once.
        on_progress: Receives the number of moves that were done; ``annealing.total_moves`` is the
            total.

    Returns:
        The estimate with both bounds and their difference.

    Raises:
        ArgumentError: A count is below 1.
        IncompatibleError: The model cannot be annealed.

    Example:
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(networks.MLP(6), 2),
        ...     likelihoods.Normal(networks.MLP(2), (6,)),
        ... )
        >>> options = AISOptions(temperatures=50)
        >>> bracket = bidirectional_monte_carlo(model, n=8, samples=4, annealing=options)
        >>> bracket.lower_bound.mean <= bracket.upper_bound.mean
        True
    """
    check_counts(n=n, samples=samples, max_pairs=max_pairs)
    context = model.resolve_context(n, context, label)
    size = ais_block_size(samples, max_pairs)
    with seeded_evaluation(model, seed), explain_out_of_memory("in an evaluation", rows=max_pairs):
        path = annealing or AISOptions(start=default_chain_start(model))
        drawn = (
            _sample_joint_batch(model, context, start, min(start + size, n))
            for start in range(0, n, size)
        )
        if enumerable_latent(model) is not None:
            return _exact_result(
                torch.cat(
                    [
                        exact_log_likelihood(
                            model, model.to_data_units(batch.x), batch.context, max_pairs=max_pairs
                        )
                        for batch, _ in drawn
                    ]
                )
            )
        return _estimate_by_annealing(model, drawn, samples, path, max_pairs, seed, on_progress)


def default_chain_start(model: VAE) -> Literal["posterior", "prior"]:
    """Default start of the chains of a bracket."""
    return (
        "posterior"
        if model.posterior.n_rows is None and has_real_support(model.probe()[0])
        else "prior"
    )


def check_likelihood_arguments(
    method: str,
    samples: int | None,
    annealing: AISOptions,
    defensive: float,
    max_pairs: int = DEFAULT_MAX_PAIRS,
) -> None:
    """Refuse unknown methods, and options of another method, which would change nothing."""
    counts = {} if samples is None or method == "exact" else {"samples": samples}
    check_counts(max_pairs=max_pairs, **counts)
    if not isinstance(annealing, AISOptions):
        raise ArgumentError(
            message("give {options}", options=Part("inference.AISOptions")),
            argument="annealing",
            value=annealing,
        )
    if not isinstance(defensive, int | float) or not 0 <= defensive < 1:
        raise ArgumentError(
            "give the share of draws from the prior, at least 0 and below 1",
            argument="defensive",
            value=defensive,
        )
    check_choice("method", method, tuple(LIKELIHOOD_SAMPLES))
    if samples is not None and method == "exact":
        raise ArgumentError(
            message("{exact} draws no samples", exact=Argument("method", method)),
            argument="samples",
            value=samples,
            suggestions=("Leave it out",),
        )
    if defensive and method != "importance":
        raise _other_method("defensive", defensive, method, "importance")
    if annealing != AISOptions() and method != "annealing":
        raise _other_method("annealing", annealing, method, "annealing")


def _other_method(argument: str, value: object, method: str, owner: str) -> ArgumentError:
    """The error for an option that belongs to another method."""
    return ArgumentError(
        message(
            "it belongs to {owner}, not to {method}",
            owner=Argument("method", owner),
            method=Argument("method", method),
        ),
        argument=argument,
        value=value,
    )


def _estimate_by_importance(
    model: VAE,
    data: Rows,
    samples: int,
    defensive: float,
    max_pairs: int,
    seed: int,
    on_progress: ProgressCallback | None,
) -> LogLikelihood:
    """The estimate by importance sampling."""
    long = samples * len(data) >= COMPILE_FROM_PAIRS
    batches = _iter_model_blocks(model, data, min(ENCODING_BLOCK_SIZE, max_pairs))
    parts = [
        importance_weights(
            model,
            batch,
            samples,
            max_pairs=max_pairs,
            allow_compile=long,
            defensive=defensive,
            seed=seed,
            on_progress=on_progress,
        )
        for batch in batches
    ]
    curve = torch.cat([part.curve for part in parts], 1)
    elbo, elbo_error, distortion = (
        torch.cat([attrgetter(name)(part) for part in parts])
        for name in ("elbo", "elbo_error", "distortion")
    )
    return _summarise(
        torch.cat([part.log_mean for part in parts]),
        torch.cat([part.log_mean_error for part in parts]),
        elbo,
        effective_sample_size=torch.cat([part.effective_sample_size for part in parts])
        .mean()
        .item(),
        samples=samples,
        rate_distortion=None
        if defensive
        else RateDistortion.from_terms(-elbo - distortion, distortion, elbo_error),
        pareto_k=torch.cat([part.pareto_k for part in parts]),
        convergence_curve=ConvergenceCurve(
            group_sizes(samples), tuple(map(Estimate.from_values, curve))
        ),
    )


def _estimate_by_annealing(
    model: VAE,
    batches_and_z: Iterator[tuple[Batch, Tensor | None]],
    chains: int,
    annealing: AISOptions,
    max_pairs: int,
    seed: int,
    on_progress: ProgressCallback | None,
) -> LogLikelihood:
    """The estimate by annealed importance sampling; with exact draws ``z`` an upper bound, too."""
    parts = [
        annealed_importance_sampling(
            model,
            batch,
            chains,
            annealing,
            z=z,
            max_pairs=max_pairs,
            seed=seed,
            on_progress=on_progress,
        )
        for batch, z in batches_and_z
    ]
    uppers = [part.upper for part in parts if part.upper is not None]
    return _summarise(
        torch.cat([part.log_mean for part in parts]),
        torch.cat([part.log_mean_error for part in parts]),
        torch.cat([part.lower for part in parts]),
        torch.cat(uppers) if uppers else None,
        effective_sample_size=torch.cat([part.effective_sample_size for part in parts])
        .mean()
        .item(),
        samples=chains,
        method="annealing",
        acceptance_rate=torch.cat([part.acceptance for part in parts]).mean().item(),
    )


def _compute_exactly(model: VAE, data: Rows, max_pairs: int) -> LogLikelihood:
    """The exact value of each row."""
    parts = [
        exact_log_likelihood(
            model, model.to_data_units(batch.x), batch.context, max_pairs=max_pairs
        )
        for batch in _iter_model_blocks(model, data, min(ENCODING_BLOCK_SIZE, max_pairs))
    ]
    return _exact_result(torch.cat(parts))


def _exact_result(value: Tensor) -> LogLikelihood:
    """The result of exact values, which are their own bounds."""
    return _summarise(
        value,
        torch.zeros_like(value),
        value,
        value,
        effective_sample_size=float("nan"),
        samples=0,
        method="exact",
    )


def _summarise(
    estimate: Tensor,
    error: Tensor,
    lower_bound: Tensor,
    upper_bound: Tensor | None = None,
    **fields: Any,
) -> LogLikelihood:
    """Average estimates and bounds of each row."""
    estimate = estimate.double()
    if estimate.isnan().any():
        row = int(estimate.isnan().nonzero()[0])
        raise NumericalError(
            f"log p(x) of row {row} is not a number: a density of the model is infinite or NaN at "
            "some of its latents"
        )
    mean = Estimate.from_values(estimate)
    return LogLikelihood(
        mean=mean.mean,
        standard_error=mean.standard_error,
        per_datum=estimate,
        per_datum_error=error.double(),
        lower_bound=Estimate.from_values(lower_bound),
        upper_bound=None if upper_bound is None else Estimate.from_values(upper_bound),
        bound_gap=None if upper_bound is None else Estimate.from_values(upper_bound - lower_bound),
        **fields,
    )


def _iter_model_blocks(model: VAE, data: Rows, block_size: int) -> Iterator[Batch]:
    """Batches of at most ``block_size`` rows in the precision of the model."""
    return iter_batches(data, max(1, block_size), model_dtype(model))


def _sample_joint_batch(
    model: VAE, context: Tensor | None, start: int, stop: int
) -> tuple[Batch, Tensor]:
    """Rows drawn from the model, and the latents that they were drawn with."""
    part = None if context is None else context[start:stop]
    z, p = model.sample_joint(stop - start, part)
    return Batch(p.sample(), part), z


def list_rows(rows: list[int]) -> str:
    """The first three row numbers, and how many more there are."""
    return ", ".join(map(str, rows[:3])) + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")
