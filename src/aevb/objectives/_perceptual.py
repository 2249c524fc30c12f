"""Penalties on how a reconstruction looks: by structural similarity, or by the features of a network that knows images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..networks._conv import image_shape
from ..types import Terms
from ._penalised import Penalty, PenaltyTerm, check_non_negative
from ._schedules import Schedule
from ._ssim import ms_ssim


class MSSSIM(Penalty):
    """``1 - MS-SSIM(x, x_hat)`` with ``x_hat = E[x|z]``: 0 for equal images, about 1 for unrelated ones. See ``objectives.ssim``.

    ``data_range`` is the distance between the darkest and the brightest value there can be: 1 for data in [0, 1], ``levels - 1`` for grey
    levels. Images of any size, ``(H, W)`` or ``(C, H, W)``; small ones have fewer scales and smaller windows.

    Wang, Simoncelli and Bovik (2003); as what an autoencoder is trained by Snell et al., Learning to generate images with perceptual
    similarity metrics (2017): on ``Rate()`` in place of the likelihood, or on ``ELBO()`` beside it. Raises ``ArgumentError`` for a weight
    below 0 or a range that is not positive, and ``IncompatibleError`` for data that are no images.

    >>> MSSSIM(weight=100.0, data_range=16.0).measures
    ('one_minus_ms_ssim',)
    """

    def __init__(self, weight: float | Schedule = 100.0, data_range: float = 1.0) -> None:
        check_non_negative(weight=weight)
        super().__init__(one_minus_ms_ssim=weight)
        if not (data_range > 0 and math.isfinite(data_range)):
            raise ArgumentError(
                f"`data_range` is {data_range}; give the distance between the darkest and the brightest value, as 255."
            )
        self.data_range = data_range

    def check(self, model: VAE) -> None:
        if len(model.event_shape) not in (2, 3):
            raise IncompatibleError(
                f"`objectives.MSSSIM` compares images, and the data have shape {model.event_shape}. "
                "Give data of shape (H, W) or (C, H, W), or use `objectives.ELBO()`."
            )

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        made = terms.reconstruction.mean
        x, y = (
            images.reshape(-1, *image_shape(model.event_shape))
            for images in (terms.batch.x.expand_as(made), made)
        )
        return PenaltyTerm((1 - ms_ssim(x, y, self.data_range).mean(),))


class Perceptual(Penalty):
    """``1/2 sum_l mean (f_l(x) - f_l(x_hat))^2`` with the features ``f_l`` of any network, ``x_hat = E[x|z]``.

    ``network`` takes data ``[N, *event]``, in their units, and gives a tensor, or one per layer ``l``. It is put into evaluation mode and
    stopped: not trained, not saved with the run. Its gradient reaches the decoder and the encoder through the reconstruction.

    Hou et al., Deep feature consistent variational autoencoder (2017), on ``Rate()``. Raises ``ArgumentError`` for a weight below 0, and
    ``IncompatibleError`` where the network does not take the data.

    >>> Perceptual(nn.Flatten(), weight=0.5).measures
    ('perceptual',)
    """

    def __init__(self, network: nn.Module, weight: float | Schedule = 1.0) -> None:
        check_non_negative(weight=weight)
        super().__init__(perceptual=weight)
        self.frozen_network = (
            network.eval().requires_grad_(False),
        )  # a tuple hides it from optimisers and checkpoints

    def check(self, model: VAE) -> None:
        like = next(model.parameters(), torch.zeros(()))
        (network,) = self.frozen_network
        try:
            self._features(
                network.to(like.device, like.dtype),
                torch.zeros(2, *model.event_shape, dtype=like.dtype, device=like.device),
            )
        except Exception as error:  # a network of one's own may raise anything
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise IncompatibleError(
                f"the network of `objectives.Perceptual` does not take data of shape {model.event_shape} ({reason}); "
                "put a module in front of it that brings them into its form."
            ) from error

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        (network,) = self.frozen_network
        made, x = terms.reconstruction.mean, terms.batch.x
        wanted = self._features(network, x)
        found = self._features(network, made.flatten(0, 1))
        apart = [
            (b.reshape(-1, *a.shape) - a).square().mean()
            for a, b in zip(wanted, found, strict=True)
        ]
        return PenaltyTerm((torch.stack(apart).sum() / 2,))

    @staticmethod
    def _features(network: nn.Module, x: Tensor) -> Sequence[Tensor]:
        features = network(x)
        return [features] if isinstance(features, Tensor) else features
