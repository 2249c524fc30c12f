"""Imputation against the conditional Gaussian of probabilistic PCA."""

import math

import pytest
import torch
from tests.catalogue import make_vae
from tests.linear import linear_vae, set_posterior
from torch import nn

from aevb import VAE, _row_noise, likelihoods, metrics, networks, posteriors, priors
from aevb.errors import ArgumentError, DataError, IncompatibleError, NumericalError
from aevb.inference import impute

pytestmark = pytest.mark.usefixtures("float64")


def model_with_missing_cells(weight, offset, scale):
    """Probabilistic PCA for data with empty cells; q is the prior, a little wider."""
    plain, latent = linear_vae(weight, offset, scale), weight.shape[1]
    encoder = networks.FillMissing(networks.MLP(2 * len(offset)))
    model = VAE(
        plain.prior, posteriors.Normal(encoder, latent), likelihoods.Missing(plain.likelihood)
    )
    set_posterior(
        model, torch.zeros(latent, 2 * len(offset)), torch.zeros(latent), torch.full((latent,), 1.1)
    )
    return model


def conditional(weight, offset, scale, x):
    """Conditional mean and covariance of the missing cells of one row, with an inverse."""
    covariance = weight @ weight.T + scale**2 * torch.eye(len(offset))
    empty = x.isnan()
    across = covariance[empty][:, ~empty] @ torch.linalg.inv(covariance[~empty][:, ~empty])
    mean = offset[empty] + across @ (x[~empty] - offset[~empty])
    return mean, covariance[empty][:, empty] - across @ covariance[~empty][:, empty]


def some_rows(size=5, latent=2, n=3):
    weight, offset = torch.randn(size, latent), torch.randn(size)
    model = model_with_missing_cells(weight, offset, 0.7)
    x = model.sample(n)
    x[0, :2] = x[1, 3] = x[2, 1:4] = torch.nan
    return model, (weight, offset, 0.7), x


def test_single_imputation_is_the_conditional_mean():
    model, parameters, x = some_rows()
    result = impute(model, x, samples=40_000, max_pairs=50_000)
    for row, filled, spread, effective in zip(
        x, result.x, result.spread, result.effective_sample_size, strict=True
    ):
        mean, covariance = conditional(*parameters, row)
        deviation, empty = covariance.diagonal().sqrt(), row.isnan()
        assert effective > 1000
        assert ((filled[empty] - mean).abs() < 5 * deviation / effective.sqrt()).all()
        # of a Gaussian's deviation: itself over sqrt(2 n)
        assert ((spread[empty] - deviation).abs() < 5 * deviation / effective.sqrt()).all()
        assert torch.equal(filled[~empty], row[~empty]) and (spread[~empty] == 0).all()


def test_multiple_imputations_have_the_conditional_covariance():
    """Cells of a single imputation are dependent: they share a latent."""
    model, parameters, x = some_rows(n=3)
    result = impute(model, x, samples=4000, draws=4000, max_pairs=2000)
    row, draws = x[2], result.draws[:, 2]
    mean, covariance = conditional(*parameters, row)
    empty = row.isnan()
    # imputations share latents, with this effective sample size
    count = 1 / (1 / 4000 + 1 / result.effective_sample_size[2].item())
    spread = covariance.diagonal()
    assert ((draws[:, empty].mean(0) - mean).abs() < 5 * (spread / count).sqrt()).all()
    error = ((covariance**2 + torch.outer(spread, spread)) / count).sqrt()
    found_covariance = torch.cov(draws[:, empty].T)
    assert ((found_covariance - covariance).abs() < 5 * error).all()
    assert (
        covariance - torch.diag(spread)
    ).abs().max() > 5 * error.max()  # independent cells would fail
    assert torch.equal(draws[:, ~empty], row[~empty].expand(4000, -1))


def test_resampling_by_weight_does_not_depend_on_blocks():
    """One observed cell nearly determines the latent: a few hundred of 4,000 draws count."""
    weight, offset = torch.tensor([[1.0], [1.0]]), torch.zeros(2)
    model = model_with_missing_cells(weight, offset, 0.05)
    x = torch.tensor([[1.2, torch.nan]])
    for rows in (16, 4000):
        draws = impute(model, x, samples=4000, draws=500, max_pairs=rows).draws[:, 0, 1]
        mean, covariance = conditional(weight, offset, 0.05, x[0])
        assert (
            abs(draws.mean() - mean) < 5 * math.sqrt(covariance.item() / 100)
            and draws.std() < 2 * covariance.sqrt()
        )


