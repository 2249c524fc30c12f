"""Monte-Carlo EM: chains draw from the true posterior, and training maximises the likelihood."""

import copy
import math

import pytest
import torch
from tests.linear import evidence, factor_data, linear_vae, ppca, set_posterior
from torch import nn
from torch.distributions import Exponential as Waiting
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

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
from aevb._conditional import Conditional, Unconditional
from aevb.errors import ArgumentError, IncompatibleError
from aevb.training import adam
from aevb.training._step import TrainingStep, differentiate

pytestmark = pytest.mark.usefixtures("float64")


def correlated():
    """A posterior with correlation, and an approximation of it that is far off."""
    weight, offset = (
        torch.tensor([[1.0, 0.8], [0.3, -1.0], [0.5, 1.2]]),
        torch.tensor([0.2, -0.1, 0.4]),
    )
    model = linear_vae(weight, offset, 0.7)
    set_posterior(model, torch.zeros(2, 3), torch.zeros(2), torch.ones(2))
    return model


def explain(model, rule, x, times, objective=None):
    """The estimates of that many steps that change no weights."""
    batch = Batch(x, index=torch.arange(len(x)), dataset_size=len(x))
    return [
        rule(model, objectives.ELBO() if objective is None else objective, batch)
        for _ in range(times)
    ]


def test_chains_draw_from_the_true_posterior():
    """60 copies of a datum with 10 chains each: the spread over independent chains gives the
    errors.
    """
    model, x = correlated(), torch.tensor([[1.0, -0.5, 0.3]])
    rule = gradients.MonteCarloEM(rows=60, latent=2, chains=10)
    explain(model, rule, x.expand(60, 3), 30)  # forget the start
    kept = []
    for _ in range(20):
        explain(model, rule, x.expand(60, 3), 1)
        kept.append(rule.chain_state.flatten(0, 1).clone())
    z, truth = torch.stack(kept), metrics.exact_posterior(model, x)
    away = z - truth.mean
    second = torch.einsum("nci,ncj->cij", away, away) / len(away)
    for per_chain, expected in ((z.mean(0), truth.mean[0]), (second, truth.covariance_matrix[0])):
        error = per_chain.std(0) / math.sqrt(600)
        assert ((per_chain.mean(0) - expected).abs() < 5 * error).all() and error.max() < 0.03


def test_gradients_equal_those_of_the_likelihood_and_of_the_forward_divergence():
    """Fisher's identity: over the true posterior ``grad log p(x, z)`` has the mean ``grad log
    p(x)``.
    """
    model, x = correlated(), torch.tensor([[1.0, -0.5, 0.3]])
    head, fitted = model.likelihood.noise.heads.head, model.posterior.heads.head
    q = model.posterior(x)
    gap = kl_divergence(
        metrics.exact_posterior(model, x), MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    )
    exact = torch.autograd.grad(
        -evidence(head.weight, head.bias, 0.7, x).mean(), [head.weight, head.bias]
    )
    exact += torch.autograd.grad(gap.mean(), [fitted.weight, fitted.bias])
    learned = [head.weight, head.bias, fitted.weight, fitted.bias]
    rule = gradients.MonteCarloEM(rows=300, latent=2)
    explain(model, rule, x.expand(300, 3), 30)
    slopes = [
        torch.autograd.grad(explain(model, rule, x.expand(300, 3), 3)[-1].loss, learned)
        for _ in range(20)
    ]
    for each, truth in zip(zip(*slopes, strict=True), exact, strict=True):
        draws = torch.stack(each)
        # three transitions at an acceptance of 0.9 leave the draws nearly independent; the
        # remaining correlation is inside 7 errors
        error = draws.std(0) / math.sqrt(20)
        assert (
            (draws.mean(0) - truth).abs() < 7 * error
        ).all() and error.norm() < 0.1 * truth.norm()


def test_training_reaches_the_likelihood_of_probabilistic_pca():
    """The result does not depend on the encoder."""
    x = factor_data(n=150, noise=torch.tensor([0.5]))
    x = (x - x.mean(0)) / x.std()
    model = VAE(
        priors.Normal(2),
        posteriors.Normal(nn.Identity(), 2, "full"),
        likelihoods.Normal(nn.Identity(), (6,), "shared"),
    )
    rule = gradients.MonteCarloEM(rows=150, latent=2, leapfrogs=4)
    aevb.fit(
        model,
        x,
        gradient=rule,
        optimizer=adam(0.1),
        epochs=300,
        batch_size=150,
        progress=False,
        compile=False,
    )
    # one draw per datum and step: what Adam's averaging leaves of its noise at the last rates, some
    # hundredths of a nat
    assert metrics.exact_log_likelihood(model, x).mean().item() == pytest.approx(
        ppca(x, 2)[-1], abs=0.05
    )


