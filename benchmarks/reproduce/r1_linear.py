"""R1: a linear VAE is probabilistic PCA (shared noise) or factor analysis (noise per element).

Data: the 13 standardised measurements of scikit-learn's wine set, all 178 rows; 3 latent variables.
The truth is a closed form for probabilistic PCA (Tipping and Bishop 1999), and the optimum of
scikit-learn's EM for factor analysis. The ELBO with 4 samples is maximised by Adam at 0.3 with a
falling learning rate, 6000 steps over all rows, in float64; the posterior has a full covariance.
Reproduced: the log-likelihood within 1e-3 nats per datum after training. Analytic identity: at the
principal components a diagonal posterior is exact, so the ELBO is the log-likelihood; within 1e-9
nats (Lucas et al. 2019, Don't blame the ELBO!).

Takes about 1 minute on one core.
"""

from __future__ import annotations

import math

import frame
import torch
from frame import ReproducedNumber, Stopwatch
from sklearn.datasets import load_wine
from sklearn.decomposition import FactorAnalysis
from torch import Tensor, nn

import aevb
from aevb import VAE, gradients, likelihoods, metrics, objectives, posteriors, priors
from aevb._random import seed_scope
from aevb.distributions import from_scale
from aevb.training import adam

LATENT = 3


def standardised() -> Tensor:
    """The data with mean 0 and standard deviation 1."""
    x = torch.tensor(load_wine().data)
    return (x - x.mean(0)) / x.std(0, correction=0)


def principal_components(x: Tensor) -> tuple[Tensor, float, float]:
    """Weights, noise and log-likelihood per datum of probabilistic PCA at its maximum."""
    n, size = x.shape
    values, vectors = torch.linalg.eigh(x.T @ x / n)
    values, vectors = values.flip(0), vectors.flip(1)
    variance = values[LATENT:].mean()
    weight = vectors[:, :LATENT] * (values[:LATENT] - variance).sqrt()
    inside = values[:LATENT].log().sum() + (size - LATENT) * variance.log()
    return (
        weight,
        variance.sqrt().item(),
        -0.5 * (size * math.log(2 * math.pi) + inside.item() + size),
    )


def factor_analysis(x: Tensor) -> float:
    """Log-likelihood per datum at scikit-learn's optimum, run to convergence."""
    return (
        FactorAnalysis(LATENT, tol=1e-10, max_iter=50_000, svd_method="lapack")
        .fit(x.numpy())
        .score(x.numpy())
    )


def train(x: Tensor, noise: str, epochs: int, seed: int) -> VAE:
    """Train the linear VAE."""
    with seed_scope(seed):
        posterior = posteriors.Normal(nn.Identity(), LATENT, covariance="full")
        model = VAE(
            priors.Normal(LATENT),
            posterior,
            likelihoods.Normal(nn.Identity(), (x.shape[1],), scale=noise),
        )
    objective, gradient = (
        objectives.ELBO(samples=4, kl="sampled"),
        gradients.DoublyReparameterised(),
    )
    given = {
        "epochs": epochs,
        "batch_size": len(x),
        "seed": seed,
        "compile": False,
        "progress": False,
    }
    return aevb.fit(
        model, x, objective=objective, gradient=gradient, optimizer=adam(0.3), **given
    ).model


@torch.no_grad()
def at_the_principal_components(x: Tensor) -> VAE:
    """The model at the closed form: the variances of the posterior are ``sigma^2 / l``."""
    weight, noise, _ = principal_components(x)
    likelihood = likelihoods.Normal(nn.Identity(), (x.shape[1],), scale=noise)
    model = VAE(priors.Normal(LATENT), posteriors.Normal(nn.Identity(), LATENT), likelihood)
    decoder, encoder = likelihood.noise.heads.head, model.posterior.heads.head
    decoder.weight.copy_(weight)
    precision = weight.T @ weight + noise**2 * torch.eye(LATENT)
    encoder.weight.copy_(
        torch.cat([torch.linalg.solve(precision, weight.T), torch.zeros_like(weight.T)])
    )
    encoder.bias.copy_(
        torch.cat([torch.zeros(LATENT), from_scale(noise * precision.diagonal() ** -0.5)])
    )
    return model


def score(model: VAE, x: Tensor) -> float:
    """The exact log-likelihood per datum."""
    return metrics.exact_log_likelihood(model, x).mean().item()


def main() -> None:
    """Run the reproduction."""
    options = frame.parse_options(__doc__, epochs=6000)
    options.precision = "float64"
    torch.set_default_dtype(torch.float64)
    x = standardised()
    best = principal_components(x)[-1]
    watch = Stopwatch()
    numbers = []
    for what, noise, truth in [
        ("shared noise", "shared", best),
        ("noise per element", "per_element", factor_analysis(x)),
    ]:
        ours = score(train(x, noise, options.epochs, options.seed), x)
        source = (
            "probabilistic PCA, closed form"
            if noise == "shared"
            else "factor analysis, scikit-learn"
        )
        near = {"low": truth - 1e-3, "high": truth + 1e-3, "seconds": watch(), "digits": 4}
        numbers.append(ReproducedNumber(f"{frame.NATS}, {what}", ours, None, truth, source, **near))
    parts = metrics.decomposition(at_the_principal_components(x), x)
    near = {"low": best - 1e-9, "high": best + 1e-9, "seconds": watch(), "digits": 10}
    numbers.append(
        ReproducedNumber(
            "ELBO at the principal components",
            parts.elbo.mean().item(),
            None,
            best,
            "closed form",
            **near,
        )
    )
    frame.write_record("r1", numbers, options)


if __name__ == "__main__":
    main()
