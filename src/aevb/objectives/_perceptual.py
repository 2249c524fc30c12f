"""Penalties on the appearance of a reconstruction: structural similarity, features of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .._registry import register
from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..networks._conv import image_shape
from ..notes import Part, message
from ..types import Batch, Terms
from ._penalised import Penalty, PenaltyRegistration, PenaltyTerm, check_non_negative
from ._schedules import Schedule
from ._ssim import ms_ssim


@register(
    PenaltyRegistration(
        paper="Snell et al. 2017",
        objective="Rate(likelihood_weight=0.01)",
        use_when="images should agree in structure instead of pixel by pixel",
        avoid_when="likelihoods are compared",
    )
)
class MSSSIM(Penalty):
    """Multi-scale structural dissimilarity ``1 - MS-SSIM(x, x_hat)`` with ``x_hat = E[x|z]``.

    0 for equal images, about 1 for unrelated ones. Images have shape ``(H, W)`` or ``(C, H, W)``;
    small images have fewer scales and smaller windows.

    Args:
        weight: Weight of the penalty, a number or a schedule.
        data_range: Distance between the darkest and the brightest possible value: 1 for data in
            [0, 1], ``levels - 1`` for grey levels.

    Raises:
        ArgumentError: ``weight`` is negative, or ``data_range`` is not positive.
        IncompatibleError: The data are no images.

    Example:
        >>> MSSSIM(weight=100.0, data_range=16.0).metric_names
        ('one_minus_ms_ssim',)

    References:
        Wang, Simoncelli and Bovik (2003); for autoencoders Snell et al., Learning to generate
        images with perceptual similarity metrics (2017): with ``Rate()`` instead of the likelihood,
        or with ``ELBO()`` in addition to it.
    """

    takes_weights = True

    def __init__(self, weight: float | Schedule = 100.0, data_range: float = 1.0) -> None:
        check_non_negative(weight=weight)
        super().__init__(one_minus_ms_ssim=weight)
        if not (data_range > 0 and math.isfinite(data_range)):
            raise ArgumentError(
                "give the distance between the darkest and the brightest value, as 255",
                argument="data_range",
                value=data_range,
            )
        self.data_range = data_range

    def check(self, model: VAE) -> None:
        if len(model.event_shape) not in (2, 3):
            raise IncompatibleError(
                f"`objectives.MSSSIM` compares images, and the data have shape {model.event_shape}",
                suggestions=(
                    message(
                        "Give data of shape (H, W) or (C, H, W), or use {elbo}",
                        elbo=Part("objectives.ELBO"),
                    ),
                ),
            )

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        mean = terms.reconstruction.mean
        x, y = (
            images.reshape(-1, *image_shape(model.event_shape))
            for images in (terms.batch.x.expand_as(mean), mean)
        )
        return PenaltyTerm(
            (1 - terms.batch.mean(ms_ssim(x, y, self.data_range).reshape(mean.shape[:2])),)
        )


@register(
    PenaltyRegistration(
        paper="Hou et al. 2017",
        objective="Rate(likelihood_weight=0.01)",
        use_when="images should agree in the features of a trained network",
        cost="two passes through that network",
        avoid_when="likelihoods are compared",
    )
)
class Perceptual(Penalty):
    """Distance of the features of a network: ``1/2 sum_l mean (f_l(x) - f_l(x_hat))^2``.

    ``x_hat = E[x|z]``. The gradient reaches decoder and encoder through the reconstruction. The
    network is put into evaluation mode; it is not trained and not saved with the run.

    Args:
        network: Features of data ``[N, *event]``, in the units of the data: a tensor, or one for
            each layer ``l``.
        weight: Weight of the penalty, a number or a schedule.

    Raises:
        ArgumentError: ``weight`` is negative.
        IncompatibleError: The network does not take the data.

    Example:
        >>> Perceptual(nn.Flatten(), weight=0.5).metric_names
        ('perceptual',)

    References:
        Hou et al., Deep feature consistent variational autoencoder (2017), with ``Rate()``.
    """

    takes_weights = True

    def __init__(self, network: nn.Module, weight: float | Schedule = 1.0) -> None:
        check_non_negative(weight=weight)
        super().__init__(perceptual=weight)
        # a tuple hides it from optimisers and checkpoints
        self.frozen_network = (network.eval().requires_grad_(False),)

    def check(self, model: VAE) -> None:
        like = next(model.parameters(), torch.zeros(()))
        (network,) = self.frozen_network
        try:
            self._features(
                network.to(like.device, like.dtype),
                torch.zeros(2, *model.event_shape, dtype=like.dtype, device=like.device),
            )
        except Exception as error:  # a user's network may raise anything
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise IncompatibleError(
                "the network of `objectives.Perceptual` does not take data of shape "
                f"{model.event_shape} ({reason})",
                argument="network",
                suggestions=("Put a module in front of it that converts them",),
            ) from error

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        (network,) = self.frozen_network
        mean, x = terms.reconstruction.mean, terms.batch.x
        data_features = self._features(network, x)
        mean_features = self._features(network, mean.flatten(0, 1))
        distances = [
            self._distance(b.reshape(-1, *a.shape) - a, terms.batch)
            for a, b in zip(data_features, mean_features, strict=True)
        ]
        return PenaltyTerm((torch.stack(distances).sum() / 2,))

    @staticmethod
    def _distance(difference: Tensor, batch: Batch) -> Tensor:
        """The mean square of differences ``[K, B, *features]``."""
        square = difference.square()
        if batch.weight is None:
            return square.mean()
        return batch.mean(square.reshape(*square.shape[:2], -1).mean(2))

    @staticmethod
    def _features(network: nn.Module, x: Tensor) -> Sequence[Tensor]:
        features = network(x)
        return [features] if isinstance(features, Tensor) else features
