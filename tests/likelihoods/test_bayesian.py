"""Random weights: the joint bound of weights and codes, and posterior predictions."""

import copy
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.catalogue import make_posterior, make_vae
from tests.linear import unscale
from tests.refusals import refused
from torch import nn
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, kl_divergence

import aevb
from aevb import (
    VAE,
    Batch,
    gradients,
    likelihoods,
    metrics,
    networks,
    objectives,
    posteriors,
    priors,
)
from aevb.distributions import EqualWeightMixture, from_scale, to_scale
from aevb.errors import ArgumentError, IncompatibleError
from aevb.likelihoods._likelihood import Likelihood
from aevb.training import adam
from aevb.training._step import differentiate

pytestmark = pytest.mark.usefixtures("float64")

SLOPE, NOISE, SPREAD = 0.75, 0.8, 1.3  # of x_1 on z, of both observations, of the weight's prior


class OneWeight(Likelihood):
    """``x_1 = 0.75 z + noise``, ``x_2 = w + noise``.

    Conditional on the data, latent and weight are independent: a product can be exact.
    """

    def __init__(self):
        super().__init__()
        self.event_shape = (2,)
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, input, context=None):
        loc = torch.cat([SLOPE * input, self.weight.expand_as(input)], -1)
        return Independent(Normal(loc, NOISE), 1)


class Product(Likelihood):
    """``x = w z + noise``: code and weight compete for the same number."""

    def __init__(self):
        super().__init__()
        self.event_shape = (1,)
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, input, context=None):
        return Independent(Normal(self.weight * input, NOISE), 1)


def one_weight(inner, size, prior_scale=SPREAD):
    """The model with random weights and a linear encoder at the exact posterior of ``z``."""
    model = VAE(
        priors.Normal(1),
        posteriors.Normal(nn.Identity(), 1),
        likelihoods.Bayesian(inner, prior_scale=prior_scale),
    )
    head, spread = model.posterior.heads.head, NOISE**2 / (SLOPE**2 + NOISE**2)
    nn.init.zeros_(head.weight)
    with torch.no_grad():
        head.weight[0, 0] = SLOPE / NOISE**2 * spread
        head.bias.copy_(torch.tensor([0.0, unscale(torch.tensor(spread).sqrt()).item()]))
    assert head.weight.shape == (2, size)
    return model.train()


def set_weight(model, mean, scale):
    likelihood = model.likelihood
    with torch.no_grad():
        likelihood.likelihood.weight.fill_(mean)
        likelihood.random_weights["weight"].raw.fill_(from_scale(torch.tensor(scale)).item())


def joint_bound(model, objective, x, noise):
    """``E_q(w)[bound]`` of all rows: the mean over fixed noise and over two points for ``q(z|x)``.

    For a Gaussian and a quadratic, points at one standard deviation give the exact mean.
    """
    batch, q, total = Batch(x, dataset_size=len(x)), model.posterior(x), 0.0
    z = q.mean + q.stddev * torch.tensor([1.0, -1.0])[:, None, None]
    model.likelihood.resample_weights = lambda: None
    for eps, share in noise:
        model.likelihood.random_weights["weight"].noise.fill_(eps)
        total += (
            share
            * len(x)
            * objective(model.terms(batch, z, q, exact_kl=objective.kl != "sampled"), model)
            .bound.mean()
            .item()
        )
    return total


BOTH = [(1.0, 0.5), (-1.0, 0.5)]


