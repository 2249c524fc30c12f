"""What is reported for a row depends on the row, the seed and the number of samples only."""

import math

import pytest
import torch
from tests import catalogue
from tests.catalogue import make_vae

from aevb import VAE, inference, likelihoods, metrics, networks, posteriors, presets, priors
from aevb.data import load, mask_labels

N, ORDER = 5, torch.tensor([3, 1, 4, 0, 2])
ROUNDING = 1e-9  # float64: the last digits of matrix products change with the shape of a batch
SINGLE_ROUNDING = 2e-5  # float32: sums of some dozens of terms of size 10


def data() -> torch.Tensor:
    return torch.randn(N, *catalogue.EVENT, generator=torch.Generator().manual_seed(1))


def check_rows(score, x, tolerance=ROUNDING, draws_axis=0) -> None:
    """Scores of all rows, of permuted, split and repeated rows, are the same numbers.

    ``score`` maps rows to tensors ``[*, N, ...]`` with the rows on ``draws_axis``.
    """

    def select(values, index):
        return [value.index_select(draws_axis, index) for value in values]

    def expect(values, expected):
        for value, other in zip(values, expected, strict=True):
            assert torch.allclose(value, other, rtol=0, atol=tolerance, equal_nan=True)

    together = score(x)
    expect(score(x[ORDER]), select(together, ORDER))
    expect(score(x[1:2]), select(together, torch.tensor([1])))
    expect(score(x[2:]), select(together, torch.arange(2, N)))
    expect(score(x.repeat(2, *[1] * (x.dim() - 1))), select(together, torch.arange(N).repeat(2)))


def likelihood_scores(model, **options):
    def score(x):
        result = metrics.log_likelihood(model, x, 7, seed=3, **options)
        return result.per_datum, result.per_datum_error

    return score


@pytest.mark.usefixtures("float64")
class TestDoublePrecision:
    @pytest.mark.parametrize(
        "name",
        [
            name
            for name, entry in catalogue.POSTERIORS.items()
            if entry.amortised and name not in ("dirac",)
        ],
    )
    def test_log_likelihood_of_every_posterior(self, name):
        check_rows(likelihood_scores(make_vae(name)), data())

    @pytest.mark.parametrize("max_pairs", [1, 10, 1000])
    def test_blocks_of_samples_change_nothing(self, max_pairs):
        model = make_vae("gamma")
        one, other = (
            metrics.log_likelihood(model, data(), 7, max_pairs=pairs) for pairs in (64, max_pairs)
        )
        assert torch.allclose(one.per_datum, other.per_datum, rtol=0, atol=ROUNDING)

    def test_defensive_estimates(self):
        check_rows(likelihood_scores(make_vae("gamma"), defensive=0.3), data())

    def test_annealed_estimates(self):
        model, options = make_vae("gamma"), inference.AISOptions(temperatures=3, leapfrogs=1)
        score = likelihood_scores(model, method="annealing", annealing=options, max_pairs=9)
        together, alone = score(data()), score(data()[3:4])
        for value, other in zip(together, alone, strict=True):
            assert torch.allclose(value[3:4], other, rtol=0, atol=ROUNDING)

    def test_estimated_density_of_a_prior(self):
        parts = make_vae("normal-diagonal")
        model = VAE(catalogue.ESTIMATED["two-stage"](), parts.posterior, parts.likelihood).eval()
        check_rows(likelihood_scores(model), data())

    @pytest.mark.parametrize("name", ["normal-diagonal", "flow-maf", "chain", "categorical"])
    def test_rate_and_distortion(self, name):
        model = make_vae(name)

        def score(x):
            terms = metrics.rate_distortion(model, x, 3, seed=3, block_size=4)
            return *terms.per_datum, terms.per_datum_error

        check_rows(score, data())

    @pytest.mark.parametrize("name", ["flow-maf", "chain", "autoregressive", "mixture", "gamma"])
    def test_encodings(self, name):
        model = make_vae(name)
        for options in ({}, {"sample": True, "seed": 3}):
            check_rows(lambda x: [inference.encode(model, x, block_size=3, **options)], data())  # noqa: B023
        check_rows(lambda x: [inference.reconstruct(model, x, block_size=3)], data())

    def test_refinement(self):
        model = make_vae("normal-diagonal")

        def score(x):
            refined = inference.refine(model, x, steps=3, seed=3)
            return refined.elbo_before, refined.elbo_after, refined.posterior.mean

        check_rows(score, data())

    def test_augmentation(self):
        model = make_vae("normal-diagonal")
        check_rows(
            lambda x: [
                inference.augment(model, x, 2, mean=False, seed=3).x.reshape(
                    2, len(x), *catalogue.EVENT
                )
            ],
            data(),
            draws_axis=1,
        )

    @pytest.mark.parametrize("kind", ["normal", "von-mises", "categorical", "poisson"])
    def test_imputation(self, kind):
        likelihood = likelihoods.Missing(
            catalogue.LIKELIHOODS["normal-shared" if kind == "normal" else kind](
                networks.MLP(2, [4]), 1
            )
        )
        encoder = networks.FillMissing(networks.MLP(8, [4]))
        model = VAE(priors.Normal(2), posteriors.Normal(encoder, 2), likelihood).eval()
        x = likelihood(torch.randn(N, 2)).sample()
        x[torch.eye(N, 4, dtype=torch.bool).reshape(N, 2, 2)] = math.nan
        reference = inference.impute(model, x, 10, draws=3, seed=3)

        def score(x):
            filled = inference.impute(model, x, 10, draws=3, seed=3, max_pairs=6)
            return filled.x, filled.spread, filled.effective_sample_size, *filled.draws

        check_rows(score, x)
        assert torch.allclose(score(x)[0], reference.x, atol=ROUNDING)
        assert torch.allclose(torch.stack(score(x)[3:]), reference.draws, atol=ROUNDING)

    def test_models_that_infer_labels(self):
        digits = mask_labels(load("digits"))
        model = presets.semi_supervised_vae(digits.spec, latent=2, hidden=[8]).model.double().eval()
        check_rows(likelihood_scores(model), digits.test[:N])
        check_rows(lambda x: [inference.classify(model, x).probabilities], digits.test[:N])


def test_single_precision():
    check_rows(likelihood_scores(make_vae("normal-diagonal")), data(), SINGLE_ROUNDING)


def test_errors_of_rows_are_the_spread_over_seeds():
    """Over 40 seeds the variance of an estimate is known to sqrt(2 / 39), 23 %; 5 rows average."""
    model = make_vae("normal-diagonal")
    results = [metrics.log_likelihood(model, data(), 50, seed=seed) for seed in range(40)]
    spread = torch.stack([result.per_datum for result in results]).var(0)
    stated = torch.stack([result.per_datum_error for result in results]).square().mean(0)
    assert 0.6 < (spread / stated).mean() < 1.6
    bounds = [metrics.rate_distortion(model, data(), 20, seed=seed) for seed in range(40)]
    spread = torch.stack([-bound.per_datum.sum(0) for bound in bounds]).var(0)
    stated = torch.stack([bound.per_datum_error for bound in bounds]).square().mean(0)
    assert 0.6 < (spread / stated).mean() < 1.6


def test_errors_of_exact_values_and_of_single_draws():
    model = make_vae("bernoulli")
    assert (metrics.log_likelihood(model, data(), method="exact").per_datum_error == 0).all()
    assert metrics.log_likelihood(model, data(), 1).per_datum_error.isnan().all()
    assert metrics.rate_distortion(model, data(), 1).per_datum_error.isnan().all()
