"""The latents that a prior is fitted to, and the loop of a fit against one that is written out."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.distributions import Bernoulli, Exponential, Independent, Normal
from torch.optim import Adam

import aevb
from aevb import VAE, likelihoods, networks, posteriors, priors
from aevb._random import seed_scope
from aevb.data import Rows
from aevb.errors import ArgumentError, DataError, IncompatibleError, NumericalError
from aevb.notes import UNSET
from aevb.training import WarmupCosine, _fit_prior
from aevb.training._fit_prior import (
    LatentSplit,
    PriorFitSettings,
    _check_family,
    _draw_latent_split,
    _draw_latents,
    _fit_by_maximum_likelihood,
    _fit_flow,
    _fit_mixture,
    _fit_two_stage,
    _held_out_log_prob,
    _split_rows,
    _standardisation,
)


def model(posterior=posteriors.Normal) -> VAE:
    with seed_scope(0):
        return VAE(
            priors.Normal(2),
            posterior(networks.MLP(3, [4]), 2),
            likelihoods.Normal(networks.MLP(2, [4]), [3]),
        )


def rows(count: int) -> torch.Tensor:
    return torch.arange(3.0 * count).view(count, 3) / count


@pytest.mark.parametrize("count", [1, 9, 10, 11, 20, 25])
def test_every_tenth_row_is_held_out(count):
    train, held_out = _split_rows(Rows.from_array(rows(count)))
    picked = [i for i in range(count) if i % 10 == 9] if count >= 10 else list(range(count))
    rest = [i for i in range(count) if i not in picked] if count >= 10 else list(range(count))
    assert torch.equal(held_out.tensor(), rows(count)[picked])
    assert torch.equal(train.tensor(), rows(count)[rest])


@pytest.mark.parametrize("posterior", [posteriors.Normal, posteriors.Dirac])
@pytest.mark.parametrize(
    "most, target, draws", [(32, 20_000, 32), (32, 75, 3), (2, 75, 2), (32, 24, 1), (32, 51, 2)]
)
def test_few_rows_are_drawn_several_times(posterior, most, target, draws, monkeypatch):
    """25 of 27 rows are for the fit. Held-out rows are drawn once, by another stream."""
    monkeypatch.setattr(_fit_prior, "MAX_DRAWS_PER_ROW", most)
    monkeypatch.setattr(_fit_prior, "TARGET_LATENTS", target)
    m = model(posterior)
    split = _draw_latent_split(m, rows(27), seed=3)
    count = draws if posterior is posteriors.Normal else 1
    assert split.train.shape == (25 * count, 2) and split.held_out.shape == (2, 2)
    kept = [i for i in range(27) if i % 10 != 9]
    for latents, x, times, seed in (
        (split.train, rows(27)[kept], count, 3),
        (split.held_out, rows(27)[[9, 19]], 1, 4),
    ):
        with torch.no_grad(), seed_scope(seed):
            expected = m.eval().posterior(x).sample((times,)).flatten(0, 1)
        torch.testing.assert_close(latents, expected)


def test_blocks_of_rows_are_drawn_one_after_another(monkeypatch):
    monkeypatch.setattr(_fit_prior, "PRIOR_BATCH_SIZE", 4)
    m, x = model(posteriors.Dirac), rows(11)
    with torch.no_grad():
        expected = m.eval().posterior(x).mean
    torch.testing.assert_close(_draw_latents(m, Rows.from_array(x), 1, 0), expected)


def test_a_data_set_has_its_own_held_out_rows():
    data = aevb.data.load(rows(40).numpy())
    m = model(posteriors.Dirac)
    split = _draw_latent_split(m, data, 0)
    for latents, part in ((split.train, data.train), (split.held_out, data.validation)):
        with torch.no_grad():
            torch.testing.assert_close(latents, m.eval().posterior(part.tensor()).mean)


def test_latents_are_standardised_and_a_constant_is_only_shifted():
    z = torch.tensor([[1.0, 5.0, 0.0], [4.0, 5.0, 1e-7], [7.0, 5.0, 0.0], [4.0, 5.0, 1e-7]])
    shift, scale = _standardisation(z)
    assert shift.tolist() == pytest.approx([4.0, 5.0, 5e-8])
    assert scale.tolist() == pytest.approx([math.sqrt(6.0), 1.0, 1.0])


def latents(count: int = 50) -> LatentSplit:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(count, 2, generator=generator).double() * torch.tensor([0.5, 2.0]).double()
    return LatentSplit(z, z[:7] + 0.25)


def mixture() -> priors.Mixture:
    with seed_scope(4):
        return priors.Mixture(2, 3).double().train()


def written_out(prior, split: LatentSplit, steps: int, score) -> dict:
    """The loop of the fit; ``score(prior)`` chooses the weights."""
    prior.initialise_from_data(split.train)
    weights = list(prior.parameters())
    optimizer, schedule = Adam(weights, 3e-3), WarmupCosine()
    best, kept = -math.inf, prior.state_dict()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * schedule(step, steps)
        picked = torch.randint(len(split.train), (256,))
        optimizer.zero_grad()
        (-prior().log_prob(split.train[picked]).mean()).backward()
        optimizer.step()
        if (step + 1) % max(1, steps // 20) == 0:
            value = score(prior)
            if value > best:
                best, kept = value, {k: v.clone() for k, v in prior.state_dict().items()}
    return kept


@pytest.mark.parametrize("steps", [1, 7, 41])
def test_a_fit_takes_the_steps_of_adam_and_keeps_the_best_weights(steps):
    split = latents()
    with seed_scope(0):
        fitted = _fit_by_maximum_likelihood(mixture(), split, PriorFitSettings(3, steps, 0))
    with seed_scope(0):
        expected = written_out(
            mixture(), split, steps, lambda prior: prior().log_prob(split.held_out).mean().item()
        )
    assert not fitted.training
    for name, tensor in fitted.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "scores, best",
    [
        ((1.0, 3.0, 3.0, 2.0), 2),
        ((5.0, 4.0, 3.0, 2.0), 1),
        ((1.0, 2.0, 3.0, 4.0), 4),
        ((math.nan, -9.0, math.nan, -9.5), 2),
        ((math.nan,) * 4, 4),
        ((-math.inf, -math.inf, -1.0, -math.inf), 3),
    ],
)
def test_the_first_of_the_best_evaluations_is_kept(scores, best, monkeypatch):
    """Four evaluations in 9 steps, every second step; without a score, the last weights."""
    states, left = [], iter(scores)

    def score(prior, z):
        states.append({name: tensor.clone() for name, tensor in prior.state_dict().items()})
        return next(left)

    monkeypatch.setattr(_fit_prior, "PRIOR_EVALUATIONS", 4)
    monkeypatch.setattr(_fit_prior, "_held_out_log_prob", score)
    with seed_scope(0):
        fitted = _fit_by_maximum_likelihood(mixture(), latents(), PriorFitSettings(3, 8, 0))
    assert len(states) == 4
    for name, tensor in fitted.state_dict().items():
        assert torch.equal(tensor, states[best - 1][name])


def test_a_prior_without_weights_is_returned_as_it_is():
    prior = priors.Normal(2)
    assert _fit_by_maximum_likelihood(prior, latents(), PriorFitSettings(3, 5, 0)) is prior


def test_the_score_draws_from_no_stream_and_leaves_the_mode():
    prior, z = mixture(), latents().held_out
    state = torch.get_rng_state()
    found = _held_out_log_prob(prior, z)
    assert torch.equal(state, torch.get_rng_state()) and prior.training
    assert found == pytest.approx(prior.eval()().log_prob(z).mean().item(), rel=1e-12)


@pytest.mark.parametrize(
    "count, steps, epochs", [(512, 8, 4), (600, 1, 1), (300, 3, 3), (1000, 9, 2)]
)
def test_a_second_stage_is_trained_on_standardised_latents(count, steps, epochs, monkeypatch):
    """As many epochs as make about ``steps`` steps of 256 latents."""
    seen = {}

    def fit(vae, train, **settings):
        seen.update(settings, train=train)
        return SimpleNamespace(notes=())

    monkeypatch.setattr(_fit_prior, "fit", fit)
    split = latents(count)
    prior = _fit_two_stage(split, PriorFitSettings(3, steps, 6))
    shift, scale = split.train.mean(0), split.train.std(0)
    torch.testing.assert_close(seen["train"], (split.train - shift) / scale)
    torch.testing.assert_close(seen["validation"], (split.held_out - shift) / scale)
    assert (seen["epochs"], seen["batch_size"], seen["seed"]) == (epochs, 256, 6)
    weight = torch.zeros(1, requires_grad=True)
    assert seen["optimizer"]([weight]).defaults["lr"] == 3e-3
    assert prior.arguments["shift"] == shift.tolist()
    assert prior.arguments["scale"] == scale.tolist() and not prior.prior.training


# the mixture, and the families for each kind of latents


def test_one_component_has_the_moments_of_the_latents():
    """Maximum likelihood, with 1e-5 of a standardised variance added to each."""
    pytest.importorskip("sklearn")
    split = latents()
    p = _fit_mixture(split, PriorFitSettings(1, 1, 0))()
    z = split.train
    covariance = torch.cov(z.T, correction=0) + 1e-5 * torch.diag(z.var(0))
    exact = torch.distributions.MultivariateNormal(z.mean(0), covariance)
    torch.testing.assert_close(p.log_prob(z), exact.log_prob(z), rtol=0, atol=1e-6)


def test_a_mixture_has_a_component_for_each_latent_at_most():
    pytest.importorskip("sklearn")
    split = LatentSplit(latents().train[:4], latents().held_out)
    assert _fit_mixture(split, PriorFitSettings(4, 1, 0))().log_prob(split.train).isfinite().all()
    with pytest.raises(DataError) as caught:
        _fit_mixture(split, PriorFitSettings(5, 1, 0))
    assert (caught.value.argument, caught.value.value) == ("components", 5)


def test_seeds_of_a_mixture_are_those_of_32_bits():
    pytest.importorskip("sklearn")
    z, fits = latents(300), {}
    for seed in (3, 2**32 + 3, 4):
        fits[seed] = _fit_mixture(z, PriorFitSettings(8, 1, seed))().log_prob(z.train)
    assert torch.equal(fits[3], fits[2**32 + 3]) and not torch.equal(fits[3], fits[4])


@pytest.mark.parametrize("part", ["weights_", "means_", "covariances_"])
def test_a_mixture_that_is_not_finite_is_refused(part, monkeypatch):
    mixtures = pytest.importorskip("sklearn.mixture")
    fit = mixtures.GaussianMixture.fit

    def spoiled(self, x):
        getattr(fit(self, x), part).flat[0] = math.nan
        return self

    monkeypatch.setattr(mixtures.GaussianMixture, "fit", spoiled)
    with pytest.raises(NumericalError) as caught:
        _fit_mixture(latents(), PriorFitSettings(2, 1, 0))
    assert (caught.value.argument, caught.value.value) == ("components", 2)


@pytest.mark.filterwarnings("error")
def test_a_mixture_that_could_be_better_is_no_warning():
    """One iteration of EM reports that it has not converged."""
    mixtures = pytest.importorskip("sklearn.mixture")
    with pytest.MonkeyPatch.context() as patch:
        fit = mixtures.GaussianMixture.fit
        patch.setattr(
            mixtures.GaussianMixture, "fit", lambda self, x: fit(self.set_params(max_iter=1), x)
        )
        _fit_mixture(latents(), PriorFitSettings(3, 1, 0))


def of_latents(q, prior=None):
    """A model as far as the choice of a family sees it: its latents, and its present prior."""
    return SimpleNamespace(
        probe=lambda: (None, q), posterior=posteriors.Normal, prior=prior or priors.Normal(2)
    )


def normal(*shape):
    return Independent(Normal(torch.zeros(1, *shape), 1.0), len(shape))


DENSITIES = ("mixture", "flow", "two_stage")
BITS = Independent(Bernoulli(logits=torch.zeros(1, 2)), 1)
POSITIVE = Independent(Exponential(torch.ones(1, 2)), 1)


@pytest.mark.parametrize(
    "q, family",
    [
        *((normal(2), family) for family in DENSITIES),
        (BITS, "autoregressive"),
        (normal(2), priors.Normal(2)),
        (normal(2, 3), priors.Normal((2, 3))),
        (POSITIVE, priors.Gamma(2)),
    ],
)
def test_families_that_fit_the_latents(q, family):
    _check_family(of_latents(q), family)


@pytest.mark.parametrize(
    "q, family, value",
    [
        *((BITS, family, family) for family in DENSITIES),
        (normal(2), "autoregressive", "autoregressive"),
        *((normal(2, 3), family, family) for family in DENSITIES),
        *((POSITIVE, family, family) for family in DENSITIES),
        (normal(2), priors.Normal(3), UNSET),
        (normal(2, 3), priors.Normal(2), UNSET),
    ],
)
def test_families_that_do_not_fit_the_latents(q, family, value):
    with pytest.raises(IncompatibleError) as caught:
        _check_family(of_latents(q), family)
    assert (caught.value.argument, caught.value.value) == ("family", value)
    assert len(caught.value.suggestions) == 1


def test_codes_of_a_codebook_are_discrete():
    with seed_scope(0):
        posterior = posteriors.VectorQuantised(networks.MLP(3, [4]), latent=(2, 3), size=4)
        vae = VAE(
            priors.Codebook(posterior),
            posterior,
            likelihoods.Bernoulli(networks.MLP(6, [4]), (3,), 2),
        )
    _check_family(vae, "autoregressive")
    _check_family(vae, priors.Normal(7))  # over codes, of which each has its own shape
    for family in DENSITIES:
        with pytest.raises(IncompatibleError):
            _check_family(vae, family)


def test_priors_that_depend_on_a_context_are_not_replaced():
    conditional = SimpleNamespace(needs_context=True)
    with pytest.raises(IncompatibleError) as caught:
        _check_family(of_latents(normal(2), conditional), "mixture")
    assert caught.value.argument is None


@pytest.mark.parametrize("size, fits", [(1, False), (2, True)])
def test_a_flow_needs_two_latents(size, fits):
    z = latents().train[:, :size]
    settings = PriorFitSettings(1, 1, 0)
    if fits:
        flow = _fit_flow(LatentSplit(z, z), settings)()
        assert flow.log_prob(z).shape == (50,)
    else:
        with pytest.raises(IncompatibleError) as caught:
            _fit_flow(LatentSplit(z, z), settings)
        assert (caught.value.argument, caught.value.value) == ("family", "flow")


@pytest.mark.parametrize("options", [{"components": 0}, {"steps": 0}, {"seed": -1}])
def test_settings_are_checked_for_every_family(options):
    """A prior that needs neither components nor steps refuses them too."""
    ((name, value),) = options.items()
    with pytest.raises(ArgumentError) as caught:
        aevb.fit_prior(model(), rows(20), priors.Normal(2), **options)
    assert (caught.value.argument, caught.value.value) == (name, value)
