"""Laws that every prior, posterior and likelihood obeys, alone and in every combination."""

import copy
import functools
import math
import re
from dataclasses import replace

import pytest
import torch
from tests import catalogue
from tests.catalogue import (
    EVENT,
    LATENT,
    make_batch,
    make_likelihood,
    make_posterior,
    make_vae,
    posterior_input,
)
from tests.covering import few
from tests.refusals import refused, refused_by_name
from torch import nn
from torch.distributions import Independent

import aevb
from aevb import (
    VAE,
    Batch,
    gradients,
    likelihoods,
    networks,
    objectives,
    posteriors,
    priors,
    testing,
)
from aevb.distributions import Affine, covariance, marginals
from aevb.distributions._support import has_mass_outside
from aevb.errors import ArgumentError, DataError, IncompatibleError
from aevb.testing._laws import set_extreme_outputs


def test_the_catalogue_is_complete():
    """Every public family, objective and gradient has an entry in the catalogue."""
    parts = [build() for build in (*catalogue.PRIORS.values(), *catalogue.ESTIMATED.values())]
    parts += [make_posterior(name) for name in catalogue.POSTERIORS] + [
        make_likelihood(name) for name in catalogue.LIKELIHOODS
    ]
    parts += [build() for build in (*catalogue.OBJECTIVES.values(), *catalogue.GRADIENTS.values())]
    parts += [
        penalty
        for name in catalogue.PENALISED
        for penalty in catalogue.OBJECTIVES[name]().penalties
    ]
    quantised = [catalogue.make_quantised(name) for name in catalogue.QUANTISED]
    parts += [part for model in quantised for part in (model.prior, model.posterior)] + [
        objectives.CodebookMonitor()
    ]
    parts += [build() for build in catalogue.CONDITIONAL.values()]
    parts += [part for model in catalogue.HIERARCHIES.values() for part in model().children()]
    present = {type(part) for part in parts}
    for module in (priors, posteriors, likelihoods, objectives, gradients):
        for name in module.__all__:
            member = getattr(module, name)
            if (
                isinstance(member, type)
                and issubclass(member, nn.Module)
                and not getattr(member, "__abstractmethods__", None)
            ):
                assert member in present, (
                    f"{module.__name__}.{name} has no line in tests/catalogue.py"
                )


# the public laws, which also check families of users


@pytest.mark.parametrize("name", catalogue.POSTERIORS)
def test_posteriors_obey_every_law(name):
    entry, posterior = catalogue.POSTERIORS[name], make_posterior(name)
    prior = catalogue.PRIORS[entry.prior]()
    x = posterior_input(posterior, torch.randn(4, *EVENT))
    checked = testing.check_posterior(
        posterior, x, prior, implicit=entry.implicit, eager=not entry.traced
    )
    if posterior.has_density:
        skipped = [law for law, _ in checked.skipped_laws]
        assert "mass" in checked.passed_laws, checked.skipped_laws
        assert ("divergence" in checked.passed_laws) == entry.exact and (
            "one_graph" in skipped
        ) == (not entry.traced), checked.skipped_laws


@pytest.mark.parametrize("name", catalogue.PRIORS)
def test_priors_obey_every_law(name):
    laws = [law for law in testing.PRIOR_LAWS if law not in catalogue.SHARED.get(name, ())]
    checked = testing.check_prior(
        catalogue.PRIORS[name](), laws=laws, eager=name in catalogue.EAGER
    )
    assert "mass" in checked.passed_laws, checked.skipped_laws


@pytest.mark.parametrize("name", catalogue.LIKELIHOODS)
def test_likelihoods_obey_every_law(name):
    checked = testing.check_likelihood(
        make_likelihood(name), torch.randn(4, LATENT), circular=name in catalogue.CIRCULAR
    )
    assert {"mass", "moments", "one_graph"} <= set(checked.passed_laws), checked.skipped_laws


@pytest.mark.parametrize("name", catalogue.NETWORKS)
def test_networks_obey_every_law(name):
    testing.check_network(
        catalogue.NETWORKS[name](4), torch.randn(4, 4), eager=name in catalogue.EAGER
    )


@pytest.mark.parametrize("name", catalogue.OBJECTIVES)
def test_objectives_obey_every_law(name):
    objective_instance = catalogue.OBJECTIVES[name]()
    own = (
        name in catalogue.PENALISED or name == "ex-post"
    )  # they need a model of the catalogue's shapes
    checked = testing.check_objective(
        objective_instance, make_vae(likelihood="normal-fixed") if own else None
    )
    sure = objective_instance.kind == "lower bound" and not own
    assert {"units", "climbs", *["truthful"] * sure} <= set(checked.passed_laws), (
        checked.skipped_laws
    )


