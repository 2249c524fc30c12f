"""Comparisons: known differences, coverage of intervals, and nominal rates of false positives."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import scipy.stats
import torch
from tests.linear import evidence, exact_vae, linear_vae
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence

from aevb import VAE, likelihoods, metrics, networks, posteriors, priors
from aevb.data import Column, Schema
from aevb.errors import ArgumentError, IncompatibleError
from aevb.metrics._comparability import ComparabilityKey
from aevb.metrics._comparison import (
    Difference,
    ModelScores,
    compare_quantity,
    compare_scores,
    gain_of_last_doubling,
)
from aevb.metrics._estimate import Estimate
from aevb.metrics._log_likelihood import ConvergenceCurve
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


def test_measures_that_differ_are_refused_and_the_column_is_named():
    age = Column("age", "integer", "discretised_logistic", step=1.0)
    fare, other = Column("fare", "positive", "log_normal"), Column("fare", "continuous", "normal")
    atoms, whole = (Column("fare", "spiky", "spiky", step=step) for step in (0.0, 1.0))

    def key(*columns):
        schema = Schema(columns, 9)
        names = tuple(column.name for column in columns)
        return ComparabilityKey(True, schema.measure, (2,), columns=names, schema=schema)

    assert key(age, fare).measure == "mixed"
    assert key(age, fare).reason_incomparable(key(age, other)) is None
    for first, second in [(fare, atoms), (atoms, fare), (fare, whole), (atoms, whole)]:
        reason = key(age, first).reason_incomparable(key(age, second))
        assert "`fare`" in reason and first.kind in reason and second.kind in reason
        assert "`age`" not in reason
    measures = ("density", "probability", "mixed")
    keys = [ComparabilityKey(True, measure, (2,)) for measure in measures]
    assert all((a.reason_incomparable(b) is None) == (a is b) for a in keys for b in keys)


def test_other_differences_between_runs_are_noted():
    key = ComparabilityKey(
        True,
        "probability",
        (6,),
        data_name="mnist",
        binarisation="fixed",
        rows_fingerprint="70000-1",
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


# every field at small unequal numbers


def full_scores(name, log_likelihood, configuration=None, gain=math.nan, seed=None):
    """Scores whose rate is twice and whose distortion is three times the log-likelihood."""
    values = torch.tensor(log_likelihood)
    return ModelScores(name, -3 * values, -2 * values, values, configuration, gain, seed)


def test_quantities_of_a_model():
    scores = full_scores("a", [-1.0, -2.5])
    assert {
        name: scores.per_datum(name).tolist()
        for name in ("log_likelihood", "elbo", "reconstruction", "rate", "distortion")
    } == {
        "log_likelihood": [-1.0, -2.5],
        "elbo": [-5.0, -12.5],
        "reconstruction": [-3.0, -7.5],
        "rate": [2.0, 5.0],
        "distortion": [3.0, 7.5],
    }
    bare = ModelScores("b", torch.tensor([3.0]))
    assert [bare.per_datum(name) for name in ("log_likelihood", "elbo", "rate")] == [None] * 3


def test_common_quantities_of_models():
    def names(*scores):
        return [column.quantity for column in compare_scores(scores).quantities]

    full = full_scores("a", [-1.0, -2.0, -4.0])
    some = replace(full, log_likelihood=None)
    assert names(full, full) == ["log_likelihood", "elbo", "rate", "distortion"]
    assert names(full, some) == ["elbo", "rate", "distortion"]
    assert names(some, replace(some, rate=None)) == ["reconstruction"]


def test_scores_are_read_from_metrics():
    rate, distortion = torch.tensor([1.0, 2.0]), torch.tensor([5.0, 7.0])
    terms = metrics.RateDistortion.from_terms(rate, distortion, torch.zeros(2))
    scores = ModelScores.from_metrics("a", terms, None, "b")
    assert (scores.name, scores.configuration, scores.log_likelihood) == ("a", "b", None)
    assert torch.equal(scores.rate, rate) and torch.equal(scores.distortion, distortion)
    assert math.isnan(scores.last_doubling_gain)
    partly = metrics.RateDistortion.from_terms(
        torch.tensor([math.nan, 2.0]), distortion, torch.zeros(2)
    )
    assert ModelScores.from_metrics("a", partly, None).rate is not None
    missing = metrics.RateDistortion.from_terms(rate * math.nan, distortion, torch.zeros(2))
    assert ModelScores.from_metrics("a", missing, None).rate is None
    with pytest.raises(ArgumentError) as caught:
        ModelScores.from_metrics("a", replace(terms, per_datum=None), None)
    assert caught.value.argument == "rate_distortion"


@pytest.mark.parametrize(
    "p_value, noise, significant",
    [(0.0499, False, True), (0.05, True, False), (0.9, True, False), (math.nan, False, False)],
)
def test_significance_level(p_value, noise, significant):
    difference = Difference(Estimate(1.0, 0.1), p_value)
    assert (difference.is_noise, difference.is_significant) == (noise, significant)


@pytest.mark.parametrize("best", [0, 1, 2])
def test_differences_are_from_the_best_row(best):
    """Each pair has its own p-value, corrected together with the others."""
    tables = [torch.tensor(values) for values in ([1.0, 2.0, 4.0], [0.5, 2.5, 3.0], [-1.0, 0, 1.5])]
    result = compare_quantity("elbo", tables, "paired rows", best)
    pairs = [(0, 1), (0, 2), (1, 2)]
    tests = {pair: scipy.stats.ttest_rel(*(tables[i].numpy() for i in pair)) for pair in pairs}
    corrected = dict(
        zip(pairs, holm_correction([test.pvalue for test in tests.values()]), strict=True)
    )
    for row, difference in enumerate(result.differences):
        if row == best:
            assert difference is None
            continue
        assert difference.value.mean == pytest.approx(
            (tables[row].mean() - tables[best].mean()).item()
        )
        assert difference.p_value == pytest.approx(corrected[min(row, best), max(row, best)])
    assert [value.mean for value in result.values] == pytest.approx(
        [table.mean().item() for table in tables]
    )


@pytest.mark.parametrize(
    "seeds, same_rows, source",
    [
        ([3, 5, 5, 3], False, "paired seeds"),
        ([3, 5, 5, 3], True, "seeds"),
        ([3, 5, 5, 4], False, "seeds"),
        ([3, None, 3, None], False, "seeds"),
        ([None, None, None, None], False, "seeds"),
    ],
)
def test_seeds_are_paired_where_all_configurations_have_them(seeds, same_rows, source):
    runs = [[-10.0, -13.0], [-20.0, -22.0, -21.0], [-23.5], [-11.0]]
    scores = [
        full_scores(name, values, group, seed=seed)
        for name, values, group, seed in zip("abcd", runs, "xxyy", seeds, strict=True)
    ]
    result = compare_scores(scores, same_rows)
    assert (result.error_source, result.n_rows, result.seed_mean) == (source, 2, None)
    assert result.best_index == 0
    assert [value.mean for value in result.primary.values] == pytest.approx([-16.25, -17.25])
    (difference,) = result.primary.differences[1:]
    assert difference.value.mean == pytest.approx(-1.0)
    # paired: c - b = -2.5 and d - a = 0.5; else both spreads, 9.5 and 12.5
    error = 1.5 if source == "paired seeds" else math.sqrt((9.5**2 + 12.5**2) / 4)
    assert difference.value.standard_error == pytest.approx(error)
    if source == "paired seeds":
        assert [row.run_names for row in result.table] == [("a", "b"), ("d", "c")]
    few = next(note for note in result.notes if note.code == "few_seeds")
    assert few.data["degrees_of_freedom"] == (1 if source == "paired seeds" else 2)


def test_a_single_seed_of_each_configuration_is_not_paired():
    scores = [
        full_scores(name, [value, value - 1], group, seed=1)
        for name, value, group in (("a", -3.0, "x"), ("b", -4.0, "y"), ("c", -5.0, "y"))
    ]
    assert compare_scores(scores, same_rows=False).error_source == "seeds"
    assert compare_scores(scores[:2], same_rows=False).error_source == "rows"
    assert compare_scores(scores[:2]).error_source == "paired rows"


@pytest.mark.parametrize("seeds, paired, noted", [(3, True, 2), (5, True, None), (3, False, None)])
def test_few_seeds_are_noted_below_four_degrees_of_freedom(seeds, paired, noted):
    scores = [
        full_scores(f"{group}{seed}", [base - 0.3 * seed**2, base], group, seed=seed)
        for group, base in (("x", -3.0), ("y", -9.0))
        for seed in range(seeds)
    ]
    result = compare_scores(scores, same_rows=not paired)
    few = [note.data["degrees_of_freedom"] for note in result.notes if note.code == "few_seeds"]
    assert few == ([] if noted is None else [noted])


def test_models_without_a_configuration_stand_alone():
    scores = [
        full_scores(name, values, group)
        for name, values, group in (
            ("a", [-3.0, -4.0], "x"),
            ("b", [-2.0, -3.5], None),
            ("c", [-4.0, -4.5], "x"),
            ("d", [-9.0, -8.0], None),
        )
    ]
    result = compare_scores(scores)
    assert [(row.name, row.run_names) for row in result.table] == [
        ("x", ("a", "c")),
        ("b", ("b",)),
        ("d", ("d",)),
    ]
    assert (result.best_index, result.error_source) == (1, "seeds")
    error = next(note for note in result.notes if note.code == "error_source")
    assert error.data == {"error_source": "seeds", "pairs": 3}


def test_one_configuration_has_a_mean_over_its_seeds():
    scores = [
        full_scores(name, values, "x")
        for name, values in (("a", [-3.0, -5.0]), ("b", [-2.0, -3.0]), ("c", [-4.0, -7.0]))
    ]
    result = compare_scores(scores)
    means = [-4.0, -2.5, -5.5]
    assert (result.seed_mean.mean, result.seed_mean.standard_error) == pytest.approx(
        (sum(means) / 3, scipy.stats.sem(means))
    )
    note = next(note for note in result.notes if note.code == "seeds_alone_differ")
    assert note.data["mean"] == pytest.approx(-4.0)
    assert compare_scores(scores[:1]).seed_mean is None
    assert [note.code for note in compare_scores(scores[:1]).notes] == ["best"]


def test_verdicts_are_listed_by_name():
    values = {
        "best": [-1.0, -2.0, -3.0, -4.0],
        "alike": [-1.4, -1.9, -3.3, -3.8],
        "worse": [-9.0, -10.1, -11.0, -12.0],
        "also worse": [-19.0, -20.1, -21.0, -22.0],
        "broken": [math.nan] * 4,
    }
    result = compare_scores([full_scores(name, rows) for name, rows in values.items()])
    assert result.verdicts == ("best", "noise", "worse", "worse", "unknown")
    assert {note.code: note.data.get("names") for note in result.conclusions} == {
        "best": None,
        "not_significantly_worse": ["alike"],
        "significantly_worse": ["worse", "also worse"],
        "no_error_estimate": ["broken"],
    }
    assert result.conclusions[0].data == {
        "name": "best",
        "quantity": "log_likelihood",
        "mean": -2.5,
    }


@pytest.mark.parametrize(
    "gain, spread, noted",
    [(0.0201, 0.0, True), (0.0199, 0.0, False), (0.5, 1.0, False), (0.7, 1.0, True)],
)
def test_estimates_that_rise_by_more_than_their_error(gain, spread, noted):
    """The best gained 0.01; the error of the difference is ``spread / sqrt(3)``."""
    best = full_scores("best", [-1.0, -2.0, -3.0], gain=0.01)
    other = full_scores("other", [-4.0 - spread, -5.0, -6.0 + spread], gain=gain)
    result = compare_scores([other, best])
    assert [row.name for row in result.unconverged] == (["other"] if noted else [])
    below = compare_scores([replace(other, last_doubling_gain=0.02 - gain), best])
    assert [row.name for row in below.unconverged] == (["other"] if noted else [])
    notes = [note for note in result.notes if note.code == "log_likelihood_still_rises"]
    assert [note.data["gains"] for note in notes] == noted * [{"best": 0.01, "other": gain}]
    without = [replace(score, log_likelihood=None) for score in (other, best)]
    assert compare_scores(without).unconverged == ()


def test_the_gain_of_a_configuration_is_the_mean_of_its_seeds():
    scores = [
        full_scores("a", [-1.0], "x", gain=0.25),
        full_scores("b", [-2.0], "x", gain=0.75),
        full_scores("c", [-3.0], "y", gain=0.5),
    ]
    assert [row.last_doubling_gain for row in compare_scores(scores).table] == [0.5, 0.5]
    assert [row.name for row in compare_scores(scores).table] == ["x", "c"]


@pytest.mark.parametrize(
    "samples, gain", [((1,), None), ((1, 2, 4, 7), (4, 2)), ((1, 2, 4, 8), (8, 4)), ((1, 3), None)]
)
def test_gain_of_the_last_doubling_in_a_curve(samples, gain):
    curve = ConvergenceCurve(samples, tuple(Estimate(-1.0 / n, 0.0) for n in samples))
    terms = SimpleNamespace(convergence_curve=curve)
    expected = math.nan if gain is None else 1 / gain[1] - 1 / gain[0]
    assert gain_of_last_doubling(terms) == pytest.approx(expected, nan_ok=True)
    assert math.isnan(gain_of_last_doubling(SimpleNamespace(convergence_curve=None)))


def test_models_are_scored_with_the_same_draws():
    """Names, configurations, seed and samples reach the estimates."""
    models, x = {"a": bernoulli(), "b": bernoulli()}, (torch.rand(5, 6) < 0.5).float()
    done = []
    result = metrics.compare(
        models, x, samples=3, configurations=["x", "y"], seed=4, on_progress=done.append
    )
    for row, (name, model) in zip(result.table, models.items(), strict=True):
        estimate = metrics.log_likelihood(model, x, 3, seed=4)
        index = result.table.index(row)
        assert row.run_names == (name,)
        assert row.last_doubling_gain == gain_of_last_doubling(estimate)
        values = {column.quantity: column.values[index].mean for column in result.quantities}
        assert values == pytest.approx(
            {
                "log_likelihood": estimate.mean,
                "elbo": estimate.rate_distortion.elbo.mean,
                "rate": estimate.rate_distortion.rate.mean,
                "distortion": estimate.rate_distortion.distortion.mean,
            }
        )
    assert sum(done) == 2 * 3 * 5
    listed = metrics.compare(list(models.values()), x, samples=3, seed=4)
    assert [row.name for row in listed.table] == ["model 1", "model 2"]
    assert listed.primary == result.primary
