"""Imputation against the conditional Gaussian of probabilistic PCA."""

import math
from types import SimpleNamespace

import pytest
import torch
from tests.catalogue import make_vae
from tests.linear import linear_vae, set_posterior
from torch import nn
from torch.distributions import Normal

from aevb import VAE, Batch, _row_noise, likelihoods, metrics, networks, posteriors, priors
from aevb._row_noise import RowNoise
from aevb.errors import ArgumentError, DataError, IncompatibleError, NumericalError
from aevb.inference import _impute, impute
from aevb.networks import Column

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


# sums over all draws at once


def weighted_draws(model, x, samples, seed):
    """The draws of a seed, ``[K, B, latent]``, and their weights, which sum to 1 over ``K``."""
    batch = Batch(x)
    with RowNoise.from_batch(batch, seed, None).samples(samples), torch.no_grad():
        q = model.infer(batch)
        z = q.sample((samples,))
    terms = Normal(model.likelihood(z).mean, 0.7).log_prob(x.nan_to_num())
    observed = torch.where(x.isnan(), 0.0, terms).sum(-1)
    log_weight = observed + Normal(0.0, 1.0).log_prob(z).sum(-1) - q.log_prob(z)
    return z, log_weight.softmax(0)


@pytest.mark.parametrize("max_pairs, rows", [(1, 256), (4, 256), (13, 256), (100, 2), (9, 2)])
def test_values_are_weighted_averages_in_blocks_of_any_size(max_pairs, rows, monkeypatch):
    monkeypatch.setattr(_impute, "IMPUTE_BLOCK_ROWS", rows)
    model, (weight, offset, scale), x = some_rows(n=5)
    x[3, 0] = torch.nan
    z, share = weighted_draws(model, x, 9, seed=4)
    done = []
    found = impute(model, x, 9, draws=3, seed=4, max_pairs=max_pairs, on_progress=done.append)
    means = (z @ weight.T + offset).detach()
    average = (share[..., None] * means).sum(0)
    variance = scale**2 + (share[..., None] * (means - average) ** 2).sum(0)
    empty = x.isnan()
    torch.testing.assert_close(found.x, torch.where(empty, average, x))
    torch.testing.assert_close(found.spread, torch.where(empty, variance.sqrt(), 0.0))
    torch.testing.assert_close(found.effective_sample_size, 1 / share.square().sum(0))
    assert found.samples == 9 and found.draws.shape == (3, 5, 5)
    whole = impute(model, x, 9, draws=3, seed=4, max_pairs=10_000)
    torch.testing.assert_close(found.draws, whole.draws)
    assert (found.draws[:, ~empty] == x[~empty]).all()
    assert len(found.draws[0, empty].unique()) == empty.sum()
    size = min(rows, max_pairs)
    expected = []
    for start in range(0, 5, size):
        n = min(size, 5 - start)
        block = max(1, max_pairs // n)
        expected += [n * min(block, 9 - first) for first in range(0, 9, block)]
    assert done == expected


def test_a_conditional_draw_is_decoded_from_one_latent():
    """Of a decoder almost without noise, draws show the latents, each with its weight."""
    weight, offset = torch.tensor([[1.0], [1.0]]), torch.zeros(2)
    model = model_with_missing_cells(weight, offset, 1e-6)
    x = torch.full((2, 2), torch.nan)
    with RowNoise.from_batch(Batch(x), 0, None).samples(6), torch.no_grad():
        z = model.infer(Batch(x)).sample((6,))[..., 0]
    draws = impute(model, x, 6, draws=200).draws
    distance = (draws[:, None] - z[:, :, None]).abs()  # [draws, latents, rows, cells]
    assert (distance.amin(1) < 1e-4).all()
    chosen = distance.argmin(1)
    assert (chosen[..., 0] == chosen[..., 1]).all() and len(chosen.unique()) > 3


def resampled(draws):
    """Draws are resampled; nothing is averaged."""
    return _impute._WeightedDraws(SimpleNamespace(cell_kinds=()), torch.zeros(2, 1), draws)


@pytest.mark.parametrize("blocks", [[4], [1, 3], [2, 1, 1], [3, 1]])
def test_latents_are_resampled_in_proportion_to_their_weights(blocks):
    draws = 20_000
    shares = torch.tensor([[0.1, 0.4], [0.2, 0.0], [0.3, 0.4], [0.4, 0.2]])
    z = torch.arange(4.0)[:, None, None].expand(4, 2, 1) + torch.tensor([[0.0], [10.0]])
    moments = resampled(draws)
    log_weight = shares.log() + torch.tensor([500.0, -500.0])
    for weights, points in zip(log_weight.split(blocks), z.split(blocks), strict=True):
        moments.add(weights, None, points)
    assert moments.latents.shape == (draws, 2, 1)
    for row in range(2):
        numbers = moments.latents[:, row, 0] - 10 * row
        found = torch.stack([(numbers == k).double().mean() for k in range(4)])
        error = (shares[:, row] * (1 - shares[:, row]) / draws).sqrt()
        assert ((found - shares[:, row]).abs() <= 5 * error).all()


def test_latents_with_axes_are_resampled_whole():
    z = torch.arange(24.0).reshape(2, 2, 2, 3)
    moments = resampled(50)
    for n in range(2):
        moments.add(torch.zeros(1, 2), None, z[n : n + 1])
    for row in range(2):
        kinds = {tuple(one.flatten().tolist()) for one in moments.latents[:, row]}
        assert kinds == {tuple(z[n, row].flatten().tolist()) for n in range(2)}


def test_no_draws_keep_no_latents():
    moments = resampled(0)
    moments.add(torch.zeros(1, 2), None, torch.zeros(1, 2, 1))
    assert len(moments.latents) == 0
    model, _, x = some_rows()
    assert impute(model, x, 3).draws.shape == (0, 3, 5)


def test_many_draws_limit_the_block_of_samples(monkeypatch):
    """The noise of resampling, draws times pairs, stays within the buffer of log-weights."""
    monkeypatch.setattr(_impute, "MAX_BUFFERED_WEIGHTS", 24)
    model, _, x = some_rows(n=3)
    for draws, pairs, block in ((0, 9, 3), (1, 100, 8), (4, 100, 2), (4, 3, 1), (30, 100, 1)):
        done = []
        impute(model, x, 8, draws=draws, max_pairs=pairs, on_progress=done.append)
        assert done == [3 * min(block, 8 - start) for start in range(0, 8, block)]


def test_directions_and_their_spread():
    """``R`` between 0 and 1, also where rounding makes it 0 or more than 1."""
    moments = _impute._CircularMoments(slice(None))
    angle = torch.tensor([0.5, -2.0, math.pi, 1.0])
    length = torch.tensor([1.0, 0.5, 0.1, 1 + 1e-15])
    mean, spread = moments.fill_values((length * angle.sin(), length * angle.cos()))
    torch.testing.assert_close(mean, angle)
    expected = [0.0, math.sqrt(2 * math.log(2)), math.sqrt(2 * math.log(10)), 0.0]
    # sqrt(-2 log R) turns a rounding of R = 1 by 1e-16 into 1e-8
    assert spread.tolist() == pytest.approx(expected, abs=1e-7)
    zero = torch.zeros(2)
    assert moments.fill_values((zero, zero))[1].isfinite().all()


def test_categories_are_counted_from_zero():
    moments = _impute._CategoricalMoments(slice(None))
    value, other = moments.fill_values((torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.4, 0.0]]),))
    assert value.tolist() == [1.0, 0.0] and other.tolist() == pytest.approx([0.5, 0.4])
    for shift, drawn in ((torch.ones(2), [[0, 1], [1, 1]]), (torch.tensor([0.5, 1.0]), [[3, 0]])):
        codes = torch.tensor(drawn)[..., None].expand(-1, -1, 2)  # [n, B, cells]
        moments.add(shift, torch.ones(codes.shape[:2]), SimpleNamespace(drawn=codes))
    (shares,) = moments.sums
    assert shares[:, 0].tolist() == [[0.5, 0.5, 0.0, 1.0], [1.0, 2.0, 0.0, 0.0]]
    assert torch.equal(shares[:, 0], shares[:, 1])


