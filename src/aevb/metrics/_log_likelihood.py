"""The evidence: an estimate between a lower and an upper bound, each under its own name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import torch
from torch import Tensor

from .._memory import explain_out_of_memory
from ..data import Rows
from ..distributions._support import has_real_support
from ..errors import ArgumentError, NumericalError, check_counts
from ..inference import AISOptions, annealed_importance_sampling, importance_weights
from ..inference._ais import DEFAULT_CHAINS, ais_block_size
from ..inference._importance import DEFAULT_MAX_PAIRS, group_sizes
from ..inference._pareto import pareto_k_threshold
from ..models import VAE
from ..types import Batch
from ._blocks import as_model_rows, iter_batches, model_dtype, network_precision, seeded_evaluation
from ._estimate import Estimate, format_with_error
from ._exact import enumerable_latent, exact_log_likelihood
from ._rate_distortion import RateDistortion

ENCODING_BLOCK_SIZE = 256  # data encoded at once
COMPILE_FROM_PAIRS = (
    10_000_000  # pairs of datum and sample from which a few seconds of compiling pay
)
LIKELIHOOD_SAMPLES = {
    "importance": 100,
    "ais": DEFAULT_CHAINS,
    "exact": 0,
}  # where nobody says how many

LikelihoodMethod = Literal["importance", "ais", "exact"]
ProgressCallback = Callable[[int], None]


@dataclass(frozen=True)
class SampleSizeCurve:
    """The estimate with fewer samples, from the same draws: it climbs from the ELBO at 1 sample towards ``log p(x)``."""

    samples: tuple[int, ...]  # 1, 2, 4 ... and all
    values: tuple[Estimate, ...]


@dataclass(frozen=True)
class LogLikelihood:
    """``log p(x)`` in nats per datum: an estimate, a lower bound below it and, for simulated data, an upper bound.

    Means over data with standard errors over data, which contain the noise of the draws. A bound is one in expectation. The estimate of
    ``importance`` and of ``ais`` is in expectation a lower bound, too, and a tighter one; that of ``exact`` is the truth.
    """

    mean: float  # the estimate
    standard_error: float
    effective_sample_size: float  # mean over data, between 1 and samples
    samples: int  # importance samples or annealed chains for each datum, 0 where exact
    per_datum: Tensor  # [N] float64, the estimate
    lower_bound: Estimate  # mean log-weight: the ELBO of importance sampling, the annealed bound of AIS, the value itself where exact
    upper_bound: Estimate | None = (
        None  # of data that the model made up and whose codes are known; None: not available
    )
    bound_gap: Estimate | None = None  # upper - lower, datum by datum
    method: LikelihoodMethod = "importance"
    pareto_k: Tensor | None = None  # [N], shape of the tail of the importance weights
    curve: SampleSizeCurve | None = None  # of importance sampling
    acceptance: float | None = None  # of annealed chains
    rate_distortion: RateDistortion | None = (
        None  # the lower bound in its two terms, from the same draws, where all of them are the posterior's
    )

    @property
    def value(self) -> Estimate:
        """Mean and standard error of the estimate alone."""
        return Estimate(self.mean, self.standard_error)

    @property
    def elbo(self) -> Estimate:
        """The lower bound under the name that it has in importance sampling."""
        return self.lower_bound

    @property
    def zero_likelihood_rows(self) -> Tensor:
        """Row numbers of data with likelihood 0 at every draw: their ``log p(x)`` is ``-inf``, and so is the mean."""
        return self.per_datum.isneginf().nonzero()[:, 0]

    @property
    def reliable_share(self) -> float | None:
        """The share of data whose ``pareto_k`` is below ``min(1 - 1/log10(samples), 0.7)``; ``None`` where it is not known."""
        if self.pareto_k is None or bool(self.pareto_k.isnan().all()):
            return None
        return (self.pareto_k < pareto_k_threshold(self.samples)).double().mean().item()

    def __str__(self) -> str:
        rows = self.zero_likelihood_rows.tolist()
        more = (
            f"; likelihood 0 at every draw for row{'s' if len(rows) > 1 else ''} {_list_rows(rows)}"
            if rows
            else ""
        )
        what = {
            "importance": f"{self.samples} samples, effective {self.effective_sample_size:.1f}",
            "ais": f"{self.samples} annealed chains, effective {self.effective_sample_size:.1f}",
            "exact": "exact",
        }[self.method]
        return f"{format_with_error(self.mean, self.standard_error)} nats ({what}{more})"


def log_likelihood(
    model: VAE,
    x: Any,
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
    """``log p(x)`` of each datum, ``[N]``, and its mean with a standard error.

    ``x`` may be rows of a data set, a tensor or an array ``[N, *event]``; NaN is an empty cell where the model takes them.

    - ``method="importance"``: ``samples`` draws from the posterior (100), weighed against the joint; ``defensive`` is the share of them
      that come from the prior.
    - ``method="ais"``: ``samples`` annealed chains (16), which go as ``annealing`` says; a code of few states is summed over instead.
    - ``method="exact"``: by formula for linear-Gaussian models, by a sum over a code of at most 4096 states.

    ``rows`` bounds how many pairs of a draw (or a chain) and a datum are decoded at once, and with them the memory. Rows are held in single
    precision. ``precision`` is that of the
    networks; densities are float32 or better either way (bfloat16 networks move the mean by some thousandths of a nat). The result is the
    same for the same ``seed`` and leaves every other random stream as it was. ``advance`` is told how many pairs have been done: as many in
    all as data times samples, or as ``annealing.work`` says.

    Raises ``ArgumentError`` for settings of another method, ``IncompatibleError`` where the method does not exist for the model,
    ``DataError`` for data that it cannot take, and ``NumericalError`` for a likelihood that is not a number.

    >>> from aevb import likelihoods, networks, posteriors, priors
    >>> model = VAE(
    ...     priors.Normal(2),
    ...     posteriors.Normal(networks.MLP(6), 2),
    ...     likelihoods.Normal(networks.MLP(2), (6,)),
    ... )
    >>> x = torch.randn(50, 6)
    >>> truth, found = (
    ...     log_likelihood(model, x, method="exact"),
    ...     log_likelihood(model, x, samples=1000),
    ... )
    >>> bool(found.lower.mean < found.mean < truth.mean + 0.1)
    True
    """
    check_likelihood_arguments(method, samples, annealing, defensive, max_pairs)
    count = LIKELIHOOD_SAMPLES[method] if samples is None else samples
    if method == "ais" and enumerable_latent(model) is not None:
        method = "exact"
    data = as_model_rows(model, x)
    with (
        seeded_evaluation(model, seed),
        network_precision(model, precision),
        explain_out_of_memory("in an evaluation", rows=max_pairs),
    ):
        if method == "exact":
            return _compute_exactly(model, data, max_pairs)
        if method == "ais":
            blocks_of = (
                (batch, None)
                for batch in _iter_model_blocks(model, data, ais_block_size(count, max_pairs))
            )
            return _estimate_by_annealing(
                model, blocks_of, count, annealing, max_pairs, on_progress
            )
        return _estimate_by_importance(model, data, count, defensive, max_pairs, on_progress)


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
    """``log p(x)`` of ``n`` data that the model makes up, between two bounds: bidirectional Monte Carlo.

    The codes that the data were drawn with are exact draws from ``p(z|x)``, from where ``samples`` chains run backwards and give an upper
    bound, as the chains that run forwards give a lower one. No upper bound exists for data from elsewhere; but where the model resembles
    its data, the width of this bracket says how far annealed bounds of those are from the truth, too.

    ``annealing`` starts at the posterior approximation where codes may be any real numbers and from which others than its training rows
    can be asked about, and at the prior elsewhere: where the approximation has thinner tails than the truth, the upper bound would be as
    loose as it likes. A conditional model takes ``context`` ``[n, C]`` or ``label``, as ``VAE.sample`` does; ``rows`` is that of
    ``log_likelihood``.

    Grosse, Ghahramani and Adams (2015); Wu et al. (2017). Raises what ``log_likelihood`` with ``method="ais"`` raises.

    >>> from aevb import likelihoods, networks, posteriors, priors
    >>> model = VAE(
    ...     priors.Normal(2),
    ...     posteriors.Normal(networks.MLP(6), 2),
    ...     likelihoods.Normal(networks.MLP(2), (6,)),
    ... )
    >>> found = bracket(model, n=8, samples=4, annealing=AISOptions(temperatures=50))
    >>> found.lower.mean <= found.upper.mean
    True
    """
    check_counts(n=n, samples=samples, rows=max_pairs)
    context = model.resolve_context(n, context, label)
    size = ais_block_size(samples, max_pairs)
    with seeded_evaluation(model, seed), explain_out_of_memory("in an evaluation", rows=max_pairs):
        path = annealing or AISOptions(start=default_chain_start(model))
        dreams = (
            _sample_joint_batch(model, context, start, min(start + size, n))
            for start in range(0, n, size)
        )
        if enumerable_latent(model) is not None:
            return _exact_result(
                torch.cat(
                    [
                        exact_log_likelihood(model, batch.x, batch.context, max_pairs=max_pairs)
                        for batch, _ in dreams
                    ]
                )
            )
        return _estimate_by_annealing(model, dreams, samples, path, max_pairs, on_progress)


def default_chain_start(model: VAE) -> Literal["posterior", "prior"]:
    """Where the chains of a bracket begin, where nobody says."""
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
    """Refuse methods that are none, and settings of another method, which would change nothing. Raises ``ArgumentError``."""
    check_counts(
        rows=max_pairs, **({} if samples is None or method == "exact" else {"samples": samples})
    )
    if not isinstance(annealing, AISOptions):
        raise ArgumentError(f"`annealing` is {annealing!r}; give an inference.Annealing(...).")
    if not isinstance(defensive, int | float) or not 0 <= defensive < 1:
        raise ArgumentError(
            f"`defensive` is {defensive!r}; give the share of draws from the prior, at least 0 and below 1."
        )
    if method not in LIKELIHOOD_SAMPLES:
        raise ArgumentError(f'`method` is {method!r}; use "importance", "ais" or "exact".')
    if samples is not None and method == "exact":
        raise ArgumentError(
            f'`samples` is {samples} with method="exact", which draws none; leave it out.'
        )
    if defensive and method != "importance":
        raise ArgumentError(
            f'`defensive` is {defensive} with method="{method}"; it belongs to method="importance".'
        )
    if annealing != AISOptions() and method != "ais":
        raise ArgumentError(
            f'`annealing` is {annealing} with method="{method}"; it belongs to method="ais".'
        )


def _estimate_by_importance(
    model: VAE,
    data: Rows,
    samples: int,
    defensive: float,
    max_pairs: int,
    on_progress: ProgressCallback | None,
) -> LogLikelihood:
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
            on_progress=on_progress,
        )
        for batch in batches
    ]
    curve = torch.cat([part.curve for part in parts], 1)
    elbo, distortion = (
        torch.cat([each(part) for part in parts])
        for each in (attrgetter("elbo"), attrgetter("distortion"))
    )
    return _summarise(
        torch.cat([part.log_mean for part in parts]),
        elbo,
        effective_sample_size=torch.cat([part.effective_sample_size for part in parts])
        .mean()
        .item(),
        samples=samples,
        rate_distortion=None
        if defensive
        else RateDistortion.from_terms(-elbo - distortion, distortion),
        pareto_k=torch.cat([part.pareto_k for part in parts]),
        curve=SampleSizeCurve(group_sizes(samples), tuple(map(Estimate.from_values, curve))),
    )


def _estimate_by_annealing(
    model: VAE,
    batches_and_z: Iterator[tuple[Batch, Tensor | None]],
    chains: int,
    annealing: AISOptions,
    max_pairs: int,
    on_progress: ProgressCallback | None,
) -> LogLikelihood:
    parts = [
        annealed_importance_sampling(
            model, batch, chains, annealing, z=z, max_pairs=max_pairs, on_progress=on_progress
        )
        for batch, z in batches_and_z
    ]
    uppers = [part.upper for part in parts if part.upper is not None]
    return _summarise(
        torch.cat([part.log_mean for part in parts]),
        torch.cat([part.lower for part in parts]),
        torch.cat(uppers) if uppers else None,
        effective_sample_size=torch.cat([part.effective_sample_size for part in parts])
        .mean()
        .item(),
        samples=chains,
        method="ais",
        acceptance=torch.cat([part.acceptance for part in parts]).mean().item(),
    )


def _compute_exactly(model: VAE, data: Rows, max_pairs: int) -> LogLikelihood:
    parts = [
        exact_log_likelihood(model, batch.x, batch.context, max_pairs=max_pairs)
        for batch in _iter_model_blocks(model, data, min(ENCODING_BLOCK_SIZE, max_pairs))
    ]
    return _exact_result(torch.cat(parts))


def _exact_result(value: Tensor) -> LogLikelihood:
    return _summarise(
        value, value, value, effective_sample_size=float("nan"), samples=0, method="exact"
    )


def _summarise(
    estimate: Tensor, lower_bound: Tensor, upper_bound: Tensor | None = None, **fields: Any
) -> LogLikelihood:
    estimate = estimate.double()
    if estimate.isnan().any():
        row = int(estimate.isnan().nonzero()[0])
        raise NumericalError(
            f"log p(x) of row {row} is not a number: a density of the model is infinite or NaN at some of its codes."
        )
    mean = Estimate.from_values(estimate)
    return LogLikelihood(
        mean=mean.mean,
        standard_error=mean.standard_error,
        per_datum=estimate,
        lower_bound=Estimate.from_values(lower_bound),
        upper_bound=None if upper_bound is None else Estimate.from_values(upper_bound),
        bound_gap=None if upper_bound is None else Estimate.from_values(upper_bound - lower_bound),
        **fields,
    )


def _iter_model_blocks(model: VAE, data: Rows, block_size: int) -> Iterator[Batch]:
    return iter_batches(data, max(1, block_size), model_dtype(model))


def _sample_joint_batch(
    model: VAE, context: Tensor | None, start: int, stop: int
) -> tuple[Batch, Tensor]:
    """Some data that the model makes up, and the codes that they were drawn with."""
    told = None if context is None else context[start:stop]
    z, p = model.sample_joint(stop - start, told)
    return Batch(p.sample(), told), z


def _list_rows(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:3])) + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")