def test_empty_row_is_imputed_from_the_prior():
    model, (weight, offset, scale), x = some_rows()
    result = impute(model, torch.full_like(x[:1], torch.nan), samples=20_000, max_pairs=20_000)
    spread = ((weight @ weight.T).diagonal() + scale**2).sqrt()
    assert ((result.x[0] - offset).abs() < 5 * spread / 100).all() and torch.allclose(
        result.spread[0], spread, rtol=0.1
    )


def test_exact_evidence_and_posterior_marginalise_empty_cells():
    model, (weight, offset, scale), x = some_rows()
    covariance = weight @ weight.T + scale**2 * torch.eye(5)
    for row, value in zip(x, metrics.exact_log_likelihood(model, x), strict=True):
        there = ~row.isnan()
        dense = torch.distributions.MultivariateNormal(offset[there], covariance[there][:, there])
        assert value.item() == pytest.approx(dense.log_prob(row[there]).item(), abs=1e-11)
    codes = metrics.exact_posterior(model, x)
    for row, z in zip(x, codes.mean, strict=True):
        empty = row.isnan()
        mean, _ = conditional(weight, offset, scale, row)
        assert torch.allclose((weight @ z + offset)[empty], mean, atol=1e-11)
    parts = metrics.decomposition(model, x)
    assert torch.allclose(parts.log_likelihood, parts.elbo + parts.gap, atol=1e-9)
    result = metrics.log_likelihood(model, x, samples=20_000, max_pairs=60_000)
    # rows are stored in single precision; the effective size is above 2000
    assert ((result.per_datum - parts.log_likelihood).abs() < 0.12).all()


