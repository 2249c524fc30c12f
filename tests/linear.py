"""Linear-Gaussian models with fixed parameters and known evidence."""

import math

import torch
from torch import Tensor, nn

from aevb import VAE, likelihoods, posteriors, priors
from aevb.posteriors._normal import TRIL_ENTRY_BOUND


def unscale(scale: Tensor) -> Tensor:
    """The network output whose scale this is: the inverse of ``distributions.positive``."""
    return 6 * torch.atanh(scale.log() / 6)


def linear_vae(
    weight: Tensor, offset: Tensor, scale: float | Tensor, covariance: str = "diagonal"
) -> VAE:
    """``x = W z + b + scale * noise`` with a linear encoder.

    A single scale is fixed; several are parameters.
    """
    size, latent = weight.shape
    noise = "per_element" if isinstance(scale, Tensor) else scale
    likelihood = likelihoods.Normal(nn.Identity(), (size,), scale=noise)
    model = VAE(
        priors.Normal(latent),
        posteriors.Normal(nn.Identity(), latent, covariance=covariance),
        likelihood,
    )
    with torch.no_grad():
        likelihood.noise.heads.head.weight.copy_(weight)
        likelihood.noise.heads.head.bias.copy_(offset)
        if isinstance(scale, Tensor):
            likelihood.noise.raw.copy_(unscale(scale))
    return model


@torch.no_grad()
def set_posterior(model: VAE, gain: Tensor, shift: Tensor, spread: Tensor) -> None:
    """Set ``q(z|x) = N(gain x + shift, Sigma)``.

    ``Sigma`` comes from scales ``[latent]`` or a lower triangle ``[latent, latent]``.
    """
    head, latent = model.posterior.heads.head, len(shift)
    nn.init.zeros_(head.weight)
    head.weight[:latent] = gain
    head.bias[:latent] = shift
    scales = spread if spread.dim() == 1 else spread.diagonal()
    head.bias[latent : 2 * latent] = unscale(scales)
    if spread.dim() == 2:
        head.bias[2 * latent :] = (
            TRIL_ENTRY_BOUND
            * torch.atanh(torch.tril(spread / scales[:, None], -1) / TRIL_ENTRY_BOUND).flatten()
        )


def true_posterior(
    weight: Tensor, offset: Tensor, scale: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gain, shift and covariance of ``p(z|x)``, from the textbook formula with inverses."""
    variance = torch.as_tensor(scale).expand(len(offset)) ** 2
    covariance = torch.linalg.inv(
        torch.eye(weight.shape[1]) + weight.T @ torch.diag(1 / variance) @ weight
    )
    gain = covariance @ weight.T / variance
    return gain, -gain @ offset, covariance


def exact_vae(weight: Tensor, offset: Tensor, scale: float | Tensor) -> VAE:
    """The model with its own true posterior, in full covariance."""
    model = linear_vae(weight, offset, scale, covariance="full")
    gain, shift, covariance = true_posterior(weight, offset, scale)
    set_posterior(model, gain, shift, torch.linalg.cholesky(covariance))
    return model


def evidence(weight: Tensor, offset: Tensor, scale: float | Tensor, x: Tensor) -> Tensor:
    """``log p(x)`` by the dense formula."""
    variance = torch.as_tensor(scale).expand(len(offset)) ** 2
    covariance = weight @ weight.T + torch.diag(variance)
    away = x - offset
    quadratic = (away * torch.linalg.solve(covariance, away.T).T).sum(-1)
    return -0.5 * (quadratic + torch.linalg.slogdet(2 * torch.pi * covariance)[1])


def scalar_vae() -> VAE:
    """``p(z|x) = N(0.3, 0.8^2)``, ``q(z|x) = N(0.1, 0.9^2)`` at ``x = 0.625``.

    ``p(x) = N(0, 1.5625)``.
    """
    model = linear_vae(torch.tensor([[0.75]]), torch.zeros(1), 1.0)
    set_posterior(model, torch.zeros(1, 1), torch.tensor([0.1]), torch.tensor([0.9]))
    return model


def factor_data(n=300, size=6, latent=2, noise=None):
    """Two clear factors, so that no optimiser crawls along a flat direction."""
    weight = torch.linalg.qr(torch.randn(size, latent))[0] * torch.tensor([3.0, 2.0])
    noise = 0.4 + 0.4 * torch.rand(size) if noise is None else noise
    return torch.randn(n, latent) @ weight.T + noise * torch.randn(n, size) + torch.randn(size)


def rotated_model(covariance):
    """A posterior covariance with eigenvalues 0.8 and 0.2, rotated by 0.7: the gap of the best
    diagonal does not depend on their size.
    """
    c, s = math.cos(0.7), math.sin(0.7)
    axes = torch.tensor([[c, -s], [s, c]])
    target = axes @ torch.diag(torch.tensor([0.8, 0.2])) @ axes.T
    weight = torch.linalg.cholesky(torch.linalg.inv(target) - torch.eye(2)).T
    model = linear_vae(weight, torch.zeros(2), 1.0, covariance)
    gain, shift, posterior_covariance = true_posterior(weight, torch.zeros(2), 1.0)
    assert torch.allclose(posterior_covariance, target, atol=1e-14)
    return model, gain, shift, target


ROTATED_GAP = 0.217916333134491


def ppca(x, latent):
    """Maximum-likelihood weights, offset and noise, and the log-likelihood per datum, from the
    eigenvalues of the covariance (1/n).
    """
    n, size = x.shape
    values, vectors = torch.linalg.eigh((x - x.mean(0)).T @ (x - x.mean(0)) / n)
    values, vectors = values.flip(0), vectors.flip(1)
    variance = values[latent:].mean()
    weight = vectors[:, :latent] * (values[:latent] - variance).sqrt()
    likelihood = -0.5 * (
        size * math.log(2 * math.pi)
        + values[:latent].log().sum()
        + (size - latent) * variance.log()
        + size
    )
    return weight, x.mean(0), variance.sqrt(), likelihood.item()
