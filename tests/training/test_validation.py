"""Scores of held-out rows from terms that are written out, and the choice of the best epoch."""

import math
from dataclasses import replace

import pytest
import torch

from aevb import VAE, Batch, likelihoods, networks, posteriors, priors
from aevb._random import seed_scope
from aevb.data import Rows
from aevb.objectives import ELBO, IWAE
from aevb.objectives._objective import ValidationCriterion
from aevb.training._checkpoint import RunProgress
from aevb.training._history import Epoch
from aevb.training._validation import (
    ValidationScore,
    score_held_out,
    summarise_terms,
    update_best,
    validation_block_size,
    validation_terms,
    with_validation_score,
)

X = torch.randn(37, 3, generator=torch.Generator().manual_seed(3))


def model(posterior=posteriors.Normal) -> VAE:
    with seed_scope(1):
        return VAE(
            priors.Normal(2),
            posterior(networks.MLP(3, [4]), 2),
            likelihoods.Normal(networks.MLP(2, [4]), [3]),
        ).double()


def epoch(number: int, **fields) -> Epoch:
    start = Epoch(number, 10 * number, 1.5, -3.0, "bound", -2.0, 1.0, -4.0, 0.5, 1e-3, 0.25, 0)
    return replace(start, **fields)


@pytest.mark.parametrize(
    "samples, size", [(1, 256), (3, 85), (15, 17), (16, 16), (17, 16), (999, 16)]
)
def test_a_block_has_256_pairs_and_at_least_16_rows(samples, size):
    assert validation_block_size(ValidationCriterion(samples=samples)) == size


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("kind", ["ELBO", "IWAE", "Dirac"])
def test_terms_of_each_row(kind, samples):
    m = model(posteriors.Dirac if kind == "Dirac" else posteriors.Normal)
    objective = IWAE(samples) if kind == "IWAE" else ELBO()
    criterion = replace(objective.validation_criterion, samples=samples)
    batch = Batch(X[:5].double())
    with torch.no_grad(), seed_scope(2):
        found = validation_terms(m, batch, criterion)
    with torch.no_grad(), seed_scope(2):
        terms = m.draw_terms(batch, samples)
    distortion = -terms.log_likelihood.mean(0)
    assert found.shape == (3, 5) and found.dtype == torch.float64
    torch.testing.assert_close(found[2], distortion)
    if kind == "Dirac":
        assert found[1].isnan().all()
        torch.testing.assert_close(found[0], -distortion)
        return
    q = m.posterior(batch.x)
    variance = q.stddev**2
    rate = 0.5 * (variance + q.mean**2 - 1 - variance.log()).sum(-1).detach()
    torch.testing.assert_close(found[1], rate)
    weight = terms.log_likelihood + terms.log_prior - terms.log_posterior
    average = (weight.logsumexp(0) - math.log(samples)).detach()
    torch.testing.assert_close(found[0], average if kind == "IWAE" else -distortion - rate)


def test_means_over_rows_are_a_score():
    terms = torch.tensor([[1.0, 2.0, 6.0], [4.0, 4.0, 1.0], [-1.0, 0.5, 2.0]]).double()
    assert summarise_terms(model(), terms) == ValidationScore(3.0, -0.5, 3.0)
    assert summarise_terms(model(posteriors.Dirac), terms) == ValidationScore(3.0, -0.5, None)


def test_a_score_depends_on_the_seed_and_on_no_size_of_block(monkeypatch):
    """All rows count once; the exact divergence has no noise and no block."""
    m, criterion = model(), ELBO().validation_criterion
    rows = Rows.from_array(X)
    score = score_held_out(m, rows, criterion, 3)
    assert score == score_held_out(m, rows, criterion, 3) != score_held_out(m, rows, criterion, 4)
    with torch.no_grad():
        q = m.posterior(X.double())
    variance = q.stddev**2
    rate = (0.5 * (variance + q.mean**2 - 1 - variance.log())).sum(-1).mean().item()
    assert score.kl == pytest.approx(rate, rel=1e-12)
    assert score.bound == pytest.approx(score.log_likelihood - rate, rel=1e-12)
    monkeypatch.setattr("aevb.training._validation.VALIDATION_BLOCK_SIZE", 16)
    assert score_held_out(m, rows, criterion, 3).kl == pytest.approx(rate, rel=1e-12)


def test_an_epoch_takes_the_score_and_its_name():
    criterion = ValidationCriterion(name="the criterion")
    before = epoch(3)
    after = with_validation_score(before, criterion, ValidationScore(1.0, 2.0, 3.0))
    changed = {"validation": 1.0, "validation_log_likelihood": 2.0, "validation_kl": 3.0}
    assert after == replace(before, **changed, validation_name="the criterion")
    assert after.validation_elbo == -1.0
    after = with_validation_score(before, criterion, ValidationScore(1.0, 2.0, None))
    assert after.validation_name == "bound" and after.validation_kl is None
    assert after.validation_elbo == 2.0 and before.validation_elbo is None


def test_the_best_epoch_and_epochs_since():
    """Equal scores are no improvement, NaN neither, and the count begins at the schedule's end."""
    progress, found = RunProgress(), []
    scores = [None, -5.0, -6.0, math.nan, -5.0, -4.0, -4.5, None, -4.25, -3.0]
    for number, score in enumerate(scores, 1):
        improved = update_best(progress, epoch(number, validation=score), 40)
        state = progress.best_epoch, progress.best_validation, progress.epochs_without_improvement
        found.append((improved, *state))
    assert found == [
        (False, None, None, 0),
        (True, 2, -5.0, 0),
        (False, 2, -5.0, 0),  # at step 30
        (False, 2, -5.0, 1),  # at step 40
        (False, 2, -5.0, 2),
        (True, 6, -4.0, 0),
        (False, 6, -4.0, 1),
        (False, 6, -4.0, 1),
        (False, 6, -4.0, 2),
        (True, 10, -3.0, 0),
    ]
    assert [each.epoch for each in progress.history] == list(range(1, 11))


@pytest.mark.parametrize(
    "final, planned, minutes, first",
    [
        (40, None, None, 40),
        (40, 60, None, 40),  # the schedules end in the run
        (40, 40, None, 20),
        (900, 50, None, 30),  # step 25 is in the third epoch
        (900, None, 0.05, 10),  # epochs of this test end after 1.5 s = .025 min
        (900, None, 0.06, None),
    ],
)
def test_patience_begins_with_the_end_of_the_schedules_or_in_the_middle(
    final, planned, minutes, first
):
    progress, counted = RunProgress(planned_steps=planned), []
    for number in range(1, 7):
        update_best(progress, epoch(number, validation=-float(number)), final, minutes)
        counted.append(progress.epochs_without_improvement)
    begins = next((10 * (i + 1) for i, count in enumerate(counted) if count), None)
    assert begins == (None if first is None else max(first, 20))  # the first epoch is the best


def test_a_first_score_of_minus_infinity_is_no_best():
    progress = RunProgress()
    assert not update_best(progress, epoch(1, validation=-math.inf), 0)
    assert progress.best_epoch is None and progress.epochs_without_improvement == 1
