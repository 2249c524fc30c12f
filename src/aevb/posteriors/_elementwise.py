"""Independent latent variables of one family each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Beta as TorchBeta
from torch.distributions import Distribution, Independent
from torch.distributions import Exponential as TorchExponential
from torch.distributions import Gamma as TorchGamma
from torch.distributions import Laplace as TorchLaplace
from torch.distributions import StudentT as TorchStudentT

from .. import distributions
from .._conditional import Conditional
from .._shapes import as_shape
from ..distributions import to_concentration, to_scale
from ..networks import Heads
from ..priors._elementwise import check_dof


class Elementwise(Conditional, ABC):
    """Variables ``[*latent]``, each of a family with ``count`` parameters that the network gives."""

    n_parameters = 2

    def __init__(self, network: nn.Module, latent: int | Sequence[int]) -> None:
        super().__init__()
        shape = as_shape("latent", latent)
        self.event_dim = len(shape)
        self.heads = Heads(network, *[shape] * self.n_parameters)

    @abstractmethod
    def family(self, *raw: Tensor) -> Distribution:
        """The distribution of each variable from what the network says of it, any real numbers."""

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        return Independent(
            self.family(*self.heads(input, context)), self.event_dim, validate_args=False
        )


class Laplace(Elementwise):
    """``q(z|x) = exp(-|z - m| / s) / 2s``: a peak and long tails; ``z = m - s sign(u) log(1 - 2|u|)``.

    >>> import torch
    >>> Laplace(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        loc, scale = raw
        return TorchLaplace(loc, to_scale(scale), validate_args=False)


class Logistic(Elementwise):
    """Logistic: between Gaussian and Laplace; ``z = m + s logit(u)``.

    >>> import torch
    >>> Logistic(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        loc, scale = raw
        return distributions.Logistic(loc, to_scale(scale))


class StudentT(Elementwise):
    """Student's t with ``degrees`` of freedom, more than 2: tails that are a power. Raises ``ArgumentError`` for fewer.

    >>> import torch
    >>> StudentT(nn.Identity(), latent=2, degrees=4.0)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def __init__(self, network: nn.Module, latent: int | Sequence[int], dof: float = 5.0) -> None:
        super().__init__(network, latent)
        self.dof = check_dof(dof)

    def family(self, *raw: Tensor) -> Distribution:
        loc, scale = raw
        return TorchStudentT(loc.new_tensor(self.dof), loc, to_scale(scale), validate_args=False)


class LogNormal(Elementwise):
    """Positive numbers whose logarithms are Gaussian; ``z = exp(m + s e)``.

    ``m`` is within 12 of 0 and ``s`` at most 4, so that neither ``z`` nor its square overflows.

    >>> import torch
    >>> LogNormal(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        loc, scale = raw
        return distributions.log_normal(
            distributions.soft_clip(loc, 12.0), distributions.to_moderate_scale(scale)
        )


class Exponential(Elementwise):
    """Positive numbers with density ``r exp(-r z)``; ``z = -log(u) / r``.

    >>> import torch
    >>> Exponential(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    n_parameters = 1

    def family(self, *raw: Tensor) -> Distribution:
        return TorchExponential(to_scale(raw[0]), validate_args=False)


class Gamma(Elementwise):
    """Positive numbers with density ``r^a z^(a-1) exp(-r z) / Gamma(a)``, by implicit gradients.

    Figurnov, Mohamed and Mnih, Implicit reparameterization gradients (2018).

    >>> import torch
    >>> Gamma(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        shape, rate = raw
        return TorchGamma(to_concentration(shape), to_scale(rate), validate_args=False)


class Weibull(Elementwise):
    """Positive numbers ``z = s (-log u)^(1/k)``: nearly a gamma, with a draw by formula and an exact divergence to one.

    Zhang et al., WHAI: Weibull hybrid autoencoding inference (2018).

    >>> import torch
    >>> Weibull(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        scale, shape = raw
        return distributions.Weibull(to_scale(scale), to_concentration(shape))


class Beta(Elementwise):
    """Numbers in (0, 1) with density ``z^(a-1) (1 - z)^(b-1) / B(a, b)``, by implicit gradients.

    >>> import torch
    >>> Beta(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        a, b = raw
        return TorchBeta(to_concentration(a), to_concentration(b), validate_args=False)


class Kumaraswamy(Elementwise):
    """Numbers in (0, 1) with ``z = (1 - u^(1/b))^(1/a)``: nearly a beta, with a draw by formula.

    Nalisnick and Smyth, Stick-breaking variational autoencoders (2017).

    >>> import torch
    >>> Kumaraswamy(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        a, b = raw
        return distributions.Kumaraswamy(to_concentration(a), to_concentration(b))
