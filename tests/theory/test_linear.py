"""Claims about variational autoencoders that can be checked to rounding, on models with a known
evidence.
"""

import math

import pytest
import torch
from sklearn.decomposition import PCA, FactorAnalysis
from tests.catalogue import OBJECTIVES, PENALISED
from tests.linear import (
    ROTATED_GAP,
    evidence,
    exact_vae,
    factor_data,
    linear_vae,
    ppca,
    rotated_model,
    scalar_vae,
    set_posterior,
    true_posterior,
)
from torch import nn
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
from aevb._conditional import Unconditional
from aevb.errors import IncompatibleError
from aevb.inference import importance_weights
from aevb.training import adam

pytestmark = pytest.mark.usefixtures("float64")


def some_model(size=4, latent=2):
    """Weights, offset and a noise for each element."""
    return torch.randn(size, latent), torch.randn(size), torch.rand(size) + 0.3


def exact_terms(model, x):
    """Terms whose mean over draws is the exact expectation for a linear decoder: draws at mu +-
    sqrt(n) times the columns of L.
    """
    q = model.posterior(x)
    lower = torch.diag_embed(q.stddev) if isinstance(q, Independent) else q.scale_tril
    columns = math.sqrt(lower.shape[-1]) * lower.mT
    z = torch.cat([q.mean[:, None] + columns, q.mean[:, None] - columns], 1).transpose(0, 1)
    return model.terms(Batch(x), z, q, exact_kl=True)


def exact_elbo(model, x):
    return objectives.ELBO(kl="exact")(exact_terms(model, x), model).bound


def climb(target, parameters, steps=400):
    """Maximise a function by full-batch L-BFGS."""
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=steps,
        tolerance_grad=1e-9,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        loss = -target()
        loss.backward()
        return loss

    optimizer.step(closure)
    return target().item()


# sampling, evidence, decomposition


def test_ancestral_samples_have_the_exact_moments_and_need_no_encoder():
    weight, offset, scale = some_model()
    model = linear_vae(weight, offset, scale)
    model.posterior = None
    n = 40_000
    x = model.sample(n)
    covariance = weight @ weight.T + torch.diag(scale**2)
    assert ((x.mean(0) - offset).abs() < 5 * (covariance.diagonal() / n).sqrt()).all()
    spread = covariance.diagonal()
    error = (
        (covariance**2 + torch.outer(spread, spread)) / n
    ).sqrt()  # of a Gaussian's sample covariance
    assert ((torch.cov(x.T) - covariance).abs() < 5 * error).all()


def test_evidence_equals_the_dense_gaussian():
    weight, offset, scale = some_model()
    x = torch.randn(7, 4)
    # two factorisations of matrices of condition number below 100
    actual = metrics.exact_log_likelihood(linear_vae(weight, offset, scale), x)
    assert torch.allclose(actual, evidence(weight, offset, scale, x), atol=1e-11)


def test_evidence_equals_factor_analysis():
    x = factor_data()
    fit = FactorAnalysis(2).fit(x.numpy())
    model = linear_vae(
        torch.tensor(fit.components_.T),
        torch.tensor(fit.mean_),
        torch.tensor(fit.noise_variance_).sqrt(),
    )
    assert torch.allclose(
        metrics.exact_log_likelihood(model, x),
        torch.tensor(fit.score_samples(x.numpy())),
        atol=1e-9,
    )


def test_evidence_equals_probabilistic_pca():
    """scikit-learn's eigenvalues divide by n - 1; its density is that of the model with those
    numbers.
    """
    x = factor_data()
    fit = PCA(2).fit(x.numpy())
    weight = torch.tensor(
        fit.components_.T * (fit.explained_variance_ - fit.noise_variance_) ** 0.5
    )
    model = linear_vae(weight, torch.tensor(fit.mean_), float(fit.noise_variance_**0.5))
    assert torch.allclose(
        metrics.exact_log_likelihood(model, x),
        torch.tensor(fit.score_samples(x.numpy())),
        atol=1e-9,
    )


