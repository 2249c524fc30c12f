"""Comparisons: known differences, coverage of intervals, and nominal rates of false positives."""

import math
from dataclasses import replace

import pytest
import scipy.stats
import torch
from tests.linear import evidence, exact_vae, linear_vae
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence

from aevb import VAE, likelihoods, metrics, networks, posteriors, priors
from aevb.errors import ArgumentError, IncompatibleError
from aevb.metrics._comparability import ComparabilityKey
from aevb.metrics._comparison import (
    ModelScores,
    compare_quantity,
    compare_scores,
    gain_of_last_doubling,
)
from aevb.metrics._significance import holm_correction, student_t_p_value


def two_truths():
    """Two linear-Gaussian models that differ a little: weight, offset and scale of each."""
    weight, offset, scale = torch.randn(6, 2), torch.randn(6), torch.full((6,), 0.7)
    return (weight, offset, scale), (weight + 0.1 * torch.randn(6, 2), offset + 0.05, 1.1 * scale)


def scores_of(*values, names="abcdefgh", configurations=None):
    """Scores with these reconstruction log-likelihoods."""
    groups = configurations or [None] * len(values)
    return [
        ModelScores(name, -torch.as_tensor(value), configuration=group)
        for name, value, group in zip(names, values, groups, strict=False)
    ]


# the truth


@pytest.mark.usefixtures("float64")
def test_difference_equals_the_known_value():
    """Data of the first model, exact posteriors.

    Every importance weight is p(x), and the expected difference KL(p_a || p_b).
    """
    first, second = two_truths()
    a, b = exact_vae(*first), exact_vae(*second)
    x = a.sample(4000)
    result = metrics.compare({"a": a, "b": b}, x, samples=2)
    (difference,) = [each for each in result.primary.differences if each is not None]
    by_row = evidence(*second, x) - evidence(*first, x)
    # an importance weight is p(x) up to the rounding of the float64 heads' inverse maps
    assert difference.value.mean == pytest.approx(by_row.mean().item(), abs=1e-7)
    assert difference.value.standard_error == pytest.approx(
        by_row.std().item() / math.sqrt(4000), rel=1e-6
    )
    p_a, p_b = (
        MultivariateNormal(offset, weight @ weight.T + torch.diag(scale**2))
        for weight, offset, scale in (first, second)
    )
    truth = -kl_divergence(p_a, p_b).item()
    assert (
        abs(difference.value.mean - truth) < 4 * difference.value.standard_error
    )  # one in 16,000 seeds
    assert result.verdicts == ("best", "worse") and result.n_rows == 4000
    assert [column.quantity for column in result.quantities] == [
        "log_likelihood",
        "elbo",
        "rate",
        "distortion",
    ]


@pytest.mark.usefixtures("float64")
def test_intervals_have_nominal_coverage():
    first, second = two_truths()
    laws = [
        MultivariateNormal(offset, weight @ weight.T + torch.diag(scale**2))
        for weight, offset, scale in (first, second)
    ]
    truth = -kl_divergence(*laws).item()
    x = laws[0].sample((2000, 100))
    tables = [law.log_prob(x) for law in laws]
    covered = 0
    for a, b in zip(*tables, strict=True):
        (_, difference) = compare_quantity(
            "log_likelihood", [a, b], "paired rows", best_index=0
        ).differences
        covered += (
            abs(difference.value.mean - truth) < 1.984 * difference.value.standard_error
        )  # t with 99 degrees
    assert 0.935 < covered / 2000 < 0.965  # three standard errors of 2,000 coins


@pytest.mark.usefixtures("float64")
def test_pairing_removes_shared_row_variance():
    """``var(a - b) = var(a) + var(b) - 2 cov(a, b)``: hard rows are hard for both."""
    first, second = two_truths()
    x = linear_vae(*first).sample(500)
    a, b = evidence(*first, x), evidence(*second, x)
    paired, apart = (
        compare_quantity("log_likelihood", [a, b], spread, best_index=0).differences[1].value
        for spread in ("paired rows", "rows")
    )
    assert paired.mean == pytest.approx(apart.mean, rel=1e-9)
    shared = 2 * torch.cov(torch.stack([a, b]))[0, 1].item() / 500
    assert paired.standard_error**2 == pytest.approx(apart.standard_error**2 - shared, rel=1e-9)
    assert paired.standard_error < 0.3 * apart.standard_error


