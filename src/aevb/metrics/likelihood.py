"""The evidence: an estimate between a lower and an upper bound, each under its own name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import torch
from torch import Tensor

from ..data import Rows
from ..distributions.support import is_real
from ..errors import ArgumentError, NumericalError, check_counts
from ..inference import Annealing, anneal, importance_weights
from ..inference.ais import CHAINS, rows_together
from ..inference.importance import ROWS, group_sizes
from ..inference.pareto import reliable_below
from ..memory import enough_memory
from ..models import VAE
from ..types import Batch
from .exact import exact_log_likelihood, states_of
from .measured import Measured, with_error
from .rate import RateDistortion
from .sweep import blocks, dtype_of, evaluating, networks_in, rows_of

BLOCK = 256  # data encoded at once
LONG = 10_000_000  # pairs of datum and sample from which a few seconds of compiling pay
SAMPLES = {"importance": 100, "ais": CHAINS, "exact": 0}  # where nobody says how many

Method = Literal["importance", "ais", "exact"]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Curve:
    """The estimate with fewer samples, from the same draws: it climbs from the ELBO at 1 sample towards ``log p(x)``."""

    samples: tuple[int, ...]  # 1, 2, 4 ... and all
    values: tuple[Measured, ...]


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
    lower: Measured  # mean log-weight: the ELBO of importance sampling, the annealed bound of AIS, the value itself where exact
    upper: Measured | None = None  # of data that the model made up and whose codes are known; None: not available
    gap: Measured | None = None  # upper - lower, datum by datum
    method: Method = "importance"
    pareto_k: Tensor | None = None  # [N], shape of the tail of the importance weights
    curve: Curve | None = None  # of importance sampling
    acceptance: float | None = None  # of annealed chains
    terms: RateDistortion | None = None  # the lower bound in its two terms, from the same draws, where all of them are the posterior's

    @property
    def value(self) -> Measured:
        """Mean and standard error of the estimate alone."""
        return Measured(self.mean, self.standard_error)

    @property
    def elbo(self) -> Measured:
        """The lower bound under the name that it has in importance sampling."""
        return self.lower

    @property
    def impossible(self) -> Tensor:
        """Row numbers of data with likelihood 0 at every draw: their ``log p(x)`` is ``-inf``, and so is the mean."""
        return self.per_datum.isneginf().nonzero()[:, 0]

    @property
    def reliable(self) -> float | None:
        """The share of data whose ``pareto_k`` is below ``min(1 - 1/log10(samples), 0.7)``; ``None`` where it is not known."""
        if self.pareto_k is None or bool(self.pareto_k.isnan().all()):
            return None
        return (self.pareto_k < reliable_below(self.samples)).double().mean().item()

    def __str__(self) -> str:
        rows = self.impossible.tolist()
        more = f"; likelihood 0 at every draw for row{'s' if len(rows) > 1 else ''} {_listed(rows)}" if rows else ""
        what = {
            "importance": f"{self.samples} samples, effective {self.effective_sample_size:.1f}",
            "ais": f"{self.samples} annealed chains, effective {self.effective_sample_size:.1f}",
            "exact": "exact",
        }[self.method]
        return f"{with_error(self.mean, self.standard_error)} nats ({what}{more})"


def log_likelihood(
    model: VAE,
    x: Any,
    samples: int | None = None,
    method: Method = "importance",
    *,
    annealing: Annealing = Annealing(),
    defensive: float = 0.0,
    seed: int = 0,
    rows: int = ROWS,
    precision: Literal["float32", "bfloat16"] = "float32",
    advance: Advance | None = None,
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
    >>> model = VAE(priors.Normal(2), posteriors.Normal(networks.MLP(6), 2), likelihoods.Normal(networks.MLP(2), (6,)))
    >>> x = torch.randn(50, 6)
    >>> truth, found = log_likelihood(model, x, method="exact"), log_likelihood(model, x, samples=1000)
    >>> bool(found.lower.mean < found.mean < truth.mean + 0.1)
    True
    """
    check_asked(method, samples, annealing, defensive, rows)
    count = SAMPLES[method] if samples is None else samples
    if method == "ais" and states_of(model) is not None:
        method = "exact"
    data = rows_of(model, x)
    with evaluating(model, seed), networks_in(model, precision), enough_memory("in an evaluation", rows=rows):
        if method == "exact":
            return _exact(model, data, rows)
        if method == "ais":
            blocks_of = ((batch, None) for batch in _blocks(model, data, rows_together(count, rows)))
            return _annealed(model, blocks_of, count, annealing, rows, advance)
        return _weighed(model, data, count, defensive, rows, advance)