def test_exact_posterior_equals_the_textbook_formula():
    weight, offset, scale = some_model()
    gain, shift, covariance = true_posterior(weight, offset, scale)
    x = torch.randn(7, 4)
    p = metrics.exact_posterior(linear_vae(weight, offset, scale), x)
    assert torch.allclose(p.mean, x @ gain.T + shift, atol=1e-12)
    assert torch.allclose(p.covariance_matrix, covariance.expand(7, 2, 2), atol=1e-12)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("covariance", ["diagonal", "low_rank", "full"])
def test_evidence_is_bound_plus_gap(covariance, scaled):
    weight, offset, scale = some_model()
    model = linear_vae(weight, offset, scale, covariance)
    if scaled:
        model = VAE(
            model.prior,
            model.posterior,
            likelihoods.Scaled(model.likelihood, [1.0], [10.0, 0.1, 2.0, 3.0]),
        )
    parts = metrics.decomposition(model, torch.randn(7, 4))
    assert torch.allclose(parts.log_likelihood, parts.elbo + parts.gap, atol=1e-9, rtol=1e-12)
    assert (parts.gap > 0).all()


def test_the_gap_is_zero_at_the_true_posterior():
    parts = metrics.decomposition(exact_vae(*some_model()), torch.randn(7, 4))
    assert (
        torch.allclose(parts.log_likelihood, parts.elbo, atol=1e-9) and parts.gap.abs().max() < 1e-9
    )


@pytest.mark.parametrize("covariance", ["diagonal", "low_rank", "full"])
def test_the_bound_of_the_library_is_the_bound_of_the_decomposition(covariance):
    model, x = linear_vae(*some_model(), covariance), torch.randn(7, 4)
    assert torch.allclose(exact_elbo(model, x), metrics.decomposition(model, x).elbo, atol=1e-10)


@pytest.mark.parametrize("covariance", ["diagonal", "low_rank", "full"])
def test_the_gradients_of_bound_and_gap_are_opposite(covariance):
    model, x = linear_vae(*some_model(), covariance), torch.randn(7, 4)
    phi = list(model.posterior.parameters())
    q = model.posterior(x)
    dense = MultivariateNormal(
        q.mean, torch.diag_embed(q.variance) if covariance == "diagonal" else q.covariance_matrix
    )
    gap = kl_divergence(dense, metrics.exact_posterior(model, x)).sum()
    up, down = torch.autograd.grad(exact_elbo(model, x).sum(), phi), torch.autograd.grad(gap, phi)
    assert all(torch.allclose(a, -b, atol=1e-9) for a, b in zip(up, down, strict=True))


class Shifted(Unconditional):
    def forward(self, input=None, context=None):
        return Independent(Normal(torch.ones(2), torch.ones(2)), 1)


def test_exact_evidence_is_refused_for_models_that_are_not_linear_and_gaussian():
    model = linear_vae(*some_model())
    bent = likelihoods.Normal(networks.MLP(2, [3]), (4,))
    other = [
        VAE(Shifted(), model.posterior, model.likelihood),
        VAE(model.prior, model.posterior, bent),
        VAE(model.prior, model.posterior, likelihoods.Normal(nn.Identity(), (4,), "predicted")),
        VAE(model.prior, model.posterior, likelihoods.Laplace(nn.Identity(), (4,))),
    ]
    for each in other:
        with pytest.raises(IncompatibleError, match="exact likelihoods need"):
            metrics.exact_log_likelihood(each, torch.zeros(1, 4))


# two forms of the bound


def test_both_forms_of_the_bound_have_the_same_mean():
    model = linear_vae(*some_model())
    x = torch.randn(1, 4)
    exact = metrics.decomposition(model, x).elbo.item()
    batch = Batch(x.expand(40_000, 4))
    for kl in ("exact", "sampled"):
        bound = gradients.Pathwise()(model, objectives.ELBO(kl=kl), batch).objective_value.bound
        assert abs(bound.mean() - exact) < 5 * bound.std() / math.sqrt(40_000)


