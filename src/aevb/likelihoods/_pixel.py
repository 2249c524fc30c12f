"""Autoregressive likelihood of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution

from .._conditional import capture_parameters
from .._registry import register
from ..distributions import AutoregressiveImage, IntegerCategorical
from ..errors import check_choice, check_counts
from ..networks import Heads, PixelCNN
from ..notes import Argument, message
from ._likelihood import Likelihood, as_event_shape
from ._logistic_mixture import check_levels, component_offsets, discretised_logistic_mixture
from ._registration import LikelihoodRegistration

PixelFamily = Literal["bernoulli", "categorical", "logistic_mixture"]


@register(
    LikelihoodRegistration(
        title="PixelCNN decoder",
        paper="van den Oord et al. 2016, Gulrajani et al. 2017",
        kinds=("binary", "level"),
        scaling="levels",
        needs="a choice of masked convolutions, which decide what the latent is left to explain",
        instead=message("Use {preset}", preset=Argument("preset", "pixel_vae")),
        use_when="sharp images and the best bits per dimension",
        cost="one pass of convolutions per pixel for each draw",
        avoid_when="samples must be fast",
    )
)
class Pixel(Likelihood):
    """``log p(x|z) = sum_d log p(x_d | x_1 ... x_(d-1), z)`` by gated masked convolutions.

    Pixels are drawn row by row. ``network`` maps latents to features for every pixel; the masked
    layers see the pixels above and to the left. Few layers and a small kernel leave more of the
    image for the latent to explain.

    A density takes one pass; a draw takes one short pass per pixel. The mean has no formula and is
    averaged over 16 fixed draws. Missing cells are not supported: they would have to be summed
    over.

    van den Oord et al., Conditional image generation with PixelCNN decoders (2016); Gulrajani et
    al., PixelVAE (2017).

    Args:
        network: Maps latents to features.
        event_shape: Shape of an image, ``(H, W)`` or ``(C, H, W)``.
        output: Family of a pixel: ``"bernoulli"`` for 0 and 1, ``"logistic_mixture"`` (as in
            ``LogisticMixture``) for ordered levels, ``"categorical"`` for levels without an order.
        levels: Number of values of a pixel, 0 ... ``levels - 1``.
        components: Number of logistics of a mixture.
        features: Number of channels of the masked layers.
        layers: Number of masked layers.
        kernel: Width of their kernels.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``event_shape`` is not an image, ``output`` is unknown, ``levels`` does not
            fit it, or a count is less than 1.

    Example:
        >>> import torch
        >>> Pixel(nn.Identity(), (4, 4), layers=1)(torch.zeros(5, 2)).sample().shape
        torch.Size([5, 4, 4])
    """

    measure = "probability"
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
        check_choice("output", output, tuple(outputs))
        check_levels(levels, output == "bernoulli")
        check_counts(components=components)
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