# error rates


def is_any_significant(tables, spread):
    """Whether any side differs significantly from the best."""
    best = max(range(len(tables)), key=lambda side: tables[side].mean().item())
    return any(
        each is not None and each.is_significant
        for each in compare_quantity("elbo", tables, spread, best).differences
    )


@pytest.mark.parametrize("sides, least", [(2, 0.035), (4, 0.02)])
def test_row_comparison_has_nominal_error_rate(sides, least):
    """Equal models on rows of shared difficulty.

    Holm is exact for two and cautious for more.
    """
    torch.manual_seed(0)
    hard = 3 * torch.randn(2000, 1, 30, dtype=torch.float64)
    tables = hard + torch.randn(2000, sides, 30, dtype=torch.float64)
    share = sum(is_any_significant(list(each), "paired rows") for each in tables) / 2000
    assert least < share < 0.065  # 0.05 and three standard errors of 2,000 coins


@pytest.mark.parametrize("seeds", [(3, 3), (1, 5)])
def test_seed_comparison_has_nominal_error_rate(seeds):
    """A single run is compared using the spread of the other configuration's seeds."""
    torch.manual_seed(1)
    runs = torch.randn(2000, sum(seeds), dtype=torch.float64)
    share = sum(is_any_significant(list(each.split(seeds)), "seeds") for each in runs) / 2000
    assert 0.035 < share < 0.065  # three standard errors of 2,000 coins


def test_pairing_detects_a_difference_hidden_without_pairing():
    torch.manual_seed(2)
    hard = 10 * torch.randn(400)
    a, b = hard + torch.randn(400), hard + torch.randn(400) + 0.5
    assert compare_scores(scores_of(a, b)).verdicts == ("worse", "best")
    assert compare_scores(scores_of(a, b), same_rows=False).verdicts == ("noise", "best")


def test_p_values_agree_with_scipy():
    for degrees in (1, 1.2, 2, 3, 4, 5.9, 7, 30, 66.6, 199, 200, 201, 5000):
        for t in (0.0, 0.3, 1.7, 2.5, 4.0, 9.0):
            truth = 2 * scipy.stats.t.sf(t, degrees)
            # the normal form above 200 degrees: Abramowitz and Stegun, 26.7.8
            assert student_t_p_value(-t, degrees) == pytest.approx(
                truth, abs=1e-13 if degrees <= 200 else 1e-5
            )
    assert student_t_p_value(2.5, 5.9) == pytest.approx(0.0472, abs=5e-5)
    assert math.isnan(student_t_p_value(1.0, 0)) and math.isnan(student_t_p_value(math.nan, 5))


@pytest.mark.usefixtures("float64")
def test_every_method_equals_its_textbook_test():
    a, b, c = torch.randn(20), torch.randn(20) + 0.5, torch.randn(7)

    def p(tables, source):
        return compare_quantity("elbo", tables, source, best_index=0).differences[1].p_value

    # float64
    assert p([a, b], "paired rows") == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue, rel=1e-9)
    assert p([a, c], "seeds") == pytest.approx(scipy.stats.ttest_ind(a, c).pvalue, rel=1e-9)
    assert p([a, b], "paired seeds") == pytest.approx(
        scipy.stats.ttest_rel(a, b).pvalue, rel=1e-9
    )  # of two configurations
    welch = scipy.stats.ttest_ind(a, c, equal_var=False).pvalue
    assert p([a, c], "rows") == pytest.approx(welch, rel=1e-9)


