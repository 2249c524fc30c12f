"""Fitting a prior after training: it fits the latents and changes nothing else."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import aevb
from aevb import VAE, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._random import seed_scope
from aevb.distributions import FullNormalMixture, Marginal, from_scale_tril, to_scale_tril
from aevb.errors import ArgumentError, DataError, IncompatibleError

CORNERS = torch.tensor([[3.0, 3.0], [3.0, -3.0], [-3.0, 3.0]])


class IdentityFeatures(torch.nn.Module):
    """Features that are the data."""

    def forward(self, x):
        return x


def autoencoder(rows=600, spread=0.5):
    """Latents equal to the data: three clusters far from the origin, with a matching model."""
    with seed_scope(1):
        x = CORNERS[torch.arange(rows) % 3] + spread * torch.randn(rows, 2)
        model = VAE(
            priors.Normal(2),
            posteriors.Dirac(IdentityFeatures(), 2),
            likelihoods.Normal(IdentityFeatures(), (2,), scale=0.1),
        )
    for heads in (model.posterior.heads, model.likelihood.noise.heads):
        torch.nn.init.eye_(heads.head.weight)
    return model.eval(), x


def small(posterior=None, latent=2):
    """An untrained model of four bits, and some rows."""
    with seed_scope(2):
        prior, q = posterior or (
            priors.Normal(latent),
            posteriors.Normal(networks.MLP(4, [8]), latent),
        )
        size = math.prod(q(torch.zeros(1, 4)).event_shape)
        model = VAE(
            prior,
            q,
            likelihoods.Bernoulli(
                networks.MLP(size, [8]), (4,), len(q(torch.zeros(1, 4)).event_shape)
            ),
        )
        return model.eval(), (torch.rand(200, 4) < 0.5).float()


def log_density(prior, z):
    with torch.no_grad():
        return prior().log_prob(z).mean().item()


class TestFamilies:
    @pytest.mark.parametrize(
        "family, steps, short, near",
        [("mixture", 1, 0.1, 0.98), ("flow", 400, 0.7, 0.7), ("two_stage", 600, 1.5, 0.6)],
    )
    def test_fitted_priors_match_the_latent_distribution(self, family, steps, short, near):
        """Only approximately after few steps; flows leave bridges between clusters."""
        model, x = autoencoder()
        pytest.importorskip("sklearn")
        fitted = aevb.fit_prior(model, x, family, components=3, steps=steps)
        # three clusters of scale 1/2: entropy ln 3 + 2 (1/2 ln(2 pi e) + ln 1/2) = 2.55
        assert -2.55 - short < log_density(fitted.prior, x) < -2.55 + 0.15
        assert log_density(model.prior, x) < -10
        with seed_scope(0):
            z = fitted.prior().sample((500,))
        assert (torch.cdist(z, CORNERS).amin(1) < 2).float().mean() > near

    def test_mixture_recovers_the_clusters_of_latents(self):
        pytest.importorskip("sklearn")
        model, x = autoencoder(6000)
        p = aevb.fit_prior(model, x, components=3).prior()
        centres = p.shift + p.scale * p.base.loc
        assert (
            torch.cdist(CORNERS, centres).amin(1).max() < 0.1
        )  # 0.5 / sqrt(2000) is a standard error of 0.01
        assert torch.allclose(p.mean, x.mean(0), atol=0.02) and torch.allclose(
            p.variance, x.var(0), rtol=0.02
        )

    def test_dependent_discrete_codes_are_modelled(self):
        """Two equal bits: an independent prior would cost ln 2 more."""
        bits = torch.randint(0, 2, (400, 1)).float().expand(-1, 2)
        model = VAE(
            priors.Bernoulli(2),
            posteriors.Bernoulli(IdentityFeatures(), 2),
            likelihoods.Bernoulli(networks.MLP(2), (2,)),
        )
        with torch.no_grad():
            model.posterior.heads.head.weight.copy_(40 * torch.eye(2))
        torch.nn.init.constant_(model.posterior.heads.head.bias, -20)
        fitted = aevb.fit_prior(model.eval(), bits, "autoregressive", steps=300)
        assert log_density(fitted.prior, bits) > -math.log(2) - 0.1

    def test_prior_over_codebook_indices_is_fitted(self):
        with seed_scope(0):
            posterior = posteriors.VectorQuantised(networks.MLP(4, [8]), latent=(2, 3), size=4)
            model = VAE(
                priors.Codebook(posterior),
                posterior,
                likelihoods.Bernoulli(networks.MLP(6, [8]), (4,), 2),
            )
        x = small()[1]
        fitted = aevb.fit_prior(model, x, "autoregressive", steps=200)
        assert fitted.prior.posterior is fitted.posterior  # it shares the codebook, as before
        z = fitted.encode(x)
        assert log_density(fitted.prior, z) > log_density(model.prior, z)

    def test_custom_prior_is_fitted(self):
        model, x = autoencoder()
        custom_prior = priors.Mixture(2, components=5)
        fitted = aevb.fit_prior(model, x, custom_prior, steps=500)
        assert log_density(fitted.prior, x) > log_density(custom_prior, x) + 2, "a copy has learned"


class TestModel:
    @pytest.mark.parametrize("family", ["mixture", "flow", "two_stage"])
    def test_only_the_prior_of_a_copy_changes(self, family):
        pytest.importorskip("sklearn")
        model, x = small()
        before = copy.deepcopy(model.state_dict())
        state = torch.get_rng_state()
        fitted = aevb.fit_prior(model, x, family, components=2, steps=20)
        assert torch.equal(state, torch.get_rng_state())
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert torch.equal(fitted.encode(x), model.encode(x)) and torch.equal(
            fitted.reconstruct(x), model.reconstruct(x)
        )
        assert isinstance(model.prior, priors.Normal) and not isinstance(
            fitted.prior, priors.Normal
        )

    @pytest.mark.parametrize("family", ["mixture", "flow", "two_stage"])
    def test_fitted_prior_is_saved_and_loaded_with_the_model(self, family, tmp_path):
        pytest.importorskip("sklearn")
        model, x = small()
        fitted = aevb.fit_prior(model, x, family, components=2, steps=20)
        loaded = aevb.load(aevb.save(fitted, tmp_path / "run"))
        with seed_scope(1):
            mine = fitted.sample(5)
        with seed_scope(1):
            assert torch.equal(mine, loaded.sample(5))
        assert torch.equal(
            *(aevb.metrics.log_likelihood(m, x[:9], 5).per_datum for m in (fitted, loaded))
        )

    def test_the_same_seed_gives_the_same_prior(self):
        model, x = small()
        first, second, other = (
            aevb.fit_prior(model, x, "flow", steps=10, seed=seed) for seed in (0, 0, 1)
        )
        z = torch.randn(5, 2)
        assert torch.equal(first.prior().log_prob(z), second.prior().log_prob(z))
        assert not torch.equal(first.prior().log_prob(z), other.prior().log_prob(z))

    @pytest.mark.usefixtures("float64")
    def test_log_likelihood_with_the_fitted_prior_equals_quadrature(self):
        """Importance sampling against the sum of ``p(z) p(x|z)`` over a grid of codes."""
        pytest.importorskip("sklearn")
        model, x = small()
        model, x = model.double(), x[:4].double()
        fitted = aevb.fit_prior(model, small()[1], "mixture", components=3)
        line = torch.linspace(-8, 8, 321)
        grid = torch.cartesian_prod(line, line)
        with torch.no_grad():
            joint = fitted.prior().log_prob(grid) + fitted.likelihood(grid[:, None]).log_prob(x).T
        exact = joint.logsumexp(1) + 2 * math.log(0.05)
        weighed = aevb.metrics.log_likelihood(fitted, x, 20_000).per_datum
        # 20,000 weights near 1: their mean is known to a few thousandths
        assert torch.allclose(weighed, exact, atol=0.02)


class TestTwoStage:
    @pytest.mark.usefixtures("float64")
    def test_density_estimate_is_unbiased(self):
        """Against quadrature over its own latent; the posterior inside is far from exact."""
        with seed_scope(3):
            prior = priors.TwoStage(
                priors.Normal(1),
                posteriors.Normal(networks.MLP(2, [4]), 1),
                likelihoods.Normal(networks.MLP(1, [4]), (2,)),
                samples=8,
            )
            torch.nn.init.zeros_(
                prior.posterior.heads.head.weight
            )  # weights are bounded where it is wider than what it proposes for
            torch.nn.init.constant_(prior.posterior.heads.head.bias, 0.4)
            z = torch.randn(3, 2)
            estimates = torch.stack([prior().log_prob(z).exp() for _ in range(2000)]).detach()
        w = torch.linspace(-10, 10, 2001)[:, None, None]
        with torch.no_grad():
            joint = prior.likelihood(w).log_prob(z) + prior.prior().log_prob(w)
        exact = joint.logsumexp(0).exp() * 0.01
        error = estimates.std(0) / math.sqrt(len(estimates))
        assert ((estimates.mean(0) - exact).abs() < 5 * error).all()

    def test_second_stage_does_not_change_first_stage_training(self):
        recipe = aevb.presets.two_stage_vae(aevb.data.load("digits").spec, latent=2, hidden=(8,))
        model, objective = recipe.model, recipe.objective
        x = aevb.data.load("digits").train[:16]
        plain = VAE(priors.Normal(2), model.posterior, model.likelihood)
        grads = []
        for trained, target in ((model, objective), (plain, objectives.ELBO())):
            trained.zero_grad()
            with seed_scope(5):
                gradients.Pathwise()(trained, target, aevb.Batch(x)).loss.backward()
            grads.append(
                [
                    p.grad.clone()
                    for p in (*model.posterior.parameters(), *model.likelihood.parameters())
                ]
            )
        # the same latent draws, because their noise is drawn first
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(*grads, strict=True))
        model.zero_grad()
        gradients.Pathwise()(model, objective, aevb.Batch(x)).loss.backward()
        assert all(p.grad.abs().sum() > 0 for p in model.prior.parameters())

    def test_reported_bound_uses_the_prior_of_the_model(self):
        model, x = small((priors.Mixture(2, 3), posteriors.Normal(networks.MLP(4, [8]), 2)))
        objective = objectives.ExPost(objectives.ELBO(4, kl="sampled"), priors.Normal(2))
        terms = model.draw_terms(aevb.Batch(x[:8]), 4)
        score = objective(terms, model)
        assert torch.allclose(score.bound, terms.log_weight.mean(0), atol=1e-5)

    def test_target_adds_the_log_density_under_the_prior_of_the_model(self):
        model, x = small((priors.Mixture(2, 3), posteriors.Normal(networks.MLP(4, [8]), 2)))
        inner, prior = objectives.ELBO(4, kl="sampled"), priors.Normal(2)
        terms = model.draw_terms(aevb.Batch(x[:8]), 4)
        under_prior = replace(terms, log_prior=prior().log_prob(terms.z))
        expected = inner(under_prior, model).target + terms.log_prior.mean(0)
        target = objectives.ExPost(inner, prior)(terms, model).target
        assert torch.allclose(target, expected, atol=1e-5)  # float32, sums of a few nats

    def test_free_bits_belong_to_the_prior_of_the_training(self):
        """The prior of the model is far away; under the training prior all rates are free."""
        model, x = small((priors.Normal(2), posteriors.Normal(networks.MLP(4, [8]), 2)))
        model.prior.loc.fill_(50.0)
        terms = model.draw_terms(aevb.Batch(x[:8]), 1)
        inner = objectives.ELBO(free_bits=100.0)
        target = objectives.ExPost(inner, priors.Normal(2))(terms, model).target
        expected = terms.log_likelihood[0] - 200.0 + terms.log_prior[0]
        assert torch.allclose(target, expected, rtol=1e-5)

    def test_prior_with_wrong_support_is_refused(self):
        model, _ = small((priors.Bernoulli(2), posteriors.Bernoulli(networks.MLP(4), 2)))
        with pytest.raises(IncompatibleError) as caught:
            objectives.ExPost(objectives.ELBO(), priors.Normal(2)).check(model)
        assert caught.value.argument == "prior"


@pytest.mark.usefixtures("float64")
class TestParts:
    def test_a_factor_and_its_numbers(self):
        factor = torch.tril(torch.randn(5, 3, 3))
        factor.diagonal(dim1=-2, dim2=-1).exp_()
        assert torch.allclose(to_scale_tril(*from_scale_tril(factor)), factor, rtol=1e-12)

    def test_full_covariance_mixture_agrees_with_torch(self):
        factor = torch.tril(torch.randn(3, 4, 4))
        factor.diagonal(dim1=-2, dim2=-1).exp_()
        weight, mean, z = torch.randn(3), torch.randn(3, 4), torch.randn(5, 2, 4)
        parts = torch.distributions.MultivariateNormal(mean, scale_tril=factor)
        known = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=weight), parts
        )
        mine = FullNormalMixture(weight, mean, factor)
        assert torch.allclose(mine.log_prob(z), known.log_prob(z), atol=1e-11)
        assert torch.allclose(mine.mean, known.mean) and torch.allclose(
            mine.variance, known.variance
        )

    def test_units_are_counted(self):
        p = priors.Scaled(priors.Laplace(2), shift=[1.0, -2.0], scale=[10.0, 0.1])()
        assert p.log_prob(torch.tensor([1.0, -2.0])).exp().item() == pytest.approx(0.25, rel=1e-12)

    def test_a_marginal_is_exact_at_the_true_posterior(self):
        def normal(loc, variance):
            return torch.distributions.Independent(
                torch.distributions.Normal(loc, math.sqrt(variance)), 1
            )

        p = Marginal(
            normal(torch.zeros(3), 1.0),
            lambda z: normal(z / 3, 2 / 3),
            lambda w: normal(w, 2.0),
            3,
            samples=2,
        )
        z = torch.randn(4, 5, 3)
        assert torch.allclose(p.log_prob(z), normal(torch.zeros(3), 3.0).log_prob(z), atol=1e-12)


REFUSED = {
    "an unknown family": (small, "vine", ArgumentError, "vine.*mixture.*flow"),
    "no component": (small, {"components": 0}, ArgumentError, "`components` is 0"),
    "no step": (small, {"steps": 0}, ArgumentError, "`steps` is 0"),
    "more components than codes": (
        lambda: (small()[0], small()[1][:1]),
        {"components": 50},
        DataError,
        "50; the data give 32 latents, which are fewer",
    ),
    "a density of bits": (
        lambda: small((priors.Bernoulli(2), posteriors.Bernoulli(networks.MLP(4), 2))),
        "mixture",
        IncompatibleError,
        r'`posteriors.Bernoulli` are discrete.*family="autoregressive"',
    ),
    "reals one after another": (
        small,
        "autoregressive",
        IncompatibleError,
        r'`posteriors.Normal` is continuous.*family="flow"',
    ),
    "a mixture on a sphere": (
        lambda: small((priors.Sphere(3), posteriors.VonMisesFisher(networks.MLP(4), 3))),
        "mixture",
        IncompatibleError,
        "`posteriors.VonMisesFisher`.*family=priors.Sphere",
    ),
    "a flow of one number": (
        lambda: small(latent=1),
        "flow",
        IncompatibleError,
        r'at least 2 latent variables.*family="mixture"',
    ),
    "a prior of another shape": (
        small,
        priors.Mixture(3),
        IncompatibleError,
        r"shape \(3,\).*latent=\(2,\)",
    ),
    "a prior elsewhere": (
        small,
        priors.Gamma(2),
        IncompatibleError,
        "where `priors.Gamma` has none",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_incompatible_priors_are_refused(name):
    build, options_or_family, kind, words = REFUSED[name]
    pytest.importorskip("sklearn")
    model, x = build()
    options = (
        options_or_family if isinstance(options_or_family, dict) else {"family": options_or_family}
    )
    with pytest.raises(kind, match=words) as refused:
        aevb.fit_prior(model, x, **options)
    assert "\n" not in str(refused.value)


def test_invalid_covariance_is_refused():
    mixture = priors.Mixture(2, 1, covariance="full")
    with pytest.raises(
        ArgumentError, match=r"component 0 is not positive definite: .* -1.*1e-6 \* torch.eye"
    ):
        mixture.set_components(
            torch.ones(1), torch.zeros(1, 2), torch.tensor([[[1.0, 2.0], [2.0, 1.0]]])
        )


@pytest.fixture
def run_command(capsys, tmp_path, monkeypatch):
    """Run commands in an empty folder."""
    from aevb.cli import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def test_fit_prior_command_trains_and_reports(run_command, tmp_path):
    pytest.importorskip("sklearn")
    small_run = ("--latent", 2, "--hidden", 8, "--epochs", 2, "--no-report", "--quiet")
    assert (
        run_command("fit", "digits", "--preset", "autoencoder", "--out", "ae", *small_run)[0] == 0
    )
    code, _, stderr = run_command("sample", "ae", "-n", 4, "--out", "before.npy")
    assert (
        code == 0
        and "N(0, I)" in stderr
        and "`aevb fit-prior ae`" in stderr
        and stderr.count("\n") == 1
    )
    code, out, _ = run_command("fit-prior", "ae", "--components", 3, "--quiet")
    assert (code, out) == (0, "ae-mixture\n")
    code, _, stderr = run_command("sample", "ae-mixture", "-n", 4, "--out", "after.npy")
    assert code == 0 and not stderr
    assert np.load("after.npy").shape == (4, 8, 8)
    assert isinstance(aevb.load(tmp_path / "ae").prior, priors.Normal), (
        "the original run is not changed"
    )
    assert "aevb fit-prior" in run_command("fit-prior", "--help")[1]
    code, _, stderr = run_command("fit-prior", "ae")
    assert code == 2 and "exists" in stderr
    code, _, stderr = run_command("fit-prior", "ae", "--family", "autoregressive")
    assert code == 2 and stderr.count("\n") == 1 and "flow" in stderr
    code, _, stderr = run_command("fit-prior", "ae", "--out", "ae", "--force")
    assert code == 2 and "is the run itself" in stderr


def test_sampling_a_matched_prior_prints_no_warning(run_command):
    assert (
        run_command(
            "fit",
            "digits",
            "--preset",
            "wae_mmd",
            "--out",
            "run",
            "--latent",
            2,
            "--hidden",
            8,
            "--epochs",
            1,
            "--no-report",
        )[0]
        == 0
    )
    assert "fit-prior" not in run_command("sample", "run", "-n", 4, "--out", "x.npy")[2]
