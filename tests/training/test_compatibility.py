"""Compatibility errors before training: the reason and a suggestion."""

from dataclasses import dataclass

import pytest
import torch
from tests.catalogue import make_batch, make_likelihood, make_posterior, make_vae
from tests.refusals import refused
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

import aevb
from aevb import VAE, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._conditional import Unconditional
from aevb.errors import ArgumentError, IncompatibleError
from aevb.objectives import Schedule


class Mixture(Unconditional):
    """A prior without a closed-form KL divergence."""

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
    "no closed-form KL divergence": (
        lambda: with_prior(Mixture()),
        gradients.Pathwise(),
        objectives.ELBO(kl="exact"),
        "kl",
        ("`Independent`", "`MixtureSameFamily`"),
        ('objectives.ELBO(kl="sampled")',),
    ),
    "reals under a prior on the unit square": (
        lambda: with_prior(Uniform()),
        gradients.Pathwise(),
        objectives.ELBO(),
        "prior",
        ("`posteriors.Normal` has mass where `priors.Uniform` has none", "infinite"),
        ("priors.Normal(latent=2)",),
    ),
    "bits under a prior on reals": (
        lambda: with_prior(priors.Normal(2), "bernoulli"),
        gradients.LeaveOneOut(),
        objectives.IWAE(4),
        "prior",
        ("`posteriors.Bernoulli`", "`priors.Normal`"),
        ("priors.Bernoulli(latent=2)",),
    ),
    "codes under a prior on reals": (
        lambda: VAE(
            priors.Normal((2, 3)),
            make_posterior("categorical"),
            make_likelihood("bernoulli", (2, 3)),
        ),
        gradients.LeaveOneOut(),
        objectives.IWAE(4),
        "prior",
        ("`posteriors.Categorical`", "`priors.Normal`"),
        ("priors.Categorical(latent=(2, 3))",),
    ),
    "one sample to leave out": (
        lambda: make_vae("bernoulli"),
        gradients.LeaveOneOut(),
        objectives.Renyi(0.5, samples=1),
        None,
        ("at least 2 samples", "samples=1"),
        ("objectives.Renyi(samples=4)", "gradients.ScoreFunction()"),
    ),
    "a group of one to leave out": (
        lambda: make_vae("bernoulli"),
        gradients.LeaveOneOut(),
        objectives.MIWAE(1, 1),
        None,
        ("at least 2 samples", "samples=1"),
        ("objectives.MIWAE(groups=2)", "gradients.ScoreFunction()"),
    ),
    "bits that are to be differentiated": (
        lambda: make_vae("bernoulli"),
        gradients.Pathwise(),
        objectives.ELBO(),
        None,
        ("`posteriors.Bernoulli`",),
        (
            "gradients.LeaveOneOut()",
            "gradients.Relaxed()",
            "gradients.ScoreFunction()",
            "gradients.Enumerate()` (exact, 4 states)",
        ),
    ),
    "more states than are listed": (
        wide_codes,
        gradients.Enumerate(),
        objectives.ELBO(),
        None,
        ("about 10^9", "4,096"),
        ("gradients.LeaveOneOut()",),
    ),
    "a tighter limit": (
        lambda: make_vae("categorical"),
        gradients.Enumerate(limit=8),
        objectives.ELBO(),
        None,
        ("there are 9", "limit of 8"),
        ("gradients.LeaveOneOut()",),
    ),
    "states of a Gaussian": (
        make_vae,
        gradients.Enumerate(),
        objectives.ELBO(),
        None,
        ("independent discrete latent variables", "`posteriors.Normal`"),
        ("gradients.Pathwise()",),
    ),
    "a relaxed Gaussian": (
        make_vae,
        gradients.Relaxed(),
        objectives.ELBO(),
        None,
        ("`Relaxed`", "`posteriors.Normal`"),
        ("gradients.Pathwise()",),
    ),
    "REBAR of two targets": (
        lambda: make_vae("bernoulli"),
        gradients.REBAR(),
        objectives.PIWAE(2, 2),
        None,
        ("`REBAR`", "one target", "`PIWAE (IWAE-4)`"),
        ("objectives.IWAE()", "gradients.LeaveOneOut()"),
    ),
    "weights of the ELBO": (
        make_vae,
        gradients.ReweightedWakeSleep(),
        objectives.ELBO(),
        None,
        ("importance weights", "`ELBO`"),
        ("objectives.IWAE(samples=5)",),
    ),
    "the divergence of a dream": (
        make_vae,
        gradients.WakeSleep(),
        objectives.ELBO(kl="exact"),
        None,
        ("function of log-weights",),
        ("objectives.ELBO()",),
    ),
    "doubly reparameterised capacity": (
        make_vae,
        gradients.DoublyReparameterised(),
        objectives.ELBO(capacity=1.0),
        None,
        ("function of log-weights",),
        ("objectives.ELBO()` without free bits, capacity", "gradients.Pathwise()"),
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_incompatible_parts_are_refused_with_a_suggestion(name):
    build, gradient, objective, argument, mentioned, suggested = MADE[name]
    model = build()
    before = torch.get_rng_state()
    with refused(IncompatibleError, argument, *mentioned) as caught:
        gradient.check(model, objective)
    assert caught.value.argument == argument
    suggestions = " ".join(map(str, caught.value.suggestions))
    assert all(line in suggestions for line in suggested), suggestions
    assert "\n" not in str(caught.value)
    assert torch.equal(before, torch.get_rng_state()), (
        "asking draws nothing from the caller's stream"
    )


def test_prior_with_sampled_kl_is_accepted():
    model = with_prior(Mixture())
    for objective in (objectives.ELBO(), objectives.IWAE(3)):
        gradients.Pathwise().check(model, objective)
        assert gradients.Pathwise()(model, objective, make_batch(model)).loss.isfinite()


def test_relaxed_sampled_kl_requires_a_prior_of_the_same_family():
    class Odd(Unconditional):
        """Two dependent bits: both 0 or both 1."""

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
    """A schedule that oscillates without end."""

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
    with pytest.raises(ArgumentError, match=f"`{setting}` never ends"):
        aevb.fit(tiny(), data, epochs=1, patience=3, progress=False, **options)
    assert len(aevb.fit(tiny(), data, epochs=1, progress=False, **options).history) == 1


def test_run_shorter_than_its_schedules_is_noted():
    data = torch.ones(8, 3)
    warm = {
        "objective": objectives.ELBO(beta=objectives.Linear(steps=50)),
        "gradient": gradients.Enumerate(),
        "progress": False,
    }
    notes = {note.code: note.data for note in aevb.fit(tiny(), data, epochs=5, **warm).notes}
    assert notes["schedules_unfinished"] == {"steps": 5, "schedule_steps": 50}
    codes = {note.code for note in aevb.fit(tiny(), data, epochs=60, **warm).notes}
    assert "schedules_unfinished" not in codes
