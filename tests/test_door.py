"""What is refused before anything is computed: one sentence, with the reason and the line to write instead."""

import re
from dataclasses import dataclass

import pytest
import torch
from tests.catalogue import make_batch, make_likelihood, make_posterior, make_vae
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

import aevb
from aevb import VAE, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._conditional import Unconditional
from aevb.errors import ArgumentError, IncompatibleError
from aevb.objectives import Schedule


class Mixture(Unconditional):
    """A prior with a divergence that nobody knows."""

    def forward(self, input=None, context=None):
        parts = Independent(Normal(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), 1.0), 1)
        return MixtureSameFamily(Categorical(logits=torch.zeros(2)), parts)


class Uniform(Unconditional):
    """A prior on the unit square."""

    def forward(self, input=None, context=None):
        return Independent(
            torch.distributions.Uniform(torch.zeros(2), torch.ones(2), validate_args=False), 1
        )


def with_prior(prior, posterior="normal-diagonal"):
    return VAE(prior, make_posterior(posterior), make_likelihood("normal-shared"))


def wide_codes(variables=30):
    posterior = posteriors.Bernoulli(networks.MLP(4), variables)
    return VAE(
        priors.Bernoulli(variables), posterior, likelihoods.Bernoulli(networks.MLP(variables), (4,))
    )