def test_the_bound_is_the_joint_evidence_at_the_exact_posterior_and_below_it_elsewhere():
    model = one_weight(OneWeight(), 2)
    x = torch.randn(9, 2) + torch.tensor([0.0, 1.5])
    evidence = Normal(0.0, math.sqrt(SLOPE**2 + NOISE**2)).log_prob(x[:, 0]).sum()
    evidence += MultivariateNormal(
        torch.zeros(9), NOISE**2 * torch.eye(9) + SPREAD**2 * torch.ones(9, 9)
    ).log_prob(x[:, 1])
    variance = 1 / (1 / SPREAD**2 + 9 / NOISE**2)
    mean, scale = variance * x[:, 1].sum().item() / NOISE**2, math.sqrt(variance)
    for objective in (
        objectives.ELBO(2, kl="exact"),
        objectives.ELBO(2, kl="sampled"),
        objectives.IWAE(2),
    ):
        set_weight(model, mean, scale)
        assert joint_bound(model, objective, x, BOTH) == pytest.approx(evidence.item(), abs=1e-10)
        for wrong in ((mean + 0.3, scale), (mean, 2 * scale), (mean, scale / 2)):
            set_weight(model, *wrong)
            divergence = kl_divergence(
                Normal(*map(torch.tensor, wrong)), Normal(torch.tensor(mean), torch.tensor(scale))
            )
            # the gap equals KL(q(w) || p(w | data))
            assert joint_bound(model, objective, x, BOTH) == pytest.approx(
                (evidence - divergence).item(), abs=1e-10
            )


def evidence_of_products(x):
    """``log p(data)`` of ``x = w z + noise`` by quadrature over the weight."""
    w = torch.linspace(-12 * SPREAD, 12 * SPREAD, 20_001)
    joint = Normal(0.0, SPREAD).log_prob(w) + Normal(0.0, (w**2 + NOISE**2).sqrt()).log_prob(x).sum(
        0
    )
    return (joint.logsumexp(0) + math.log(24 * SPREAD / 20_000)).item()


def test_every_bound_lies_below_the_joint_evidence_where_code_and_weight_depend_on_each_other():
    """Averages over the weight by quadrature and over latents by many copies of the data."""
    x = torch.tensor([[1.1], [-0.6], [0.4], [2.0]])
    truth = evidence_of_products(x)
    nodes, shares = np.polynomial.hermite_e.hermegauss(20)
    noise = list(zip(nodes.tolist(), (shares / math.sqrt(2 * math.pi)).tolist(), strict=True))
    model, many = one_weight(Product(), 1), x.repeat(1000, 1)
    set_weight(model, 0.9, 0.3)
    bounds = []
    for objective in (objectives.ELBO(1), objectives.IWAE(5), objectives.IWAE(20)):
        model.likelihood.resample_weights = lambda: None
        values = torch.zeros(len(many))
        q = model.posterior(many)
        for eps, share in noise:
            model.likelihood.random_weights["weight"].noise.fill_(eps)
            terms = model.terms(Batch(many, dataset_size=4), q.sample((objective.samples,)), q)
            values += share * objective(terms, model).bound.detach()
        bounds.append((4 * values.mean().item(), 4 * values.std().item() / math.sqrt(len(many))))
    for (low, error), (high, other) in itertools.pairwise(bounds):
        assert low < high + 5 * (error + other), "more samples of the code, a tighter bound"
    assert all(value < truth + 5 * error for value, error in bounds) and bounds[-1][0] > truth - 1.0


def test_training_finds_the_exact_posterior_of_the_weight():
    x = torch.randn(40, 2) + torch.tensor([0.0, 1.5])
    model = one_weight(OneWeight(), 2)
    aevb.fit(
        model,
        x,
        objective=objectives.ELBO(2),
        optimizer=adam(0.05),
        epochs=300,
        batch_size=40,
        progress=False,
        compile=False,
    )
    variance = 1 / (1 / SPREAD**2 + 40 / NOISE**2)
    part = model.likelihood.random_weights["weight"]
    # known from the last few hundred draws: mean and log-scale to about a twentieth
    assert model.likelihood.likelihood.weight.item() == pytest.approx(
        variance * x[:, 1].sum().item() / NOISE**2, abs=0.2 * variance**0.5
    )
    assert to_scale(part.raw).item() == pytest.approx(math.sqrt(variance), rel=0.15)


# the divergence


def bayesian(**options):
    likelihood = likelihoods.Bayesian(likelihoods.Bernoulli(networks.MLP(2, [5]), (6,)), **options)
    return VAE(priors.Normal(2), posteriors.Normal(networks.MLP(6, [5]), 2), likelihood)


