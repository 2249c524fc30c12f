"""Penalties on the aggregate posterior against sums over pairs that are written out."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm
from torch.distributions import Independent, MultivariateNormal, Normal

from aevb.errors import ArgumentError, DataError
from aevb.objectives import DIP, MMD, Linear, TotalCorrelation
from aevb.objectives._aggregate_posterior import MMD_SCALES, _stratified_sampling, prior_draws
from aevb.types import Batch

MEAN = torch.tensor(
    [[0.5, -1.0, 0.25], [2.0, 0.0, 1.0], [-0.5, 0.75, -2.0], [0.0, 1.5, 0.5]]
).double()
SCALE = torch.tensor([[0.5, 1.0, 2.0], [0.3, 0.7, 1.1], [0.9, 0.4, 0.6], [1.3, 0.8, 0.2]]).double()
Z = MEAN + SCALE * torch.linspace(-1.7, 2.1, 24).double().sin().view(2, 4, 3)
SIZE, DRAWS, VARIABLES = 4, 2, 3


def terms_of(q=None, z=Z, rows=10, context=None):
    q = Independent(Normal(MEAN, SCALE), 1) if q is None else q
    prior = Independent(Normal(torch.zeros(3).double(), torch.full((3,), 1.5).double()), 1)
    return SimpleNamespace(
        z=z,
        q=q,
        log_posterior=q.log_prob(z),
        log_prior=prior.log_prob(z),
        batch=Batch(torch.zeros(SIZE, 1), context, None, rows),
    )


def stratified(batch: int, rows: int) -> np.ndarray:
    """Row ``i``: the draw's own row, a neighbour for all rows outside the batch, the others."""
    weights = np.empty((batch, batch))
    for i in range(batch):
        for j in range(batch):
            if j == i:
                weights[i, j] = 1 / rows
            elif j == (i + 1) % batch:
                weights[i, j] = (rows - batch + 1) / (rows * (batch - 1))
            else:
                weights[i, j] = 1 / (batch - 1)
    return weights


@pytest.mark.parametrize("batch, rows", [(2, 2), (2, 7), (3, 3), (3, 5), (4, 4), (5, 11)])
def test_row_weights_of_stratified_sampling(batch, rows):
    found = _stratified_sampling(batch, rows, Z)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), stratified(batch, rows), rtol=1e-14)
    single = _stratified_sampling(1, rows, Z)
    assert single.tolist() == [[pytest.approx(1 / rows)]]


@pytest.mark.parametrize(
    "estimator, rows", [("stratified", None), ("stratified", 25), ("weighted", None)]
)
def test_the_three_parts_of_the_divergence(estimator, rows):
    """Unequal rows, scales and draws, and the number of rows from the batch (10) or the penalty."""
    penalty = TotalCorrelation(estimator=estimator, rows=rows)
    parts = penalty(terms_of(), None).values
    weights = stratified(SIZE, rows or 10) if estimator == "stratified" else np.full((4, 4), 0.25)
    sums = np.zeros(3)
    for k in range(DRAWS):
        for i in range(SIZE):
            z = Z[k, i].numpy()
            density = norm.pdf(z, MEAN.numpy(), SCALE.numpy())  # [rows, variables]
            log_q = math.log((weights[i] * density.prod(1)).sum())
            log_product = np.log((weights[i][:, None] * density).sum(0)).sum()
            own = np.log(density[i]).sum()
            prior = norm.logpdf(z, 0, 1.5).sum()
            sums += (own - log_q, log_q - log_product, log_product - prior)
    assert [p.item() for p in parts] == pytest.approx((sums / (DRAWS * SIZE)).tolist(), rel=1e-10)


def test_a_posterior_with_correlations_has_a_joint_of_its_own():
    factor = torch.tensor([[1.0, 0, 0], [0.6, 0.8, 0], [-0.3, 0.2, 0.5]]).double()
    q = MultivariateNormal(MEAN, scale_tril=factor.expand(4, 3, 3))
    parts = TotalCorrelation(estimator="weighted")(terms_of(q), None).values
    cov = (factor @ factor.T).numpy()
    total = 0.0
    for z in Z.reshape(-1, 3).numpy():
        joint = np.mean([multivariate_normal.pdf(z, m, cov) for m in MEAN.numpy()])
        single = norm.pdf(z, MEAN.numpy(), np.sqrt(np.diag(cov))).mean(0)
        total += math.log(joint) - np.log(single).sum()
    assert parts[1].item() == pytest.approx(total / 8, rel=1e-10)


