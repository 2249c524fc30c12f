"""Compatibility errors before training: the reason and a suggestion."""

import pytest
import torch
from tests.catalogue import make_batch, make_likelihood, make_posterior, make_quantised, make_vae
from tests.refusals import refused
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from aevb import VAE, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._conditional import Unconditional
from aevb.errors import IncompatibleError
from aevb.notes import Argument, Message, Part
from aevb.objectives._bounds import PowerMean


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


# the record of each check: what is refused, and which parts it names instead


def parts_of(reference):
    """The parts of a suggestion with their arguments, also inside arguments."""
    if isinstance(reference, Message):
        return [part for each in reference.references.values() for part in parts_of(each)]
    if isinstance(reference, Argument):
        return parts_of(reference.value)
    return [(reference.name, dict(reference.arguments))] if isinstance(reference, Part) else []


def refusal(gradient, model, objective):
    """The parts that the suggestions name, or ``None`` where the three fit."""
    try:
        gradient.check(model, objective)
    except IncompatibleError as error:
        return [part for each in error.suggestions for part in parts_of(each)]
    return None


LOO, SCORE = ("gradients.LeaveOneOut", {}), ("gradients.ScoreFunction", {})
PATHWISE, IWAE = ("gradients.Pathwise", {}), ("objectives.IWAE", {})
RELAXED, ENUMERATE = ("gradients.Relaxed", {}), ("gradients.Enumerate", {})
ELBO, ELBO_2 = ("objectives.ELBO", {}), ("objectives.ELBO", {"samples": 2})
DENSITY = [("objectives.Reconstruction", {}), ("posteriors.Normal", {})]
WEIGHED = [("objectives.IWAE", {"samples": 5}), ("gradients.WakeSleep", {})]
AWAKE = ("gradients.ReweightedWakeSleep", {"update": "wake"})
NAMED = {
    "no density": ("dirac", gradients.Pathwise(), objectives.ELBO(), DENSITY),
    "an autoencoder's score": (
        "dirac",
        gradients.ScoreFunction(),
        objectives.Reconstruction(),
        [PATHWISE],
    ),
    "an autoencoder's leave-one-out": (
        "dirac",
        gradients.LeaveOneOut(),
        objectives.Reconstruction(2),
        [PATHWISE],
    ),
    "an autoencoder's dream": (
        "dirac",
        gradients.WakeSleep(),
        objectives.Reconstruction(),
        [PATHWISE],
    ),
    "an autoencoder's weights": (
        "dirac",
        gradients.ReweightedWakeSleep(),
        objectives.Reconstruction(),
        [PATHWISE],
    ),
    "an autoencoder's chains": (
        "dirac",
        gradients.MonteCarloEM(),
        objectives.Reconstruction(),
        [PATHWISE],
    ),
    "doubly reparameterised points": (
        "dirac",
        gradients.DoublyReparameterised(),
        objectives.Reconstruction(),
        [ELBO, IWAE, PATHWISE],
    ),
    "doubly reparameterised bits": (
        "bernoulli",
        gradients.DoublyReparameterised(),
        objectives.IWAE(2),
        [LOO, RELAXED, SCORE, ENUMERATE],
    ),
    "dependent codes": (
        "autoregressive-codes",
        gradients.Pathwise(),
        objectives.ELBO(),
        [LOO, SCORE],
    ),
    "states of dependent codes": (
        "autoregressive-codes",
        gradients.Enumerate(),
        objectives.ELBO(),
        [LOO],
    ),
    "penalties without a path": (
        "bernoulli",
        gradients.ScoreFunction(),
        objectives.Penalised(objectives.ELBO(), [objectives.LatentNorm()]),
        [PATHWISE, ELBO_2],
    ),
    "penalties over all states": (
        "bernoulli",
        gradients.Enumerate(),
        objectives.Penalised(objectives.ELBO(), [objectives.LatentNorm()]),
        [PATHWISE, ELBO_2],
    ),
    "free bits in a dream": (
        "normal-diagonal",
        gradients.WakeSleep(),
        objectives.ELBO(free_bits=0.1),
        [ELBO, IWAE, PATHWISE],
    ),
    "weights under penalties": (
        "normal-diagonal",
        gradients.DoublyReparameterised(),
        objectives.Penalised(objectives.IWAE(), [objectives.LatentNorm()]),
        [ELBO, IWAE, PATHWISE],
    ),
    "a divergence by formula": (
        "normal-diagonal",
        gradients.DoublyReparameterised(),
        objectives.ELBO(kl="exact"),
        [ELBO, IWAE, PATHWISE],
    ),
    "weights of groups": (
        "normal-diagonal",
        gradients.ReweightedWakeSleep(),
        objectives.MIWAE(2, 2),
        WEIGHED,
    ),
    "weights of two targets": (
        "normal-diagonal",
        gradients.ReweightedWakeSleep(),
        objectives.PIWAE(2, 2),
        WEIGHED,
    ),
    "a dream of rows": ("free", gradients.WakeSleep(), objectives.ELBO(), [AWAKE, PATHWISE]),
    "a half dream of rows": (
        "free",
        gradients.ReweightedWakeSleep("both"),
        objectives.IWAE(2),
        [AWAKE, PATHWISE],
    ),
    "a relaxation of two targets": (
        "bernoulli",
        gradients.StraightThrough(),
        objectives.CUBO(),
        [IWAE, LOO],
    ),
    "the evidence over all states": (
        "bernoulli",
        gradients.Enumerate(),
        objectives.IWAE(2),
        [ELBO, LOO],
    ),
    "groups over all states": (
        "bernoulli",
        gradients.Enumerate(),
        objectives.MIWAE(2, 2),
        [ELBO, LOO],
    ),
    "groups for the posterior over all states": (
        "bernoulli",
        gradients.Enumerate(),
        objectives.PIWAE(2, 2),
        [ELBO, LOO],
    ),
    "the draw of a Gaussian": (
        "normal-diagonal",
        gradients.EnumerateLabels(),
        objectives.ELBO(),
        [PATHWISE, ENUMERATE],
    ),
    "the evidence of classes": (
        "normal-diagonal",
        gradients.EnumerateLabels(),
        objectives.IWAE(2),
        [ELBO, LOO],
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_each_check_names_the_parts_that_fit_instead(name):
    posterior, gradient, objective, suggested = NAMED[name]
    assert refusal(gradient, make_vae(posterior), objective) == suggested


ACCEPTED = {
    "a reconstruction of points": ("dirac", gradients.Pathwise(), objectives.Reconstruction()),
    "a divergence by formula": (
        "normal-diagonal",
        gradients.Pathwise(),
        objectives.ELBO(kl="exact"),
    ),
    "two targets of a density": ("normal-diagonal", gradients.Pathwise(), objectives.CUBO()),
    "two draws": ("bernoulli", gradients.LeaveOneOut(), objectives.ELBO(2)),
    "one draw": ("bernoulli", gradients.ScoreFunction(), objectives.ELBO(1)),
    "log-weights": ("normal-diagonal", gradients.DoublyReparameterised(), objectives.CUBO()),
    "a weighted divergence": (
        "normal-diagonal",
        gradients.DoublyReparameterised(),
        objectives.ELBO(beta=2.0),
    ),
    "a dream": ("normal-diagonal", gradients.WakeSleep(), objectives.ELBO()),
    "a dream of weights": (
        "normal-diagonal",
        gradients.ReweightedWakeSleep("both"),
        objectives.IWAE(2),
    ),
    "weights of rows": ("free", gradients.ReweightedWakeSleep(), objectives.IWAE(2)),
    "a sampled divergence of bits": (
        "bernoulli",
        gradients.Relaxed(),
        objectives.ELBO(kl="sampled"),
    ),
    "an exact divergence of codes": ("categorical", gradients.Relaxed(), objectives.ELBO()),
    "REBAR": ("categorical", gradients.REBAR(), objectives.IWAE(2)),
    "states": ("categorical", gradients.Enumerate(limit=9), objectives.ELBO()),
    "states of a mixed bound": ("bernoulli", gradients.Enumerate(), objectives.CIWAE(0.3)),
    "states of the chi bound": ("bernoulli", gradients.Enumerate(), objectives.CUBO()),
    "states of Renyi's bound": ("bernoulli", gradients.Enumerate(), objectives.Renyi(-1.0)),
    "chains": ("normal-diagonal", gradients.MonteCarloEM(), objectives.IWAE(3)),
    "continuing chains": ("normal-diagonal", gradients.MonteCarloEM(6, 2), objectives.ELBO()),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_parts_that_fit_are_accepted(name):
    posterior, gradient, objective = ACCEPTED[name]
    assert refusal(gradient, make_vae(posterior), objective) is None


RULES = [
    gradients.Pathwise(),
    gradients.DoublyReparameterised(),
    gradients.ScoreFunction(),
    gradients.LeaveOneOut(),
    gradients.WakeSleep(),
    gradients.ReweightedWakeSleep(),
    gradients.MonteCarloEM(),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_every_gradient_refuses_a_divergence_that_is_infinite(rule):
    """A normal under a prior on the unit square."""
    assert refusal(rule, with_prior(Uniform()), objectives.IWAE(2)) == [
        ("priors.Normal", {"latent": 2})
    ]


DISCRETE_RULES = [
    gradients.REBAR(),
    gradients.Relaxed(),
    gradients.StraightThrough(),
    gradients.Enumerate(),
]


@pytest.mark.parametrize("rule", DISCRETE_RULES, ids=lambda rule: type(rule).__name__)
def test_every_gradient_of_discrete_draws_refuses_reals(rule):
    codes = VAE(
        priors.Normal((2, 3)), make_posterior("categorical"), make_likelihood("bernoulli", (2, 3))
    )
    assert refusal(rule, codes, objectives.ELBO()) == [("priors.Categorical", {"latent": (2, 3)})]
    assert refusal(rule, make_vae(), objectives.ELBO()) == [PATHWISE]


def test_a_posterior_that_needs_more_than_a_shape_is_given_no_prior():
    """A posterior per row under a prior on the unit square: no line to write is known."""
    assert refusal(gradients.Pathwise(), with_prior(Uniform(), "free"), objectives.ELBO()) == []


def test_a_posterior_outside_the_register_is_given_no_prior():
    class Own(posteriors.Normal):
        """A class of a user."""

    own = Own(networks.MLP(4), 2)
    model = VAE(Uniform(), own, likelihoods.Bernoulli(networks.MLP(2), (4,)))
    assert refusal(gradients.Pathwise(), model, objectives.ELBO()) == []


def test_a_codebook_has_no_score_and_no_second_target():
    """Its draws are points of the codebook: the gradient reaches them along the path alone."""
    model = make_quantised("vector")
    assert refusal(gradients.Pathwise(), model, objectives.ELBO()) is None
    assert refusal(gradients.Pathwise(), model, objectives.CUBO()) == [IWAE, LOO]
    for rule in (gradients.ScoreFunction(), gradients.LeaveOneOut(), gradients.WakeSleep()):
        assert refusal(rule, model, objectives.ELBO(2)) == [PATHWISE]
    for rule in (gradients.DoublyReparameterised(), gradients.MonteCarloEM()):
        assert refusal(rule, model, objectives.ELBO(2)) == [PATHWISE]
    assert refusal(gradients.ReweightedWakeSleep(), model, objectives.IWAE(2)) == [PATHWISE]


def test_groups_of_any_power_depend_on_the_number_of_draws():
    """Renyi's bound in two groups is no bound of infinitely many draws."""
    objective = objectives.Renyi(0.5, 4)
    objective.target_mean = PowerMean(((1.0, 0.5),), groups=2)
    assert refusal(gradients.Enumerate(), make_vae("bernoulli"), objective) == [ELBO, LOO]


def test_few_states_are_offered_as_a_sum_and_many_are_not():
    offered = refusal(gradients.Pathwise(), wide_codes(12), objectives.ELBO())
    assert offered == [LOO, RELAXED, SCORE, ENUMERATE]
    assert refusal(gradients.Pathwise(), wide_codes(13), objectives.ELBO()) == offered[:3]


def test_a_check_of_the_objective_itself_is_part_of_every_check():
    critic = objectives.FactorCritic(networks.MLP(3, [4]), latent=3)
    objective = objectives.Penalised(objectives.ELBO(), [critic])
    with refused(IncompatibleError, "latent"):
        gradients.Pathwise().check(make_vae(), objective)


def test_a_formula_that_does_not_exist_is_refused_by_its_argument():
    with refused(IncompatibleError, "kl") as caught:
        gradients.LeaveOneOut().check(with_prior(Mixture()), objectives.ELBO(2, kl="exact"))
    assert caught.value.value == "exact"
    assert refusal(gradients.LeaveOneOut(), with_prior(Mixture()), objectives.ELBO(2)) is None