def test_at_the_true_posterior_only_the_sampled_form_has_no_variance():
    model = exact_vae(*some_model())
    batch = Batch(torch.randn(1, 4).expand(1000, 4))
    sampled = gradients.Pathwise()(
        model, objectives.ELBO(kl="sampled"), batch
    ).objective_value.bound
    exact = gradients.Pathwise()(model, objectives.ELBO(kl="exact"), batch).objective_value.bound
    assert sampled.std() < 1e-12 and exact.std() > 0.1
    # its constant value is the evidence
    assert torch.allclose(sampled, metrics.exact_log_likelihood(model, batch.x), atol=1e-11)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, build in OBJECTIVES.items()
        if build().kind == "lower bound" and name not in PENALISED
    ],
)
def test_the_reported_bound_is_not_above_the_evidence(name):
    """In the mean, for every objective."""
    model, objective = linear_vae(*some_model()), OBJECTIVES[name]()
    batch = Batch(torch.randn(1, 4).expand(20_000, 4))
    bound = gradients.Pathwise()(model, objective, batch).objective_value.bound
    truth = metrics.exact_log_likelihood(model, batch.x[:1]).item()
    error = bound.std() / math.sqrt(20_000)
    assert bound.mean() < truth + 5 * error
    if name.startswith("elbo"):  # and it is the plain bound
        assert abs(bound.mean() - metrics.decomposition(model, batch.x[:1]).elbo.item()) < 5 * error


# covariance of the posterior


def test_the_best_diagonal_covariance_leaves_the_rotated_gap():
    model, gain, shift, target = rotated_model("diagonal")
    set_posterior(model, gain, shift, torch.linalg.inv(target).diagonal() ** -0.5)
    parts = metrics.decomposition(model, torch.randn(5, 2))
    assert torch.allclose(parts.gap, torch.full((5,), ROTATED_GAP), atol=1e-12)
    c, s = math.cos(0.7) ** 2, math.sin(0.7) ** 2
    assert pytest.approx(0.5 * math.log((4 * c + s) * (4 * s + c) / 4), abs=1e-14) == ROTATED_GAP


def test_full_covariance_closes_the_rotated_gap():
    model, gain, shift, target = rotated_model("full")
    set_posterior(model, gain, shift, torch.linalg.cholesky(target))
    assert metrics.decomposition(model, torch.randn(5, 2)).gap.abs().max() < 1e-9


@pytest.mark.parametrize(
    "covariance, gap", [("diagonal", ROTATED_GAP), ("low_rank", 0.0), ("full", 0.0)]
)
def test_training_finds_the_gap_of_each_covariance(covariance, gap):
    """Two latent variables: a diagonal plus rank one is already everything."""
    model, *_ = rotated_model(covariance)
    head, x = model.posterior.heads.head, torch.randn(20, 2)
    nn.init.zeros_(head.weight)
    nn.init.constant_(
        head.bias, 0.1
    )  # the sign of a factor of rank one is free: it starts as the same for every datum
    climb(lambda: exact_elbo(model, x).mean(), list(model.posterior.parameters()))
    # the optimiser stops when the gradient is below 1e-9; at an optimum the value is then exact to
    # about its square over the curvature
    assert metrics.decomposition(model, x).gap.mean().item() == pytest.approx(gap, abs=1e-7)


# linear VAE = probabilistic PCA = factor analysis


def factor_analysis(x, latent):
    """The log-likelihood per datum at scikit-learn's optimum, run until it stands still."""
    return (
        FactorAnalysis(latent, tol=1e-10, max_iter=20_000, svd_method="lapack")
        .fit(x.numpy())
        .score(x.numpy())
    )