# families in combination


@pytest.mark.usefixtures("float64")
class TestConsistency:
    @pytest.mark.parametrize("name, network", few(catalogue.LIKELIHOODS, ["mlp-linear", "user"]))
    def test_scores_of_many_latents_equal_the_density(self, name, network):
        testing.check_likelihood(
            make_likelihood(name, network=network), torch.randn(4, LATENT), laws=["scored"]
        )

    def test_scores_in_low_precision_use_the_same_logits(self):
        likelihood = make_likelihood("bernoulli").float()
        networks.set_precision(likelihood, torch.bfloat16)
        set_extreme_outputs(likelihood, "mixed", size=1000.3)  # rounded to 1000 in bfloat16
        z = torch.randn(3, 4, LATENT, dtype=torch.float32)
        x = likelihood(z[0]).sample()
        assert (likelihood.log_likelihood_function(x)(z) == likelihood(z).log_prob(x)).all()

    @pytest.mark.parametrize(
        "name", [name for name in catalogue.GAUSSIAN if name != "normal-diagonal"]
    )
    def test_every_covariance_starts_diagonal(self, name):
        """Equal meaning of the first outputs of the network: location, then log-scale."""
        diagonal, other = make_posterior("normal-diagonal"), make_posterior(name)
        for posterior in (diagonal, other):
            nn.init.zeros_(posterior.heads.head.weight)
            nn.init.zeros_(posterior.heads.head.bias)
            with torch.no_grad():
                posterior.heads.head.bias[: 2 * LATENT] = torch.tensor([0.3, -1.0, 1.2, -0.7])
        x, z = torch.zeros(1, *EVENT), torch.randn(5, 1, LATENT)
        assert torch.allclose(diagonal(x).log_prob(z), other(x).log_prob(z), atol=1e-12)

    @pytest.mark.parametrize(
        "posterior, likelihood", few(catalogue.POSTERIORS, catalogue.LIKELIHOODS, times=1)
    )
    def test_models_in_single_precision(self, posterior, likelihood):
        """Densities of about unit data differ by the rounding of a few dozen float32 operations."""
        model = make_vae(posterior, likelihood).eval()  # evaluation mode keeps the state fixed
        batch = make_batch(model, 4)
        z = model.infer(batch).sample((2,))
        double = model.terms(batch, z, model.infer(batch))
        twin = copy.deepcopy(model).float()
        narrow = replace(batch, x=batch.x.float())
        single = twin.terms(narrow, z.float(), twin.infer(narrow))
        names = ["log_likelihood", "log_prior", *["log_posterior"] * model.posterior.has_density]
        for mine, theirs in ((getattr(single, name), getattr(double, name)) for name in names):
            assert mine.dtype == torch.float32 and torch.allclose(
                mine.double(), theirs, rtol=1e-4, atol=1e-4
            )


# combinations


def right_gradient(posterior):
    return gradients.Pathwise() if posterior in catalogue.PATHWISE else gradients.LeaveOneOut()


@pytest.mark.parametrize("posterior, likelihood", few(catalogue.POSTERIORS, catalogue.LIKELIHOODS))
def test_every_parameter_receives_a_gradient(posterior, likelihood):
    model = make_vae(posterior, likelihood)
    objective = (
        objectives.ELBO(samples=2) if model.posterior.has_density else objectives.Reconstruction()
    )
    right_gradient(posterior)(model, objective, make_batch(model)).loss.backward()
    for name, parameter in model.named_parameters():
        assert (
            parameter.grad is not None
            and parameter.grad.isfinite().all()
            and parameter.grad.abs().sum() > 0
        ), name


# targets that are not functions of the log-weights with a sampled divergence; the last are not
# functions of single draws either
NOT_OF_WEIGHTS = {
    "reconstruction",
    "elbo-exact",
    "elbo-free-bits",
    "elbo-free-bits-sampled",
    "elbo-capacity",
    "elbo-capacity-sampled",
}
TWO_TARGETS = {"piwae", "cubo"}
BETA = {"elbo-beta", "elbo-beta-sampled", "elbo-linear", "elbo-sigmoid", "elbo-cyclical"}
CURVED = ["sphere"]  # priors on constrained latents: maps onto a sphere cover parts of it twice


