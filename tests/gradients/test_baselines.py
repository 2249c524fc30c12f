"""Variance reduction for gradients of discrete draws: baselines, relaxations, temperatures."""

import math

import pytest
import torch
from tests.enumeration import discrete_vae, flat, gradient_of
from torch import nn

import aevb
from aevb import VAE, Batch, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb.distributions._discrete import as_discrete
from aevb.errors import ArgumentError
from aevb.objectives._schedules import Exponential, Linear
from aevb.training import adam
from aevb.training._step import TrainingStep

pytestmark = pytest.mark.usefixtures("float64")

X = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)


def noise(model, objective, rule, size=50, runs=40):
    """The total variance of the gradient of a batch of one datum repeated."""
    rule.check(model, objective)
    batch = Batch(X.expand(size, 3))
    return (
        torch.stack([gradient_of(model, objective, rule, batch) for _ in range(runs)])
        .var(0)
        .sum()
        .item()
    )


def test_every_baseline_reduces_the_variance():
    """The target is far from 0 and nearly constant: that constant is most of the noise."""
    model, objective = discrete_vae("categorical"), objectives.ELBO(2)
    running = gradients.ScoreFunction("mean")
    for _ in range(20):
        running(model, objective, Batch(X.expand(50, 3)))
    plain = noise(model, objective, gradients.ScoreFunction())
    assert noise(model, objective, running) < plain / 2
    assert noise(model, objective, gradients.LeaveOneOut()) < plain / 2
    assert noise(model, objective, gradients.REBAR()) < plain / 2
    assert noise(model, objective, gradients.Enumerate()) < 1e-20


def test_the_running_mean_starts_at_the_first_batch_and_follows():
    rule, model = gradients.ScoreFunction("mean"), discrete_vae("bernoulli")
    targets = [
        rule(model, objectives.ELBO(), Batch(X.expand(50, 3))).objective_value.target.mean().item()
        for _ in range(3)
    ]
    level = (rule.running_mean / rule.running_weight).item()
    weights = [0.99**2, 0.99, 1.0]
    expected = sum(w * t for w, t in zip(weights, targets, strict=True)) / sum(weights)
    assert level == pytest.approx(expected, rel=1e-5)  # buffers are float32


def test_the_running_mean_is_constant_outside_training():
    rule, model = gradients.ScoreFunction("mean").eval(), discrete_vae("bernoulli")
    rule(model, objectives.ELBO(), Batch(X))
    assert rule.running_mean == 0 and rule.running_weight == 0


def test_a_network_baseline_learns_the_target_of_each_datum():
    """Two data whose targets differ by nats: the baseline learns the difference, with the optimiser
    of the model.
    """
    model = discrete_vae("bernoulli")
    with torch.no_grad():
        model.likelihood.heads.head.bias.copy_(torch.tensor([4.0, -4.0, 4.0]))
    rule, objective = gradients.ScoreFunction(networks.MLP(3, [8])), objectives.ELBO(2)
    rule.check(model, objective)
    x = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]).repeat(50, 1)
    parameters = list(rule.parameters())
    assert len(parameters) == 4
    take = TrainingStep(model, objective, rule, adam(0.02)(parameters))
    for _ in range(300):
        take(Batch(x))
    predicted = rule.network(x[:2])[0] + rule.running_mean / rule.running_weight
    with torch.no_grad():
        means = rule(model, objective, Batch(x)).objective_value.target.reshape(50, 2).mean(0)
    assert means[0] - means[1] > 4 and torch.allclose(predicted, means, atol=0.3)


def test_a_baseline_is_optimised_and_saved_with_the_run(tmp_path):
    """The optimiser and the checkpoint include its weights; a resumed run continues from them."""
    data = torch.randint(0, 2, (64, 6)).double()

    def run(epochs, **options):
        with aevb._random.seed_scope(0):
            model = VAE(
                priors.Bernoulli(3),
                posteriors.Bernoulli(networks.MLP(6, [4]), 3),
                likelihoods.Bernoulli(networks.MLP(3, [4]), (6,)),
            )
            rule = gradients.ScoreFunction(networks.MLP(6, [4]))
        aevb.fit(
            model,
            data,
            gradient=rule,
            epochs=epochs,
            batch_size=16,
            progress=False,
            lr_schedule=lambda step, total: 1.0,
            **options,
        )
        return flat([p.detach() for p in (*model.parameters(), *rule.parameters())]), rule

    whole, rule = run(2)
    assert rule.running_weight > 0.05
    assert torch.equal(whole, run(2)[0])
    from aevb.training import _checkpoint as checkpoint

    run(2, out=tmp_path / "run")
    tensors = checkpoint.read_checkpoint(tmp_path / "run").tensors_by_part["gradient"]
    assert {"running_mean", "running_weight", "network.head.weight"} <= set(tensors)