def test_the_correction_counts_every_pair_and_never_reverses_an_order():
    assert holm_correction([0.04, 0.01, math.nan, 0.03]) == pytest.approx(
        [0.06, 0.03, math.nan, 0.06], nan_ok=True
    )  # (3, 2, 1) times the sorted
    assert holm_correction([0.9, 0.8]) == [1.0, 1.0] and holm_correction([]) == []
    rows = [torch.randn(50, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    alone = compare_quantity("elbo", rows[:2], "paired rows", best_index=0).differences[1].p_value
    assert (
        compare_quantity("elbo", rows, "paired rows", best_index=0).differences[1].p_value >= alone
    )


def test_pooled_deviation_is_used_for_all_configurations():
    """Deviations of 1 with two and three seeds.

    The pooled deviation has three degrees of freedom and applies to a single run too.
    """
    tables = [
        torch.tensor([-10.0, -12.0]),
        torch.tensor([-14.0, -15.0, -16.0]),
        torch.tensor([-20.0]),
    ]
    near, far = compare_quantity("elbo", tables, "seeds", best_index=0).differences[1:]
    spread = math.sqrt((2.0 + 2.0) / 3)
    assert near.value.standard_error == pytest.approx(spread * math.sqrt(1 / 2 + 1 / 3))
    assert far.value.standard_error == pytest.approx(spread * math.sqrt(1 / 2 + 1))
    assert (near.value.mean, far.value.mean) == (-4.0, -9.0)


# edges


def codes(comparison):
    return [note.code for note in comparison.notes]


def test_identical_models_do_not_differ():
    result = compare_scores(scores_of([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]))
    assert result.verdicts == ("best", "noise") and result.primary.differences[1].value.mean == 0
    assert result.primary.differences[1].p_value == 1


def test_undefined_differences_are_unknown_and_impossible_rows_are_worse():
    assert compare_scores(scores_of([1.0], [2.0])).verdicts == ("unknown", "best")
    assert compare_scores(scores_of([1.0, 2.0, 3.0], [math.nan] * 3)).verdicts == (
        "best",
        "unknown",
    )
    assert compare_scores(scores_of([1.0, -math.inf, 2.0], [0.0, 1.0, 1.5])).verdicts == (
        "worse",
        "best",
    )
    assert compare_scores(scores_of([1.0, 2.0])).verdicts == ("best",)


def test_seeds_of_a_configuration_are_grouped():
    values = [[-10.0, -12.0], [-10.2, -12.2], [-20.0, -21.0], [-20.2, -21.4]]
    result = compare_scores(scores_of(*values, configurations=["small", "small", "large", "large"]))
    assert [(side.name, side.run_names) for side in result.table] == [
        ("small", ("a", "b")),
        ("large", ("c", "d")),
    ]
    assert result.error_source == "seeds" and result.primary.values[0].mean == pytest.approx(-11.1)
    assert result.verdicts == ("best", "worse") and codes(result) == [
        "best",
        "significantly_worse",
        "error_source",
        "few_seeds",
    ]
    alone = compare_scores(
        scores_of(*values[:2], configurations=["small", "small"])
    )  # no reference to compare with
    assert alone.error_source == "paired rows" and len(alone.table) == 2
    # values of size 10 in float32
    assert alone.seed_mean.mean == pytest.approx(
        -11.1
    ) and alone.seed_mean.standard_error == pytest.approx(0.1, abs=1e-5)
    assert codes(alone)[-1] == "seeds_alone_differ"


def test_seeds_with_their_own_rows_are_paired():
    """The effect of a split on all configurations (here 100 nats) adds no error to their
    differences; the same rows are not paired.
    """
    values = [[-10.0, -12.0], [-110.0, -112.4], [-11.0, -13.2], [-111.4, -113.0]]
    scores = scores_of(*values, configurations=["small", "small", "large", "large"])
    seeded = [replace(score, seed=place % 2) for place, score in enumerate(scores)]
    result = compare_scores(seeded, same_rows=False)
    assert (
        result.error_source == "paired seeds"
        and result.primary.differences[1].value.standard_error < 0.5
    )
    few = next(note for note in result.notes if note.code == "few_seeds")
    assert few.data["degrees_of_freedom"] == 1
    assert (
        compare_scores(seeded).error_source
        == compare_scores(scores, same_rows=False).error_source
        == "seeds"
    )
    assert compare_scores(scores, same_rows=False).primary.differences[1].value.standard_error > 50


def test_unconverged_estimate_is_noted():
    rows = torch.randn(200, generator=torch.Generator().manual_seed(3))

    def score(name, shift, rise):
        return ModelScores(name, rows, torch.zeros(200), rows + shift, last_doubling_gain=rise)

    noisy = [score("tight", 1.0, 0.01), score("loose", 0.8, 0.9)]
    noisy[1] = ModelScores(
        "loose",
        rows,
        torch.zeros(200),
        noisy[1].log_likelihood + 0.5 * rows.flip(0),
        last_doubling_gain=0.9,
    )
    result = compare_scores(noisy)
    assert [side.name for side in result.unconverged] == ["loose"]
    note = result.notes[-1]
    assert (note.code, note.level) == ("log_likelihood_still_rises", "warning")
    assert note.data["gains"] == {"tight": 0.01, "loose": 0.9}
    weighed = metrics.log_likelihood(bernoulli(), torch.zeros(5, 6), 10)
    curve = weighed.convergence_curve
    curve = dict(zip(curve.samples, curve.values, strict=True))
    assert gain_of_last_doubling(weighed) == curve[8].mean - curve[4].mean and math.isnan(
        gain_of_last_doubling(None)
    )


def test_bits_reverse_the_sign_and_keep_the_conclusion():
    result = compare_scores(scores_of([-10.0, -12.0, -11.5], [-13.0, -15.5, -14.0])).primary
    bits = result.to_bits_per_dimension(8)
    nats = 8 * math.log(2)
    assert (
        bits.differences[1].value.mean == pytest.approx(-result.differences[1].value.mean / nats)
        and bits.differences[0] is None
    )
    assert bits.differences[1].p_value == result.differences[1].p_value and bits.values[
        0
    ].mean == pytest.approx(33.5 / 3 / nats)


# incomparable runs


def bernoulli() -> VAE:
    return VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(6, [8]), 2),
        likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
    )


