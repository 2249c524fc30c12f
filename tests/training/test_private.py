"""Differentially private training."""

import numpy as np
import pytest
import torch

from aevb import (
    VAE,
    Batch,
    Recipe,
    gradients,
    likelihoods,
    networks,
    objectives,
    posteriors,
    presets,
    priors,
)
from aevb import data as aevb_data
from aevb.errors import ArgumentError, IncompatibleError
from aevb.training import Private, fit
from aevb.training._private import PoissonSource, PrivacyPlan, PrivateGradients, clip_rows
from aevb.training._step import differentiate

ROWS = torch.randn(256, 4, generator=torch.Generator().manual_seed(0))


def make_recipe(objective=None, posterior=None) -> Recipe:
    torch.manual_seed(0)
    model = VAE(
        priors.Mixture(2, 3),
        posterior or posteriors.Normal(networks.MLP(4, [8]), 2),
        likelihoods.Normal(networks.MLP(2, [8]), [4]),
    )
    return Recipe(model, objective or objectives.ELBO(), gradients.Pathwise())


def make_gradients(recipe: Recipe, noise: float, max_norm: float, size: int) -> PrivateGradients:
    plan = PrivacyPlan(Private(1.0, 1e-5, max_norm), 0.1, noise)
    return PrivateGradients(recipe, list(recipe.model.parameters()), plan, size)


def test_without_noise_and_clipping_the_gradient_is_the_usual_one():
    deterministic = posteriors.Dirac(networks.MLP(4, [8]), 2)  # no draws to differ in
    recipe = make_recipe(objectives.Reconstruction(), deterministic)
    recipe.model.double()
    x = ROWS[:32].double()
    found = make_gradients(recipe, 0.0, 1e12, 32)(x, None, None, None, None)
    parts = recipe.model, recipe.objective, recipe.gradient
    usual = differentiate(*parts, list(recipe.model.parameters()), Batch(x), None)
    for ours, theirs in zip(found.gradients, usual.gradients, strict=True):
        theirs = torch.zeros_like(ours) if theirs is None else theirs
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-9)  # sums in another order
    torch.testing.assert_close(found.statistics, usual.statistics, atol=1e-5, rtol=1e-5)  # float32


def test_the_mean_over_many_draws_is_the_usual_gradient():
    recipe = make_recipe()
    recipe.model.double()
    parameters = list(recipe.model.parameters())
    x = ROWS[:16].double()
    private = make_gradients(recipe, 0.0, 1e12, 16)
    torch.manual_seed(0)
    sums = [torch.zeros(2, *p.shape, dtype=torch.float64) for p in parameters]
    squares = torch.zeros(2, dtype=torch.float64)
    count = 400
    for _ in range(count):
        ours = private(x, None, None, None, None).gradients
        theirs = differentiate(
            recipe.model, recipe.objective, recipe.gradient, parameters, Batch(x), None
        ).gradients
        for total, *pair in zip(sums, ours, theirs, strict=True):
            for place, each in enumerate(pair):
                total[place] += each / count
                squares[place] += each.square().sum() / count
    means = [torch.cat([total[place].flatten() for total in sums]) for place in (0, 1)]
    # the variance of a mean over `count` draws, summed over the parameters; 5 deviations
    variance = sum((squares[place] - means[place].square().sum()) / count for place in (0, 1))
    assert (means[0] - means[1]).square().sum() < 5 * variance


def test_one_row_moves_the_sum_by_the_norm_at_most():
    recipe = make_recipe()
    private = make_gradients(recipe, 0.0, 0.5, 1)
    for row in (ROWS[:1], 1e6 * ROWS[:1]):
        found = private(row, None, None, None, None).gradients
        norm = torch.cat([each.flatten() for each in found]).norm()
        assert norm <= 0.5 * (1 + 1e-5)  # float32


def test_rows_that_are_not_finite_add_nothing():
    gradients_of_rows = [torch.tensor([[3.0, 4.0], [torch.nan, 1.0], [0.3, 0.4]])]
    (total,) = clip_rows(gradients_of_rows, 1.0)
    torch.testing.assert_close(total, torch.tensor([0.6 + 0.3, 0.8 + 0.4]))


def test_an_empty_batch_is_noise_of_the_planned_size():
    recipe = make_recipe()
    private = make_gradients(recipe, 2.0, 0.5, 8)
    torch.manual_seed(0)
    drawn = [private(ROWS[:0], None, None, None, None).gradients for _ in range(50)]
    numbers = torch.cat([each.flatten() for gradient in drawn for each in gradient])
    error = 5 / (2 * len(numbers)) ** 0.5  # 5 relative standard errors of a deviation
    assert abs(numbers.std() / (2.0 * 0.5 / 8) - 1) < error
    assert abs(numbers.mean()) < 5 * (2.0 * 0.5 / 8) / len(numbers) ** 0.5