def test_imputation_is_reproducible_and_leaves_the_global_generator_unchanged():
    model, _, x = some_rows()
    before = torch.get_rng_state()
    first, again, other = (impute(model, x, 50, draws=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.draws, again.draws) and not torch.equal(first.x, other.x)


def test_counts_are_imputed_with_counts():
    model = _counts()
    x = model.sample(4)
    x[:, 1] = torch.nan
    result = impute(model, x, 50, draws=3)
    assert (result.draws == result.draws.round()).all() and not result.x.isnan().any()


def _counts():
    encoder = networks.FillMissing(networks.MLP(8, [4]))
    return VAE(
        likelihood=likelihoods.Missing(likelihoods.Poisson(networks.MLP(2, [4]), (4,))),
        posterior=posteriors.Normal(encoder, 2),
        prior=make_vae().prior,
    )


@pytest.mark.parametrize(
    "fill, error, words",
    [
        (
            lambda: impute(make_vae("dirac"), torch.zeros(2, 2, 2)),
            IncompatibleError,
            r"imputation needs .*`posteriors\.Dirac`",
        ),
        (
            lambda: impute(make_vae(), torch.full((2, 2, 2), torch.nan)),
            IncompatibleError,
            r"`likelihoods\.Normal` accepts no missing cells",
        ),
        (
            lambda: impute(some_rows()[0], torch.zeros(2, 5), samples=0),
            ArgumentError,
            "`samples` is 0",
        ),
        (
            lambda: impute(some_rows()[0], torch.zeros(2, 5), draws=-1),
            ArgumentError,
            "`draws` is -1",
        ),
        (
            lambda: impute(some_rows()[0], torch.zeros(2, 4)),
            DataError,
            r"data have shape \(2, 4\); .* \(5,\)",
        ),
        (lambda: impute(some_rows()[0], torch.zeros(0, 5)), DataError, "no rows"),
        (
            lambda: impute(some_rows()[0], torch.full((2, 5), torch.inf)),
            DataError,
            "row 0 of `x` holds infinity",
        ),
        (
            lambda: impute(unflagged(), torch.full((2, 5), torch.nan)),
            DataError,
            r"Put `networks\.FillMissing",
        ),
        (
            lambda: impute(hopeless(), torch.tensor([[0.0, torch.nan], [1e10, torch.nan]])),
            NumericalError,
            "row 1 of `x` has likelihood 0",
        ),
    ],
)
def test_unsupported_models_and_data_are_refused(fill, error, words):
    with pytest.raises(error, match=words):
        fill()


def unflagged():
    model = some_rows()[0]
    return VAE(model.prior, posteriors.Normal(nn.Linear(5, 2), 2), model.likelihood)


def hopeless():
    """So little noise that a distant row has likelihood 0 at every draw, in double precision."""
    return model_with_missing_cells(torch.tensor([[1e-300], [1.0]]), torch.zeros(2), 1e-160)


# values far from 0, and values without an average


def test_the_spread_of_a_column_of_large_numbers(monkeypatch):
    """Years and prices in single precision: squares cancel, sums around a guess do not."""
    # both sets with the same noise
    monkeypatch.setattr(_row_noise, "_hash_rows", lambda rows: torch.arange(len(rows)))
    weight, offset = torch.randn(5, 2), torch.randn(5)
    x = model_with_missing_cells(weight, offset, 0.7).sample(3)
    x[0, :2] = x[1, 3] = torch.nan
    low, high = (
        impute(
            model_with_missing_cells(weight, offset + shift, 0.7).float(),
            (x + shift).float(),
            samples=2000,
        )
        for shift in (0.0, 1e5)
    )
    # 1e5 is stored to 0.008 in single precision, which moves weights by some hundredths
    assert torch.allclose(high.spread, low.spread, atol=0.03) and torch.allclose(
        high.x - 1e5, low.x, atol=0.1
    )


def circular(likelihood):
    return VAE(
        priors.Normal(1),
        posteriors.Normal(networks.FillMissing(networks.MLP(4, [4])), 1),
        likelihoods.Missing(likelihood),
    ).eval()


def test_angles_are_imputed_by_their_mean_direction():
    """Around pi, where the numbers jump from one end to the other, and their average is 0."""
    model = circular(likelihoods.VonMises(networks.MLP(1), (2,)))
    with torch.no_grad():
        for parameter in model.likelihood.parameters():
            parameter.zero_()
        model.likelihood.likelihood.heads.head.bias.copy_(torch.tensor([-9.0, -9.0, 0.0, 0.0]))
    result = impute(model, torch.tensor([[math.nan, 3.0]]), samples=2000)
    assert abs(abs(result.x[0, 0].item()) - math.pi) < 0.05
    # of concentration 9: R = 0.943, sqrt(-2 log R) = 0.343
    assert result.spread[0, 0].item() == pytest.approx(0.343, abs=0.03)


def test_categories_are_imputed_by_the_most_probable_value():
    model = circular(likelihoods.Categorical(networks.MLP(1), (2,), categories=3))
    with torch.no_grad():
        for parameter in model.likelihood.parameters():
            parameter.zero_()
        model.likelihood.likelihood.heads.head.bias.copy_(
            torch.tensor([0.5, 0.5, 0.1, 0.1, 0.4, 0.4]).log()
        )
    result = impute(model, torch.tensor([[math.nan, 2.0]]), samples=4000)
    assert result.x[0, 0] == 0  # the average would be 0.9
    assert result.spread[0, 0].item() == pytest.approx(
        0.5, abs=0.04
    )  # five deviations of 4,000 draws


@pytest.mark.parametrize(
    "x, words",
    [
        ([[1.0], ["a"]], "is of type list"),
        (torch.full((1, 2), 7.0), "row 0 of `x` holds a value outside"),
    ],
)
def test_data_to_impute_are_validated(x, words):
    model = circular(likelihoods.Bernoulli(networks.MLP(1), (2,)))
    with pytest.raises(DataError, match=words):
        impute(model, x)


def test_imputations_are_decoded_in_bounded_memory(monkeypatch):
    model, _, x = some_rows()
    seen, forward = [], model.likelihood.forward
    monkeypatch.setattr(
        model.likelihood,
        "forward",
        lambda z, context=None: (seen.append(z[..., 0].numel()), forward(z, context))[1],
    )
    assert impute(model, x, samples=50, draws=60, max_pairs=6).draws.shape == (60, *x.shape)
    assert max(seen) <= 6
