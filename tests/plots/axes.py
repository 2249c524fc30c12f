"""Helpers of the tests of pictures: a small model, and arrays read back from axes."""

import math

import numpy as np
import torch

import aevb
from aevb import likelihoods, networks, posteriors, priors


def untrained_model(latent=2, event=(8, 8)):
    """An untrained model of images or rows."""
    torch.manual_seed(0)
    size = math.prod(event)
    likelihood = likelihoods.Normal(networks.MLP(latent, [16]), list(event))
    posterior = posteriors.Normal(networks.MLP(size, [16]), latent)
    return aevb.VAE(priors.Normal(latent), posterior, likelihood).eval()


def image_array(ax):
    """The image on axes, [height, width, 4]."""
    return np.asarray(ax.get_images()[0].get_array())


def legend_texts(ax):
    """The entries of the legend."""
    return [text.get_text() for text in ax.get_legend().get_texts()]