def bracket(
    model: VAE,
    n: int = 32,
    samples: int = CHAINS,
    *,
    context: Tensor | None = None,
    label: Any = None,
    annealing: Annealing | None = None,
    seed: int = 0,
    rows: int = ROWS,
    advance: Advance | None = None,
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
    >>> model = VAE(priors.Normal(2), posteriors.Normal(networks.MLP(6), 2), likelihoods.Normal(networks.MLP(2), (6,)))
    >>> found = bracket(model, n=8, samples=4, annealing=Annealing(temperatures=50))
    >>> found.lower.mean <= found.upper.mean
    True
    """
    check_counts(n=n, samples=samples, rows=rows)
    context = model.told(n, context, label)
    size = rows_together(samples, rows)
    with evaluating(model, seed), enough_memory("in an evaluation", rows=rows):
        path = annealing or Annealing(start=beginning(model))
        dreams = (_dreamt(model, context, start, min(start + size, n)) for start in range(0, n, size))
        if states_of(model) is not None:
            return _known(torch.cat([exact_log_likelihood(model, batch.x, batch.context, rows=rows) for batch, _ in dreams]))
        return _annealed(model, dreams, samples, path, rows, advance)


def beginning(model: VAE) -> Literal["posterior", "prior"]:
    """Where the chains of a bracket begin, where nobody says."""
    return "posterior" if model.posterior.rows is None and is_real(model.probe()[0]) else "prior"


def check_asked(method: str, samples: int | None, annealing: Annealing, defensive: float, rows: int = ROWS) -> None:
    """Refuse methods that are none, and settings of another method, which would change nothing. Raises ``ArgumentError``."""
    check_counts(rows=rows, **({} if samples is None or method == "exact" else {"samples": samples}))
    if not isinstance(annealing, Annealing):
        raise ArgumentError(f"`annealing` is {annealing!r}; give an inference.Annealing(...).")
    if not isinstance(defensive, int | float) or not 0 <= defensive < 1:
        raise ArgumentError(f"`defensive` is {defensive!r}; give the share of draws from the prior, at least 0 and below 1.")
    if method not in SAMPLES:
        raise ArgumentError(f'`method` is {method!r}; use "importance", "ais" or "exact".')
    if samples is not None and method == "exact":
        raise ArgumentError(f'`samples` is {samples} with method="exact", which draws none; leave it out.')
    if defensive and method != "importance":
        raise ArgumentError(f'`defensive` is {defensive} with method="{method}"; it belongs to method="importance".')
    if annealing != Annealing() and method != "ais":
        raise ArgumentError(f'`annealing` is {annealing} with method="{method}"; it belongs to method="ais".')


def _weighed(model: VAE, data: Rows, samples: int, defensive: float, rows: int, advance: Advance | None) -> LogLikelihood:
    long = samples * len(data) >= LONG
    batches = _blocks(model, data, min(BLOCK, rows))
    parts = [importance_weights(model, batch, samples, rows=rows, long=long, defensive=defensive, advance=advance) for batch in batches]
    curve = torch.cat([part.curve for part in parts], 1)
    elbo, distortion = (torch.cat([each(part) for part in parts]) for each in (attrgetter("elbo"), attrgetter("distortion")))
    return _summed_up(
        torch.cat([part.log_mean for part in parts]),
        elbo,
        effective_sample_size=torch.cat([part.effective_sample_size for part in parts]).mean().item(),
        samples=samples,
        terms=None if defensive else RateDistortion.of(-elbo - distortion, distortion),
        pareto_k=torch.cat([part.pareto_k for part in parts]),
        curve=Curve(group_sizes(samples), tuple(map(Measured.of, curve))),
    )


def _annealed(
    model: VAE, pairs: Iterator[tuple[Batch, Tensor | None]], chains: int, annealing: Annealing, rows: int, advance: Advance | None
) -> LogLikelihood:
    parts = [anneal(model, batch, chains, annealing, z=z, rows=rows, advance=advance) for batch, z in pairs]
    uppers = [part.upper for part in parts if part.upper is not None]
    return _summed_up(
        torch.cat([part.log_mean for part in parts]),
        torch.cat([part.lower for part in parts]),
        torch.cat(uppers) if uppers else None,
        effective_sample_size=torch.cat([part.effective_sample_size for part in parts]).mean().item(),
        samples=chains,
        method="ais",
        acceptance=torch.cat([part.acceptance for part in parts]).mean().item(),
    )


def _exact(model: VAE, data: Rows, rows: int) -> LogLikelihood:
    parts = [exact_log_likelihood(model, batch.x, batch.context, rows=rows) for batch in _blocks(model, data, min(BLOCK, rows))]
    return _known(torch.cat(parts))


def _known(value: Tensor) -> LogLikelihood:
    return _summed_up(value, value, value, effective_sample_size=float("nan"), samples=0, method="exact")


def _summed_up(estimate: Tensor, lower: Tensor, upper: Tensor | None = None, **more: Any) -> LogLikelihood:
    estimate = estimate.double()
    if estimate.isnan().any():
        row = int(estimate.isnan().nonzero()[0])
        raise NumericalError(f"log p(x) of row {row} is not a number: a density of the model is infinite or NaN at some of its codes.")
    mean = Measured.of(estimate)
    return LogLikelihood(
        mean=mean.mean,
        standard_error=mean.standard_error,
        per_datum=estimate,
        lower=Measured.of(lower),
        upper=None if upper is None else Measured.of(upper),
        gap=None if upper is None else Measured.of(upper - lower),
        **more,
    )


def _blocks(model: VAE, data: Rows, size: int) -> Iterator[Batch]:
    return blocks(data, max(1, size), dtype_of(model))


def _dreamt(model: VAE, context: Tensor | None, start: int, stop: int) -> tuple[Batch, Tensor]:
    """Some data that the model makes up, and the codes that they were drawn with."""
    told = None if context is None else context[start:stop]
    z, p = model.dream(stop - start, told)
    return Batch(p.sample(), told), z


def _listed(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:3])) + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")
