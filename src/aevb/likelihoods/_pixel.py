"""Images whose pixels are drawn one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution

from .._conditional import capture_parameters
from ..distributions import AutoregressiveImage, IntegerCategorical
from ..errors import ArgumentError
from ..networks import Heads, PixelCNN
from ._likelihood import Likelihood, as_event_shape
from ._logistic_mixture import component_offsets, discretised_logistic_mixture

PixelFamily = Literal["bernoulli", "categorical", "logistic_mixture"]


class Pixel(Likelihood):
    """``log p(x|z) = sum_d log p(x_d | x_1 ... x_(d-1), z)`` over the pixels of an image, row by row, by gated masked convolutions.

    ``network`` turns codes into features that every pixel is told; ``layers`` masked layers of ``features`` numbers, ``kernel`` wide, see
    what was drawn before. What is near in an image is then the pixels' affair and the codes are left with the rest: few layers and a small
    kernel leave them more. ``output`` is the family of a pixel: ``"bernoulli"`` for 0 and 1; for ``levels`` values from 0 on
    ``"logistic_mixture"`` with ``components`` as in ``LogisticMixture``, or ``"categorical"``, which knows no order.

    A density takes one pass, a draw one short pass per pixel. The mean has no formula and is that of 16 draws, always the same ones. Not
    for empty cells: what is missing would have to be summed over.

    van den Oord et al., Conditional image generation with PixelCNN decoders (2016); Gulrajani et al., PixelVAE (2017). Raises
    ``ArgumentError`` for what is no image, an unknown output, and levels that do not fit it.

    >>> import torch
    >>> Pixel(nn.Identity(), (4, 4), layers=1)(torch.zeros(5, 2)).sample().shape
    torch.Size([5, 4, 4])
    """

    discrete = True
    factorises = False
    offset: Tensor

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        output: PixelFamily = "bernoulli",
        levels: int = 2,
        components: int = 5,
        features: int = 32,
        layers: int = 3,
        kernel: int = 3,
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        outputs = {
            "bernoulli": (1, _bernoulli_pixels),
            "categorical": (levels, _categorical_pixels),
            "logistic_mixture": (3 * components, self._mixture),
        }
        if output not in outputs:
            raise ArgumentError(f"`output` is {output!r}; use one of {', '.join(outputs)}.")
        if levels < 2 or (output == "bernoulli" and levels > 2):
            instead = (
                'give output="logistic_mixture" for more than 2'
                if levels > 2
                else "give at least 2"
            )
            raise ArgumentError(f"`levels` is {levels}; {instead}.")
        if components < 1:
            raise ArgumentError(f"`components` is {components}; give at least 1.")
        self.event_shape, self.levels = as_event_shape(event_shape), levels
        parameters, self.make_pixel_distribution = outputs[output]
        self.register_buffer("offset", component_offsets(components), persistent=False)
        self.pixel_cnn = PixelCNN(
            self.event_shape,
            parameters,
            features,
            levels,
            output == "categorical",
            features,
            layers,
            kernel,
        )
        self.heads = Heads(network, (features, *self.event_shape[-2:]), input_ndim=latent_rank)

    def forward(self, input: Tensor, context: Tensor | None = None) -> AutoregressiveImage:
        (condition,) = self.heads(input, context)
        down, along = self.pixel_cnn.vertical, self.pixel_cnn.horizontal
        return AutoregressiveImage(
            condition,
            self.event_shape,
            capture_parameters(down),
            capture_parameters(along),
            self.make_pixel_distribution,
            down.receptive_radius,
            along.receptive_radius,
        )

    def _mixture(self, parameters: Tensor) -> Distribution:
        logits, loc, raw = parameters.movedim(2, -1).chunk(3, -1)
        return discretised_logistic_mixture(logits, loc, raw, self.offset, self.levels)


def _bernoulli_pixels(parameters: Tensor) -> Distribution:
    return TorchBernoulli(logits=parameters.squeeze(2), validate_args=False)


def _categorical_pixels(parameters: Tensor) -> Distribution:
    return IntegerCategorical(parameters.movedim(2, -1))
