"""Presets of tables: their start, and what training, stacking, resuming and saving make of it."""

import numpy as np
import pytest
import torch

import aevb
from aevb import data, presets
from aevb._random import seed_scope
from aevb.metrics import log_likelihood

RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(120, 3)) @ np.array([[1.0, 2, 0], [0, 1, 1], [0, 0, 0.1]])
MIXED = np.c_[NUMBERS, RNG.integers(0, 2, 120)]
MIXED[::7, 0] = np.nan


def load(rows: np.ndarray, tmp_path, **options):
    """The rows as a table of named columns."""
    path = tmp_path / "table.csv"
    names = ",".join(f"x{i}" for i in range(rows.shape[1]))
    lines = [",".join("" if np.isnan(x) else repr(float(x)) for x in row) for row in rows]
    path.write_text("\n".join([names, *lines]))
    return data.load(path, **options)


def recipe(table: data.Dataset, seed: int = 0, **options):
    with seed_scope(seed):
        return presets.table_vae(table.spec, latent=2, hidden=[6], samples=2, **options)


def parameters(model: aevb.VAE) -> dict[str, torch.Tensor]:
    return {name: value.double() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("rows", [NUMBERS, MIXED], ids=["numbers", "mixed"])
class TestTraining:
    def test_a_stack_is_its_models_alone(self, rows, tmp_path):
        table = load(rows, tmp_path)
        settings = {"epochs": 2, "batch_size": 32, "progress": False, "compile": False}
        stacked = aevb.fit_many(
            [recipe(table, i) for i in range(2)], table, seed=[3, 4], **settings
        )
        assert "stacked" in {note.code for note in stacked[0].notes}
        for i, result in enumerate(stacked):
            single = aevb.fit(recipe(table, i), table, seed=3 + i, **settings)
            alone = parameters(single.model)
            for name, value in parameters(result.model).items():
                # float32 sums in another order, over six steps of Adam
                assert torch.allclose(value, alone[name], atol=2e-4, rtol=1e-3), name

    def test_a_resumed_run_has_the_same_weights(self, rows, tmp_path):
        table = load(rows, tmp_path)
        settings = {"batch_size": 32, "progress": False, "lr_schedule": lambda step, steps: 1.0}
        whole = aevb.fit(recipe(table), table, epochs=4, **settings)
        out = tmp_path / "run"
        aevb.fit(recipe(table), table, epochs=2, out=out, **settings)
        second = aevb.fit(recipe(table), table, epochs=4, out=out, resume=True, **settings)
        expected = parameters(whole.model)
        assert all(torch.equal(v, expected[n]) for n, v in parameters(second.model).items())

    def test_a_saved_model_has_the_same_numbers(self, rows, tmp_path):
        table = load(rows, tmp_path)
        result = aevb.fit(recipe(table), table, epochs=1, out=tmp_path / "run", progress=False)
        loaded = aevb.load(tmp_path / "run")
        x = table.test.batch(torch.arange(len(table.test))).x
        before, after = (
            log_likelihood(model, x, samples=10).per_datum for model in (result.model, loaded)
        )
        assert torch.equal(before, after)


class TestUnusualTables:
    @pytest.mark.parametrize(
        "rows, dependent",
        [
            (RNG.normal(size=(12, 2)), []),
            (RNG.normal(size=(40, 1)), []),
            (RNG.normal(size=(20, 30)), []),
            (np.c_[NUMBERS, NUMBERS[:, 0]], [0, 3]),
            (np.c_[NUMBERS, NUMBERS @ [1, -1, 2]], [0, 1, 2, 3]),
            (np.c_[NUMBERS, np.full(120, 3.0)], []),
        ],
        ids=["twelve rows", "one column", "wide", "duplicate", "dependent", "constant"],
    )
    def test_densities_are_finite_and_dependent_columns_are_named(self, rows, dependent):
        table = data.load(rows)
        result = aevb.fit(recipe(table), table, epochs=1, progress=False)
        notes = {note.code: note for note in result.notes}
        names = [f"column {i}" for i in dependent]
        assert ("dependent_columns" in notes) == bool(dependent)
        assert not dependent or notes["dependent_columns"].data["columns"] == names
        values = log_likelihood(result.model, table.train, samples=20).per_datum
        assert values.isfinite().all()
        # no direction is narrower than the floor and the least scale of the decoder
        assert values.max() < 20 * rows.shape[1]
