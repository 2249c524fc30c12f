"""Posteriors of independent latent variables of one family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from torch.distributions import Exponential as TorchExponential
from torch.distributions import Laplace as TorchLaplace

from .. import distributions
from .._conditional import Conditional
from .._registry import register
from .._shapes import as_shape
from ..distributions import to_concentration, to_scale
from ..networks import Heads
from ..priors._elementwise import check_dof
from ._registration import PosteriorRegistration


class Elementwise(Conditional, ABC):
    """Independent variables ``[*latent]`` with ``n_parameters`` outputs of the network each."""

    n_parameters = 2

    def __init__(self, network: nn.Module, latent: int | Sequence[int]) -> None:
        super().__init__()
        shape = as_shape("latent", latent)
        self.event_dim = len(shape)
        self.heads = Heads(network, *[shape] * self.n_parameters)

    @abstractmethod
    def family(self, *raw: Tensor) -> Distribution:
        """The distribution of each variable from the network's outputs, any real numbers."""

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        return Independent(
            self.family(*self.heads(input, context)), self.event_dim, validate_args=False
        )


@register(
    PosteriorRegistration(
        title="Laplace",
        use_when="to match a Laplace prior",
        cost="as normal",
        avoid_when="the prior is normal",
    )
)
class Laplace(Elementwise):
    """``q(z|x) = exp(-|z - m| / s) / 2s``, with draws ``z = m - s sign(u) log(1 - 2|u|)``.

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Shape of the latent: one size or several.

    Example:
        >>> import torch
        >>> Laplace(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
        torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        loc, scale = raw
        return TorchLaplace(loc, to_scale(scale), validate_args=False)


@register(
    PosteriorRegistration(
        title="logistic",
        use_when="to compare with the normal posterior",
        cost="as normal, without a formula for the KL divergence",
        avoid_when="the KL divergence should be exact",
    )
)
class Logistic(Elementwise):
    """Logistic, between Gaussian and Laplace, with draws ``z = m + s logit(u)``.

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Shape of the latent: one size or several.

    Example:
        >>> import torch
        >>> Logistic(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
        torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        loc, scale = raw
        return distributions.Logistic(loc, to_scale(scale))


@register(
    PosteriorRegistration(
        title="Student t",
        use_when="importance weights should have finite variance",
        cost="as normal, without a formula for the KL divergence",
        avoid_when="the KL divergence should be exact",
    )
)
class StudentT(Elementwise):
    """Student's t, whose tails decay as a power.

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Shape of the latent: one size or several.
        dof: Degrees of freedom, more than 2.

    Raises:
        ArgumentError: ``dof`` is 2 or less.

    Example:
        >>> import torch
        >>> StudentT(nn.Identity(), latent=2, dof=4.0)(torch.zeros(5, 3)).rsample().shape
        torch.Size([5, 2])
    """

    def __init__(self, network: nn.Module, latent: int | Sequence[int], dof: float = 5.0) -> None:
        super().__init__(network, latent)
        self.dof = check_dof(dof)

    def family(self, *raw: Tensor) -> Distribution:
        loc, scale = raw
        return distributions.StudentT(loc, to_scale(scale), loc.new_tensor(self.dof))


@register(
    PosteriorRegistration(
        title="log-normal",
        support="positive",
        prior="log_normal",
        use_when="latents that are amounts over orders of magnitude",
        cost="as normal",
        avoid_when="there is no reason for positive latents",
    )
)
class LogNormal(Elementwise):
    """Positive numbers whose logarithms are Gaussian, with draws ``z = exp(m + s e)``.

    ``m`` lies within 12 of 0 and ``s`` is at most 4, so that neither ``z`` nor its square
    overflows.

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Shape of the latent: one size or several.

    Example:
        >>> import torch
        >>> LogNormal(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
        torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        loc, scale = raw
        return distributions.log_normal(
            distributions.soft_clip(loc, 12.0), distributions.to_moderate_scale(scale)
        )


@register(
    PosteriorRegistration(
        title="exponential",
        support="positive",
        prior="exponential",
        use_when="amounts with one parameter per latent",
        cost="as normal",
        avoid_when="the posterior should be narrow; use gamma",
    )
)
class Exponential(Elementwise):
    """Positive numbers with density ``r exp(-r z)`` and draws ``z = -log(u) / r``.

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Shape of the latent: one size or several.

    Example:
        >>> import torch
        >>> Exponential(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
        torch.Size([5, 2])
    """

    n_parameters = 1

    def family(self, *raw: Tensor) -> Distribution:
        return TorchExponential(to_scale(raw[0]), validate_args=False)


@register(
    PosteriorRegistration(
        title="gamma",
        paper="Figurnov et al. 2018",
        support="positive",
        prior="gamma",
        use_when="latents that are amounts",
        cost="implicit gradients",
        avoid_when="a draw by formula is needed; use weibull",
    )
)
class Gamma(Elementwise):
    """Positive numbers with density ``r^a z^(a-1) exp(-r z) / Gamma(a)``, by implicit gradients.

    Figurnov, Mohamed and Mnih, Implicit reparameterization gradients (2018).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Shape of the latent: one size or several.

    Example:
        >>> import torch
        >>> Gamma(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
        torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        shape, rate = raw
        return distributions.Gamma(to_concentration(shape), to_scale(rate), validate_args=False)


@register(
    PosteriorRegistration(
        title="Weibull",
        paper="Zhang et al. 2018",
        support="positive",
        prior="gamma",
        use_when="amounts, with draws by formula and an exact KL divergence to a gamma prior",
        cost="as normal",
        avoid_when="there is no reason for positive latents",
    )
)
class Weibull(Elementwise):
    """Positive numbers with draws ``z = s (-log u)^(1/k)``: similar to a gamma.

    The KL divergence to a gamma prior has a formula.

    Zhang et al., WHAI: Weibull hybrid autoencoding inference for deep topic modeling (2018).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Shape of the latent: one size or several.

    Example:
        >>> import torch
        >>> Weibull(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
        torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        scale, shape = raw
        return distributions.Weibull(to_scale(scale), to_concentration(shape))


@register(
    PosteriorRegistration(
        title="beta",
        support="unit_interval",
        prior="beta",
        use_when="latents that are shares between 0 and 1",
        cost="implicit gradients",
        avoid_when="a draw by formula is needed; use kumaraswamy",
    )
)
class Beta(Elementwise):
    """Numbers in (0, 1) with density ``z^(a-1) (1 - z)^(b-1) / B(a, b)``, by implicit gradients.

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Shape of the latent: one size or several.

    Example:
        >>> import torch
        >>> Beta(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
        torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        a, b = raw
        return distributions.Beta(to_concentration(a), to_concentration(b), validate_args=False)


@register(
    PosteriorRegistration(
        title="Kumaraswamy",
        paper="Nalisnick and Smyth 2017",
        support="unit_interval",
        prior="beta",
        use_when="shares, with draws by formula",
        cost="as normal",
        avoid_when="there is no reason for bounds",
    )
)
class Kumaraswamy(Elementwise):
    """Numbers in (0, 1) with draws ``z = (1 - u^(1/b))^(1/a)``: similar to a beta.

    Nalisnick and Smyth, Stick-breaking variational autoencoders (2017).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Shape of the latent: one size or several.

    Example:
        >>> import torch
        >>> Kumaraswamy(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
        torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        a, b = raw
        return distributions.Kumaraswamy(to_concentration(a), to_concentration(b))