def test_at_the_principal_components_a_diagonal_posterior_is_exact():
    """W = U (L - sigma^2)^(1/2) makes the posterior diagonal, variances sigma^2 / l: the ELBO is
    the log-likelihood, on any data.
    """
    x = factor_data()
    weight, offset, scale, best = ppca(x, 2)
    model = linear_vae(weight, offset, float(scale))
    gain, shift, covariance = true_posterior(weight, offset, scale)
    set_posterior(model, gain, shift, covariance.diagonal().sqrt())
    fresh = 3 * torch.randn(50, 6)
    for data in (x, fresh):
        assert torch.allclose(
            exact_elbo(model, data), metrics.exact_log_likelihood(model, data), atol=1e-9
        )
    assert exact_elbo(model, x).mean().item() == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("noise", ["shared", "per_element"])
def test_a_trained_linear_vae_reaches_pca_and_factor_analysis(noise):
    x = factor_data(noise=torch.tensor([0.5]) if noise == "shared" else None)
    likelihood = likelihoods.Normal(nn.Identity(), (6,), scale=noise)
    model = VAE(priors.Normal(2), posteriors.Normal(nn.Identity(), 2), likelihood)
    reached = climb(lambda: exact_elbo(model, x).mean(), list(model.parameters()), steps=1500)
    best = ppca(x, 2)[-1] if noise == "shared" else factor_analysis(x, 2)
    # both optimisers stop early by less than this; the claim needs 1e-3
    assert reached == pytest.approx(best, abs=1e-4)
    assert metrics.exact_log_likelihood(model, x).mean().item() == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("noise", ["shared", "per_element"])
def test_fit_reaches_pca_and_factor_analysis(noise):
    """The whole algorithm with its random draws: Adam with a falling rate, to 1e-3 nats per datum.

    A full covariance, so that the axes of the latent space are free: turning them into place is the
    slowest part of a diagonal fit.
    """
    x = factor_data()
    x = (x - x.mean(0)) / x.std()
    model = VAE(
        priors.Normal(2),
        posteriors.Normal(nn.Identity(), 2, covariance="full"),
        likelihoods.Normal(nn.Identity(), (6,), scale=noise),
    )
    aevb.fit(
        model,
        x,
        objective=objectives.ELBO(samples=4, kl="sampled"),
        gradient=gradients.DoublyReparameterised(),  # its noise vanishes where the fit is good
        optimizer=adam(0.3),
        epochs=2000,
        batch_size=300,
        progress=False,
        compile=False,
    )
    best = ppca(x, 2)[-1] if noise == "shared" else factor_analysis(x, 2)
    assert metrics.exact_log_likelihood(model, x).mean().item() == pytest.approx(best, abs=1e-3)
    assert exact_elbo(model, x).mean().item() == pytest.approx(best, abs=1e-3)


def test_too_much_noise_collapses_the_latent_variable_in_the_likelihood_itself():
    """With a fixed noise above an eigenvalue the best weight for that axis is 0."""
    x = factor_data(noise=torch.tensor([0.2]))
    values = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    model = linear_vae(0.1 * torch.randn(6, 2), torch.zeros(6), float((values[1] * 1.2).sqrt()))
    climb(lambda: mean_evidence(model, x), list(model.likelihood.parameters()))
    singular = torch.linalg.svdvals(model.likelihood.noise.heads.head.weight)
    # W W^T + sigma^2 I matches l1 on the first axis; the second is gone, to the square root of the
    # optimiser's precision
    assert (
        singular[0].item() == pytest.approx((values[0] - 1.2 * values[1]).sqrt().item(), rel=1e-4)
        and singular[1] < 1e-3
    )


def mean_evidence(model, x):
    head = model.likelihood.noise.heads.head
    return evidence(head.weight, head.bias, model.likelihood.noise.fixed_scale, x).mean()


# the autoencoder and the squared error