def test_a_skipped_step_does_not_change_the_baseline():
    model, rule = discrete_vae("bernoulli"), gradients.ScoreFunction("mean")
    take = TrainingStep(model, objectives.ELBO(), rule, adam()(model.parameters()))
    take(Batch(X))
    before = rule.running_mean.clone(), rule.running_weight.clone()
    take(Batch(torch.full_like(X, torch.nan)))
    assert (
        take.skipped_steps == 1
        and rule.running_mean == before[0]
        and rule.running_weight == before[1]
    )


def test_learned_settings_of_rebar_reduce_the_variance():
    model, objective = discrete_vae("categorical"), objectives.IWAE(2)
    rule = gradients.REBAR(temperature=2.0, scale=0.1)
    before = noise(model, objective, rule, runs=100)
    take = TrainingStep(model, objective, rule, adam(0.02)(rule.parameters()))
    for _ in range(150):
        take(Batch(X.expand(50, 3)))
    assert rule.scale > 0.3
    # variances of 100 batches are known to 14 %
    assert noise(model, objective, rule, runs=100) < 0.6 * before


def test_the_variance_loss_trains_only_scale_and_temperature():
    model, objective = discrete_vae("bernoulli"), objectives.ELBO(2, free_bits=0.1)
    slopes = []
    for learned in (True, False):
        with aevb._random.seed_scope(4):
            slopes.append(
                gradient_of(
                    model, objective, gradients.REBAR(learned=learned), Batch(X.expand(5, 3))
                )
            )
    assert torch.allclose(*slopes, atol=1e-6)  # the settings are float32


# relaxations


def one_bit(seed=0):
    torch.manual_seed(seed)
    model = VAE(
        priors.Bernoulli(1, learned=True),
        posteriors.Bernoulli(nn.Identity(), 1),
        likelihoods.Bernoulli(networks.MLP(1, [3], activation="tanh"), (3,)),
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.8)
    return model


def quadrature(points=20_000):
    """Levels of the uniform number behind one bit, each in the middle of its share."""
    return (torch.arange(points) + 0.5) / points


def relaxed_gradient(model, temperature, exact):
    """The gradient of minus the relaxed bound of one draw, by quadrature over its noise."""
    u = quadrature()
    q, p = model.posterior(X), model.prior()
    logit, prior = q.base_dist.logits[0, 0], p.base_dist.logits[0]
    y = logit + torch.logit(u)
    fit = model.likelihood(torch.sigmoid(y / temperature)[:, None]).log_prob(X)
    rate = torch.distributions.kl_divergence(q, p)[0]
    if not exact:
        density, other = (
            value - y - 2 * nn.functional.softplus(value - y) for value in (logit, prior)
        )
        rate = density - other
    return flat(torch.autograd.grad(-(fit - rate).mean(), list(model.parameters())))


@pytest.mark.parametrize("kl", ["exact", "sampled"])
@pytest.mark.parametrize("temperature", [0.4, 1.5])
def test_relaxed_gradients_equal_those_of_the_relaxed_bound(temperature, kl):
    model, objective, rule = one_bit(), objectives.ELBO(kl=kl), gradients.Relaxed(temperature)
    exact = relaxed_gradient(model, temperature, kl == "exact")
    draws = torch.stack(
        [gradient_of(model, objective, rule, Batch(X.expand(500, 3))) for _ in range(60)]
    )
    # float32 rounds the temperature to 1e-8
    assert ((draws.mean(0) - exact).abs() <= 5 * draws.std(0) / math.sqrt(60) + 1e-6).all()


def test_the_bias_of_relaxed_gradients_vanishes_at_low_temperature():
    model, objective = one_bit(), objectives.ELBO(kl="exact")
    exact = gradient_of(model, objective, gradients.Enumerate(), Batch(X))
    away = [
        (relaxed_gradient(model, temperature, True) - exact).norm().item()
        for temperature in (2.0, 0.5, 0.1)
    ]
    assert away == sorted(away, reverse=True) and away[-1] < 0.05 * exact.norm()


def test_relaxed_importance_weights_bound_the_relaxed_evidence():
    """With both densities relaxed, IWAE is a lower bound of the relaxed model's evidence, tighter
    with more draws.
    """
    model, rule = one_bit(), gradients.Relaxed(0.7)
    y = model.prior().base_dist.logits[0] + torch.logit(quadrature())
    with torch.no_grad():
        evidence = model.likelihood(torch.sigmoid(y / 0.7)[:, None]).log_prob(X).exp().mean().log()
        bounds = [
            rule(model, objectives.IWAE(samples), Batch(X.expand(20_000, 3))).objective_value.bound
            for samples in (1, 20)
        ]
    gaps = [(evidence - bound.mean()).item() for bound in bounds]
    errors = [5 * bound.std().item() / math.sqrt(20_000) for bound in bounds]
    assert gaps[0] > gaps[1] + errors[0] and gaps[1] > -errors[1] - 1e-6


