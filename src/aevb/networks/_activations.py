"""Activations by name, so that an architecture can be written as JSON."""

from __future__ import annotations

from torch import nn

from ..errors import ArgumentError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "glu": nn.GLU,
    "identity": nn.Identity,
}


def build_activation(name: str) -> nn.Module:
    """The activation of that name.

    >>> activation("relu")
    ReLU()
    """
    if name not in ACTIVATIONS:
        raise ArgumentError(f"`activation` is {name!r}; use one of {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]()