def test_the_acceptance_is_tuned_during_training():
    model, x = correlated(), torch.randn(50, 3)
    rule = gradients.MonteCarloEM(rows=50, latent=2, leapfrogs=4, acceptance=0.7)
    steps = [rule.step_size.item() for _ in range(250) if explain(model, rule, x, 1)]
    # the step size rises from 0.1 by 0.015 in the logarithm and settles near the
    # smallest scale of the posterior, which is 0.4
    assert steps[0] < 0.11 and min(steps[150:]) > 0.2 and max(steps[150:]) / min(steps[150:]) < 1.5


def test_the_reported_bound_lies_below_the_evidence():
    """At the chains' own draws, ``log p(x, z) - log q(z|x)`` has a mean above it."""
    model, x = correlated(), torch.tensor([[1.0, -0.5, 0.3]]).expand(500, 3)
    rule = gradients.MonteCarloEM(rows=500, latent=2)
    estimates = explain(model, rule, x, 30)[20:]
    bound = torch.stack([estimate.objective_value.bound for estimate in estimates]).flatten()
    truth = metrics.decomposition(model, x[:1])
    assert abs(bound.mean() - truth.elbo) < 5 * bound.std() / math.sqrt(len(bound))
    z = rule.chain_state.transpose(0, 1)
    q = model.posterior(x)
    assert (model.log_joint(Batch(x), z) - q.log_prob(z)).mean() > truth.log_likelihood


def test_only_the_chains_of_the_batch_move_and_a_skipped_step_moves_none():
    model, rule = correlated(), gradients.MonteCarloEM(rows=10, latent=2)
    step = TrainingStep(
        model, objectives.ELBO(), rule, torch.optim.Adam([*model.parameters()], 1e-2)
    )
    there = torch.tensor([1, 4, 7])
    step(Batch(torch.randn(3, 3), index=there, dataset_size=10))
    assert (
        rule.chain_started.nonzero().flatten().tolist() == [1, 4, 7]
        and (rule.chain_state[0] == 0).all()
        and (rule.chain_state[there] != 0).all()
    )
    chains_before, size_before = rule.chain_state.clone(), rule.step_size.clone()
    step(Batch(torch.full((3, 3), torch.nan), index=there, dataset_size=10))
    assert (
        step.skipped_steps == 1
        and torch.equal(rule.chain_state, chains_before)
        and torch.equal(rule.step_size, size_before)
    )
    step(Batch(torch.randn(3, 3), index=there, dataset_size=10))
    assert not torch.equal(rule.chain_state, chains_before) and not torch.equal(
        rule.step_size, size_before
    )


def test_a_resumed_run_continues_its_chains(tmp_path):
    def run(**options):
        with aevb._random.seed_scope(0):
            model, rule = small(), gradients.MonteCarloEM(rows=20, latent=2, leapfrogs=2)
        x = (torch.rand(20, 6, generator=torch.Generator().manual_seed(1)) < 0.5).double()
        aevb.fit(
            model,
            x,
            gradient=rule,
            epochs=4,
            batch_size=5,
            progress=False,
            compile=False,
            **options,
        )
        return model, rule

    whole, chains = run()
    run(out=tmp_path / "run", callbacks=[lambda epoch, model: epoch.epoch == 2])
    resumed, again = run(out=tmp_path / "run", resume=True)
    assert (
        torch.equal(chains.chain_state, again.chain_state)
        and torch.equal(chains.step_size, again.step_size)
        and again.chain_started.all()
    )
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True)
    )


def test_without_rows_chains_start_at_the_posterior_and_are_not_stored():
    model, rule = correlated(), gradients.MonteCarloEM(transitions=20)
    assert set(rule.state_dict()) == {"step_size"}
    x = torch.tensor([[1.0, -0.5, 0.3]]).expand(400, 3)
    explain(model, rule, x, 2)
    # after 20 transitions the start is forgotten: log p(x, z) has the mean that it has under the
    # true posterior
    loss = torch.stack([estimate.loss for estimate in explain(model, rule, x, 2)]).mean().item()
    truth = metrics.exact_posterior(model, x[:1])
    z = truth.sample((200_000,))
    mean = (model.log_joint(Batch(x[:1]), z) + model.posterior(x[:1]).log_prob(z)).mean().item()
    # the standard deviation is about 1.5 per draw, over 800 draws
    assert -loss == pytest.approx(mean, abs=5 * 1.5 / math.sqrt(800))


class Positive(Unconditional):
    def forward(self, input=None, context=None):
        return Independent(Waiting(torch.ones(1)), 1)


class Skewed(Conditional):
    """A family on the positive half-line, with a parameter."""

    def __init__(self):
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(()))

    def forward(self, input, context=None):
        return Independent(Waiting(self.raw.exp().expand(len(input), 1)), 1)


