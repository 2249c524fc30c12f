"""Linear-Gaussian models with given numbers in them: the models whose truth is known."""

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
    """``x = W z + b + scale * noise`` with a linear encoder; one noise for all elements is fixed, several are parameters."""
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
    """Let ``q(z|x) = N(gain x + shift, Sigma)`` with ``Sigma`` from the scales ``[latent]`` or the lower triangle ``[latent, latent]``."""
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
    """``p(z|x) = N(0.3, 0.8^2)`` and ``q(z|x) = N(0.1, 0.9^2)`` at ``x = 0.625``; ``p(x) = N(0, 1.5625)``."""
    model = linear_vae(torch.tensor([[0.75]]), torch.zeros(1), 1.0)
    set_posterior(model, torch.zeros(1, 1), torch.tensor([0.1]), torch.tensor([0.9]))
    return model
