"""Every published method in the table can be built, is what its line says, and takes a step."""

import functools

import pytest
import torch

import aevb
from aevb.presets import PRESETS
from aevb.presets.table import find, preset
from aevb.random import seeded

READING = {"sigma_vae": {"likelihood": "normal"}, "mnist": {"binarise": "fixed"}}  # methods for data of one kind


@functools.cache
def rows_for(name):
    return aevb.data.load("digits", **READING.get(name, {}))


@functools.cache
def small(name):
    """The recipe on the digits, as narrow as it can be."""
    options = {"latent": 2, "hidden": (8,), "rows": len(rows_for(name).train)}
    with seeded(0):
        return preset(name, rows_for(name).spec, **{key: value for key, value in options.items() if key in find(name).options})


@pytest.mark.parametrize("name", PRESETS)
def test_its_line_says_what_it_is(name):
    entry, recipe = PRESETS[name], small(name)
    recipe.gradient.check(recipe.model, recipe.objective)
    assert entry.kind == recipe.gradient.kind_of(recipe.objective)
    assert type(recipe.gradient).__name__ in entry.arguments
    assert entry.paper[-4:].isdigit() and entry.when
    assert entry.build.__name__ == name and entry.build is getattr(aevb.presets, name)


@pytest.mark.parametrize("name", PRESETS)
def test_it_takes_a_step(name):
    with seeded(1):
        recipe = small(name)
        rows = rows_for(name).train
        before = torch.cat([p.detach().flatten().clone() for p in recipe.model.parameters()])
        told = "rows" in find(name).options  # how many there are
        result = aevb.fit(recipe, rows if told else rows[:256], epochs=1, batch_size=256, progress=False)
    after = torch.cat([p.detach().flatten() for p in recipe.model.parameters()])
    assert after.isfinite().all() and not torch.equal(before, after)
    assert result.history[0].skipped == 0