@functools.cache
def not_penalised(objective):
    """Posteriors without what a penalty needs.

    That is the density of each variable, a covariance, latents of the critic's shape or latents
    where another prior has mass.
    """
    lacking = {"total": marginals, "dip": covariance}.get(objective.split("-")[0])
    named = [*catalogue.DISCRETE, "product"] if objective.startswith("total") else ["categorical"]
    if (
        objective == "ex-post"
    ):  # codes where the prior of the catalogue's line has mass, and in its shape
        q = {name: posterior_of_batch(name) for name in catalogue.POSTERIORS}
        return [
            name
            for name in q
            if q[name].event_shape != (catalogue.LATENT,)
            or has_mass_outside(q[name], catalogue.PRIORS["normal"]()())
        ]
    if lacking is None:
        return named if objective in ("factor", "adversarial") else []
    return [
        name
        for name in catalogue.POSTERIORS
        if name in named or lacking(posterior_of_batch(name)) is None
    ]


def is_legal(posterior, objective, gradient):
    """The gradients that the theory allows for a combination."""
    objective_instance = catalogue.OBJECTIVES[objective]()
    density, reparameterised = posterior != "dirac", posterior in catalogue.PATHWISE
    if (objective_instance.kind != "reconstruction" and not density) or posterior in not_penalised(
        objective
    ):
        return False
    if objective_instance.kl == "exact" and not catalogue.POSTERIORS[posterior].exact:
        return False
    per_draw = objective_instance.target_mean is not None
    weights = per_draw and objective not in NOT_OF_WEIGHTS
    relaxed = posterior in catalogue.DISCRETE and objective not in TWO_TARGETS
    amortised, curved = (
        catalogue.POSTERIORS[posterior].amortised,
        catalogue.POSTERIORS[posterior].prior in CURVED,
    )
    return {
        "pathwise": reparameterised,
        "doubly": reparameterised and density and weights,
        "score": density and per_draw,
        "leave": density and per_draw and objective_instance.samples > 1,
        "rebar": relaxed and per_draw,
        "relaxed": relaxed,
        "straight": relaxed,
        # over all states a bound of some number of draws is log p(x)
        "enumerate": posterior in catalogue.DISCRETE
        and per_draw
        and not objective.startswith(("iwae", "miwae", "piwae")),
        "wake": density and weights and amortised,
        "reweighted": objective in ("iwae-1", "iwae-4", "miwae-1x1")
        and density
        and (amortised or gradient == "reweighted-wake"),
        # it maximises log p(x) for every objective: another target would be ignored
        "em": reparameterised
        and density
        and weights
        and objective_instance.kind == "lower bound"
        and objective not in BETA
        and not curved,
    }[gradient.split("-")[0]]


@functools.cache
def model_of(posterior):
    """One model per posterior; checks do not change the model."""
    model = make_vae(posterior)
    model.probe = functools.cache(model.probe)
    return model, make_batch(model)


def posterior_of_batch(posterior):
    """The posterior distribution of a batch."""
    model, batch = model_of(posterior)
    return model.infer(batch)


def parts_of(objective, gradient):
    """The objective and gradient with these names, or built from these lines of Python."""
    objective_instance = (
        catalogue.OBJECTIVES[objective]() if objective in catalogue.OBJECTIVES else built(objective)
    )
    return objective_instance, catalogue.GRADIENTS[
        gradient
    ]() if gradient in catalogue.GRADIENTS else built(gradient)


def built(line):
    return eval(
        line.replace("(...)", "(samples=2)"), {"gradients": gradients, "objectives": objectives}
    )


@functools.cache
def refusal(posterior, objective, gradient):
    """The error for a combination that is refused before training, ``None`` for a legal one."""
    objective_instance, rule = parts_of(objective, gradient)
    try:
        rule.check(model_of(posterior)[0], objective_instance)
    except IncompatibleError as error:
        return error
    return None


def suggested_parts(error):
    """The gradients, objectives and posteriors that an error suggests, as lines of Python."""
    return re.findall(r"`((?:gradients|objectives|posteriors)\.\w+\([^`]*\))`", str(error))


