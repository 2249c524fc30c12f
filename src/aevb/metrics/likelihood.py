"""The estimate of the evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..inference import importance_weights
from ..inference.importance import ROWS
from ..models import VAE
from .measured import Measured
from .sweep import blocks, dtype_of, evaluating, rows_of

BLOCK = 256  # data encoded at once


@dataclass(frozen=True)
class LogLikelihood:
    """Importance-sampled ``log p(x)``: a lower bound in expectation that tightens with ``samples``."""

    mean: float  # nats per datum
    standard_error: float  # over data
    effective_sample_size: float  # mean over data, between 1 and samples
    samples: int
    per_datum: Tensor  # [N] float64
    elbo: Measured  # from the same draws

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.standard_error:.2f} nats ({self.samples} samples, effective {self.effective_sample_size:.1f})"


def log_likelihood(
    model: VAE, x: Any, samples: int = 100, *, seed: int = 0, rows: int = ROWS, advance: Callable[[int], None] | None = None
) -> LogLikelihood:
    """``log p(x)`` of each datum by importance sampling with the posterior as proposal, ``[N]``, and its mean with a standard error.

    ``x`` may be rows of a data set, a tensor or an array ``[N, *event]``. ``rows`` bounds how many (sample, datum) pairs are decoded at
    once. The result is the same for the same ``seed`` and leaves every other random stream as it was.
    """
    data = rows_of(model, x)
    with evaluating(model, seed):
        parts = [importance_weights(model, batch, samples, rows=rows, advance=advance) for batch in blocks(data, BLOCK, dtype_of(model))]
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