def test_the_divergence_is_the_sum_over_all_weights_and_is_shared_by_all_rows():
    model = bayesian(scale=0.05, prior_scale=0.7)
    means = torch.cat([p.flatten() for p in model.likelihood.likelihood.parameters()])
    expected = kl_divergence(Normal(means, 0.05), Normal(torch.zeros_like(means), 0.7)).sum()
    assert torch.allclose(model.likelihood.weight_kl(), expected, rtol=1e-12)
    x = torch.bernoulli(torch.full((4, 6), 0.5))
    terms = model.train().draw_terms(Batch(x, dataset_size=500), 3)
    assert torch.allclose(terms.weight_kl, expected / 500, rtol=1e-12)
    for objective in (objectives.ELBO(3), objectives.ELBO(3, beta=4.0), objectives.IWAE(3)):
        score = objective(terms, model)
        plain = objective(replace(terms, weight_kl=torch.zeros(())), model)
        assert torch.allclose(score.bound, plain.bound - expected / 500) and torch.allclose(
            score.target, plain.target - expected / 500
        )
    assert model.eval().draw_terms(Batch(x), 3).weight_kl == 0, (
        "new data do not pay for the weights again"
    )


def test_a_learned_prior_scale_matches_the_weights():
    """At the best ``s^2``, the mean of ``mu^2 + sigma^2``, the divergence has no gradient."""
    model = bayesian(scale=0.05, prior_scale="learned")
    likelihood = model.likelihood
    for key, part in likelihood.random_weights.items():
        mean = likelihood.likelihood.get_parameter(key.replace("/", "."))
        with torch.no_grad():
            part.prior_raw.copy_(from_scale((mean.square() + 0.05**2).mean().sqrt()))
    likelihood.weight_kl().backward()
    assert all(part.prior_raw.grad.abs() < 1e-9 for part in likelihood.random_weights.values())
    assert sum(part.raw.grad.abs().sum() for part in likelihood.random_weights.values()) > 1


def test_batches_without_a_data_set_size_are_refused():
    with refused(IncompatibleError, "dataset_size"):
        bayesian().train().draw_terms(Batch(torch.ones(2, 6)), 1)
    with refused(IncompatibleError, "dataset_size"):
        aevb.fit(bayesian(), [torch.ones(5, 6)], epochs=1, progress=False)


@pytest.mark.parametrize("outside", [False, True])
def test_units_around_random_weights_change_neither_draws_nor_divergence(outside):
    """``Scaled(Bayesian(...))`` and ``Bayesian(Scaled(...))`` are the same model."""
    inner, shift, scale = likelihoods.Normal(networks.MLP(2, [3]), (2, 2), 0.5), [1.0], [3.0]
    if outside:
        likelihood = likelihoods.Scaled(likelihoods.Bayesian(inner), shift, scale)
    else:
        likelihood = likelihoods.Bayesian(likelihoods.Scaled(inner, shift, scale))
    model = VAE(priors.Normal(2), make_posterior("normal-diagonal"), likelihood).train()
    bare = likelihoods.Bayesian(copy.deepcopy(inner))
    bare.eval()(torch.zeros(1, 2))
    assert torch.allclose(likelihood.weight_kl(), bare.weight_kl())
    z = torch.zeros(3, 2)
    before = likelihood(z).mean
    likelihood.resample_weights()
    assert not torch.equal(before, likelihood(z).mean)
    assert model.draw_terms(Batch(torch.randn(2, 2, 2), dataset_size=10), 1).weight_kl > 0


# draws of the weights


def test_in_training_all_draws_of_a_step_share_one_draw_of_the_weights():
    model = bayesian(scale=0.3).train()
    z = torch.randn(3, 5, 2)
    first = model.likelihood(z).mean
    assert torch.equal(first, model.likelihood(z).mean)
    assert torch.allclose(torch.stack([model.likelihood(each).mean for each in z]), first)
    model.resample_weights()
    assert not torch.equal(first, model.likelihood(z).mean), "and the next step has another"
    before = torch.get_rng_state()
    model.likelihood(z)
    assert torch.equal(before, torch.get_rng_state())


