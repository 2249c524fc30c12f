"""Your own family in three roles, one call to check each, and a faulty one. Takes 15 seconds."""

import math
import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints

import aevb
from aevb import networks, testing
from aevb._conditional import Conditional, Unconditional
from aevb._random import seed_scope
from aevb.distributions import to_scale
from aevb.errors import LawError
from aevb.likelihoods._likelihood import Likelihood

SMOKE = bool(os.environ.get("AEVB_SMOKE"))


class Secant(Distribution):
    """Hyperbolic secant: ``p(z) = sech(pi y / 2) / 2s`` with ``y = (z - m) / s``.

    The mean is ``m``, the standard deviation ``s``.
    """

    arg_constraints = {}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square()

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        u = torch.rand(self._extended_shape(torch.Size(sample_shape)), dtype=self.loc.dtype)
        angle = u.clamp(1e-6, 1 - 1e-6) * math.pi / 2
        return self.loc + self.scale * angle.tan().log() * 2 / math.pi

    def log_prob(self, value: Tensor) -> Tensor:
        x = (value - self.loc).abs() / self.scale * math.pi / 2
        return -self.scale.log() - x - F.softplus(-2 * x)


class Unnormalised(Secant):
    """A faulty density without the logarithm of the scale, which would make every bound wrong."""

    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(value) + self.scale.log()


class Prior(Unconditional):
    """The standard hyperbolic secant."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(latent), persistent=False)

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> Distribution:
        return Independent(Secant(self.zero, self.zero + 1), 1, validate_args=False)


class Posterior(Conditional):
    """`Heads` maps features to parameters; `to_scale` makes a positive, bounded scale."""

    def __init__(self, network: nn.Module, latent: int) -> None:
        super().__init__()
        self.heads = networks.Heads(network, (latent,), (latent,))

    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        loc, raw = self.heads(input, context)
        return Independent(Secant(loc, to_scale(raw)), 1, validate_args=False)


class Decoder(Likelihood):
    """Data with secant noise of one scale."""

    def __init__(self, network: nn.Module, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = event_shape
        self.heads = networks.Heads(network, event_shape, input_ndim=1)
        self.raw = nn.Parameter(torch.zeros(()))

    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        (loc,) = self.heads(input, context)
        return Independent(
            Secant(loc, to_scale(self.raw).expand_as(loc)),
            len(self.event_shape),
            validate_args=False,
        )


with seed_scope(0):
    data = aevb.data.load("digits")
    prior, likelihood = Prior(4), Decoder(networks.MLP(4, [32]), (8, 8))
    posterior = Posterior(networks.Standardise(networks.MLP(64, [32]), [8.0], [6.0]), 4)
    x, z = data.train[:4].float(), torch.randn(4, 4)

print(
    "distribution:",
    *testing.check_distribution(
        Secant, torch.tensor([0.3, -1.0]), torch.tensor([0.5, 2.0])
    ).passed_laws,
)
print("prior:       ", *testing.check_prior(prior).passed_laws)
print("posterior:   ", *testing.check_posterior(posterior, x, prior).passed_laws)
print("likelihood:  ", *testing.check_likelihood(likelihood, z).passed_laws)
print(
    "network:     ",
    *testing.check_network(
        networks.MLP(64, [32]), x, laws=["batched", "precision", "parameters"]
    ).passed_laws,
)
try:
    testing.check_distribution(Unnormalised, torch.tensor([0.3, -1.0]), torch.tensor([0.5, 2.0]))
except LawError as error:
    print(error)

model = aevb.VAE(prior, posterior, likelihood)
last = aevb.fit(model, data, epochs=1 if SMOKE else 30).history[-1]
print(f"{last.bound_name} after {last.epoch} epochs: {last.bound:.1f} nats")