def test_rows_and_weights_that_cannot_be_are_refused():
    for rows in (None, 3):
        with pytest.raises(DataError) as caught:
            TotalCorrelation()(terms_of(rows=rows), None)
        assert caught.value.argument == "rows"
    TotalCorrelation()(terms_of(rows=4), None)
    TotalCorrelation(estimator="weighted")(terms_of(rows=None), None)
    TotalCorrelation(rows=1)
    with pytest.raises(ArgumentError):
        TotalCorrelation(rows=0)


def test_each_weight_is_reduced_by_the_one_of_the_bound():
    penalty = TotalCorrelation(Linear(2.0, 6.0, steps=4), alpha=0.5, gamma=3.0)
    penalty.set_step(1)
    names = ("mutual_information", "total_correlation", "dimension_kl")
    assert [penalty.get_buffer(name).item() for name in names] == [-0.5, 2.0, 2.0]
    assert penalty.final_schedule_step == 4 and penalty.metric_names == names


@pytest.mark.parametrize("kind", ["I", "II"])
def test_distance_of_the_covariance_from_the_identity(kind):
    means = MEAN.numpy()
    cov = np.cov(means.T, bias=True)
    if kind == "II":
        cov = cov + np.diag((SCALE.numpy() ** 2).mean(0))
    off = sum(cov[i, j] ** 2 for i in range(3) for j in range(3) if i != j)
    on = sum((cov[i, i] - 1) ** 2 for i in range(3))
    found = [value.item() for value in DIP(kind=kind)(terms_of(), None).values]
    assert found == pytest.approx([off, on], rel=1e-10)


def kernel(name: str, a, b, scales) -> float:
    u = [((a - b) ** 2).sum() / (2 * VARIABLES * s) for s in scales]
    return sum(1 / (1 + each) if name == "imq" else math.exp(-each) for each in u)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("name, scales", [("imq", MMD_SCALES), ("rbf", (0.5, 3.0))])
@pytest.mark.parametrize("rows", [1, 4])
def test_discrepancy_is_a_sum_over_pairs(name, scales, unbiased, rows, monkeypatch):
    prior = torch.linspace(-2.0, 3.0, 24).double().cos().view(2, 4, 3)[:, :rows]
    monkeypatch.setattr(
        "aevb.objectives._aggregate_posterior.prior_draws", lambda terms, model: prior
    )
    penalty = MMD(kernel=name, scales=scales, unbiased=unbiased)
    (found,) = penalty(SimpleNamespace(z=Z[:, :rows], batch=Batch(Z[0, :rows])), None).values
    expected = 0.0
    for z, p in zip(Z[:, :rows].numpy(), prior.numpy(), strict=True):
        pairs = [(i, j) for i in range(rows) for j in range(rows) if not (unbiased and i == j)]
        for a, b, use, factor in ((z, z, pairs, 1), (p, p, pairs, 1)):
            values = [kernel(name, a[i], b[j], scales) for i, j in use]
            expected += factor * (np.mean(values) if values else 0.0)
        expected -= 2 * np.mean([kernel(name, a, b, scales) for a in z for b in p])
    assert found.item() == pytest.approx(expected / DRAWS, rel=1e-10)


def test_scales_must_be_positive_numbers():
    for scales in ((), (0.0,), (1.0, -1.0), (math.inf,), (math.nan,)):
        with pytest.raises(ArgumentError):
            MMD(scales=scales)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("differentiable", [False, True])
def test_one_prior_draw_per_encoding(batched, differentiable):
    loc = torch.zeros(4, 3) if batched else torch.zeros(3)
    p = Independent(Normal(loc.requires_grad_(), 1.0), 1)
    if not differentiable:
        p = type(
            "Sampled", (), {"batch_shape": p.batch_shape, "has_rsample": False, "sample": p.sample}
        )
    drawn = prior_draws(terms_of(), SimpleNamespace(prior=lambda _, context: p))
    assert drawn.shape == (2, 4, 3) and drawn.requires_grad is differentiable
