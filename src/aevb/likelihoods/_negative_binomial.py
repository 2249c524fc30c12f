"""Likelihoods of counts with more variance than a Poisson."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Independent

from .. import distributions
from .._registry import register
from ..distributions import ZeroInflated
from ..networks._condition import Condition
from ..networks._library_size import LibrarySize
from ._count_means import CountMeans
from ._likelihood import Likelihood, as_event_shape
from ._location_scale import LocationScale
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="negative binomial",
        paper="Lopez et al. 2018",
        kinds=("count",),
        scaling="mean",
        use_when="counts that vary more than their mean, as in single-cell RNA",
        cost="one output per value and learned concentrations",
        avoid_when="variance equals the mean; poisson is simpler",
    )
)
class NegativeBinomial(Likelihood):
    """Counts with mean ``m = unit * exp(l)`` and variance ``m + m^2 / concentration``.

    Per element, with ``l`` from the network. The family is a Poisson whose rate is drawn from a
    gamma.

    Lopez et al., Deep generative modeling for single-cell transcriptomics (2018).

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        concentration: A positive number, ``"shared"`` (learned, one number), ``"per_element"``
            (learned, one per element), ``"per_class"`` (learned, one per element and class of the
            condition's first label) or ``"predicted"`` by the network. Learned values lie between
            0.0025 and 403.
        unit: Mean of the data, approximately; the mean of the likelihood starts there.
        latent_rank: Number of axes of a latent.
        condition: A condition with a ``networks.LibrarySize``: the mean is this size times shares
            that sum to 1, and ``log p(x|z)`` is that given the library size. Or one with a label,
            for ``"per_class"``.

    Raises:
        ArgumentError: ``concentration`` or ``unit`` is not positive.

    Example:
        >>> import torch
        >>> NegativeBinomial(nn.Identity(), (3,), concentration=2.0, unit=4.0)(
        ...     torch.zeros(5, 2)
        ... ).variance[0].round(decimals=4)
        tensor([12., 12., 12.]...)
    """

    measure = "probability"
    unbounded = True

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        concentration: float | str = "per_element",
        unit: float = 1.0,
        latent_rank: int = 1,
        condition: Condition | None = None,
    ) -> None:
        super().__init__()
        self.event_shape = as_event_shape(event_shape)
        self.means = _means(unit, self.event_shape, concentration, condition)
        self.unit = self.means.unit
        self.noise = LocationScale(
            network,
            self.event_shape,
            concentration,
            latent_rank,
            name="concentration",
            condition=condition,
        )

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        raw, concentration = self.noise(input, self.means.without_library(context))
        return Independent(
            distributions.NegativeBinomial(self.means(raw, context), concentration),
            len(self.event_shape),
            validate_args=False,
        )


@register(
    LikelihoodRegistration(
        title="zero-inflated negative binomial",
        paper="Risso et al. 2018",
        kinds=("count",),
        scaling="mean",
        use_when="overdispersed counts with more zeros than a negative binomial gives",
        cost="two outputs per value",
        avoid_when="zeros follow from small means",
    )
)
class ZeroInflatedNegativeBinomial(Likelihood):
    """A ``NegativeBinomial`` with additional zeros.

    The probability of an additional zero comes from the network, per element. The mean is that of
    all counts, the additional zeros included.

    Risso et al., A general and flexible method for signal extraction from single-cell RNA-seq data
    (2018).

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        concentration: As in ``NegativeBinomial``.
        unit: Mean of the data, approximately; the mean of the likelihood starts there.
        latent_rank: Number of axes of a latent.
        condition: A condition with a ``networks.LibrarySize``: the mean is this size times shares
            that sum to 1, and ``log p(x|z)`` is that given the library size. Or one with a label,
            for ``"per_class"``.

    Raises:
        ArgumentError: ``concentration`` or ``unit`` is not positive.

    Example:
        >>> import torch
        >>> ZeroInflatedNegativeBinomial(nn.Identity(), (3,), unit=4.0)(torch.zeros(5, 2)).mean[
        ...     0
        ... ].round(decimals=4)
        tensor([2., 2., 2.]...)
    """

    measure = "probability"
    unbounded = True

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        concentration: float | str = "per_element",
        unit: float = 1.0,
        latent_rank: int = 1,
        condition: Condition | None = None,
    ) -> None:
        super().__init__()
        self.event_shape = as_event_shape(event_shape)
        self.means = _means(unit, self.event_shape, concentration, condition)
        self.unit = self.means.unit
        self.noise = LocationScale(
            network,
            self.event_shape,
            concentration,
            latent_rank,
            name="concentration",
            n_extra=1,
            condition=condition,
        )

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        raw, concentration, empty = self.noise(input, self.means.without_library(context))
        counts = ZeroInflated(
            distributions.NegativeBinomial(self.means(raw, context), concentration), empty
        )
        return Independent(counts, len(self.event_shape), validate_args=False)


def _means(
    unit: float, event_shape: Sequence[int], concentration: float | str, condition: Condition | None
) -> CountMeans:
    """The means; a condition that only the concentration needs has no library size."""
    sized = condition is not None and any(isinstance(v, LibrarySize) for v in condition.variables)
    unsized = concentration == "per_class" and not sized
    return CountMeans.for_condition(unit, event_shape, None if unsized else condition)