def test_densities_of_soft_codes_approach_those_of_hard_codes_at_low_temperature():
    """At a temperature of 0.001 a code is a corner but where two logits are within a hundredth: one
    draw in a few hundred.
    """
    model, batch = discrete_vae("categorical"), Batch(X.expand(200, 3))
    cooled, soft = (
        gradients.Relaxed(1e-3, density="discrete"),
        gradients.Relaxed(1.0, density="discrete"),
    )
    for rule in (cooled, soft):
        terms = rule(model, objectives.IWAE(3), batch).terms
        plain = model.terms(batch, terms.z.detach().round(), terms.q)
        share = torch.isclose(terms.log_weight, plain.log_weight, atol=1e-6).double().mean()
        assert (share > 0.9) == (rule is cooled)
    assert cooled.bound_kind(objectives.IWAE(3)) == "neither"


def test_straight_through_decodes_hard_codes_and_reports_the_exact_bound():
    model, rule = discrete_vae("categorical"), gradients.StraightThrough(0.8)
    for objective in (objectives.ELBO(3), objectives.IWAE(3)):
        terms = rule(model, objective, Batch(X.expand(4, 3))).terms
        support = model.posterior(X).support
        assert (
            support.check(terms.z.detach().round()).all()
            and (terms.z - terms.z.round()).abs().max() < 1e-12
        )
        plain = model.terms(terms.batch, terms.z.detach().round(), terms.q)
        assert torch.allclose(terms.log_weight, plain.log_weight, atol=1e-12)
    assert (
        rule.bound_kind(objectives.IWAE(3)) == "lower bound"
        and gradients.Relaxed().bound_kind(objectives.IWAE(3)) == "neither"
    )
    assert "relaxed" in gradients.Relaxed().bound_name(objectives.IWAE(3))


@pytest.mark.parametrize(
    "rule",
    [
        gradients.Relaxed(Exponential(1.0, 0.25, steps=4)),
        gradients.StraightThrough(Linear(1.0, 0.25, steps=4)),
    ],
)
def test_temperatures_follow_their_schedules(rule):
    model, objective = one_bit(), objectives.ELBO()
    slopes = []
    for step in (0, 4):
        rule.set_step(step)
        with aevb._random.seed_scope(1):
            slopes.append(gradient_of(model, objective, rule, Batch(X)))
    assert rule.final_schedule_step == 4 and rule.temperature == 0.25
    assert (slopes[0] - slopes[1]).abs().max() > 1e-3


def test_fit_lowers_the_temperature():
    rule = gradients.Relaxed(Exponential(1.0, 0.25, steps=6))
    aevb.fit(one_bit(), X.expand(32, 3), gradient=rule, epochs=4, batch_size=16, progress=False)
    assert rule.temperature == 0.25


def test_optimal_noise_weights_states_by_their_probability():
    """Enumerated states are not draws: the stored error is the expectation under the posterior."""
    likelihood = likelihoods.Normal(networks.MLP(2, [3]), (3,), scale="optimal")
    model = VAE(priors.Bernoulli(2), posteriors.Bernoulli(networks.MLP(3), 2), likelihood).train()
    x = torch.randn(5, 3)
    gradients.Enumerate()(model, objectives.ELBO(), Batch(x))
    discrete = as_discrete(model.posterior(x))
    z = discrete.enumerate_states()[:, None]
    missed = (x - likelihood.noise.heads(z)[0]).square().mean(-1)
    expected = (discrete.log_prob(z).exp() * missed).sum(0).mean()
    assert likelihood.noise.running_error.item() == pytest.approx(
        0.99 + 0.01 * expected.item(), rel=1e-6
    )  # stored as float32


REFUSED = {
    "unknown baseline": lambda: gradients.ScoreFunction("median"),
    "temperature of 0": lambda: gradients.Relaxed(0.0),
    "temperature that ends at 0": lambda: gradients.StraightThrough(Linear(1.0, 0.0)),
    "temperature below 0": lambda: gradients.REBAR(temperature=-1.0),
    "no states": lambda: gradients.Enumerate(limit=1),
    "unknown density": lambda: gradients.Relaxed(density="soft"),
    "unknown update": lambda: gradients.ReweightedWakeSleep("dream"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_arguments_are_refused_by_name(name):
    with pytest.raises(ArgumentError, match=r"`\w+`"):
        REFUSED[name]()