def values(mean, scale):
    return _impute._DecodedValues(Normal(mean, scale))


def test_each_kind_of_cell_has_its_own_moments():
    """Numbers, names and angles side by side are filled as they are where each is alone."""
    kinds = ("names", "numbers", "angles", "names", "numbers")
    n, rows = 4, 2
    mean, drawn = torch.randn(n, rows, 5), torch.randint(0, 3, (n, rows, 5)).float()
    p = SimpleNamespace(mean=mean, variance=mean.square(), sample=lambda: drawn)
    x, model = torch.full((rows, 5), torch.nan), SimpleNamespace()
    filled = {}
    for each in (kinds, *set(kinds)):
        draws = _impute._WeightedDraws(SimpleNamespace(cell_kinds=each), x, 0)
        cells = _impute.MissingCellDraws(x, 2 * n)
        for _ in range(2):
            log_weight = torch.randn(n, rows, generator=torch.manual_seed(0)).double()
            cells.add(log_weight, draws.add(log_weight, p, mean).drawn)
        filled[each] = draws.to_imputation(model, Batch(x), cells, 0.9, 8, None)
    for i, kind in enumerate(kinds):
        for field in ("x", "spread", "low", "high"):
            whole, alone = (getattr(filled[each], field)[:, i] for each in (kinds, kind))
            assert torch.equal(whole.nan_to_num(), alone.nan_to_num()), (kind, field)