def test_draws_of_the_weights_have_the_moments_of_their_posterior():
    model = bayesian(scale=0.2)
    part, mean = (
        model.likelihood.random_weights["heads/head/bias"],
        model.likelihood.likelihood.heads.head.bias,
    )
    draws = []
    for _ in range(2000):
        model.likelihood.resample_weights()
        draws.append(part.reparameterise(mean, part.noise))
    draws = torch.stack(draws).detach()
    # five standard errors of a mean and of a standard deviation
    assert ((draws.mean(0) - mean).abs() < 5 * 0.2 / math.sqrt(2000)).all()
    assert ((draws.std(0) / 0.2 - 1).abs() < 5 / math.sqrt(2 * 2000)).all()


def test_evaluation_averages_over_fixed_draws_of_the_weights():
    """Repeated evaluations agree, and average densities rather than their logarithms."""
    model = bayesian(scale=0.3, draws=5).eval()
    z, x = torch.randn(4, 2), torch.bernoulli(torch.full((4, 6), 0.5))
    p = model.likelihood(z)
    torch.rand(3)
    assert torch.equal(p.log_prob(x), model.likelihood(z).log_prob(x)) and torch.equal(
        model.decode(z), model.decode(z)
    )
    parts = torch.stack([part.log_prob(x) for part in p.components])
    assert len(parts) == 5 and parts.std(0).min() > 1e-3
    assert torch.allclose(p.log_prob(x).exp(), parts.exp().mean(0)) and torch.allclose(
        p.mean, torch.stack([q.mean for q in p.components]).mean(0)
    )
    assert p.log_prob(x).min() > parts.mean(0).min()
    before = torch.get_rng_state()
    again = bayesian(scale=0.3, draws=5).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.likelihood(z).log_prob(x), p.log_prob(x)), (
        "another process has the same draws"
    )
    assert not torch.equal(before, torch.get_rng_state())  # the new networks were drawn


def test_predictions_equal_the_exact_posterior_predictive():
    """With the exact ``q(w)`` a new ``x_2`` has the mean of ``w`` and the sum of both variances."""
    model = VAE(
        priors.Normal(1),
        posteriors.Normal(nn.Identity(), 1),
        likelihoods.Bayesian(OneWeight(), prior_scale=SPREAD, draws=500),
    )
    set_weight(model, 1.2, 0.4)
    p = model.eval().likelihood(torch.zeros(1, 1))
    error = 0.4 / math.sqrt(500)
    assert p.mean[0, 1].item() == pytest.approx(1.2, abs=5 * error)
    assert p.variance[0, 1].item() == pytest.approx(
        0.4**2 + NOISE**2, abs=5 * math.sqrt(2 / 500) * 0.4**2
    )
    exact = Normal(1.2, math.sqrt(0.4**2 + NOISE**2)).log_prob(torch.tensor(0.5)) + Normal(
        0.0, NOISE
    ).log_prob(torch.tensor(0.0))
    # the relative spread of the density over the weights is about a half
    assert p.log_prob(torch.tensor([[0.0, 0.5]])).item() == pytest.approx(
        exact.item(), abs=5 * 0.5 / math.sqrt(500)
    )
    draws = model.sample(2000)[:, 1]
    assert abs(draws.var() - (0.4**2 + NOISE**2)) < 5 * math.sqrt(2 / 2000) * (0.4**2 + NOISE**2)


def test_only_named_weights_are_random():
    model = bayesian(weights=["heads.head"])
    assert sorted(model.likelihood.random_weights) == ["heads/head/bias", "heads/head/weight"]
    network = model.likelihood.likelihood.heads.network
    assert model.likelihood(torch.zeros(1, 2)).mean.shape == (1, 6) and all(
        p.requires_grad for p in network.parameters()
    )
    with refused(ArgumentError, "weights", "'heads.tail'", "heads.head.weight"):
        bayesian(weights=["heads.head", "heads.tail"])


@pytest.mark.slow  # tracing dominates the time
def test_a_step_is_one_graph():
    """The compiled step uses the same noise of the weights as the eager step."""
    model, objective = bayesian(), objectives.ELBO(2)
    x, rule = torch.ones(3, 6), gradients.Pathwise()

    def step(x):
        result = differentiate(
            model, objective, rule, list(model.parameters()), Batch(x, dataset_size=9), None
        )
        return result.statistics, result.gradients

    results = []
    for run in (step, torch.compile(step, backend="aot_eager", fullgraph=True)):
        with aevb._random.seed_scope(1), torch._dynamo.config.patch(trace_autograd_ops=True):
            statistics, slopes = run(x)
        results.append(
            [statistics, *slopes, model.likelihood.random_weights["heads/head/bias"].noise.clone()]
        )
    torch.compiler.reset()
    assert all(torch.allclose(a, b, rtol=1e-6, atol=1e-9) for a, b in zip(*results, strict=True))


