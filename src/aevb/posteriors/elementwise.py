"""Independent latent variables of one family each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Beta as BetaLaw
from torch.distributions import Distribution, Independent
from torch.distributions import Exponential as Waits
from torch.distributions import Gamma as GammaLaw
from torch.distributions import Laplace as DoubleExponential
from torch.distributions import StudentT as T

from .. import distributions
from ..conditional import Conditional
from ..distributions import concentration, positive
from ..networks import Heads
from ..priors.elementwise import checked_degrees
from ..shapes import as_shape


class Elementwise(Conditional, ABC):
    """Variables ``[*latent]``, each of a family with ``count`` parameters that the network gives."""

    count = 2

    def __init__(self, network: nn.Module, latent: int | Sequence[int]) -> None:
        super().__init__()
        shape = as_shape("latent", latent)
        self.event_dim = len(shape)
        self.heads = Heads(network, *[shape] * self.count)

    @abstractmethod
    def family(self, *raw: Tensor) -> Distribution:
        """The distribution of each variable from what the network says of it, any real numbers."""

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        return Independent(self.family(*self.heads(input, context)), self.event_dim, validate_args=False)


class Laplace(Elementwise):
    """``q(z|x) = exp(-|z - m| / s) / 2s``: a peak and long tails; ``z = m - s sign(u) log(1 - 2|u|)``.

    >>> import torch
    >>> Laplace(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        loc, scale = raw
        return DoubleExponential(loc, positive(scale), validate_args=False)


class Logistic(Elementwise):
    """Logistic: between Gaussian and Laplace; ``z = m + s logit(u)``.

    >>> import torch
    >>> Logistic(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        loc, scale = raw
        return distributions.Logistic(loc, positive(scale))


class StudentT(Elementwise):
    """Student's t with ``degrees`` of freedom, more than 2: tails that are a power. Raises ``ArgumentError`` for fewer.

    >>> import torch
    >>> StudentT(nn.Identity(), latent=2, degrees=4.0)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def __init__(self, network: nn.Module, latent: int | Sequence[int], degrees: float = 5.0) -> None:
        super().__init__(network, latent)
        self.degrees = checked_degrees(degrees)

    def family(self, *raw: Tensor) -> Distribution:
        loc, scale = raw
        return T(loc.new_tensor(self.degrees), loc, positive(scale), validate_args=False)


class LogNormal(Elementwise):
    """Positive numbers whose logarithms are Gaussian; ``z = exp(m + s e)``.

    ``m`` is within 12 of 0 and ``s`` at most 4, so that neither ``z`` nor its square overflows.

    >>> import torch
    >>> LogNormal(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        loc, scale = raw
        return distributions.log_normal(distributions.bounded(loc, 12.0), distributions.moderate(scale))


class Exponential(Elementwise):
    """Positive numbers with density ``r exp(-r z)``; ``z = -log(u) / r``.

    >>> import torch
    >>> Exponential(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    count = 1

    def family(self, *raw: Tensor) -> Distribution:
        return Waits(positive(raw[0]), validate_args=False)


class Gamma(Elementwise):
    """Positive numbers with density ``r^a z^(a-1) exp(-r z) / Gamma(a)``, by implicit gradients.

    Figurnov, Mohamed and Mnih, Implicit reparameterization gradients (2018).

    >>> import torch
    >>> Gamma(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        shape, rate = raw
        return GammaLaw(concentration(shape), positive(rate), validate_args=False)


class Weibull(Elementwise):
    """Positive numbers ``z = s (-log u)^(1/k)``: nearly a gamma, with a draw by formula and an exact divergence to one.

    Zhang et al., WHAI: Weibull hybrid autoencoding inference (2018).

    >>> import torch
    >>> Weibull(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        scale, shape = raw
        return distributions.Weibull(positive(scale), concentration(shape))


class Beta(Elementwise):
    """Numbers in (0, 1) with density ``z^(a-1) (1 - z)^(b-1) / B(a, b)``, by implicit gradients.

    >>> import torch
    >>> Beta(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        a, b = raw
        return BetaLaw(concentration(a), concentration(b), validate_args=False)


class Kumaraswamy(Elementwise):
    """Numbers in (0, 1) with ``z = (1 - u^(1/b))^(1/a)``: nearly a beta, with a draw by formula.

    Nalisnick and Smyth, Stick-breaking variational autoencoders (2017).

    >>> import torch
    >>> Kumaraswamy(nn.Identity(), latent=2)(torch.zeros(5, 3)).rsample().shape
    torch.Size([5, 2])
    """

    def family(self, *raw: Tensor) -> Distribution:
        a, b = raw
        return distributions.Kumaraswamy(concentration(a), concentration(b))
