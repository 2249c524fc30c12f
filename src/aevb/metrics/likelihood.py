"""The estimate of the evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..inference import importance_weights
from ..inference.importance import ROWS
from ..memory import enough_memory
from ..models import VAE
from .measured import Measured, with_error
from .sweep import blocks, dtype_of, evaluating, networks_in, rows_of

BLOCK = 256  # data encoded at once
LONG = 10_000_000  # pairs of datum and sample from which a few seconds of compiling pay


@dataclass(frozen=True)
class LogLikelihood:
    """Importance-sampled ``log p(x)``: a lower bound in expectation that tightens with ``samples``."""

    mean: float  # nats per datum
    standard_error: float  # over data
    effective_sample_size: float  # mean over data, between 1 and samples
    samples: int
    per_datum: Tensor  # [N] float64
    elbo: Measured  # from the same draws

    @property
    def value(self) -> Measured:
        """Mean and standard error alone."""
        return Measured(self.mean, self.standard_error)

    def __str__(self) -> str:
        return f"{with_error(self.mean, self.standard_error)} nats ({self.samples} samples, effective {self.effective_sample_size:.1f})"


def log_likelihood(
    model: VAE,
    x: Any,
    samples: int = 100,
    *,
    seed: int = 0,
    rows: int = ROWS,
    precision: Literal["float32", "bfloat16"] = "float32",
    advance: Callable[[int], None] | None = None,
) -> LogLikelihood:
    """``log p(x)`` of each datum by importance sampling with the posterior as proposal, ``[N]``, and its mean with a standard error.

    ``x`` may be rows of a data set, a tensor or an array ``[N, *event]``. ``rows`` bounds how many (sample, datum) pairs are decoded at
    once. ``precision`` is that of the networks; densities are float32 or better either way (bfloat16 networks move the mean by some
    thousandths of a nat). The result is the same for the same ``seed`` and leaves every other random stream as it was.
    """
    data = rows_of(model, x)
    long = samples * len(data) >= LONG
    with evaluating(model, seed), networks_in(model, precision), enough_memory("in an evaluation", rows=rows):
        batches = blocks(data, max(1, min(BLOCK, rows)), dtype_of(model))
        parts = [importance_weights(model, batch, samples, rows=rows, long=long, advance=advance) for batch in batches]
    per_datum = torch.cat([part.log_mean for part in parts])
    mean = Measured.of(per_datum)
    return LogLikelihood(
        mean=mean.mean,
        standard_error=mean.standard_error,
        effective_sample_size=torch.cat([part.effective_sample_size for part in parts]).mean().item(),
        samples=samples,
        per_datum=per_datum,
        elbo=Measured.of(torch.cat([part.elbo for part in parts])),
    )
