"""Rows given some cells, against conditional Gaussians and enumerated categories."""

import math

import pytest
import scipy.stats
import torch
from tests.catalogue import make_vae
from tests.inference.test_impute import (
    conditional,
    hopeless,
    model_with_missing_cells,
    two_state_model,
)
from tests.linear import exact_vae
from torch import nn

from aevb import VAE, likelihoods, networks, posteriors, priors
from aevb.data import CellCondition
from aevb.errors import ArgumentError, DataError, IncompatibleError, NumericalError
from aevb.inference import _condition, condition
from aevb.networks import Column

pytestmark = pytest.mark.usefixtures("float64")
WEIGHT = torch.tensor([[0.8, 0.1], [-0.5, 0.7], [0.3, -0.9], [0.2, 0.4]], dtype=torch.float64)
OFFSET = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
SCALE = 0.7
N = 4000


def gaussian():
    return model_with_missing_cells(WEIGHT, OFFSET, SCALE)


def above(cell, low, text=""):
    return CellCondition(cell, ((low, math.inf),), text)


def count(found):
    """Number of independent draws: draws share latents."""
    return 1 / (1 / N + 1 / found.effective_sample_size)


def test_open_cells_have_the_conditional_gaussian():
    row = torch.tensor([2.0, math.nan, math.nan, 2.5])
    found = condition(gaussian(), row, N, samples=20_000)
    mean, covariance = conditional(WEIGHT, OFFSET, SCALE, row)
    x, size = found.x[:, 1:3], count(found)
    spread = covariance.diagonal()
    assert ((x.mean(0) - mean).abs() < 5 * (spread / size).sqrt()).all()
    error = ((covariance**2 + torch.outer(spread, spread)) / size).sqrt()
    assert ((torch.cov(x.T) - covariance).abs() < 5 * error).all()
    assert (found.x[:, [0, 3]] == torch.tensor([2.0, 2.5])).all()
    joint = WEIGHT @ WEIGHT.T + SCALE**2 * torch.eye(4)
    observed = torch.distributions.MultivariateNormal(OFFSET[[0, 3]], joint[[0, 3]][:, [0, 3]])
    exact = observed.log_prob(row[[0, 3]]).item()
    assert abs(found.log_density - exact) < 5 * found.log_density_error < 0.1
    assert found.method == "importance" and found.acceptance is None and found.probability == 1
    assert found.notes[0].code == "drawn_by_importance"


def test_a_restricted_cell_is_a_truncated_gaussian():
    """Given one value and ``x_1 > -1``, by the moments of a truncated Gaussian."""
    row = torch.tensor([2.0, math.nan, math.nan, math.nan])
    found = condition(gaussian(), [CellCondition(0, ((2.0, 2.0),)), above(1, -1.0)], N)
    mean, covariance = conditional(WEIGHT, OFFSET, SCALE, row)
    deviation = covariance[0, 0].sqrt().item()
    cut = (-1.0 - mean[0].item()) / deviation
    tail = scipy.stats.norm.sf(cut)
    # the error of the probability is that of the weights
    assert found.probability == pytest.approx(tail, rel=5 * found.log_density_error)
    truncated = scipy.stats.truncnorm(cut, math.inf, mean[0].item(), deviation)
    size = count(found)
    assert (found.x[:, 1] >= -1).all()
    assert abs(found.x[:, 1].mean() - truncated.mean()) < 5 * truncated.std() / math.sqrt(size)
    # other cells follow by regression on the restricted one
    slope = covariance[0, 1] / covariance[0, 0]
    expected = mean[1] + slope * (truncated.mean() - mean[0])
    spread = covariance[1, 1].sqrt()
    assert abs(found.x[:, 2].mean() - expected) < 5 * spread / math.sqrt(size)


