"""Scores of latents against factors equal plain loops over their definitions."""

import math

import numpy
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from aevb import metrics
from aevb.metrics._disentanglement import _scores as scores
from aevb.metrics._disentanglement._factor_table import FactorTable
from aevb.metrics._intervals import half_sample_interval

ROWS, OPTIONS = 97, {"repeats": 2, "seed": 3}


def latents_and_factors(constant=False, rare=False):
    """Four latents: of the first factor, of the second, of both, and noise of another scale."""
    generator = torch.Generator().manual_seed(5)
    factors = torch.stack(
        [
            torch.randint(3, (ROWS,), generator=generator),
            torch.randint(2, (ROWS,), generator=generator),
        ],
        1,
    )
    noise = torch.randn(ROWS, 4, generator=generator, dtype=torch.float64)
    a, b = factors.double().T
    z = torch.stack(
        [a + 0.4 * noise[:, 0], 5 * b + 2 * noise[:, 1], a - b + noise[:, 2], 9 * noise[:, 3]], 1
    )
    if constant:
        z[:, 3] = 2.0
    return z, factors


def same(result, statistic, rows=ROWS):
    """Whether a score and its interval are those of a statistic."""
    expected = half_sample_interval(statistic, rows, **OPTIONS)
    assert (result.value, result.low, result.high) == pytest.approx(
        (expected.value, expected.low, expected.high), rel=1e-9
    )


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("bins", [5, 20])
def test_gap_and_modularity_from_mutual_information(constant, bins):
    z, factors = latents_and_factors(constant)
    table = FactorTable.from_arrays(z, factors, bins)

    def gap(rows, seed):
        part = table.subset(rows)
        columns = [sorted(column, reverse=True) for column in part.mutual_information().T.tolist()]
        return numpy.mean(
            [(c[0] - c[1]) / h for c, h in zip(columns, part.entropies().tolist(), strict=True)]
        )

    def modularity(rows, seed):
        parts = []
        for row in table.subset(rows).mutual_information().tolist():
            best = max(row)
            rest = sum(value**2 for value in row) - best**2
            parts.append(1 - rest / best**2 if best > 1e-12 else 0.0)
        return numpy.mean(parts)

    same(metrics.mutual_information_gap(z, factors, bins=bins, **OPTIONS), gap)
    same(metrics.modularity(z, factors, bins=bins, **OPTIONS), modularity)


def test_modularity_of_three_factors():
    """``1 - sum of the other squares / (2 largest^2)`` of the mutual information."""
    z, factors = latents_and_factors()
    factors = torch.cat([factors, (z[:, 2:3] > 0).long()], 1)
    squared = metrics.mutual_information(z, factors).square().numpy()
    largest = squared.max(1)
    expected = (1 - (squared.sum(1) - largest) / (2 * largest)).mean()
    assert metrics.modularity(z, factors, repeats=2).value == pytest.approx(expected)


def test_a_single_latent_has_the_gap_to_none():
    z, factors = latents_and_factors()
    table = FactorTable.from_arrays(z[:, :1], factors)
    shares = table.mutual_information()[0] / table.entropies()
    assert metrics.mutual_information_gap(z[:, :1], factors, repeats=2).value == pytest.approx(
        shares.mean().item()
    )


def test_predictability_by_the_nearest_class_mean():
    z, factors = latents_and_factors()
    table = FactorTable.from_arrays(z, factors)

    def gap(rows, seed):
        train, test = table.split(rows, seed)
        gaps = []
        for k in range(2):
            found = []
            for j in range(4):
                labels, truth = train.factors[:, k].numpy(), test.factors[:, k].numpy()
                x, y = train.z[:, j].numpy(), test.z[:, j].numpy()
                classes = numpy.unique(labels)
                means = numpy.array([x[labels == c].mean() for c in classes])
                predicted = classes[abs(y[:, None] - means).argmin(1)]
                found.append(
                    numpy.mean([(predicted[truth == c] == c).mean() for c in numpy.unique(truth)])
                )
            first, second = sorted(found, reverse=True)[:2]
            gaps.append(first - second)
        return numpy.mean(gaps)

    same(metrics.separated_attribute_predictability(z, factors, **OPTIONS), gap)


def test_unseen_classes_are_never_predicted():
    z = torch.tensor([[0.0], [1.0], [5.0]]).double()
    train = FactorTable(z, torch.tensor([[0], [0], [2]]), z.long())
    test = FactorTable(
        torch.tensor([[0.6], [2.7], [2.8], [9.0]]).double(), torch.tensor([[0], [0], [2], [1]]), z
    )
    # means 0.5 and 5, the border at 2.75: both of class 0, the one of class 2, none of class 1
    assert scores._threshold_accuracy(train, test, 0).tolist() == pytest.approx([2 / 3])
    shorter = FactorTable(torch.tensor([[0.6], [4.0]]).double(), torch.tensor([[0], [0]]), z)
    assert scores._threshold_accuracy(train, shorter, 0).tolist() == pytest.approx([1 / 2])
    longer = FactorTable(torch.tensor([[0.6], [4.0]]).double(), torch.tensor([[0], [3]]), z)
    assert scores._threshold_accuracy(train, longer, 0).tolist() == pytest.approx([1 / 2])


