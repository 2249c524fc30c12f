"""Scores of codes against known factors.

1 for perfect codes, chance level for independent codes, and the definitions in between.
"""

import math

import pytest
import torch

from aevb import metrics
from aevb.errors import DataError, MissingExtraError

SIZES = (3, 4, 5, 6)
CHANCE = 1 / len(SIZES)
QUICK = {"repeats": 3}

# Every combination of four independent, uniform factors, five times.
FACTORS = torch.cartesian_prod(*map(torch.arange, SIZES)).repeat(5, 1)
PERFECT = FACTORS[:, [2, 0, 3, 1]].double()
SCORES = {
    "mutual_information_gap": metrics.mutual_information_gap,
    "separated_attribute_predictability": metrics.separated_attribute_predictability,
    "modularity": metrics.modularity,
    "factor_vae": metrics.factor_vae_score,
    "beta_vae": metrics.beta_vae_score,
    "interventional_robustness": metrics.interventional_robustness,
}


def independent(seed=0, latent=6):
    return torch.randn(len(FACTORS), latent, generator=torch.Generator().manual_seed(seed))


def rotated(angle):
    """Two independent continuous factors and codes rotated against them."""
    factors = torch.cartesian_prod(torch.arange(12), torch.arange(12)).repeat(10, 1)
    turn = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]],
        dtype=torch.float64,
    )
    return factors.double() @ turn.T, factors


@pytest.mark.parametrize("name", SCORES)
def test_perfect_codes(name):
    result = SCORES[name](PERFECT, FACTORS, **QUICK)
    # predictability of a perfect code is not 1: the second code still predicts 1/3, 1/4, 1/5 and
    # 1/6 of the factors by chance
    expected = (
        1 - sum(1 / size for size in SIZES) / 4
        if name == "separated_attribute_predictability"
        else 1.0
    )
    tolerance = (
        0.03 if name == "separated_attribute_predictability" else 1e-9
    )  # chance level of the best of six codes on 900 rows
    assert result.value == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("name, chance, tolerance", [
    # counts of 1800 rows overstate the information of both codes equally
    ("mutual_information_gap", 0.0, 0.01),
    ("separated_attribute_predictability", 0.0, 0.04),  # the best of six codes on 900 rows
    ("factor_vae", CHANCE, 0.1),  # 667 votes of rows that are shared: five deviations
    ("beta_vae", CHANCE, 0.12),  # 333 votes: five deviations
])  # fmt: skip
def test_independent_codes_score_at_chance_level(name, chance, tolerance):
    assert SCORES[name](independent(), FACTORS, **QUICK).value == pytest.approx(
        chance, abs=tolerance
    )


@pytest.mark.parametrize("rows, sizes", [(200, (3, 4, 8)), (200, (20, 3)), (60, (6, 3))])
def test_chance_level_is_unbiased_for_few_rows_per_value(rows, sizes):
    """Uninformative codes, over 20 draws.

    Votes that are tested on the rows they were learnt from score up to 0.3 more.
    """
    generator = torch.Generator().manual_seed(0)
    for measure in (metrics.factor_vae_score, metrics.beta_vae_score):
        result = []
        for seed in range(20):
            factors = torch.stack(
                [torch.randint(size, (rows,), generator=generator) for size in sizes], 1
            )
            result.append(
                measure(
                    torch.randn(rows, 4, generator=generator), factors, repeats=2, seed=seed
                ).value
            )
        scores = torch.tensor(result)
        assert scores.mean() < 1 / len(sizes) + 4 * scores.std() / math.sqrt(20)


def test_scores_do_not_depend_on_the_scale_of_codes():
    small = PERFECT * torch.tensor([1.0, 1e-3, 1e-6, 10.0])
    assert metrics.factor_vae_score(small, FACTORS, **QUICK).value == 1