def test_categories_agree_with_enumeration():
    model, joint = two_state_model()
    found = condition(model, torch.tensor([math.nan, 1.0]), N)
    shares = torch.bincount(found.x[:, 0].long(), minlength=3) / N
    target = joint[:, 1] / joint[:, 1].sum()
    assert ((shares - target).abs() < 5 * 0.5 / math.sqrt(count(found))).all()
    assert found.probability == pytest.approx(joint[:, 1].sum().item(), rel=0.05)
    sets = [CellCondition(0, ((0.0, 0.0), (2.0, 2.0)))]
    found = condition(model, sets, N)
    assert found.probability == pytest.approx(1 - joint[1].sum().item(), rel=0.05)
    shares = torch.bincount(found.x[:, 1].long(), minlength=3) / N
    target = joint[[0, 2]].sum(0) / joint[[0, 2]].sum()
    assert ((shares - target).abs() < 5 * 0.5 / math.sqrt(count(found))).all()
    assert set(found.x[:, 0].tolist()) == {0.0, 2.0}


def mixed_table():
    """A whole number, a count and two names, independent of the latent."""
    columns = [
        Column("age", "integer", "discretised_logistic", shift=40.0, scale=10.0, step=1.0),
        Column("children", "count", "negative_binomial", scale=2.0),
        Column("sex", "binary", "bernoulli", levels=("f", "m")),
        Column("region", "categorical", "categorical", levels=("n", "s", "w")),
    ]
    encoder = networks.Columns(networks.MLP(networks.Columns.width(columns), [4]), columns)
    likelihood = likelihoods.Columns(nn.Identity(), columns)
    model = VAE(priors.Normal(1), posteriors.Normal(encoder, 1), likelihood).eval()
    nn.init.zeros_(likelihood.heads.head.weight)
    nn.init.constant_(likelihood.heads.head.bias, 0.3)
    return model, columns


def test_columns_of_every_kind_are_restricted_together():
    model, _ = mixed_table()
    conditions = [
        above(0, 2.05),  # age > 60
        above(1, 2.5),  # children >= 3
        CellCondition(2, ((1.0, 1.0),)),
        CellCondition(3, ((-0.5, 1.5),)),
    ]
    found = condition(model, conditions, N)
    p = model.likelihood(torch.zeros(1, 1))
    draws = p.sample((100_000,))[:, 0]
    hit = (draws[:, 0] > 2.05) & (draws[:, 1] >= 3) & (draws[:, 2] == 1) & (draws[:, 3] < 2)
    share = hit.double().mean().item()
    assert found.probability == pytest.approx(share, rel=5 / math.sqrt(share * 100_000))
    size = count(found)
    for cell in range(4):
        exact = draws[hit, cell]
        away = abs(found.x[:, cell].mean() - exact.mean())
        assert away <= 5 * exact.std() * math.sqrt(1 / size + 1 / hit.sum())
    ages = 40 + 10 * found.x[:, 0]
    assert torch.allclose(ages, ages.round(), atol=1e-4) and ages.min() > 60.9


def test_chains_take_over_where_weights_degenerate():
    """A given value far away leaves few effective draws, and chains are right."""
    model, noise = exact_vae(WEIGHT, OFFSET, 0.4), 0.4
    row = torch.tensor([6.0, math.nan, math.nan, math.nan])
    found = condition(model, row, 2000, samples=100, steps=60)
    assert found.effective_sample_size < 20 and found.method == "metropolis"
    assert found.notes[0].code == "drawn_by_chains" and found.acceptance > 0.9
    mean, covariance = conditional(WEIGHT, OFFSET, noise, row)
    deviation = covariance.diagonal().sqrt()
    # of 2,000 chains that began at few latents: five standard errors, if these are forgotten
    assert ((found.x[:, 1:].mean(0) - mean).abs() < 5 / math.sqrt(2000) * deviation).all()
    assert (found.x[:, 1:].std(0) / deviation - 1).abs().max() < 5 / math.sqrt(2 * 2000)


