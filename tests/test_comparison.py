"""Differences are what they are known to be, their error bars hold, and noise is called noise as often as it says."""

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
    """Scores whose reconstruction log-likelihood is given."""
    groups = configurations or [None] * len(values)
    return [
        ModelScores(name, -torch.as_tensor(value), configuration=group)
        for name, value, group in zip(names, values, groups, strict=False)
    ]


# the truth


@pytest.mark.usefixtures("float64")
def test_the_difference_is_the_one_that_is_known():
    """Data of the first model, exact posteriors: every importance weight is p(x), and the expected difference KL(p_a || p_b)."""
    first, second = two_truths()
    a, b = exact_vae(*first), exact_vae(*second)
    x = a.sample(4000)
    found = metrics.compare({"a": a, "b": b}, x, samples=2)
    (difference,) = [each for each in found.primary.differences if each is not None]
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
    assert found.verdicts == ("best", "worse") and found.n_rows == 4000
    assert [column.quantity for column in found.quantities] == [
        "log_likelihood",
        "elbo",
        "rate",
        "distortion",
    ]


@pytest.mark.usefixtures("float64")
def test_intervals_hold_the_true_difference_as_often_as_they_say():
    first, second = two_truths()
    laws = [
        MultivariateNormal(offset, weight @ weight.T + torch.diag(scale**2))
        for weight, offset, scale in (first, second)
    ]
    truth = -kl_divergence(*laws).item()
    x = laws[0].sample((2000, 100))
    tables = [law.log_prob(x) for law in laws]
    held = 0
    for one, other in zip(*tables, strict=True):
        (_, difference) = compare_quantity(
            "log_likelihood", [one, other], "paired rows", best_index=0
        ).differences
        held += (
            abs(difference.value.mean - truth) < 1.984 * difference.value.standard_error
        )  # t with 99 degrees
    assert 0.935 < held / 2000 < 0.965  # three standard errors of 2,000 coins


@pytest.mark.usefixtures("float64")
def test_pairing_takes_what_rows_have_in_common_out_of_the_error():
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


# what is noise


def called_real(tables, spread):
    """Whether any side is told from the best."""
    best = max(range(len(tables)), key=lambda side: tables[side].mean().item())
    return any(
        each is not None and each.is_significant
        for each in compare_quantity("elbo", tables, spread, best).differences
    )


@pytest.mark.parametrize("sides, least", [(2, 0.035), (4, 0.02)])
def test_noise_is_called_real_in_five_of_a_hundred_tables(sides, least):
    """Models alike, on rows that are hard or easy for all; Holm is exact for two and cautious for more."""
    torch.manual_seed(0)
    hard = 3 * torch.randn(2000, 1, 30, dtype=torch.float64)
    tables = hard + torch.randn(2000, sides, 30, dtype=torch.float64)
    share = sum(called_real(list(each), "paired rows") for each in tables) / 2000
    assert least < share < 0.065  # 0.05 and three standard errors of 2,000 coins


@pytest.mark.parametrize("seeds", [(3, 3), (1, 5)])
def test_seeds_of_one_distribution_are_told_apart_in_five_of_a_hundred_tables(seeds):
    """A single run beside the seeds of another configuration is judged by their spread."""
    torch.manual_seed(1)
    runs = torch.randn(2000, sum(seeds), dtype=torch.float64)
    share = sum(called_real(list(each.split(seeds)), "seeds") for each in runs) / 2000
    assert 0.035 < share < 0.065  # three standard errors of 2,000 coins


def test_a_real_difference_is_seen_that_unpaired_rows_hide():
    torch.manual_seed(2)
    hard = 10 * torch.randn(400)
    a, b = hard + torch.randn(400), hard + torch.randn(400) + 0.5
    assert compare_scores(scores_of(a, b)).verdicts == ("worse", "best")
    assert compare_scores(scores_of(a, b), same_rows=False).verdicts == ("noise", "best")


def test_probabilities_are_those_of_another_library():
    for degrees in (1, 2, 3, 4, 7, 30, 199, 200, 201, 5000):
        for t in (0.0, 0.3, 1.7, 2.5, 4.0, 9.0):
            truth = 2 * scipy.stats.t.sf(t, degrees)
            # the normal form above 200 degrees: Abramowitz and Stegun, 26.7.8
            assert student_t_p_value(-t, degrees) == pytest.approx(
                truth, abs=1e-13 if degrees <= 200 else 1e-5
            )
    assert math.isnan(student_t_p_value(1.0, 0)) and math.isnan(student_t_p_value(math.nan, 5))


@pytest.mark.usefixtures("float64")
def test_each_way_of_judging_is_the_textbook_test():
    a, b, c = torch.randn(20), torch.randn(20) + 0.5, torch.randn(7)
    p = lambda tables, spread: (
        compare_quantity("elbo", tables, spread, best_index=0).differences[1].p_value
    )
    # float64; Welch's fractional degrees of freedom are rounded down, which is cautious
    assert p([a, b], "paired rows") == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue, rel=1e-9)
    assert p([a, c], "seeds") == pytest.approx(scipy.stats.ttest_ind(a, c).pvalue, rel=1e-9)
    assert p([a, b], "paired seeds") == pytest.approx(
        scipy.stats.ttest_rel(a, b).pvalue, rel=1e-9
    )  # of two configurations
    welch = scipy.stats.ttest_ind(a, c, equal_var=False).pvalue
    assert welch <= p([a, c], "rows") < 1.1 * welch


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


def test_one_spread_serves_all_configurations():
    """Deviations of 1 with two and three seeds: three degrees of freedom, and a single run is judged by them."""
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