MADE = {
    "a divergence that nobody knows": (
        lambda: with_prior(Mixture()),
        gradients.Pathwise(),
        objectives.ELBO(kl="exact"),
        r'registered divergence.*Use `objectives.ELBO\(kl="sample_without_gradient"\)`',
    ),
    "reals under a prior on the unit square": (
        lambda: with_prior(Uniform()),
        gradients.Pathwise(),
        objectives.ELBO(),
        "posteriors.Normal` has mass where `priors.Uniform` has none.*infinite",
    ),
    "bits under a prior on reals": (
        lambda: with_prior(priors.Normal(2), "bernoulli"),
        gradients.LeaveOneOut(),
        objectives.IWAE(4),
        r"Give the model prior=priors.Bernoulli\(2\)",
    ),
    "codes under a prior on reals": (
        lambda: VAE(
            priors.Normal((2, 3)),
            make_posterior("categorical"),
            make_likelihood("bernoulli", (2, 3)),
        ),
        gradients.LeaveOneOut(),
        objectives.IWAE(4),
        r"Give the model prior=priors.Categorical\(\(2, 3\)\)",
    ),
    "one sample to leave out": (
        lambda: make_vae("bernoulli"),
        gradients.LeaveOneOut(),
        objectives.Renyi(0.5, samples=1),
        r"at least 2 samples.*samples=1.*`objectives.Renyi\(samples=4\)`",
    ),
    "a group of one to leave out": (
        lambda: make_vae("bernoulli"),
        gradients.LeaveOneOut(),
        objectives.MIWAE(1, 1),
        r"`objectives.MIWAE\(groups=2\)`",
    ),
    "bits that are to be differentiated": (
        lambda: make_vae("bernoulli"),
        gradients.Pathwise(),
        objectives.ELBO(),
        r"posteriors.Bernoulli`.*`gradients.LeaveOneOut\(\)`.*`gradients.Relaxed\(\)`.*`gradients.Enumerate\(\)` \(exact, 4 states\)",
    ),
    "more states than are listed": (
        wide_codes,
        gradients.Enumerate(),
        objectives.ELBO(),
        r"about 10\^9, more than limit=4,096.*`gradients.LeaveOneOut\(\)`",
    ),
    "a tighter limit": (
        lambda: make_vae("categorical"),
        gradients.Enumerate(limit=8),
        objectives.ELBO(),
        "there are 9, more than limit=8",
    ),
    "states of a Gaussian": (
        make_vae,
        gradients.Enumerate(),
        objectives.ELBO(),
        r"independent discrete latent variables, got `posteriors.Normal`. Use `gradients.Pathwise\(\)`",
    ),
    "a relaxed Gaussian": (
        make_vae,
        gradients.Relaxed(),
        objectives.ELBO(),
        r"`gradients.Pathwise\(\)`",
    ),
    "REBAR of two targets": (
        lambda: make_vae("bernoulli"),
        gradients.REBAR(),
        objectives.PIWAE(2, 2),
        r"climbs one target.*PIWAE \(IWAE-4\).*`objectives.IWAE\(...\)`",
    ),
    "weights of the ELBO": (
        make_vae,
        gradients.ReweightedWakeSleep(),
        objectives.ELBO(),
        r"importance weights, got `ELBO`. Use `objectives.IWAE\(samples=5\)`",
    ),
    "the divergence of a dream": (
        make_vae,
        gradients.WakeSleep(),
        objectives.ELBO(kl="exact"),
        r"function of log-weights.*`objectives.ELBO\(\)`",
    ),
    "doubly reparameterised capacity": (
        make_vae,
        gradients.DoublyReparameterised(),
        objectives.ELBO(capacity=1.0),
        r"function of log-weights.*capacity.*`gradients.Pathwise\(\)`",
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_what_does_not_fit_is_refused_in_a_sentence_with_the_line_to_write(name):
    build, gradient, objective, words = MADE[name]
    model = build()
    before = torch.get_rng_state()
    with pytest.raises(IncompatibleError) as refused:
        gradient.check(model, objective)
    assert re.search(words, str(refused.value)), str(refused.value)
    assert "\n" not in str(refused.value)
    assert torch.equal(before, torch.get_rng_state()), (
        "asking draws nothing from the caller's stream"
    )


def test_a_prior_whose_divergence_is_sampled_is_no_obstacle():
    model = with_prior(Mixture())
    for objective in (objectives.ELBO(), objectives.IWAE(3)):
        gradients.Pathwise().check(model, objective)
        assert gradients.Pathwise()(model, objective, make_batch(model)).loss.isfinite()


def test_a_relaxed_sampled_divergence_needs_a_prior_of_the_same_family():
    class Odd(Unconditional):
        """Bits that are not independent: both 0, or both 1."""

        def forward(self, input=None, context=None):
            parts = Independent(
                torch.distributions.Bernoulli(
                    logits=torch.tensor([[-9.0, -9.0], [9.0, 9.0]]), validate_args=False
                ),
                1,
            )
            return MixtureSameFamily(Categorical(logits=torch.zeros(2)), parts, validate_args=False)

    model = VAE(Odd(), make_posterior("bernoulli"), make_likelihood("normal-shared"))
    with pytest.raises(
        IncompatibleError, match=r"prior of the posterior's family.*`gradients.LeaveOneOut\(\)`"
    ):
        gradients.Relaxed().check(model, objectives.ELBO())
    gradients.LeaveOneOut().check(model, objectives.ELBO(samples=2))


# schedules that have no end


@dataclass(frozen=True)
class Wave(Schedule):
    """Up and down for ever."""

    def __call__(self, step: int) -> float:
        return 0.5 + 0.5 * (step % 2)

    @property
    def final_schedule_step(self) -> None:
        return None


def tiny():
    return VAE(
        priors.Bernoulli(2),
        posteriors.Bernoulli(nn.Linear(3, 4), 2),
        likelihoods.Bernoulli(nn.Linear(2, 4), (3,)),
    )


@pytest.mark.parametrize(
    "options, setting",
    [
        ({"objective": objectives.ELBO(beta=Wave()), "gradient": gradients.Enumerate()}, "beta"),
        ({"objective": objectives.ELBO(), "gradient": gradients.Relaxed(Wave())}, "temperature"),
    ],
)
def test_patience_needs_a_schedule_with_an_end(options, setting):
    data = torch.ones(8, 3)
    with pytest.raises(ArgumentError, match=f"`{setting}` never does; leave patience out"):
        aevb.fit(tiny(), data, epochs=1, patience=3, progress=False, **options)
    assert len(aevb.fit(tiny(), data, epochs=1, progress=False, **options).history) == 1


def test_a_run_that_is_over_before_its_schedules_says_so():
    data = torch.ones(8, 3)
    warm = {
        "objective": objectives.ELBO(beta=objectives.Linear(steps=50)),
        "gradient": gradients.Enumerate(),
        "progress": False,
    }
    assert any(
        "5 steps, and its schedules take 50" in line
        for line in aevb.fit(tiny(), data, epochs=5, **warm).notes
    )
    assert not any("schedules" in line for line in aevb.fit(tiny(), data, epochs=60, **warm).notes)