def normal(posterior=posteriors.Normal) -> VAE:
    return VAE(
        priors.Normal(2), posterior(networks.MLP(6), 2), likelihoods.Normal(networks.MLP(2), (6,))
    )


@pytest.mark.parametrize(
    "other, words",
    [
        (normal, "it gives densities, and the others probabilities"),
        (lambda: normal(posteriors.Dirac), "it is an autoencoder, which has no likelihood"),
        (
            lambda: VAE(
                priors.Normal(2),
                posteriors.Normal(networks.MLP(4), 2),
                likelihoods.Bernoulli(nn.Linear(2, 4), (4,)),
            ),
            r"it has events of shape \(4,\), and the others \(6,\)",
        ),
    ],
)
def test_different_quantities_are_refused(other, words):
    with pytest.raises(
        IncompatibleError, match=rf"`model 2` cannot be compared with `model 1`: {words}. Leave one"
    ):
        metrics.compare([bernoulli(), other()], torch.zeros(3, 6))


def test_other_differences_between_runs_are_noted():
    key = ComparabilityKey(
        True, True, (6,), data_name="mnist", binarisation="fixed", rows_fingerprint="70000-1"
    )
    assert (
        key.reason_incomparable(key) is None
        and key.reason_incomparable(replace(key, data_name="a copy")) is None
    )
    assert (
        key.reason_incomparable(replace(key, data_name="omniglot", rows_fingerprint="100-2"))
        == "has other data (omniglot; the others: mnist)"
    )
    assert (
        key.reason_incomparable(replace(key, rows_fingerprint="100-2"))
        == "has other data (mnist with other rows)"
    )
    assert (
        key.reason_incomparable(replace(key, columns=("a", "b")))
        == "has other columns (a, b; the others: none named)"
    )
    assert "another binarisation (dynamic; the others: fixed)" in key.reason_incomparable(
        replace(key, binarisation="dynamic", rows_fingerprint="70000-3")
    )
    assert "p(x) given digit, and the others p(x)" in key.reason_incomparable(
        replace(key, condition_names=("digit",))
    )


@pytest.mark.parametrize(
    "models, options, words",
    [
        ({}, {}, "`models` has 0 models; give at least 2"),
        ([bernoulli()], {}, "`models` has 1 model; give at least 2"),
        (
            [bernoulli(), bernoulli()],
            {"configurations": ["a"]},
            "`configurations` has 1 names for 2 models",
        ),
    ],
)
def test_invalid_comparisons_are_refused(models, options, words):
    with pytest.raises(ArgumentError, match=words):
        metrics.compare(models, torch.zeros(3, 6), **options)


def test_autoencoders_are_compared_by_their_reconstructions():
    result = metrics.compare(
        [normal(posteriors.Dirac), normal(posteriors.Dirac)], torch.randn(30, 6)
    )
    assert [column.quantity for column in result.quantities] == ["reconstruction"]