def test_numbers_are_averaged_around_the_mean_of_the_first_block():
    moments = _impute._NumericMoments(slice(None))
    first = values(torch.tensor([1.0, 3.0])[:, None, None], 2.0)
    torch.testing.assert_close(moments.statistics(first)[0].flatten(), torch.tensor([-1.0, 1.0]))
    away, square = moments.statistics(values(torch.tensor([5.0])[:, None, None], 1.0))
    assert (away.item(), square.item()) == (3.0, 10.0)  # around 2: 3, and 1 + 9
    value, spread = moments.fill_values((torch.tensor([[0.5]]), torch.tensor([[1.25]])))
    assert (value.item(), spread.item()) == (2.5, 1.0)
    assert moments.fill_values((torch.tensor([[0.1]]), torch.tensor([[0.0]])))[1].item() == 0


# rows that are named


@pytest.mark.parametrize("rows", [1, 2, 256])
def test_a_row_without_weights_is_named_in_every_block(rows, monkeypatch):
    monkeypatch.setattr(_impute, "IMPUTE_BLOCK_ROWS", rows)
    x = torch.tensor([[0.0], [0.0], [0.0], [1e10], [1e10]])
    with pytest.raises(NumericalError, match="row 3 "):
        impute(hopeless(), torch.cat([x, torch.full((5, 1), torch.nan)], 1), 3)


def test_the_first_broken_row_is_named():
    x = torch.zeros(4, 5)
    x[2, 3] = x[3, 1] = -torch.inf
    with pytest.raises(DataError, match="row 2 "):
        impute(some_rows()[0], x)
    bits = circular(likelihoods.Bernoulli(networks.MLP(1), (2,)))
    x = torch.zeros(4, 2)
    x[2, 1] = x[3, 0] = 0.5
    with pytest.raises(DataError, match="row 2 "):
        impute(bits, x)


def test_one_row_that_the_network_turns_into_nan_is_refused():
    x = torch.zeros(3, 5)
    x[1, 2] = torch.nan
    with pytest.raises(DataError) as caught:
        impute(unflagged(), x, 3)
    assert caught.value.argument == "model"


def test_one_missing_cell_is_refused_by_a_model_without_missing_cells():
    x = torch.zeros(2, 2, 2)
    x[1, 0, 1] = torch.nan
    with pytest.raises(IncompatibleError) as caught:
        impute(make_vae(), x, 3)
    assert caught.value.argument == "model"


@pytest.mark.parametrize("draws", [1.0, -1, None])
def test_numbers_of_draws_are_whole(draws):
    with pytest.raises(ArgumentError) as caught:
        impute(some_rows()[0], torch.zeros(2, 5), 3, draws=draws)
    assert (caught.value.argument, caught.value.value) == ("draws", draws)


@pytest.mark.parametrize("name", ["samples", "max_pairs"])
def test_counts_are_positive(name):
    with pytest.raises(ArgumentError) as caught:
        impute(some_rows()[0], torch.zeros(2, 5), **{name: 0})
    assert caught.value.argument == name


def test_complete_rows_need_no_missing_cells():
    model = make_vae()
    x = model.sample(3)
    found = impute(model, x, 3)
    assert torch.equal(found.x, x) and (found.spread == 0).all()


def test_blocks_keep_the_numbers_and_the_context_of_their_rows():
    x, context = torch.arange(5.0)[:, None], torch.arange(10.0).reshape(5, 2)
    for start, size, numbers in ((0, 2, [0, 1]), (4, 2, [4]), (0, 5, list(range(5)))):
        batch = _impute._make_batch(x, context, start, size)
        assert batch.index.tolist() == numbers and batch.dataset_size == 5
        assert torch.equal(batch.x, x[numbers]) and torch.equal(batch.context, context[numbers])
    assert _impute._make_batch(x, None, 0, 2).context is None


# intervals and sets


