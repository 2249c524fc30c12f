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
    given,
    make_batch,
    make_likelihood,
    make_posterior,
    make_vae,
)
from tests.covering import few
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


def test_the_catalogue_lists_everything():
    """A family, an objective or a gradient that is public has a line in the catalogue."""
    made = [build() for build in (*catalogue.PRIORS.values(), *catalogue.ESTIMATED.values())]
    made += [make_posterior(name) for name in catalogue.POSTERIORS] + [
        make_likelihood(name) for name in catalogue.LIKELIHOODS
    ]
    made += [build() for build in (*catalogue.OBJECTIVES.values(), *catalogue.GRADIENTS.values())]
    made += [
        penalty
        for name in catalogue.PENALISED
        for penalty in catalogue.OBJECTIVES[name]().penalties
    ]
    quantised = [catalogue.make_quantised(name) for name in catalogue.QUANTISED]
    made += [part for model in quantised for part in (model.prior, model.posterior)] + [
        objectives.CodebookMonitor()
    ]
    made += [build() for build in catalogue.CONDITIONAL.values()]
    made += [part for model in catalogue.HIERARCHIES.values() for part in model().children()]
    present = {type(part) for part in made}
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


# the laws, as anyone can try them on a family of their own


@pytest.mark.parametrize("name", catalogue.POSTERIORS)
def test_posteriors_obey_every_law(name):
    entry, posterior = catalogue.POSTERIORS[name], make_posterior(name)
    prior = catalogue.PRIORS[entry.prior]()
    x = given(posterior, torch.randn(4, *EVENT))
    checked = testing.check_posterior(
        posterior, x, prior, implicit=entry.implicit, eager=not entry.traced
    )
    if posterior.has_density:
        skipped = [law for law, _ in checked.skipped_laws]
        assert "mass" in checked.passed_laws, checked.skipped_laws
        assert ("divergence" in checked.passed_laws) == entry.exact and (
            "check_full_graph" in skipped
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
    assert {"mass", "moments", "check_full_graph"} <= set(checked.passed_laws), checked.skipped_laws


@pytest.mark.parametrize("name", catalogue.NETWORKS)
def test_networks_obey_every_law(name):
    testing.check_network(
        catalogue.NETWORKS[name](4), torch.randn(4, 4), eager=name in catalogue.EAGER
    )


@pytest.mark.parametrize("name", catalogue.OBJECTIVES)
def test_objectives_obey_every_law(name):
    made = catalogue.OBJECTIVES[name]()
    own = (
        name in catalogue.PENALISED or name == "ex-post"
    )  # which ask for a model of the catalogue's shapes
    checked = testing.check_objective(made, make_vae(likelihood="normal-fixed") if own else None)
    sure = made.kind == "lower bound" and not own
    assert {"units", "climbs", *["truthful"] * sure} <= set(checked.passed_laws), (
        checked.skipped_laws
    )


# what families say together


@pytest.mark.usefixtures("float64")
class TestConsistency:
    @pytest.mark.parametrize("name, network", few(catalogue.LIKELIHOODS, ["mlp-linear", "user"]))
    def test_scoring_many_codes_is_the_density_on_any_network(self, name, network):
        testing.check_likelihood(
            make_likelihood(name, network=network), torch.randn(4, LATENT), laws=["scored"]
        )

    def test_scoring_in_low_precision_sees_the_same_logits(self):
        likelihood = make_likelihood("bernoulli").float()
        networks.set_precision(likelihood, torch.bfloat16)
        set_extreme_outputs(likelihood, "mixed", size=1000.3)  # rounded to 1000 in bfloat16
        z = torch.randn(3, 4, LATENT, dtype=torch.float32)
        x = likelihood(z[0]).sample()
        assert (likelihood.log_likelihood_function(x)(z) == likelihood(z).log_prob(x)).all()

    @pytest.mark.parametrize(
        "name", [name for name in catalogue.GAUSSIAN if name != "normal-diagonal"]
    )
    def test_without_slopes_every_covariance_is_the_diagonal_one(self, name):
        """The first outputs of the network mean the same for each: location, then logarithm of the scale."""
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
        model = make_vae(posterior, likelihood).eval()  # held state stays
        batch = make_batch(model, 4)
        z = model.infer(batch).sample((2,))
        double = model.terms(batch, z, model.infer(batch))
        twin = copy.deepcopy(model).float()
        narrow = replace(batch, x=batch.x.float())
        single = twin.terms(narrow, z.float(), twin.infer(narrow))
        held = ["log_likelihood", "log_prior", *["log_posterior"] * model.posterior.has_density]
        for mine, theirs in ((getattr(single, name), getattr(double, name)) for name in held):
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


# targets that are no function of the log-weights with a sampled divergence, of which the last are no function of single draws either
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
CURVED = [
    "sphere"
]  # priors whose codes do not move freely: what covers a sphere covers some of it twice


@functools.cache
def not_penalised(objective):
    """Posteriors of which a penalty cannot have what it needs: each variable's own density, a covariance, codes of the critic's shape,
    codes where another prior has mass."""
    lacking = {"total": marginals, "dip": covariance}.get(objective.split("-")[0])
    named = [*catalogue.DISCRETE, "product"] if objective.startswith("total") else ["categorical"]
    if (
        objective == "ex-post"
    ):  # codes where the prior of the catalogue's line has mass, and in its shape
        q = {name: asked(name) for name in catalogue.POSTERIORS}
        return [
            name
            for name in q
            if q[name].event_shape != (catalogue.LATENT,)
            or has_mass_outside(q[name], catalogue.PRIORS["normal"]()())
        ]
    if lacking is None:
        return named if objective in ("factor", "adversarial") else []
    return [name for name in catalogue.POSTERIORS if name in named or lacking(asked(name)) is None]


def is_legal(posterior, objective, gradient):
    """Which combinations exist, as the theory says it."""
    made = catalogue.OBJECTIVES[objective]()
    density, reparameterised = posterior != "dirac", posterior in catalogue.PATHWISE
    if (made.kind != "reconstruction" and not density) or posterior in not_penalised(objective):
        return False
    if made.kl == "exact" and not catalogue.POSTERIORS[posterior].exact:
        return False
    per_draw = made.target_mean is not None
    weights = per_draw and objective not in NOT_OF_WEIGHTS
    relaxed = posterior in catalogue.DISCRETE and objective not in TWO_TARGETS
    dreams, curved = (
        catalogue.POSTERIORS[posterior].dreams,
        catalogue.POSTERIORS[posterior].prior in CURVED,
    )
    return {
        "pathwise": reparameterised,
        "doubly": reparameterised and density and weights,
        "score": density and per_draw,
        "leave": density and per_draw and made.samples > 1,
        "rebar": relaxed and per_draw,
        "relaxed": relaxed,
        "straight": relaxed,
        # over all states a bound of some number of draws is log p(x)
        "enumerate": posterior in catalogue.DISCRETE
        and per_draw
        and not objective.startswith(("iwae", "miwae", "piwae")),
        "wake": density and weights and dreams,
        "reweighted": objective in ("iwae-1", "iwae-4", "miwae-1x1")
        and density
        and (dreams or gradient == "reweighted-wake"),
        # it climbs log p(x), whatever the objective: one with a target of its own would be ignored
        "em": reparameterised
        and density
        and weights
        and made.kind == "lower bound"
        and objective not in BETA
        and not curved,
    }[gradient.split("-")[0]]


@functools.cache
def model_of(posterior):
    """One model for all that is tried with this posterior; what the door asks it does not change."""
    model = make_vae(posterior)
    model.probe = functools.cache(model.probe)
    return model, make_batch(model)


def asked(posterior):
    """What the posterior says of a batch."""
    model, batch = model_of(posterior)
    return model.infer(batch)


def made_of(objective, gradient):
    """The parts of these names, or of these lines of Python."""
    made = (
        catalogue.OBJECTIVES[objective]() if objective in catalogue.OBJECTIVES else built(objective)
    )
    return made, catalogue.GRADIENTS[gradient]() if gradient in catalogue.GRADIENTS else built(
        gradient
    )


def built(line):
    return eval(
        line.replace("(...)", "(samples=2)"), {"gradients": gradients, "objectives": objectives}
    )


@functools.cache
def refusal(posterior, objective, gradient):
    """What is said of the combination at the door, if anything."""
    made, rule = made_of(objective, gradient)
    try:
        rule.check(model_of(posterior)[0], made)
    except IncompatibleError as refused:
        return str(refused)
    return None


@pytest.mark.parametrize("objective", catalogue.OBJECTIVES)
def test_every_combination_trains_or_is_refused(objective):
    """The full product of posteriors and gradients: accepted, or a refusal whose line, followed, ends in something legal.

    With each gradient some of the posteriors that are accepted are differentiated, others for each objective.
    """
    for turn, gradient in enumerate(catalogue.GRADIENTS):
        accepted = []
        for posterior in catalogue.POSTERIORS:
            said = refusal(posterior, objective, gradient)
            assert (said is None) == is_legal(posterior, objective, gradient), (
                posterior,
                gradient,
                said,
            )
            if said is None:
                accepted.append(posterior)
            else:
                assert (
                    "build it with" in said or steps_to_legal(posterior, objective, gradient) <= 3
                ), said
        first = turn + list(catalogue.OBJECTIVES).index(objective)
        for posterior in (
            {accepted[(first + 7 * step) % len(accepted)] for step in range(2)} if accepted else ()
        ):
            differentiate(posterior, objective, gradient)


def differentiate(posterior, objective, gradient):
    model, batch = model_of(posterior)
    made, rule = made_of(objective, gradient)
    rule.check(model, made)
    estimate = rule(model, made, batch)
    parameters = [*model.parameters(), *made.parameters(), *rule.parameters()]
    slopes = torch.autograd.grad(estimate.loss, parameters, allow_unused=True)
    assert estimate.loss.isfinite() and estimate.objective_value.bound.shape == (6,), posterior
    assert all(slope is None or slope.isfinite().all() for slope in slopes), posterior
    assert sum(slope.abs().sum() for slope in slopes if slope is not None) > 0, posterior


def steps_to_legal(posterior, objective, gradient, most=3):
    """How many lines of error messages must be followed, one after the other, until the combination is accepted."""
    said = refusal(posterior, objective, gradient)
    if said is None or not most:
        return 0 if said is None else most + 1
    lines = re.findall(r"`((?:gradients|objectives|posteriors)\.\w+\([^`]*\))`", said)
    return min(
        (
            1 + steps_to_legal(*followed(line, posterior, objective, gradient), most - 1)
            for line in lines
        ),
        default=most + 1,
    )


def followed(line, posterior, objective, gradient):
    """The combination with the part that the line names put in place of its own."""
    if line.startswith("posteriors"):
        assert line == "posteriors.Normal(...)"
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
def test_any_network_trains_in_every_slot(posterior, network):
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


@pytest.mark.parametrize(
    "posterior, objective",
    [("normal-full", "elbo"), ("gamma", "iwae-4"), ("dirac", "reconstruction")],
)
def test_a_step_is_one_graph(posterior, objective):
    """Draw, densities, divergence and bound are traced without a break, forwards and backwards, and agree with eager mode."""
    model, made = make_vae(posterior, "bernoulli"), catalogue.OBJECTIVES[objective]()
    batch = make_batch(model)

    def step(x):
        return gradients.Pathwise()(model, made, Batch(x)).loss

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


# the model's own doors


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

    def test_parts_that_do_not_fit_are_refused_with_the_line_to_write(self):
        with pytest.raises(IncompatibleError, match="latent=2"):
            VAE(priors.Normal(3), make_posterior("normal-diagonal"), make_likelihood("bernoulli"))
        with pytest.raises(IncompatibleError, match=r"likelihoods\.Bernoulli"):
            likelihoods.Scaled(make_likelihood("bernoulli"), [0.0], [2.0])

    def test_data_of_another_shape_are_refused(self):
        model = make_vae()
        with pytest.raises(DataError, match="takes"):
            model.encode(torch.zeros(3, 5))
        with pytest.raises(DataError, match="codes"):
            model.decode(torch.zeros(3, LATENT + 1))

    def test_optimal_noise_moves_towards_the_error_of_training_and_only_then(self):
        model = make_vae(likelihood="normal-optimal")
        batch = make_batch(model)
        model.eval().draw_terms(batch, 4)
        assert model.likelihood.noise.running_error == 1
        terms = model.train().draw_terms(batch, 4)
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
def test_arguments_that_no_run_could_use_are_refused_by_name(name):
    with pytest.raises(ArgumentError, match=r"`\w+`"):
        REFUSED[name]()