@pytest.mark.parametrize("objective", catalogue.OBJECTIVES)
def test_every_combination_trains_or_is_refused(objective):
    """The full product of posteriors and gradients: legal, or refused with a legal alternative.

    Of each gradient some legal posteriors are differentiated, others for each objective.
    """
    for turn, gradient in enumerate(catalogue.GRADIENTS):
        accepted = []
        for posterior in catalogue.POSTERIORS:
            error = refusal(posterior, objective, gradient)
            legal = is_legal(posterior, objective, gradient)
            assert (error is None) == legal, (posterior, gradient, error)
            if error is None:
                accepted.append(posterior)
            elif suggested_parts(error):
                assert steps_to_legal(posterior, objective, gradient) <= 3, error
            else:  # another critic or prior of the objective
                assert error.suggestions or "build it with" in str(error), error
        first = turn + list(catalogue.OBJECTIVES).index(objective)
        for posterior in (
            {accepted[(first + 7 * step) % len(accepted)] for step in range(2)} if accepted else ()
        ):
            differentiate(posterior, objective, gradient)


def differentiate(posterior, objective, gradient):
    model, batch = model_of(posterior)
    objective_instance, rule = parts_of(objective, gradient)
    rule.check(model, objective_instance)
    estimate = rule(model, objective_instance, batch)
    parameters = [*model.parameters(), *objective_instance.parameters(), *rule.parameters()]
    slopes = torch.autograd.grad(estimate.loss, parameters, allow_unused=True)
    assert estimate.loss.isfinite() and estimate.objective_value.bound.shape == (6,), posterior
    assert all(slope is None or slope.isfinite().all() for slope in slopes), posterior
    assert sum(slope.abs().sum() for slope in slopes if slope is not None) > 0, posterior


def steps_to_legal(posterior, objective, gradient, most=3):
    """Number of suggestions to follow, one after the other, until the combination is legal."""
    error = refusal(posterior, objective, gradient)
    if error is None or not most:
        return 0 if error is None else most + 1
    return min(
        (
            1 + steps_to_legal(*followed(line, posterior, objective, gradient), most - 1)
            for line in suggested_parts(error)
        ),
        default=most + 1,
    )


def followed(line, posterior, objective, gradient):
    """The combination with one part replaced by the line of Python."""
    if line.startswith("posteriors"):
        assert line.startswith("posteriors.Normal(")
        return "normal-diagonal", objective, gradient
    return (
        (posterior, line, gradient)
        if line.startswith("objectives")
        else (posterior, objective, line)
    )


@pytest.mark.parametrize(
    "posterior, network",
    few(["normal-diagonal", "normal-full", "categorical", "dirac"], catalogue.NETWORKS),
)
def test_every_network_trains_in_every_role(posterior, network):
    model = make_vae(posterior, "normal-predicted", network).train()
    objective = objectives.IWAE(3) if model.posterior.has_density else objectives.Reconstruction()
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    before = copy.deepcopy(model.state_dict())
    right_gradient(posterior)(model, objective, make_batch(model)).loss.backward()
    optimizer.step()
    changed = [
        name for name, value in model.state_dict().items() if not torch.equal(value, before[name])
    ]
    assert any(name.startswith("posterior") for name in changed) and any(
        name.startswith("likelihood") for name in changed
    )
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own
@pytest.mark.parametrize(
    "posterior, likelihood, objective",
    [
        ("normal-full", "bernoulli", "elbo"),
        ("gamma", "bernoulli", "iwae-4"),
        ("normal-full", "negative-binomial", "elbo"),
        ("dirac", "bernoulli", "reconstruction"),
    ],
)
def test_a_step_is_one_graph(posterior, likelihood, objective):
    """One graph without a break, forwards and backwards, that agrees with eager mode."""
    model, objective_instance = make_vae(posterior, likelihood), catalogue.OBJECTIVES[objective]()
    batch = make_batch(model)

    def step(x):
        return gradients.Pathwise()(model, objective_instance, Batch(x)).loss

    compiled = torch.compile(step, backend="aot_eager", fullgraph=True)
    results = []
    for run in (step, compiled):
        model.zero_grad()
        with aevb._random.seed_scope(1):
            loss = run(batch.x)
            loss.backward()
        results.append([loss.detach(), *(p.grad.clone() for p in model.parameters())])
    torch.compiler.reset()
    # the same float32 operations in another order
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(*results, strict=True))


# methods of the model