def test_intervals_are_the_quantiles_of_the_conditional_gaussian():
    model, parameters, x = some_rows()
    found = impute(model, x, samples=40_000, level=0.8, max_pairs=50_000)
    for row, low, high, size in zip(
        x, found.low, found.high, found.effective_sample_size, strict=True
    ):
        mean, covariance = conditional(*parameters, row)
        deviation, empty = covariance.diagonal().sqrt(), row.isnan()
        # of a quantile: sqrt(.1 * .9 / n) over the density, .1755 over the deviation
        error = 5 * 1.71 * deviation / size.sqrt()
        away = 1.2815515655446004 * deviation
        assert ((low[empty] - (mean - away)).abs() < error).all()
        assert ((high[empty] - (mean + away)).abs() < error).all()
        assert torch.equal(low[~empty], row[~empty]) and torch.equal(high[~empty], row[~empty])
    assert found.level == 0.8 and len(found.categories.cells) == 0


def test_intervals_hold_what_one_latent_leaves_open():
    """Far from the posterior one latent has all weight: cells vary about their mean given it."""
    scale, samples = 0.7, 400
    model = model_with_missing_cells(torch.full((3, 1), 100.0), torch.zeros(3), scale)
    x = torch.tensor([[math.nan, 300.0, 301.0], [math.nan, -50.0, 20.0]])
    found = impute(model, x, samples=samples, level=0.8)
    assert (found.effective_sample_size < 1.5).all()
    ends = torch.stack([found.low, found.high])[:, :, 0] - found.x[:, 0]
    # five errors of a quantile, as above
    away = 1.2815515655446004 * scale * torch.tensor([[-1.0], [1.0]])
    assert ((ends - away).abs() < 5 * 1.71 * scale / math.sqrt(samples)).all()