def test_batches_hold_each_row_with_the_same_probability():
    rows = aevb_data.Rows(ROWS)
    source = PoissonSource(rows, 32, 0, torch.device("cpu"), torch.float32)
    seen = [batch.index for epoch in range(100) for batch in source.iter_epoch(epoch, 0)]
    assert len(seen) == 100 * len(ROWS) // 32
    sizes = torch.tensor([float(len(index)) for index in seen])
    variance = 32 * (1 - 32 / len(ROWS))
    assert abs(sizes.mean() - 32) < 5 * (variance / len(seen)) ** 0.5
    assert 0.8 < sizes.var() / variance < 1.2  # a fixed size would have none; 800 batches
    counts = torch.cat(seen).bincount(minlength=len(ROWS)).double()
    spread = len(seen) * source.sample_rate * (1 - source.sample_rate)
    assert (counts - len(seen) * source.sample_rate).abs().max() < 5 * spread**0.5
    again = [batch.index for batch in source.iter_epoch(3, 2)]
    assert all(map(torch.equal, again, [b.index for b in source.iter_epoch(3, 0)][2:]))


def test_the_planned_noise_keeps_the_epsilon():
    rows = aevb_data.Rows(ROWS)
    source = PoissonSource(rows, 32, 0, torch.device("cpu"), torch.float32)
    plan = PrivacyPlan.make(Private(2.0, 1e-4), source, 200)
    spent = [plan.epsilon_spent(steps) for steps in (0, 1, 100, 200)]
    assert spent == sorted(spent) and spent[0] == 0 and 1.9 < spent[-1] <= 2.0
    more = PrivacyPlan.make(Private(2.0, 1e-4), source, 2000)
    assert more.noise_multiplier > plan.noise_multiplier


def test_a_run_says_what_it_gave_away_after_a_break_as_well(tmp_path):
    def run(out, epochs, **settings):
        return fit(
            make_recipe(),
            ROWS,
            epochs=epochs,
            batch_size=64,
            privacy=Private(5.0),
            progress=False,
            out=out,
            **settings,
        )

    whole = run(tmp_path / "a", 4)
    note = next(note for note in whole.notes if note.code == "privacy")
    assert note.data["epsilon"] <= 5 and note.data["steps"] == 16 and note.data["not_covered"]
    assert whole.best_epoch is None
    run(tmp_path / "b", 4, callbacks=[lambda epoch, model: epoch.epoch == 2])
    resumed = run(tmp_path / "b", 4, resume=True)
    (again,) = [note for note in resumed.notes if note.code == "privacy"]
    assert again.data == note.data


def test_the_seed_of_a_run_gives_neither_its_noise_nor_its_batches(tmp_path):
    settings = {"epochs": 1, "batch_size": 64, "seed": 0, "progress": False}
    first, second = (
        fit(make_recipe(), ROWS, privacy=Private(5.0), out=tmp_path / name, **settings)
        for name in "ab"
    )
    pairs = zip(first.model.parameters(), second.model.parameters(), strict=True)
    assert not all(ours.equal(theirs) for ours, theirs in pairs)
    rows = aevb_data.Rows(ROWS)
    sources = [PoissonSource(rows, 64, 0, torch.device("cpu"), torch.float32) for _ in range(2)]
    (one, *_), (two, *_) = (list(source.iter_epoch(0, 0)) for source in sources)
    assert not torch.equal(one.index, two.index)


def test_a_table_with_empty_cells_is_trained_privately():
    polars = pytest.importorskip("polars")
    rng = np.random.default_rng(0)
    frame = polars.DataFrame(
        {
            "n": [None if i % 7 == 0 else float(x) for i, x in enumerate(rng.normal(size=200))],
            "c": [["a", "b", "c"][i] for i in rng.integers(0, 3, 200)],
            "k": [int(x) for x in rng.poisson(3, 200)],
        }
    )
    data = aevb_data.load(frame)
    recipe = presets.find_preset("table_vae").build(data.spec, latent=2, hidden=[8])
    result = fit(recipe, data, epochs=2, batch_size=32, privacy=Private(8.0), progress=False)
    assert result.best_epoch is None and np.isfinite(result.history[-1].bound)


@pytest.mark.parametrize(
    "settings, argument",
    [
        ({"clip_norm": 1.0}, "clip_norm"),
        ({"patience": 3}, "patience"),
        ({"minutes": 1.0}, "minutes"),
        ({"micro_batches": 2}, "micro_batches"),
    ],
)
def test_settings_that_a_private_run_cannot_have_are_refused(settings, argument):
    with pytest.raises(ArgumentError) as error:
        fit(make_recipe(), ROWS, epochs=1, privacy=Private(1.0), progress=False, **settings)
    assert error.value.argument == argument


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "strong", None])
def test_impossible_budgets_are_refused(value):
    with pytest.raises(ArgumentError) as error:
        Private(value)
    assert error.value.argument == "epsilon"


def test_models_with_statistics_of_batches_are_refused():
    digits = aevb_data.load("digits")
    codebook = presets.find_preset("vq_vae").build(digits.spec, hidden=[8])
    penalised = make_recipe(objectives.Penalised(objectives.ELBO(), [objectives.MMD()]))
    for recipe, rows in ((codebook, digits), (penalised, ROWS)):
        with pytest.raises(IncompatibleError):
            fit(recipe, rows, epochs=1, privacy=Private(1.0), progress=False)