@pytest.mark.parametrize("threshold, constant", [(0.0, False), (0.0, True), (0.1, False)])
def test_votes_of_the_least_varying_latent(threshold, constant):
    z, factors = latents_and_factors(constant)
    table = FactorTable.from_arrays(z, factors)

    def score(rows, seed):
        variance = z[rows].numpy().var(0, ddof=1)
        used = [j for j in range(4) if variance[j] > threshold * variance.max()]
        votes, right = numpy.zeros((4, 2)), []
        for number, part in enumerate(table.split(rows, seed)):
            groups = part.fixed_factor_groups(scores.FACTOR_VOTES // 2, seed)
            spread = groups.z.numpy().var(1, ddof=1)
            for factor, each in zip(groups.factor.tolist(), spread, strict=True):
                latent = min(used, key=lambda j: each[j] / variance[j])
                if number == 0:
                    votes[latent, factor] += 1
                else:
                    right.append(votes[latent].argmax() == factor)
        return numpy.mean(right)

    same(metrics.factor_vae_score(z, factors, threshold=threshold, **OPTIONS), score)


def test_pairs_that_share_a_factor_are_classified():
    z, factors = latents_and_factors()
    table = FactorTable.from_arrays(z, factors)

    def score(rows, seed):
        sets = []
        for part in table.split(rows, seed):
            groups = part.fixed_factor_groups(scores.FACTOR_VOTES // 4, seed)
            first, second = groups.z[:, :32].numpy(), groups.z[:, 32:].numpy()
            sets.append((abs(first - second).mean(1), groups.factor.numpy()))
        (x, labels), (y, truth) = sets
        mean, scale = x.mean(0), x.std(0, ddof=1)
        model = LogisticRegression(max_iter=500).fit((x - mean) / scale, labels)
        return model.score((y - mean) / scale, truth)

    same(metrics.beta_vae_score(z, factors, **OPTIONS), score)


@pytest.mark.parametrize("constant", [False, True])
def test_robustness_is_relative_to_the_largest_deviation(constant):
    z, factors = latents_and_factors(constant)

    def score(rows, seed):
        x, total, weight = z[rows].numpy(), 0.0, 0.0
        for j in range(4):
            largest = abs(x[:, j] - x[:, j].mean()).max()
            if largest == 0:
                continue
            best = -math.inf
            for column in factors[rows].numpy().T:
                parts = [x[column == value, j] for value in numpy.unique(column)]
                kept = [abs(part - part.mean()) for part in parts if len(part) >= 5]
                best = max(best, 1 - numpy.mean([numpy.quantile(p, 0.99) for p in kept]) / largest)
            total, weight = total + best * largest, weight + largest
        return total / weight

    same(metrics.interventional_robustness(z, factors, **OPTIONS), score)


def test_deviations_of_values_with_five_rows_or_of_all():
    z = torch.tensor([[0.0], [1.0], [2.0], [3.0], [10.0], [7.0], [7.0], [8.0], [8.0]]).double()
    values = z[:, 0].numpy()

    def deviation(part):
        return numpy.quantile(abs(part - part.mean()), 0.99)

    five = scores._fixed_factor_deviations(z, torch.tensor([0] * 5 + [1] * 4))
    assert five.tolist() == pytest.approx([deviation(values[:5])])
    both = scores._fixed_factor_deviations(torch.cat([z, z[8:]]), torch.tensor([0] * 5 + [1] * 5))
    last = numpy.append(values[5:], 8.0)
    assert both.tolist() == pytest.approx([(deviation(values[:5]) + deviation(last)) / 2])
    none = scores._fixed_factor_deviations(z, torch.tensor([0] * 4 + [1] * 4 + [2]))
    assert none.tolist() == pytest.approx([deviation(values)])


def test_latents_without_information_have_the_chance_level():
    _, factors = latents_and_factors()
    constant = torch.ones(ROWS, 3)
    assert metrics.factor_vae_score(constant, factors, **OPTIONS).value == 1 / 2
    assert metrics.interventional_robustness(constant, factors, **OPTIONS).value == 0
    assert metrics.modularity(constant, factors, **OPTIONS).value == 0
    assert metrics.mutual_information_gap(constant, factors, **OPTIONS).value == 0


def test_factors_of_rare_values_have_the_chance_level(monkeypatch):
    z = latents_and_factors()[0][:48]
    many = torch.stack([torch.arange(48) % 2, torch.arange(48) % 4, torch.arange(48) // 12], 1)
    monkeypatch.setattr("aevb.metrics._disentanglement._factor_table.MIN_ROWS_SHARING_VALUE", 11)
    # 12 rows have each value of the second and third factor, and 6 of the 24 in a half
    result = metrics.beta_vae_score(z, many, **OPTIONS)
    assert (result.value, result.low, result.high) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    monkeypatch.setattr("aevb.metrics._disentanglement._factor_table.MIN_ROWS_SHARING_VALUE", 25)
    for score in (metrics.factor_vae_score, metrics.beta_vae_score):
        result = score(z, many, **OPTIONS)
        assert (result.value, result.low, result.high) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