def test_constrained_latents_are_sampled_in_unconstrained_coordinates():
    """A waiting time seen with unit noise: the posterior is a normal cut off at 0, with mean ``m +
    phi(m) / Phi(m)``, ``m = x - 1``.
    """
    likelihood = likelihoods.Normal(nn.Identity(), (1,), scale=1.0)
    model = VAE(Positive(), Skewed(), likelihood)
    with torch.no_grad():
        likelihood.noise.heads.head.weight.fill_(1.0)
        likelihood.noise.heads.head.bias.zero_()
    rule, x = gradients.MonteCarloEM(rows=600, latent=1), torch.full((600, 1), 0.5)
    rule.check(model, objectives.ELBO())
    explain(model, rule, x, 30)
    kept = torch.stack(
        [rule.chain_state[:, 0, 0].clone() for _ in range(20) if explain(model, rule, x, 1)]
    )
    m, unit = torch.tensor(-0.5), Normal(0.0, 1.0)
    mean = m + unit.log_prob(m).exp() / unit.cdf(m)
    chain_means = kept.mean(0)
    assert (kept > 0).all() and abs(chain_means.mean() - mean) < 5 * chain_means.std() / math.sqrt(
        600
    )


def small(prior=None, posterior=None, likelihood=None):
    return VAE(
        prior or priors.Normal(2),
        posterior or posteriors.Normal(networks.MLP(6, [4]), 2),
        likelihood or likelihoods.Bernoulli(networks.MLP(2, [4]), (6,)),
    )


@pytest.mark.slow  # ten leapfrog steps, forwards and backwards, take a while to be traced
def test_a_step_is_one_graph():
    model, rule, objective = small(), gradients.MonteCarloEM(rows=9, latent=2), objectives.ELBO(2)
    start, index = copy.deepcopy(rule.state_dict()), torch.tensor([0, 3, 8])

    def step(x, index):
        result = differentiate(
            model,
            objective,
            rule,
            list(model.parameters()),
            Batch(x, index=index, dataset_size=9),
            None,
        )
        return result.statistics, result.gradients

    results, x = [], torch.ones(3, 6)
    for run in (step, torch.compile(step, backend="aot_eager", fullgraph=True)):
        rule.load_state_dict(copy.deepcopy(start))
        with aevb._random.seed_scope(1), torch._dynamo.config.patch(trace_autograd_ops=True):
            statistics, slopes = run(x, index)
        results.append([statistics, *slopes, rule.chain_state.clone(), rule.step_size.clone()])
    torch.compiler.reset()
    # the same operations in another order
    assert all(torch.allclose(a, b, rtol=1e-6, atol=1e-9) for a, b in zip(*results, strict=True))
    assert model.training and model.likelihood.training


REFUSED = {
    "bits": lambda: (
        small(priors.Bernoulli(2), posteriors.Bernoulli(networks.MLP(6), 2)),
        objectives.ELBO(),
    ),
    "no density": lambda: (
        small(posterior=posteriors.Dirac(networks.MLP(6), 2)),
        objectives.ELBO(),
    ),
    "beta": lambda: (small(), objectives.ELBO(beta=4.0)),
    "warm-up": lambda: (small(), objectives.ELBO(beta=objectives.Linear(steps=10))),
    "free bits": lambda: (small(), objectives.ELBO(free_bits=0.1)),
    "reconstruction": lambda: (small(), objectives.Reconstruction()),
    "random weights": lambda: (
        small(likelihood=likelihoods.Bayesian(likelihoods.Bernoulli(networks.MLP(2), (6,)))),
        objectives.ELBO(),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_incompatible_parts_are_refused_with_the_line_to_write(name):
    model, objective = REFUSED[name]()
    with pytest.raises(IncompatibleError, match=r"[Uu]se `(gradients|objectives)\."):
        gradients.MonteCarloEM().check(model, objective)


def test_chains_of_other_rows_or_codes_are_refused():
    with pytest.raises(IncompatibleError, match="latent=2"):
        gradients.MonteCarloEM(rows=5, latent=3).check(small(), objectives.ELBO())
    rule = gradients.MonteCarloEM(rows=5, latent=2)
    for batch in (
        Batch(torch.zeros(2, 6)),
        Batch(torch.zeros(2, 6), index=torch.arange(2), dataset_size=6),
    ):
        with pytest.raises(IncompatibleError, match="5 rows"):
            rule(small(), objectives.ELBO(), batch)


SETTINGS = [
    ("rows", {"rows": 0, "latent": 2}),
    ("latent", {"rows": 5}),
    ("rows", {"latent": 2}),
    ("chains", {"chains": 0}),
    ("leapfrogs", {"leapfrogs": 0}),
    ("transitions", {"transitions": 0}),
    ("acceptance", {"acceptance": 1.0}),
]


@pytest.mark.parametrize("argument, settings", SETTINGS)
def test_invalid_settings_are_refused_by_name(argument, settings):
    with pytest.raises(ArgumentError) as caught:
        gradients.MonteCarloEM(**settings)
    assert caught.value.argument == argument
    assert caught.value.value == settings.get(argument)