def test_names_and_angles_are_drawn_again_where_one_latent_has_all_weight():
    n, x = 600, torch.full((2, 2), torch.nan)
    log_weight = torch.zeros(n, 2).double()
    log_weight[1:, 0] = -99.0
    z = torch.randn(n, 2, 1)

    def likelihood(z, context=None):
        names = torch.randint(0, 3, z.shape)
        return SimpleNamespace(sample=lambda: torch.cat([names, math.pi / 2 * names], -1).double())

    moments = _impute._WeightedDraws(SimpleNamespace(cell_kinds=("names", "angles")), x, 0)
    cells = _impute.MissingCellDraws(x, n)
    cells.add(log_weight, moments.add(log_weight, likelihood(z), z).drawn)
    before = moments.to_imputation(SimpleNamespace(), Batch(x), cells, 0.9, n, None)
    noise = RowNoise.from_batch(Batch(x), 0, None)
    model = SimpleNamespace(likelihood=likelihood)
    moments.redraw_rows(model, Batch(x), cells, z, 2 * n // 3, noise)  # in two blocks
    after = moments.to_imputation(model, Batch(x), cells, 0.9, n, None)
    shares = after.categories.probabilities
    assert before.categories.probabilities[0].max() == 1 and before.spread[0, 1] < 1e-6
    assert (shares[0] - 1 / 3).abs().max() < 5 * math.sqrt(2 / 9 / n)
    # three directions with the mean (1 / 3, 0), and each coordinate a variance of at most 2 / 3
    length = (-after.spread[0, 1].square() / 2).exp()
    assert (length - 1 / 3).abs() < 5 * math.sqrt(2 / 3 / n)
    for name in ("x", "spread", "low", "high"):
        old, new = (getattr(each, name)[1] for each in (before, after))
        assert torch.equal(old.nan_to_num(), new.nan_to_num()), name
    assert torch.equal(before.categories.probabilities[1], shares[1])


def test_sets_hold_the_fewest_categories_by_enumeration():
    """Two latent states; the observed cell decides between them by Bayes' rule."""
    model, joint = two_state_model()
    x = torch.tensor([[math.nan, 1.0], [0.0, 2.0], [math.nan, math.nan]])
    found = impute(model, x, samples=20_000, level=0.7)
    expected = joint[:, 1] / joint[:, 1].sum(), joint.sum(1), joint.sum(0)
    assert found.categories.cells.tolist() == [[0, 0], [2, 0], [2, 1]]
    for row, target in zip(found.categories.probabilities, expected, strict=True):
        assert torch.allclose(row, target, atol=0.025)  # five deviations of 10,000 draws
    for row, target in zip(found.categories.sets, expected, strict=True):
        order = target.argsort(descending=True)
        needed = int((target[order].cumsum(0) < 0.7).sum()) + 1
        assert set(row.nonzero().flatten().tolist()) == set(order[:needed].tolist())
    assert found.low[0].isnan().tolist() == [True, False] and found.low[0, 1] == 1


def two_state_model():
    """Two cells of 3 categories given one bit; also the joint probabilities ``[3, 3]``."""
    likelihood = likelihoods.Categorical(nn.Identity(), (2,), categories=3)
    model = VAE(
        priors.Bernoulli(1),
        posteriors.Bernoulli(networks.FillMissing(networks.MLP(4, [2])), 1),
        likelihoods.Missing(likelihood),
    ).eval()
    tables = torch.tensor([[[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]], [[0.1, 0.1, 0.8], [0.5, 0.1, 0.4]]])
    with torch.no_grad():
        for parameter in model.posterior.parameters():
            parameter.zero_()
        head = likelihood.heads.head
        head.bias.copy_(tables[0].log().T.flatten())
        head.weight.copy_((tables[1] / tables[0]).log().T.flatten()[:, None])
    return model, torch.einsum("ka,kb->ab", tables[:, 0], tables[:, 1]) / 2


@pytest.mark.parametrize("max_pairs, rows", [(4, 256), (100, 2)])
def test_intervals_do_not_depend_on_blocks(max_pairs, rows, monkeypatch):
    model, _, x = some_rows(n=5)
    whole = impute(model, x, 9, seed=4, max_pairs=10_000)
    monkeypatch.setattr(_impute, "IMPUTE_BLOCK_ROWS", rows)
    found = impute(model, x, 9, seed=4, max_pairs=max_pairs)
    torch.testing.assert_close(found.low, whole.low)
    torch.testing.assert_close(found.high, whole.high)
    monkeypatch.setattr(_impute, "MAX_BUFFERED_DRAWS", 50)  # one row at a time
    torch.testing.assert_close(impute(model, x, 9, seed=4).low, whole.low)


def test_categories_of_blocks_are_joined(monkeypatch):
    model, _ = two_state_model()
    x = torch.tensor([[math.nan, 1.0], [0.0, math.nan], [2.0, 2.0]])
    whole = impute(model, x, 40).categories
    monkeypatch.setattr(_impute, "IMPUTE_BLOCK_ROWS", 1)
    found = impute(model, x, 40).categories
    assert torch.equal(found.cells, whole.cells) and torch.equal(found.sets, whole.sets)


def test_an_interval_of_an_angle_lies_about_its_mean_direction():
    """Around pi, where quantiles of the numbers would be -pi and pi."""
    model = circular(likelihoods.VonMises(networks.MLP(1), (2,)))
    with torch.no_grad():
        for parameter in model.likelihood.parameters():
            parameter.zero_()
        model.likelihood.likelihood.heads.head.bias.copy_(torch.tensor([-9.0, -9.0, 0.0, 0.0]))
    found = impute(model, torch.tensor([[math.nan, 3.0]]), samples=4000)
    # 90 % of a von Mises of concentration 9 lie within 0.565
    assert (found.high - found.low)[0, 0].item() == pytest.approx(1.13, abs=0.1)


@pytest.mark.parametrize("level", [0.0, 1.0, -1, math.nan])
def test_a_level_is_a_probability(level):
    with pytest.raises(ArgumentError) as caught:
        impute(some_rows()[0], torch.zeros(2, 5), level=level)
    assert caught.value.argument == "level"


def test_repeated_values_are_filled_by_their_mean_and_not_by_their_point():
    """An atom with more than half of the mass is the point value of a cell, and not its mean."""
    column = Column("gain", "spiky", "spiky", atoms=(0.0,), edges=(0.0, 5.0, 30.0))
    encoder = networks.Columns(networks.MLP(networks.Columns.width([column])), [column])
    likelihood = likelihoods.Columns(nn.Identity(), [column])
    model = VAE(priors.Normal(3), posteriors.Normal(encoder, 3), likelihood).eval()
    with torch.no_grad():
        likelihood.heads.head.weight.zero_()
        likelihood.heads.head.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    p = likelihood(torch.zeros(1, 3))
    found = impute(model, torch.full((1, 1), torch.nan), 20)
    assert p.mean.item() == 0 and p.expectation.item() > 3
    torch.testing.assert_close(found.x, p.expectation, check_dtype=False)
    torch.testing.assert_close(found.spread, p.variance.sqrt(), check_dtype=False)


def test_draws_belong_to_their_row_whatever_their_number():
    """Also where there are as many draws as rows and as samples of a block."""
    model, _, x = some_rows(n=8)
    whole, part = (impute(model, rows, 8, draws=8, max_pairs=64).draws for rows in (x, x[:3]))
    torch.testing.assert_close(whole[:, :3], part)
