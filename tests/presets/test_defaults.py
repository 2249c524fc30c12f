"""The rule that chooses the model of a table, and what follows it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

import aevb
from aevb import data, networks, presets
from aevb._recipe import TrainingDefaults
from aevb.objectives import IWAE
from aevb.presets._defaults import TableDefaults
from aevb.runs import RunSettings, TrainingSettings

RNG = np.random.default_rng(0)
CLUSTERS = RNG.normal(size=(400, 3)) * 0.1 + 3 * RNG.integers(0, 2, (400, 1))


def load(rows: np.ndarray) -> data.Dataset:
    return data.load(rows, seed=0)


class TestTheRule:
    def test_small_tables_have_as_many_latents_as_columns_and_steps_instead_of_epochs(self):
        found = TableDefaults.for_spec(load(CLUSTERS).spec)
        assert (found.latent, found.scale) == (3, "predicted")
        assert found.training.epochs(steps_per_epoch=2) == found.training.steps // 2

    def test_more_rows_have_a_higher_rate_and_more_steps(self):
        spec = load(CLUSTERS).spec
        few, many = (
            TableDefaults.for_spec(dataclasses.replace(spec, train_rows=rows)).training
            for rows in (300, 5000)
        )
        assert few.lr < many.lr and few.steps < many.steps

    def test_constant_columns_need_no_latent(self):
        rows = np.c_[CLUSTERS, np.full(len(CLUSTERS), 7.0)]
        assert TableDefaults.for_spec(load(rows).spec).latent == 3

    def test_the_command_the_preset_and_fit_follow_one_rule(self):
        table = load(CLUSTERS)
        rule = TableDefaults.for_spec(table.spec)
        recipe = presets.table_vae(table.spec)
        settings = RunSettings("x").with_defaults_for(table.spec)
        assert settings.model.preset == presets.default_preset(table.spec) == "table_vae"
        assert settings.model.latent == recipe.model.latent_shape[0] == rule.latent
        assert settings.recipe(table.spec).training == recipe.training == rule.training
        assert settings.training.lr == rule.training.lr
        assert isinstance(recipe.objective, IWAE)

    def test_settings_win_over_the_rule(self):
        table = load(CLUSTERS)
        asked = TrainingSettings(lr=0.01, patience=7)
        settings = RunSettings("x", training=asked).with_defaults_for(table.spec)
        assert (settings.training.lr, settings.training.patience) == (0.01, 7)

    def test_other_presets_keep_their_training(self):
        table = load(CLUSTERS)
        assert presets.vae(table.spec).training == TrainingDefaults()
        assert presets.find_preset("vae").training_for(table.spec) == TrainingDefaults()

    def test_fit_takes_the_steps_of_the_recipe(self):
        table = load(CLUSTERS)
        recipe = presets.table_vae(table.spec, hidden=[4], samples=1)
        short = dataclasses.replace(recipe.training, steps=6)
        result = aevb.fit(dataclasses.replace(recipe, training=short), table, progress=False)
        assert result.history[-1].step == 6
        assert result.history[0].learning_rate <= short.lr


class TestTheStart:
    def test_clusters_start_at_a_mixture_that_beats_the_gaussian(self):
        table = load(CLUSTERS)
        starts = {}
        for prior in (None, "normal"):
            recipe = presets.table_vae(table.spec, hidden=[4], prior=prior)
            recipe.model.initialise_from_data(table.train.tensor())
            found = aevb.metrics.log_likelihood(recipe.model, table.test, samples=100)
            starts[prior] = found.per_datum
        gain = starts[None] - starts["normal"]
        # two clusters at 15 standard deviations, of equal weight, hold about 2.6 nats more than
        # their Gaussian; five standard errors below the mean
        assert gain.mean() - 5 * gain.std() / len(gain) ** 0.5 > 1

    def test_rows_that_no_mixture_fits_better_start_at_a_gaussian(self):
        rows = np.linspace(-1, 1, 12)[:, None] * [1.0, 2.0] + RNG.normal(size=(12, 2)) * 0.1
        x = torch.as_tensor(rows)
        model = presets.table_vae(load(np.tile(rows, (3, 1))).spec, hidden=[4]).model.double()
        model.initialise_from_data(x[:3])  # fewer rows than two components have parameters
        assert torch.equal(model.prior().mean, torch.zeros(2).double())
        assert (model.prior().variance - 1).abs().max() < 1e-12

    @pytest.mark.parametrize("many", [False, True], ids=["fit", "fit_many"])
    def test_a_start_that_training_only_spoils_is_kept(self, many):
        table = load(RNG.normal(size=(100, 3)))
        recipes = [presets.table_vae(table.spec, hidden=[4], samples=2) for _ in range(2)]
        settings = {"epochs": 1, "progress": False, "optimizer": aevb.training.adam(1.0)}
        if many:
            result = aevb.fit_many(recipes, table, compile=False, **settings)[0]
        else:
            result = aevb.fit(recipes[0], table, **settings)
        assert result.best_epoch == 0
        assert result.model.prior().mean.abs().max() < 1e-6  # of whitened rows, to rounding


@pytest.mark.parametrize("columns, latent", [(16, 8), (100, 16), (1, 1)])
def test_arrays_of_0_and_1_count_steps_and_keep_a_patience(columns, latent):
    rows = np.random.default_rng(0).integers(0, 2, size=(60, columns)).astype(np.uint8)
    table = load(rows)
    rule = TableDefaults.for_spec(table.spec)
    recipe = presets.table_vae(table.spec)
    assert recipe.model.latent_shape == (latent,) and recipe.training == rule.training
    assert rule.training.epochs(steps_per_epoch=3) == rule.training.steps // 3 > 500
    assert rule.training.patience is not None


class TestImputation:
    HOLES = np.where(RNG.random(CLUSTERS.shape) < 0.2, np.nan, CLUSTERS)

    def spec(self, rows: np.ndarray, **changes) -> data.Spec:
        frame = pd.DataFrame({"stars": RNG.integers(1, 6, len(rows)), "x": rows[:, 0]})
        return dataclasses.replace(data.load(frame, seed=0).spec, **changes)

    @pytest.mark.parametrize(
        "rows, train_rows, hide",
        [(CLUSTERS, 300, 0.2), (HOLES, 300, 0.2), (CLUSTERS, 5000, 0.2), (HOLES, 5000, 0.0)],
    )
    def test_cells_are_hidden_where_rows_are_few_or_complete(self, rows, train_rows, hide):
        recipe = presets.table_imputation(self.spec(rows, train_rows=train_rows))
        (reader,) = (m for m in recipe.model.posterior.modules() if isinstance(m, networks.Columns))
        assert reader.hide == hide
        assert recipe.training.epochs(steps_per_epoch=2) == recipe.training.steps // 2
        rule = presets.find_preset("table_imputation").training_for
        assert rule(self.spec(rows, train_rows=train_rows)) == recipe.training
        scale = "predicted" if train_rows == 5000 else "per_element"
        assert recipe.model.likelihood.arguments["scale"] == scale

    def test_ordered_levels_have_free_probabilities_and_rows_stay_encoded_as_they_are(self):
        spec = self.spec(CLUSTERS)
        likelihood = presets.table_imputation(spec).model.likelihood
        assert [column.likelihood for column in likelihood.columns] == ["categorical", "normal"]
        assert spec.schema.columns[0].likelihood == "ordinal"
        assert spec.schema.with_free_levels().columns[0].levels == spec.schema.columns[0].levels


def test_a_table_of_constants_alone_is_modelled_exactly():
    loaded = data.load(np.full((50, 3), 2.5))
    recipe = presets.preset(presets.default_preset(loaded.spec), loaded.spec)
    assert aevb.fit(recipe, loaded, epochs=1, progress=False).history[-1].bound == 0
    assert (recipe.model.sample(4) == 2.5).all()