class TestVAE:
    def test_shapes_and_modes(self):
        model = make_vae("normal-full", "bernoulli").train()
        x = make_batch(model, 5).x
        assert model.encode(x).shape == (5, LATENT) and model.encode(x, sample=True).shape == (
            5,
            LATENT,
        )
        assert model.reconstruct(x).shape == x.shape and model.sample(3, mean=True).shape == (
            3,
            *EVENT,
        )
        assert model.decode(torch.zeros(2, 4, LATENT)).shape == (2, 4, *EVENT)
        assert model.training, "asking leaves the mode alone"

    def test_sampling_with_a_generator_leaves_the_other_streams_alone(self):
        model = make_vae()
        before = torch.get_rng_state()
        first = model.sample(3, generator=torch.Generator().manual_seed(5))
        assert (torch.get_rng_state() == before).all()
        assert (model.sample(3, generator=torch.Generator().manual_seed(5)) == first).all()

    def test_incompatible_parts_are_refused_with_an_alternative(self):
        with refused(IncompatibleError, "prior", "latent=2"):
            VAE(priors.Normal(3), make_posterior("normal-diagonal"), make_likelihood("bernoulli"))
        with refused(IncompatibleError, "likelihood", "likelihoods.Bernoulli"):
            likelihoods.Scaled(make_likelihood("bernoulli"), [0.0], [2.0])

    def test_data_of_another_shape_are_refused(self):
        model = make_vae()
        with refused(DataError, "x", "(3, 5)"):
            model.encode(torch.zeros(3, 5))
        with refused(DataError, "z", f"(3, {LATENT + 1})"):
            model.decode(torch.zeros(3, LATENT + 1))

    def test_optimal_noise_follows_the_training_error_when_updated(self):
        model = make_vae(likelihood="normal-optimal")
        batch = make_batch(model)
        model.eval().draw_terms(batch, 4)
        assert model.likelihood.noise.running_error == 1
        terms = model.train().draw_terms(batch, 4)
        assert model.likelihood.noise.running_error == 1
        model.update_state(terms)
        error = (batch.x - terms.reconstruction.mean).square().mean()
        # a hundredth of the way, in float32
        assert model.likelihood.noise.running_error.item() == pytest.approx(
            0.99 + 0.01 * error.item(), rel=1e-5
        )

    def test_scaled_optimal_noise_works_in_standardised_units(self):
        inner = likelihoods.Normal(networks.MLP(LATENT), EVENT, "optimal")
        model = VAE(
            priors.Normal(LATENT),
            make_posterior("normal-diagonal"),
            likelihoods.Scaled(inner, [5.0], [10.0]),
        )
        batch = Batch(5 + 10 * torch.randn(6, *EVENT))
        terms = model.train().draw_terms(batch, 1)
        model.update_state(terms)
        assert isinstance(terms.reconstruction, Affine) and isinstance(
            terms.reconstruction.base, Independent
        )
        error = ((batch.x - terms.reconstruction.mean) / 10).square().mean()
        assert inner.noise.running_error.item() == pytest.approx(
            0.99 + 0.01 * error.item(), rel=1e-5
        )


NET = networks.MLP(LATENT, [3])
REFUSED = {
    "latent of 0": lambda: priors.Normal(0),
    "latent below 0": lambda: posteriors.Normal(NET, -1),
    "empty latent": lambda: priors.Normal(()),
    "fractional latent": lambda: posteriors.Bernoulli(NET, (2, 0.5)),
    "no categories": lambda: priors.Categorical(3),
    "one category": lambda: posteriors.Categorical(NET, (3, 1)),
    "unknown covariance": lambda: posteriors.Normal(NET, 2, covariance="round"),
    "full covariance with axes": lambda: posteriors.Normal(NET, (2, 2), covariance="full"),
    "rank of 0": lambda: posteriors.Normal(NET, 2, covariance="low_rank", rank=0),
    "event of 0": lambda: likelihoods.Bernoulli(NET, (2, 0)),
    "noise of 0": lambda: likelihoods.Normal(NET, EVENT, scale=0.0),
    "noise below 0": lambda: likelihoods.Laplace(NET, EVENT, scale=-1.0),
    "noise that is no number": lambda: likelihoods.Normal(NET, EVENT, scale=math.nan),
    "unknown noise": lambda: likelihoods.Normal(NET, EVENT, scale="loud"),
    "one level": lambda: likelihoods.DiscretisedLogistic(NET, EVENT, levels=1),
    "one value": lambda: likelihoods.Categorical(NET, EVENT, categories=1),
    "no sample": lambda: make_vae().sample(0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_arguments_are_refused_by_name(name):
    with refused_by_name(ArgumentError):
        REFUSED[name]()
