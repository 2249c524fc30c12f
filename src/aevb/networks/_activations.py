"""Activations by name, so that an architecture can be written as JSON."""

from __future__ import annotations

from torch import nn

from ..errors import check_choice

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
    """The activation with this name.

    Example:
        >>> build_activation("relu")
        ReLU()
    """
    check_choice("activation", name, tuple(ACTIVATIONS))
    return ACTIVATIONS[name]()