def test_metrics_accept_random_weights():
    model = bayesian(draws=3)
    x = model.sample(10)
    first = metrics.log_likelihood(model.train(), x, samples=4)
    assert (
        first.mean == metrics.log_likelihood(model, x, samples=4).mean
        and first.mean > first.elbo.mean
    )
    refined = aevb.inference.refine(model, x, steps=10)
    assert refined.elbo_after.mean() > refined.elbo_before.mean()


@pytest.mark.parametrize(
    "setting",
    [{"scale": 0.0}, {"scale": 1e4}, {"prior_scale": -1.0}, {"prior_scale": "wide"}, {"draws": 0}],
)
def test_invalid_arguments_are_refused_by_name(setting):
    with refused(ArgumentError, next(iter(setting))):
        bayesian(**setting)


# the mixture used in evaluation


def test_an_average_of_distributions_has_their_mixed_moments_and_draws():
    parts = [
        Independent(Normal(torch.tensor([0.0, 3.0]), 1.0), 1),
        Independent(Normal(torch.tensor([4.0, 3.0]), 0.5), 1),
    ]
    mixture = EqualWeightMixture(parts)
    assert torch.allclose(mixture.mean, torch.tensor([2.0, 3.0]))
    assert torch.allclose(mixture.variance, torch.tensor([4 + (1 + 0.25) / 2, (1 + 0.25) / 2]))
    draws = mixture.sample((20_000,))
    assert draws.shape == (20_000, 2)
    error = draws.std(0) / math.sqrt(20_000)
    assert ((draws.mean(0) - mixture.mean).abs() < 5 * error).all()
    assert (draws.var(0) / mixture.variance - 1).abs().max() < 5 * math.sqrt(2 / 20_000)
    # an event comes from one part: both coordinates have the same scale
    far = draws[:, 0] > 2.5
    assert (draws[far, 1] - 3).std() < 0.6 < 0.9 < (draws[~far, 1] - 3).std()
    grid = torch.cartesian_prod(torch.linspace(-8, 10, 301), torch.linspace(-5, 11, 301))
    # a sum over a grid of step 0.06 integrates Gaussians of scale 0.5 and more to rounding
    assert mixture.log_prob(grid).exp().sum().item() * (18 / 300) * (16 / 300) == pytest.approx(
        1, abs=1e-9
    )
    assert mixture.support.check(draws).all() and mixture.support.event_dim == 1


def test_an_average_of_discrete_distributions():
    mixture = EqualWeightMixture(
        [
            Independent(Bernoulli(torch.tensor([[0.1, 0.9]])), 1),
            Independent(Bernoulli(torch.tensor([[0.5, 0.5]])), 1),
        ]
    )
    states = torch.cartesian_prod(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]))
    assert mixture.log_prob(states).exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert mixture.batch_shape == (1,) and mixture.sample((3,)).shape == (3, 1, 2)


def test_random_weights_train_like_fixed_weights():
    model = make_vae("normal-diagonal", "normal-shared")
    wrapped = VAE(model.prior, model.posterior, likelihoods.Bayesian(model.likelihood))
    batch = Batch(wrapped.sample(6), index=torch.arange(6), dataset_size=6)
    for rule in (
        gradients.Pathwise(),
        gradients.DoublyReparameterised(),
        gradients.ScoreFunction(),
        gradients.WakeSleep(),
    ):
        objective = objectives.ELBO(2, kl="sampled")
        rule.check(wrapped, objective)
        slopes = torch.autograd.grad(
            rule(wrapped, objective, batch).loss, list(wrapped.likelihood.parameters())
        )
        assert all(slope.isfinite().all() and slope.abs().sum() > 0 for slope in slopes)
