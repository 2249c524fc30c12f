"""Noise on the numbers that an encoder reads while it is trained."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..errors import ArgumentError
from ..notes import Argument, Part, message


class NumericInput(nn.Module):
    """Base class of modules that standardise numbers, and can add noise to them in training."""

    def __init__(self) -> None:
        super().__init__()
        self.input_noise = 0.0

    @property
    def reads_numbers(self) -> bool:
        """Whether there are numbers in the input."""
        return True

    def add_noise(self, x: Tensor) -> Tensor:
        """Standardised numbers with normal noise in training mode; missing cells stay missing."""
        if not self.training or self.input_noise == 0.0:
            return x
        return x + self.input_noise * torch.randn_like(x)


def check_input_noise(network: nn.Module, deviation: float) -> None:
    """Check that noise can be added to the input of an encoder.

    Args:
        network: The encoder.
        deviation: Standard deviation of the noise, in standardised units.

    Raises:
        ArgumentError: It cannot.
    """
    if not (deviation >= 0 and math.isfinite(deviation)):
        raise ArgumentError("give a number from 0, as 0.1", argument="input_noise", value=deviation)
    if deviation and not _numeric_inputs(network):
        raise ArgumentError(
            "the encoder has no input of standardised numbers to which noise could be added",
            argument="input_noise",
            value=deviation,
            suggestions=(
                message("Leave {noise} out", noise=Argument("input_noise")),
                message(
                    "Wrap the network of the encoder in {wrapper}",
                    wrapper=Part("networks.Standardise"),
                ),
            ),
        )


def set_input_noise(network: nn.Module, deviation: float) -> None:
    """Set the noise that an encoder adds to its numbers in training mode.

    Args:
        network: The encoder, changed in place.
        deviation: Standard deviation in standardised units; 0: no noise.
    """
    for module in _numeric_inputs(network):
        module.input_noise = deviation


def _numeric_inputs(network: nn.Module) -> list[NumericInput]:
    return [
        module
        for module in network.modules()
        if isinstance(module, NumericInput) and module.reads_numbers
    ]