def test_random_halves_use_the_bins_of_all_rows():
    """Forty codes are divided into 20 bins.

    Binning only twenty of them would make each a class of its own and hide the gap.
    """
    generator = torch.Generator().manual_seed(1)
    codes, factors = (
        torch.randn(40, 3, generator=generator),
        torch.stack([torch.arange(40) % 2, torch.arange(40) % 4], 1),
    )
    result = metrics.mutual_information_gap(codes, factors)
    assert result.high > result.value > result.low


def test_a_rotation_by_45_degrees_shares_the_information():
    straight, turned = (
        metrics.mutual_information_gap(*rotated(angle), **QUICK).value
        for angle in (0.0, math.pi / 4)
    )
    assert straight == pytest.approx(1.0, abs=1e-9) and turned < 0.1
    straight, turned = (
        metrics.separated_attribute_predictability(*rotated(angle), **QUICK).value
        for angle in (0.0, math.pi / 4)
    )
    assert turned < straight / 3
    straight, turned = (
        metrics.modularity(*rotated(angle), **QUICK).value for angle in (0.0, math.pi / 4)
    )
    assert straight == pytest.approx(1.0, abs=1e-9) and turned < 0.1


@pytest.mark.parametrize(
    "measure",
    [metrics.mutual_information_gap, metrics.modularity, metrics.interventional_robustness],
)
def test_scale_shift_and_sign_of_codes_do_not_matter(measure):
    codes, factors = rotated(0.3)
    moved = codes * torch.tensor([-3.0, 0.01]) + torch.tensor([5.0, -1.0])
    # a bin's edge may fall to the other side of a value that lies on it
    assert measure(moved, factors, **QUICK).value == pytest.approx(
        measure(codes, factors, **QUICK).value, abs=0.02
    )