def test_chains_keep_the_conditional_distribution():
    """Chains that begin at draws of the target stay there, restricted cells included."""
    model = exact_vae(WEIGHT, OFFSET, SCALE)
    given = [CellCondition(0, ((2.0, 2.0),)), above(1, -1.0)]
    before = condition(model, given, 2000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_condition, "MIN_EFFECTIVE_SAMPLES", 10**9)
        after = condition(model, given, 2000, steps=20)
    assert after.method == "metropolis" and (after.x[:, 1] >= -1).all()
    for cell in (1, 2, 3):
        result = scipy.stats.ks_2samp(before.x[:, cell].numpy(), after.x[:, cell].numpy())
        assert result.pvalue > 1e-3
    assert not torch.equal(before.x, after.x)


@pytest.mark.parametrize("chains", [False, True])
def test_a_draw_depends_on_the_seed_and_its_number_only(chains, monkeypatch):
    monkeypatch.setattr(_condition, "MIN_EFFECTIVE_SAMPLES", 10**9 if chains else 0)
    given, model = [CellCondition(0, ((2.0, 2.0),)), above(1, -1.0)], gaussian()
    state = torch.get_rng_state()
    whole = condition(model, given, 50, samples=200, steps=3)
    assert torch.equal(state, torch.get_rng_state())
    part = condition(model, given, 7, samples=200, steps=3, max_pairs=4)
    torch.testing.assert_close(part.x, whole.x[:7])
    assert not torch.equal(condition(model, given, 50, samples=200, steps=3, seed=1).x, whole.x)


def test_a_condition_that_never_occurs_is_refused_with_its_probability():
    with pytest.raises(ArgumentError, match=r"age > 200 never occurs: .* about \de-\d\d"):
        condition(gaussian(), [above(0, 16.0, "age > 200")], 5)
    model, _ = mixed_table()
    with pytest.raises(ArgumentError, match="0 in 100 draws"):
        condition(model, [above(1, 1e6)], 5, samples=100)


def test_many_names_together_are_rare_and_possible():
    """Each of 40 fair coins has a probability of 1/2 given the others; together 2**-40."""
    columns = [Column(str(i), "binary", "bernoulli", levels=("a", "b")) for i in range(40)]
    encoder = networks.Columns(networks.MLP(networks.Columns.width(columns), [4]), columns)
    likelihood = likelihoods.Columns(nn.Identity(), columns)
    model = VAE(priors.Normal(1), posteriors.Normal(encoder, 1), likelihood).eval()
    for part in (likelihood.heads.head.weight, likelihood.heads.head.bias):
        nn.init.zeros_(part)
    found = condition(model, [CellCondition(i, ((1.0, 1.0),)) for i in range(40)], 3, samples=500)
    assert found.probability == pytest.approx(2**-40, rel=5 * found.log_density_error + 1e-9)


def test_conditions_that_contradict_each_other_are_refused():
    given = [above(0, 60.0, "age>60"), CellCondition(0, ((-math.inf, 50.0),), "age<50")]
    with pytest.raises(ArgumentError, match="age>60 and age<50 contradict"):
        condition(gaussian(), given, 5)


def test_conditions_of_one_cell_are_combined():
    given = [above(0, 1.0), CellCondition(0, ((-math.inf, 1.2), (1.5, 9.0)))]
    x = condition(gaussian(), given, 200).x[:, 0]
    assert ((x >= 1) & ((x <= 1.2) | (x >= 1.5))).all() and (x > 1.5).any() and (x < 1.2).any()


def test_nothing_given_draws_from_the_model():
    found = condition(gaussian(), [], N)
    spread = ((WEIGHT @ WEIGHT.T).diagonal() + SCALE**2).sqrt()
    assert ((found.x.mean(0) - OFFSET).abs() < 5 * spread / math.sqrt(count(found))).all()


