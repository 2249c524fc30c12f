"""``fit_prior`` skips and reports non-finite steps, as ``fit`` does."""

import pytest
import torch

import aevb
from aevb import likelihoods, networks, posteriors, priors
from aevb._random import seed_scope
from aevb.errors import NumericalError


class Unstable(priors.Mixture):
    """A prior whose density is not finite in some calls, or whose gradient is not."""

    def __init__(self, latent: int, broken: tuple[int, ...] = (), kind: str = "value") -> None:
        super().__init__(latent, 3)
        self.broken, self.kind, self.calls = broken, kind, 0

    def forward(self, input=None, context=None):
        p = super().forward(input, context)
        if not self.training:
            return p
        density, self.calls = p.log_prob, self.calls + 1
        if self.calls in self.broken:
            factor = torch.nan if self.kind == "value" else 1.0
            zero = next(self.parameters()).sum() * 0  # sqrt has an infinite slope at 0
            p.log_prob = lambda z: density(z) * factor + zero.sqrt()
        return p


def autoencoder() -> tuple[aevb.VAE, torch.Tensor]:
    with seed_scope(0):
        model = aevb.VAE(
            priors.Normal(2),
            posteriors.Dirac(networks.MLP(4, [8]), 2),
            likelihoods.Normal(networks.MLP(2, [8]), [4]),
        )
        return model, torch.randn(64, 4)


def unstable(broken: tuple[int, ...], kind: str = "value") -> Unstable:
    with seed_scope(1):
        prior = Unstable(2, (), kind).train()
    prior.broken, prior.calls = broken, 0
    return prior


@pytest.mark.parametrize("kind", ["value", "gradient"])
def test_fit_prior_skips_non_finite_steps_with_a_warning(kind):
    model, x = autoencoder()
    first = 2  # the shape of the family is checked by a first call
    with pytest.warns(RuntimeWarning, match="was skipped") as warned:
        fitted = aevb.fit_prior(model, x, unstable((first + 3, first + 5), kind), steps=20)
    assert len(warned) == 2
    assert all(tensor.isfinite().all() for tensor in fitted.prior.state_dict().values())


@pytest.mark.parametrize("kind", ["value", "gradient"])
def test_fit_prior_ends_after_three_non_finite_steps_in_a_row(kind):
    model, x = autoencoder()
    with pytest.raises(NumericalError, match="3 steps in a row"):
        aevb.fit_prior(model, x, unstable((5, 6, 7), kind), steps=20)


def test_fit_prior_refuses_latents_that_are_not_finite():
    model, x = autoencoder()
    with torch.no_grad():
        next(model.posterior.parameters()).fill_(torch.inf)
    with pytest.raises(NumericalError):
        aevb.fit_prior(model, x, components=2)