def test_mutual_information_agrees_with_scikit_learn():
    scores = pytest.importorskip("sklearn.metrics")
    codes = torch.randint(0, 7, (300, 2), generator=torch.Generator().manual_seed(0))
    factors = torch.stack([codes[:, 0] // 2, torch.arange(300) % 3], 1)
    expected = [
        [scores.mutual_info_score(a.numpy(), b.numpy()) for b in factors.T] for a in codes.T
    ]
    assert torch.allclose(
        metrics.mutual_information(codes, factors),
        torch.tensor(expected, dtype=torch.float64),
        atol=1e-9,
    )


def test_a_continuous_code_is_cut_into_bins_of_equal_width():
    code = torch.linspace(0, 1, 1000).double()[:, None]
    factors = torch.stack([(code[:, 0] * 4).long().clamp(max=3), torch.arange(1000) % 2], 1)
    result = metrics.mutual_information(code, factors, bins=4)
    assert result[0, 0] == pytest.approx(math.log(4), abs=0.02)  # one row of 1000 beyond a quarter


def test_dci_of_a_permutation():
    result = metrics.dci(PERFECT, FACTORS, **QUICK)
    assert result.disentanglement.value == pytest.approx(
        1, abs=1e-6
    ) and result.completeness.value == pytest.approx(1, abs=1e-6)
    assert result.informativeness.value == 1
    assert result.importance.argmax(0).tolist() == [1, 3, 0, 2]


def test_dci_tells_a_code_of_two_factors_from_a_factor_of_two_codes():
    both = torch.stack([FACTORS[:, 0] * 4 + FACTORS[:, 1], FACTORS[:, 2], FACTORS[:, 3]], 1)
    mixed = metrics.dci(both, FACTORS, **QUICK)
    assert mixed.disentanglement.value < 0.9 and mixed.completeness.value > 0.95
    split = torch.cat([PERFECT[:, :3], (PERFECT[:, 3:] > 1).double(), PERFECT[:, 3:] % 2], 1)
    result = metrics.dci(split, FACTORS, **QUICK)
    assert result.disentanglement.value > 0.95 and result.completeness.value < 0.95


def test_robustness_of_a_code_that_moves_with_two_factors():
    """``z = a + b / 2`` of two uniform factors in 0 and 1.

    With ``a`` fixed, it deviates by 1/4 of at most 3/4.
    """
    factors = torch.cartesian_prod(torch.arange(2), torch.arange(2)).repeat(100, 1)
    result = metrics.interventional_robustness(
        factors[:, :1] + factors[:, 1:] / 2, factors, **QUICK
    )
    assert result.value == pytest.approx(1 - (1 / 4) / (3 / 4), abs=1e-9)


def test_constant_codes_are_excluded_from_votes():
    dead = torch.cat([PERFECT, torch.zeros(len(PERFECT), 3)], 1)
    assert metrics.factor_vae_score(dead, FACTORS, **QUICK).value == 1
    assert metrics.factor_vae_score(torch.zeros(len(FACTORS), 3), FACTORS, **QUICK).value == CHANCE
    assert metrics.mutual_information_gap(dead, FACTORS, **QUICK).value == pytest.approx(
        1, abs=1e-9
    )
    assert (
        metrics.interventional_robustness(torch.zeros(len(FACTORS), 3), FACTORS, **QUICK).value == 0
    )


def test_the_interval_of_a_gap_covers():
    """Codes with noise, 200 rows at a time, against the gap of very many rows with the bias of 200.

    The mean over repetitions.
    """

    def score_once(seed):
        generator = torch.Generator().manual_seed(seed)
        factors = torch.randint(0, 3, (200, 2), generator=generator)
        codes = (factors + (torch.rand(200, 2, generator=generator) < 0.2)).double()
        return metrics.mutual_information_gap(codes, factors, repeats=10, seed=seed)

    result = [score_once(seed) for seed in range(100)]
    truth = sum(gap.value for gap in result) / 100
    inside = sum(gap.low <= truth <= gap.high for gap in result) / 100
    assert inside > 0.95 - 5 * math.sqrt(0.95 * 0.05 / 100)  # five binomial deviations


def test_all_scores_together():
    result = metrics.disentanglement(PERFECT, FACTORS, repeats=2)
    assert result.mutual_information_gap.value == pytest.approx(1) and result.dci is not None
    assert (result.chance_level, result.n_rows, result.mutual_information.shape) == (
        CHANCE,
        len(FACTORS),
        (4, 4),
    )
    assert "random halves" in result.factor_vae_score.method


def test_without_scikit_learn_two_scores_are_missing(monkeypatch):
    for module in ("sklearn", "sklearn.linear_model", "sklearn.ensemble"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    result = metrics.disentanglement(PERFECT, FACTORS, repeats=2)
    assert (
        result.beta_vae_score is None and result.dci is None and result.factor_vae_score.value == 1
    )
    with pytest.raises(MissingExtraError, match=r"aevb\[sklearn\]"):
        metrics.dci(PERFECT, FACTORS)


@pytest.mark.parametrize(
    "codes, factors, words",
    [
        (PERFECT[:30], FACTORS[:30], "30 rows, and scores of factors need at least 40"),
        (PERFECT, FACTORS[:9], "1,800 rows and `factors` 9"),
        (PERFECT, FACTORS[:, :1], "`factors` has 1 column"),
        (PERFECT, FACTORS * torch.tensor([1, 0, 1, 1]), "factor 1 is 0 in all rows"),
        (
            PERFECT,
            torch.stack([FACTORS[:, 0].double(), torch.rand(len(FACTORS)).double()], 1),
            "factor 1 has .* values in 1,800 rows",
        ),
        (PERFECT * math.nan, FACTORS, "`z` holds NaN"),
        (PERFECT, FACTORS * math.nan, "`factors` holds NaN"),
        (PERFECT[:, :0], FACTORS, "`z` has no columns"),
        (PERFECT, [["a", "b"]] * len(PERFECT), "`factors` holds no numbers"),
        (
            PERFECT[:100],
            torch.stack([torch.arange(100) // 5, torch.arange(100) % 2], 1),
            "20 values in 100 rows, and scores need 10",
        ),
    ],
)
def test_invalid_codes_and_factors_are_refused(codes, factors, words):
    with pytest.raises(DataError, match=words):
        metrics.mutual_information_gap(codes, factors)