def test_a_fixed_gaussian_scale_is_the_squared_error():
    """sigma^2 = 1/2: log p(x|z) = -|x - mu|^2 - (n/2) log pi, in value and in gradient."""
    likelihood = likelihoods.Normal(networks.MLP(2, [3]), (2, 3), scale=2**-0.5)
    z, x = torch.randn(5, 2), torch.randn(5, 2, 3)
    p = likelihood(z)
    error = (x - p.mean).square().sum((1, 2))
    assert torch.allclose(p.log_prob(x), -error - 3 * math.log(math.pi), atol=1e-13)
    weights = list(likelihood.parameters())
    up, down = (
        torch.autograd.grad(p.log_prob(x).sum(), weights, retain_graph=True),
        torch.autograd.grad(error.sum(), weights),
    )
    assert all(torch.allclose(a, -b, atol=1e-12) for a, b in zip(up, down, strict=True))


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_any_fixed_gaussian_scale_is_a_weighted_squared_error(scale):
    p = likelihoods.Normal(nn.Identity(), (4,), scale=scale)(torch.randn(5, 2))
    x = torch.randn(5, 4)
    expected = -(x - p.mean).square().sum(1) / (2 * scale**2) - 2 * math.log(2 * math.pi * scale**2)
    assert torch.allclose(p.log_prob(x), expected, rtol=1e-13)


def test_the_optimal_noise_is_the_mean_squared_error():
    """At sigma^2 = mean squared error, the cost per dimension is (log 2 pi sigma^2 + 1) / 2."""
    model = VAE(
        priors.Normal(2),
        posteriors.Dirac(nn.Identity(), 2),
        likelihoods.Normal(nn.Identity(), (4,), scale="optimal"),
    ).train()
    batch = Batch(torch.randn(50, 4))
    for _ in range(4000):  # 0.99^4000 is 1e-18
        model.likelihood.update_state(model.likelihood(model.encode(batch.x)), batch.x)
    terms = model.eval().draw_terms(batch, 1)
    error = (batch.x - model.reconstruct(batch.x)).square().mean()
    assert -terms.log_likelihood.mean().item() / 4 == pytest.approx(
        0.5 * (math.log(2 * math.pi * error) + 1), abs=1e-12
    )


def test_a_linear_autoencoder_finds_the_principal_subspace():
    """Reconstruction alone, a Dirac posterior, no divergence: what is left is the sum of the
    discarded eigenvalues.
    """
    x = factor_data()
    model = VAE(
        priors.Normal(2),
        posteriors.Dirac(nn.Identity(), 2),
        likelihoods.Normal(nn.Identity(), (6,), scale=2**-0.5),
    )
    rule, objective = gradients.Pathwise(), objectives.Reconstruction()
    rule.check(model, objective)
    estimate = rule(model, objective, Batch(x))
    mean = estimate.terms.log_likelihood.mean().item()
    assert estimate.terms.kl is None and -estimate.loss.item() == pytest.approx(
        mean, rel=1e-12
    )  # a mean over draws, then over rows
    reached = -climb(
        lambda: rule(model, objective, Batch(x)).objective_value.target.mean(),
        list(model.parameters()),
    ) - 3 * math.log(math.pi)
    discarded = torch.linalg.eigvalsh(torch.cov(x.T, correction=0))[:-2].sum().item()
    assert reached == pytest.approx(discarded, abs=1e-7)
    assert (x - model.reconstruct(x)).square().sum(1).mean().item() == pytest.approx(
        discarded, abs=1e-7
    )


# importance sampling


def relative_variance(m, s, t):
    """Variance of an importance weight: posterior N(0.3, 0.8^2) and proposal N(m, t^2)."""
    assert s == 0.8
    return (
        t**2 / (s * math.sqrt(2 * t**2 - s**2)) * math.exp((0.3 - m) ** 2 / (2 * t**2 - s**2)) - 1
    )


def proposing(mean, scale):
    model = scalar_vae()
    set_posterior(model, torch.zeros(1, 1), torch.tensor([mean]), torch.tensor([scale]))
    return model


