"""Models with a hierarchy of latent images."""

from __future__ import annotations

from torch import nn

from .. import likelihoods, networks, posteriors, priors
from ..likelihoods._likelihood import Likelihood
from ._vae import VAE


def top_down(encoder: nn.Module, trunk: networks.TopDown, likelihood: Likelihood) -> VAE:
    """Build a model whose prior, posterior and decoder share one path through a trunk.

    The path goes from the smallest size up to the image. A step makes one pass through the trunk:
    the posterior meets the prior on the way and ends where the decoder begins.

    Vahdat and Kautz, NVAE (2020); Child, Very deep VAEs generalize autoregressive models and can
    outperform them on images (2021).

    Args:
        encoder: Maps data to features at every size, as ``networks.Pyramid`` does.
        trunk: The shared network.
        likelihood: A likelihood of the features of the whole image, with ``latent_rank=3``.

    Returns:
        The model.

    Example:
        >>> from aevb import likelihoods, networks
        >>> model = top_down(
        ...     networks.Pyramid((8, 8), [8, 16]),
        ...     networks.TopDown((8, 8), [8, 16], latent=2, layers=1),
        ...     likelihoods.Bernoulli(networks.Conv(8, 8), (8, 8), latent_rank=3),
        ... )
        >>> model.latent_shape, model.sample(3).shape
        ((40,), torch.Size([3, 8, 8]))
    """
    return VAE(
        priors.TopDown(trunk),
        posteriors.TopDown(encoder, trunk),
        likelihoods.TopDown(trunk, likelihood),
    )
