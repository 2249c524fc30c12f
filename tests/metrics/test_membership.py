"""The attack by log p(x) finds overfitting, and nothing where there is none."""

import gzip
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from aevb import fit, metrics, presets
from aevb.data import load
from aevb.errors import DataError
from aevb.metrics._quality import to_record
from aevb.training import adam

N_COLUMNS = 6


def table(n_rows: int, seed: int) -> pl.DataFrame:
    """Real numbers of a correlated Gaussian, and a text."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_rows, N_COLUMNS))
    x[:, 1:] += x[:, :1]
    frame = pl.DataFrame(x, schema=[f"x{k}" for k in range(N_COLUMNS)])
    return frame.with_columns(pl.Series("c", rng.choice(["a", "b", "c"], n_rows)))


def trained(n_rows: int, epochs: int, rate: float = 1e-3, **settings) -> tuple:
    """A model of some rows, and other rows of the same source."""
    data = load(table(n_rows, 0), split=(1, 0, 0), seed=0)
    torch.manual_seed(0)
    recipe = presets.table_vae(data.spec, latent=4, hidden=(64, 64), **settings)
    settings = {"epochs": epochs, "batch_size": 64, "patience": None, "seed": 0}
    fit(recipe, data, optimizer=adam(rate), progress=False, **settings)
    schema = data.spec.schema
    return recipe.model, data.train, schema.encode(table(500, 1))


def test_an_overfitted_model_knows_its_training_rows():
    model, train, other = trained(30, 200, rate=1e-2, linear=False, scale="predicted")
    found = metrics.membership_attack(model, train, other)
    assert found.auc.value > 0.7 and found.auc.low > 0.6
    assert (found.n_train, found.n_held_out) == (30, 500)
    # the roles of the sets are the other way round
    assert metrics.membership_attack(model, other, train).auc.value == pytest.approx(
        1 - found.auc.value
    )


def test_a_model_that_starts_at_the_gaussian_of_its_rows_tells_nothing():
    model, train, other = trained(2000, 1)
    found = metrics.membership_attack(model, train, other, max_rows=500)
    assert found.auc.low < 0.5 < found.auc.high
    assert found.auc.value == pytest.approx(0.5, abs=0.05)  # two standard errors of 500 rows each


def test_sets_without_rows_are_refused():
    model, train, _ = trained(50, 1)
    with pytest.raises(DataError) as error:
        metrics.membership_attack(model, train, train.subset([0]))
    assert error.value.argument == "held_out"


def test_the_quality_of_a_table_has_it_unless_all_rows_were_training_rows():
    data = load(table(150, 0), split=(0.6, 0.2, 0.2), seed=0)
    recipe = presets.table_vae(data.spec, latent=2, hidden=(8,))
    arguments = (recipe.model, data.train, data.test, data.spec)
    found = metrics.quality(*arguments, full=False)
    assert to_record(found)["membership"]["n_train"] == len(data.train)
    assert found.membership.auc.low <= found.membership.auc.value <= found.membership.auc.high
    copies = data.train.subset(slice(40))
    arguments = (recipe.model, data.train, copies, data.spec)
    assert metrics.quality(*arguments, full=False).membership is None


@pytest.mark.slow
def test_the_default_model_of_adult_hardly_knows_its_training_rows():
    path = Path(os.environ.get("AEVB_DATA", "")) / "tabular" / "adult.data.gz"
    if not os.environ.get("AEVB_DATA") or not path.exists():
        pytest.skip("adult is not below $AEVB_DATA")
    text = gzip.decompress(path.read_bytes()).replace(b", ", b",")
    data = load(pl.read_csv(text, has_header=False), split=(0.2, 0.3, 0.5), seed=0)
    recipe = presets.table_vae(data.spec)
    fit(recipe, data, epochs=2, progress=False, seed=0)
    found = metrics.membership_attack(recipe.model, data.train, data.test)
    assert found.auc.value == pytest.approx(0.5, abs=0.04)