@pytest.mark.usefixtures("replicates")
def test_importance_sampling_is_unbiased():
    """The estimate of p(x), not of log p(x), with proposals near the posterior and the prior."""
    truth = Normal(0.0, 1.25).log_prob(torch.tensor(0.625)).exp()
    x = torch.full((40_000, 1), 0.625)
    for model in (scalar_vae(), proposing(0.0, 1.0)):
        estimate = importance_weights(model, Batch(x), 3).log_mean.exp()
        assert abs(estimate.mean() - truth) < 5 * estimate.std() / math.sqrt(40_000)


@pytest.mark.usefixtures("replicates")
def test_a_proposal_near_the_posterior_has_a_small_variance_and_the_posterior_none():
    x = torch.full((100_000, 1), 0.625)
    truth = Normal(0.0, 1.25).log_prob(torch.tensor(0.625)).exp()
    measured = {}
    for name, (mean, scale) in {
        "near": (0.1, 0.9),
        "prior": (0.0, 1.0),
        "posterior": (0.3, 0.8),
    }.items():
        w = importance_weights(proposing(mean, scale), Batch(x), 1).log_mean.exp() / truth
        square = (w - 1) ** 2
        measured[name] = square.mean().item()
        expected = relative_variance(mean, 0.8, scale)
        assert abs(square.mean() - expected) < 5 * square.std() / math.sqrt(100_000) + 1e-12
    assert 1 + relative_variance(0.1, 0.8, 0.9) == pytest.approx(1.06538922320021, abs=1e-13)
    assert measured["posterior"] < 1e-20 and measured["prior"] > 2 * measured["near"]


def test_the_prior_fails_as_a_proposal_in_many_dimensions_and_the_posterior_does_not():
    """Twenty well-measured latent variables: one draw from q is worth more than ten thousand from
    the prior.
    """
    weight = 3 * torch.eye(20)
    model, x = exact_vae(weight, torch.zeros(20), 1.0), 3 * torch.randn(1, 20)
    truth = metrics.exact_log_likelihood(model, x)
    q = importance_weights(model, Batch(x), 1)
    set_posterior(model, torch.zeros(20, 20), torch.zeros(20), torch.eye(20))
    p = importance_weights(model, Batch(x), 10_000)
    assert (
        (q.log_mean - truth).abs() < 1e-9
        and (p.log_mean - truth).abs() > 1
        and p.effective_sample_size < 100
    )


def test_blocks_of_importance_samples_add_up_in_any_size():
    """The same draws, decoded in pieces, give one running sum; a datum that is impossible for
    float32 weights stays finite.
    """
    model = linear_vae(*some_model())
    x = torch.cat([torch.randn(3, 4), torch.full((1, 4), 1e4)])
    results = []
    for rows in (8, 24, 10_000):
        torch.manual_seed(5)
        results.append(importance_weights(model, Batch(x), 60, max_pairs=rows))
    assert all(
        value.isfinite().all()
        for value in (results[0].log_mean, results[0].elbo, results[0].effective_sample_size)
    )
    # torch draws normals 16 at a time, and these blocks hold multiples of 16: all see the same
    # numbers
    assert all(
        torch.allclose(results[0].log_mean, other.log_mean, rtol=1e-12) for other in results[1:]
    )
    assert all(
        torch.allclose(results[0].effective_sample_size, other.effective_sample_size, rtol=1e-9)
        for other in results[1:]
    )


def test_the_estimate_of_the_evidence_rises_from_the_bound_to_the_exact_value():
    model = linear_vae(*some_model())
    set_posterior(model, *true_posterior(*some_model())[:2], torch.ones(2))
    x = model.sample(200)
    few, many = (metrics.log_likelihood(model, x, samples=n) for n in (2, 2000))
    truth = metrics.exact_log_likelihood(model, x).mean().item()
    assert few.elbo.mean < few.mean < many.mean
    assert many.mean <= truth + 5 * many.standard_error and 1 <= many.effective_sample_size <= 2000
