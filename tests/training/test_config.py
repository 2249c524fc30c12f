"""``TrainingConfig`` is the single list of training settings."""

import inspect
import json
from dataclasses import fields

import pytest

import aevb
from aevb.errors import ArgumentError
from aevb.training import TrainingConfig, WarmupCosine


def test_fit_has_every_setting_with_the_same_default():
    arguments = inspect.signature(aevb.fit).parameters
    settings = {each.name: each.default for each in fields(TrainingConfig)}
    assert {name: arguments[name].default for name in settings} == settings


def test_fit_documents_every_argument():
    documented = inspect.getdoc(aevb.fit) or ""
    for function in (aevb.fit, aevb.fit_many, aevb.fit_prior):
        documented = inspect.getdoc(function) or ""
        for name, argument in inspect.signature(function).parameters.items():
            star = "**" if argument.kind is inspect.Parameter.VAR_KEYWORD else ""
            assert f"\n    {star}{name}: " in documented, (function.__name__, name)


def test_settings_are_json():
    config = TrainingConfig(epochs=3, lr_schedule=WarmupCosine(warmup=5), patience=2)
    record = json.loads(json.dumps(config.to_dict()))
    assert record["epochs"] == 3
    assert record["lr_schedule"] == {"class": "WarmupCosine", "warmup": 5, "final": 0.01}


def test_identity_excludes_settings_that_may_change_on_resume():
    config = TrainingConfig()
    free = config.to_dict().keys() - config.identity(config.to_dict()).keys()
    assert free == {"epochs", "minutes", "patience", "lr_schedule", "compile"}


@pytest.mark.parametrize("settings", [{"epochs": 0}, {"minutes": -1.0}, {"ema": 0.0}, {"seed": -1}])
def test_invalid_settings_are_refused(settings):
    with pytest.raises(ArgumentError) as caught:
        TrainingConfig(**settings)
    assert {caught.value.argument: caught.value.value} == settings
