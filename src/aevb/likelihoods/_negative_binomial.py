"""Counts that vary more than their mean says."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent
from torch.distributions import NegativeBinomial as TorchNegativeBinomial

from ..distributions import ZeroInflated, to_rate
from ._likelihood import Likelihood, as_event_shape
from ._location_scale import LocationScale, check_unit


class NegativeBinomial(Likelihood):
    """Counts ``x`` with mean ``m = unit exp(l)``, ``l`` from the network, and variance ``m + m^2 / concentration``, per element.

    A Poisson whose rate is drawn from a gamma of that ``concentration``: ``"shared"`` (learned, one number), ``"per_element"`` (one for
    each), ``"predicted"`` (by the network) or a number; learned ones lie between 0.0025 and 403. ``unit`` is about the mean of the data.
    Lopez et al., Deep generative modeling for single-cell transcriptomics (2018).

    >>> import torch
    >>> NegativeBinomial(nn.Identity(), (3,), concentration=2.0, unit=4.0)(torch.zeros(5, 2)).variance[0].round(decimals=4)
    tensor([12., 12., 12.]...)
    """

    discrete = True
    unbounded = True

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        concentration: float | str = "per_element",
        unit: float = 1.0,
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        self.unit = check_unit(unit)
        self.event_shape = as_event_shape(event_shape)
        self.noise = LocationScale(
            network, self.event_shape, concentration, latent_rank, name="concentration"
        )

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        raw, concentration = self.noise(input, context)
        return Independent(
            negative_binomial_from_mean(self.unit * to_rate(raw), concentration),
            len(self.event_shape),
            validate_args=False,
        )


class ZeroInflatedNegativeBinomial(Likelihood):
    """A ``NegativeBinomial`` of which some counts are 0 for a reason of their own, with a probability from the network, per element.

    The mean is that of all counts, those zeros included. Risso et al., A general and flexible method for signal extraction from
    single-cell RNA-seq data (2018).

    >>> import torch
    >>> ZeroInflatedNegativeBinomial(nn.Identity(), (3,), unit=4.0)(torch.zeros(5, 2)).mean[0].round(decimals=4)
    tensor([2., 2., 2.]...)
    """

    discrete = True
    unbounded = True

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        concentration: float | str = "per_element",
        unit: float = 1.0,
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        self.unit = check_unit(unit)
        self.event_shape = as_event_shape(event_shape)
        self.noise = LocationScale(
            network, self.event_shape, concentration, latent_rank, name="concentration", n_extra=1
        )

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        raw, concentration, empty = self.noise(input, context)
        counts = ZeroInflated(
            negative_binomial_from_mean(self.unit * to_rate(raw), concentration), empty
        )
        return Independent(counts, len(self.event_shape), validate_args=False)


def negative_binomial_from_mean(mean: Tensor, concentration: Tensor) -> TorchNegativeBinomial:
    """The negative binomial of this mean and concentration, from log-probabilities."""
    return TorchNegativeBinomial(
        concentration, logits=mean.log() - concentration.log(), validate_args=False
    )
