"""The two terms of the ELBO."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._memory import default_block_size, explain_out_of_memory
from .._registry import register
from .._row_noise import RowNoise
from ..data import Rows
from ..errors import check_counts
from ..inference._batches import iter_batches, model_dtype, rate_and_distortion, seeded_evaluation
from ..inference._inputs import TrainedModel, resolve_input
from ..models import VAE
from ..types import Batch
from ._estimate import Estimate
from ._number import MetricRegistration, Number

if TYPE_CHECKING:
    from ._evaluation import EvaluationContext

SINGLE_DRAW_ABOVE = 1000
"""Above this number of rows one draw per row is enough: the spread of the rows dominates."""

ELBO_DRAWS = 8
"""Draws per row in the sampled part of a bound, for fewer rows."""


@dataclass(frozen=True)
class RateDistortion:
    """``-ELBO = distortion + rate``: nats to describe ``x`` given ``z``, and to describe ``z``.

    Alemi et al., Fixing a broken ELBO (2018).

    Args:
        rate: ``E KL(q(z|x) || p(z))``.
        distortion: ``-E log p(x|z)``.
        elbo: ``-distortion - rate``.
        per_datum: Rate and distortion of each row, ``[2, N]`` float64. They depend on the row, the
            seed and the number of draws, and not on the other rows.
        per_datum_error: Standard error of the ELBO of each row over the draws, ``[N]``; NaN for a
            single draw.
    """

    rate: Estimate
    distortion: Estimate
    elbo: Estimate
    per_datum: Tensor | None = field(default=None, compare=False, repr=False)
    per_datum_error: Tensor | None = field(default=None, compare=False, repr=False)

    @staticmethod
    def from_terms(rate: Tensor, distortion: Tensor, error: Tensor | None = None) -> RateDistortion:
        """Average both terms over rows.

        Args:
            rate: Rate of each row, ``[N]``.
            distortion: Distortion of each row, ``[N]``.
            error: Standard error of the ELBO of each row, ``[N]``.

        Returns:
            The means with their standard errors.
        """
        return RateDistortion(
            Estimate.from_values(rate),
            Estimate.from_values(distortion),
            Estimate.from_values(-rate - distortion),
            torch.stack([rate, distortion]),
            error,
        )

    @property
    def reconstruction(self) -> Estimate:
        """``E log p(x|z)``, the negative distortion."""
        return Estimate(-self.distortion.mean, self.distortion.standard_error)


def rate_distortion(
    model: VAE | TrainedModel,
    x: Any = None,
    samples: int = ELBO_DRAWS,
    *,
    seed: int = 0,
    block_size: int = 256,
) -> RateDistortion:
    """Compute rate, distortion and ELBO over data.

    The rate is exact where the KL divergence has a formula, else it is sampled.

    Args:
        model: The model, or a run. Its weights are not changed.
        x: Rows ``[N, *event]``: an array, a tensor or a list, ``Rows``, a data frame of numbers, a
            path, or a ``Dataset``, of which the test rows count. For a run, data that it reads;
            its test rows by default.
        samples: Draws of ``z`` per row.
        seed: Seed of the draws.
        block_size: Largest number of rows that are evaluated at once.

    Returns:
        Means over rows, in nats. For a posterior without a density the rate and the ELBO are NaN:
        an autoencoder has neither.

    Raises:
        ArgumentError: ``samples`` or ``block_size`` is below 1.
        DataError: A row has another shape, or lies outside the likelihood's support.
        OutOfMemoryError: A block does not fit into memory.
    """
    check_counts(samples=samples, block_size=block_size)
    return rate_distortion_of_rows(
        *resolve_input(model, x), samples, seed=seed, block_size=block_size
    )


def rate_distortion_of_rows(
    model: VAE, data: Rows, samples: int, *, seed: int = 0, block_size: int = 256
) -> RateDistortion:
    """Rate and distortion of rows on the model's device that were checked before."""
    block_size = default_block_size(math.prod(model.event_shape), max_rows=block_size)
    with (
        seeded_evaluation(model, seed),
        explain_out_of_memory("in an evaluation", samples=samples, block=block_size),
    ):
        terms = [
            _terms_per_row(model, batch, samples, seed)
            for batch in iter_batches(data, block_size, model_dtype(model))
        ]
    return RateDistortion.from_terms(*torch.cat(terms, 1))


def _terms_per_row(model: VAE, batch: Batch, samples: int, seed: int) -> Tensor:
    """Rate, distortion and the error of their sum of each row of a batch, ``[3, B]``."""
    with RowNoise.from_batch(batch, seed, model.constant_cells).samples(samples):
        terms = model.draw_terms(batch, samples)
    sampled = terms.log_posterior - terms.log_prior if terms.kl is None else terms.kl
    bound = (terms.log_likelihood - sampled).double()
    error = bound.std(0) / math.sqrt(samples) if samples > 1 else bound[0] * math.nan
    return torch.stack([*rate_and_distortion(model, terms), error])


def elbo_samples(n_rows: int) -> int:
    """Draws per row that make the noise of a bound small beside the spread of the rows.

    >>> elbo_samples(180), elbo_samples(10_000)
    (8, 1)
    """
    return ELBO_DRAWS if n_rows <= SINGLE_DRAW_ABOVE else 1


def elbo_number(context: EvaluationContext, terms: RateDistortion) -> Number:
    """The ELBO, or for an autoencoder the reconstruction log-likelihood."""
    if context.has_elbo:
        return Number.from_estimate(
            "elbo",
            "ELBO",
            terms.elbo,
            unit=context.unit,
            measure=context.measure,
            meaning="Evidence lower bound, -distortion - rate: it lies below log p(x) by the KL "
            "divergence of the posterior from the exact posterior.",
        )
    return Number.from_estimate(
        "reconstruction_log_likelihood",
        "reconstruction log-likelihood",
        terms.reconstruction,
        unit=context.unit,
        measure=context.measure,
        meaning="E log p(x|z) with z from the encoder; higher is a closer reconstruction. "
        "An autoencoder has no likelihood of the data.",
    )


@register(
    MetricRegistration(
        name="rate_distortion",
        title="Rate and distortion",
        paper="Alemi et al. (2018)",
        use_when="comparing how much information the latent variables carry",
        cost="8 passes through the decoder, or none beside the log-likelihood",
        order=30,
    )
)
def _rate_distortion_numbers(context: EvaluationContext) -> Iterator[Number]:
    terms, fields = context.rate_distortion, {"unit": context.unit}
    yield elbo_number(context, terms)
    if not context.has_elbo:
        yield Number("elbo", "ELBO", None, in_tables=False)
    yield Number.from_estimate(
        "rate",
        "rate",
        terms.rate if context.has_elbo else None,
        **fields,
        meaning="KL(q(z|x) || p(z)): the information that z carries about x; at 0 the decoder "
        "ignores z.",
        in_tables=context.has_elbo,
    )
    yield Number.from_estimate(
        "distortion",
        "distortion",
        terms.distortion,
        **fields,
        measure=context.measure,
        meaning="-E log p(x|z): what is missing once z is known; lower is a closer reconstruction.",
        in_tables=context.has_elbo,
    )