def test_the_same_model_twice_is_noise_of_no_size():
    found = compare_scores(scores_of([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]))
    assert found.verdicts == ("best", "noise") and found.primary.differences[1].value.mean == 0
    assert found.primary.differences[1].p_value == 1


def test_what_cannot_be_judged_is_unknown_and_a_row_that_cannot_be_is_worse():
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


def test_seeds_of_a_configuration_are_taken_together():
    values = [[-10.0, -12.0], [-10.2, -12.2], [-20.0, -21.0], [-20.2, -21.4]]
    found = compare_scores(scores_of(*values, configurations=["small", "small", "large", "large"]))
    assert [(side.name, side.run_names) for side in found.table] == [("small", ("a", "b")), ("large", ("c", "d"))]
    assert found.error_source == "seeds" and found.primary.values[0].mean == pytest.approx(-11.1)
    assert found.verdicts == ("best", "worse") and "another seed" in " ".join(found.notes)
    alone = compare_scores(scores_of(*values[:2], configurations=["small", "small"]))  # nothing to hold them against
    assert alone.error_source == "paired rows" and len(alone.table) == 2
    # values of size 10 in float32
    assert alone.seed_mean.mean == pytest.approx(-11.1) and alone.seed_mean.standard_error == pytest.approx(0.1, abs=1e-5)
    assert "differ in their seed alone" in " ".join(alone.notes)


def test_seeds_that_bring_their_own_rows_are_paired():
    """What a split makes of all configurations alike (here 100 nats) is no error of their differences; the same rows are not paired."""
    values = [[-10.0, -12.0], [-110.0, -112.4], [-11.0, -13.2], [-111.4, -113.0]]
    scores = scores_of(*values, configurations=["small", "small", "large", "large"])
    seeded = [replace(score, seed=place % 2) for place, score in enumerate(scores)]
    found = compare_scores(seeded, same_rows=False)
    assert (
        found.error_source == "paired seeds"
        and found.primary.differences[1].value.standard_error < 0.5
    )
    assert "seed by seed" in " ".join(found.notes) and "So few seeds" in " ".join(found.notes)
    assert (
        compare_scores(seeded).error_source
        == compare_scores(scores, same_rows=False).error_source
        == "seeds"
    )
    assert compare_scores(scores, same_rows=False).primary.differences[1].value.standard_error > 50


def test_an_estimate_that_still_rises_is_said():
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
    found = compare_scores(noisy)
    assert [side.name for side in found.unconverged] == ["loose"]
    assert "the last doubling lifted tight by 0.01 nats, loose by 0.90" in found.notes[-1]
    weighed = metrics.log_likelihood(bernoulli(), torch.zeros(5, 6), 10)
    curve = dict(zip(weighed.curve.samples, weighed.curve.values, strict=True))
    assert gain_of_last_doubling(weighed) == curve[8].mean - curve[4].mean and math.isnan(
        gain_of_last_doubling(None)
    )


def test_bits_turn_the_sign_and_keep_the_judgement():
    found = compare_scores(scores_of([-10.0, -12.0, -11.5], [-13.0, -15.5, -14.0])).primary
    bits = found.to_bits_per_dimension(8)
    nats = 8 * math.log(2)
    assert (
        bits.differences[1].value.mean == pytest.approx(-found.differences[1].value.mean / nats)
        and bits.differences[0] is None
    )
    assert bits.differences[1].p_value == found.differences[1].p_value and bits.values[
        0
    ].mean == pytest.approx(33.5 / 3 / nats)


# what cannot be compared


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
            r"it is of events of shape \(4,\), and the others of \(6,\)",
        ),
    ],
)
def test_numbers_of_different_things_are_refused(other, words):
    with pytest.raises(
        IncompatibleError, match=rf"`model 2` cannot be compared with `model 1`: {words}. Leave one"
    ):
        metrics.compare([bernoulli(), other()], torch.zeros(3, 6))


def test_what_else_makes_numbers_differ_is_named():
    one = ComparabilityKey(
        True, True, (6,), data_name="mnist", binarisation="fixed", rows_fingerprint="70000-1"
    )
    assert (
        one.reason_incomparable(one) is None
        and one.reason_incomparable(replace(one, data_name="a copy")) is None
    )
    assert (
        one.reason_incomparable(replace(one, data_name="omniglot", rows_fingerprint="100-2"))
        == "is about other data (omniglot; the others: mnist)"
    )
    assert (
        one.reason_incomparable(replace(one, rows_fingerprint="100-2"))
        == "is about other data (mnist, and its rows are others)"
    )
    assert (
        one.reason_incomparable(replace(one, columns=("a", "b")))
        == "is about other columns (a, b; the others: none named)"
    )
    assert "another binarisation (dynamic; the others: fixed)" in one.reason_incomparable(
        replace(one, binarisation="dynamic", rows_fingerprint="70000-3")
    )
    assert "of p(x) given digit, and the others of p(x)" in one.reason_incomparable(
        replace(one, condition_names=("digit",))
    )


@pytest.mark.parametrize(
    "models, options, words",
    [
        ({}, {}, "`models` holds 0; give at least 2"),
        ([bernoulli()], {}, "`models` holds 1; give at least 2"),
        (
            [bernoulli(), bernoulli()],
            {"configurations": ["a"]},
            "`configurations` has 1 names for 2 models",
        ),
    ],
)
def test_what_is_not_to_be_compared_is_refused(models, options, words):
    with pytest.raises(ArgumentError, match=words):
        metrics.compare(models, torch.zeros(3, 6), **options)


def test_autoencoders_are_compared_by_their_reconstructions():
    found = metrics.compare(
        [normal(posteriors.Dirac), normal(posteriors.Dirac)], torch.randn(30, 6)
    )
    assert [column.quantity for column in found.quantities] == ["reconstruction"]
