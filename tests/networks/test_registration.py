"""Registration of networks: every public network says when to use it."""

import inspect

import pytest
from torch import nn

from aevb import networks
from aevb.errors import ArgumentError
from aevb.networks import NetworkRegistration

# modules that are parts of a posterior or likelihood, which users do not choose
PARTS = {"Condition", "Heads", "ParameterTable"}


def test_every_public_network_is_registered():
    public = {name: getattr(networks, name) for name in networks.__all__}
    expected = {
        name
        for name, part in public.items()
        if inspect.isclass(part) and issubclass(part, nn.Module) and name not in PARTS
    }
    assert {entry.target.__name__ for entry in NetworkRegistration.all().values()} == expected


@pytest.mark.parametrize("entry", NetworkRegistration.all().values(), ids=lambda entry: entry.name)
def test_registrations_are_complete(entry):
    for text in (entry.use_when, entry.cost, entry.avoid_when):
        assert text and not text.endswith(".")
    assert entry.events and NetworkRegistration.find(entry.name) is entry


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(ArgumentError) as caught:
        NetworkRegistration.find("res_nett")
    assert caught.value.argument == "network" and "res_net" in str(caught.value)