def test_an_offset_of_the_model_is_subtracted_from_conditions():
    encoder = networks.FillMissing(networks.MLP(4, [4]))
    normal = likelihoods.Scaled(likelihoods.Normal(networks.MLP(1), (2,)), [0.0], [1.0], [1e6, 0.0])
    model = VAE(priors.Normal(1), posteriors.Normal(encoder, 1), likelihoods.Missing(normal)).eval()
    x = condition(model, [above(0, 1e6 + 0.5), CellCondition(1, ((0.25, 0.25),))], 50).x
    assert x[:, 0].min() >= 1e6 + 0.5 and x[:, 0].max() < 1e6 + 50 and (x[:, 1] == 0.25).all()


REFUSED = {
    "posterior": (lambda: condition(make_vae("dirac"), torch.zeros(2, 2), 3), IncompatibleError),
    "x": (lambda: condition(gaussian(), torch.zeros(3), 3), DataError),
    "given": (lambda: condition(gaussian(), [above(4, 0.0)], 3), ArgumentError),
    "n": (lambda: condition(gaussian(), [], 0), ArgumentError),
    "given-support": (
        lambda: condition(two_state_model()[0], torch.tensor([7.0, math.nan]), 3),
        ArgumentError,
    ),
    "given-far": (lambda: condition(hopeless(), torch.tensor([1e10, math.nan]), 3), NumericalError),
    "intervals": (lambda: CellCondition(0, ((2.0, 1.0),)), ArgumentError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_given_is_refused(name):
    draw, error = REFUSED[name]
    with pytest.raises(error) as caught:
        draw()
    assert caught.value.argument == name.split("-")[0]


def test_cells_that_depend_on_each_other_are_refused():
    with pytest.raises(IncompatibleError):
        condition(make_vae(likelihood="autoregressive"), [], 3)


def spiky_table(scale=1.0):
    """A column with the atom 0, which has more than half of the mass, and values above it."""
    columns = [
        Column(
            "gain", "spiky", "spiky", scale=scale, atoms=(0.0,), edges=(0.0, 5 * scale, 30 * scale)
        ),
        Column("age", "continuous", "normal"),
    ]
    encoder = networks.Columns(networks.MLP(networks.Columns.width(columns), [4]), columns)
    likelihood = likelihoods.Columns(nn.Identity(), columns)
    model = VAE(priors.Normal(3), posteriors.Normal(encoder, 3), likelihood).eval()
    head = likelihood.heads.head
    nn.init.zeros_(head.weight)
    bias = {3: [0.4, 0.0, 0.0], 1: [0.0]}
    with torch.no_grad():
        head.bias.copy_(torch.tensor([b for g in likelihood.groups for b in bias[g.outputs]]))
    return model


@pytest.mark.parametrize("n", [31, 32])  # 32 is the number of draws of a rejection
def test_a_draw_from_a_set_does_not_depend_on_the_number_of_rows(n, monkeypatch):
    monkeypatch.setattr(_condition, "MIN_EFFECTIVE_SAMPLES", 10**9)
    model, given = spiky_table(), [above(0, 1.0)]
    part, whole = (condition(model, given, k, samples=100, steps=2) for k in (n, 40))
    assert torch.equal(part.x, whole.x[:n])


def test_a_value_has_the_measure_of_its_own():
    """Where atoms lie among real numbers, other values have densities, of any unit."""
    model = spiky_table(1e9)
    assert model.likelihood.has_mass(0, 0.0) and not model.likelihood.has_mass(0, 1.5)
    found = condition(model, [CellCondition(0, ((1.5, 1.5),))], 5, samples=50)
    assert (found.x[:, 0] == 1.5).all() and found.probability == 1
    binary, number = likelihoods.Bernoulli(nn.Identity(), (1,)), likelihoods.Normal
    both = likelihoods.Product([binary, number(nn.Identity(), (2,), scale=1e-3)])
    assert [both.has_mass(cell, 0.0) for cell in range(3)] == [True, False, False]
