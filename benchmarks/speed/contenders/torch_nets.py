"""Hand-written PyTorch modules as in tutorials; each returns the negative ELBO of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from gate import (
    DEEP,
    DEEP_LATENT,
    DEEP_SAMPLES,
    HIDDEN,
    IMAGE_CHANNELS,
    IMAGE_LATENT,
    LATENT,
    PIXELS,
    TABLE_COLUMNS,
    TABLE_HIDDEN,
)
from gate import TABLE_LATENT as FACTORS
from torch import Tensor, nn


def draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A reparameterised draw."""
    return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The KL divergence from the standard normal prior."""
    return 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(-1)


def layers(sizes: Sequence[int]) -> nn.Sequential:
    """A fully connected network."""
    return nn.Sequential(
        *(part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU()))
    )


class Digits(nn.Module):
    """784-400-20, Bernoulli."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.mean, self.log_variance = (
            nn.Linear(PIXELS, HIDDEN),
            nn.Linear(HIDDEN, LATENT),
            nn.Linear(HIDDEN, LATENT),
        )
        self.back, self.out = nn.Linear(LATENT, HIDDEN), nn.Linear(HIDDEN, PIXELS)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.hidden(x))
        mean, log_variance = self.mean(h), self.log_variance(h)
        logits = self.out(F.relu(self.back(draw(mean, log_variance))))
        error = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        return (error + divergence(mean, log_variance)).mean()


class Weighted(nn.Module):
    """784-200-200-50, Bernoulli, the importance-weighted bound of 50 samples."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.code = layers([PIXELS, *DEEP]), nn.Linear(DEEP[-1], 2 * DEEP_LATENT)
        self.decoder = nn.Sequential(
            *layers([DEEP_LATENT, *DEEP[::-1]]), nn.Linear(DEEP[0], PIXELS)
        )

    def forward(self, x: Tensor) -> Tensor:
        mean, log_variance = self.code(self.encoder(x)).chunk(2, -1)
        noise = torch.randn(DEEP_SAMPLES, *mean.shape)
        z = mean + torch.exp(0.5 * log_variance) * noise
        logits = self.decoder(z)
        error = F.binary_cross_entropy_with_logits(
            logits, x.expand_as(logits), reduction="none"
        ).sum(-1)
        log_weight = 0.5 * (noise.square() - z.square() + log_variance).sum(-1) - error
        return -(torch.logsumexp(log_weight, 0) - math.log(DEEP_SAMPLES)).mean()


class Table(nn.Module):
    """16-64-4, Normal with one scale."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.code = (
            nn.Linear(TABLE_COLUMNS, TABLE_HIDDEN),
            nn.Linear(TABLE_HIDDEN, 2 * FACTORS),
        )
        self.back, self.out = (
            nn.Linear(FACTORS, TABLE_HIDDEN),
            nn.Linear(TABLE_HIDDEN, TABLE_COLUMNS),
        )
        self.raw = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        mean, log_variance = self.code(F.relu(self.hidden(x))).chunk(2, -1)
        loc = self.out(F.relu(self.back(draw(mean, log_variance))))
        fit = (
            torch.distributions.Normal(loc, self.raw.exp(), validate_args=False).log_prob(x).sum(-1)
        )
        return (divergence(mean, log_variance) - fit).mean()


class Photographs(nn.Module):
    """Convolutional VAE of 3 x 32 x 32 levels 0 to 255.

    Two strided convolutions and back; discretised logistic with mean and scale per pixel.
    """

    def __init__(self) -> None:
        super().__init__()
        first, second = IMAGE_CHANNELS
        self.encoder = nn.Sequential(
            nn.Conv2d(3, first, 3, 2, 1), nn.ReLU(), nn.Conv2d(first, second, 3, 2, 1), nn.ReLU()
        )
        self.code, self.start = (
            nn.Linear(second * 64, 2 * IMAGE_LATENT),
            nn.Linear(IMAGE_LATENT, second * 64),
        )
        self.decoder = nn.Sequential(
            nn.ReLU(),
            nn.ConvTranspose2d(second, second, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(second, first, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(first, 6, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        mean, log_variance = self.code(self.encoder(x / 127.5 - 1).flatten(1)).float().chunk(2, -1)
        start = self.start(draw(mean, log_variance)).reshape(len(x), -1, 8, 8)
        loc, log_scale = self.decoder(start).float().chunk(2, 1)
        fit = discretised_logistic(x, 255 * (0.5 + loc), 25.5 * log_scale.exp())
        return (divergence(mean, log_variance) - fit.flatten(1).sum(-1)).mean()


def discretised_logistic(x: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    """The log-probability of levels 0 to 255, without a difference of sigmoids."""
    width = 1 / scale
    low = (x - 0.5 - loc) * width
    below, above = -F.softplus(-(low + width)), -F.softplus(low)
    inner = below + above + torch.log(-torch.expm1(-width))
    return torch.where(x <= 0, below, torch.where(x >= 255, above, inner))
