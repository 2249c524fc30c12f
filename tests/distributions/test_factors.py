import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from aevb.distributions._factors import fit_factors

N = 300


def correlated_rows(columns: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(columns, columns, generator=generator, dtype=torch.float64)
    return torch.randn(N, columns, generator=generator, dtype=torch.float64) @ mix + 3


def moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean = x.mean(0)
    return mean, (x - mean).T @ (x - mean) / len(x)


class TestFitFactors:
    @pytest.mark.parametrize("columns, latent", [(1, 1), (4, 4), (6, 9)])
    def test_as_many_latents_as_cells_reproduce_the_covariance(self, columns, latent):
        mean, covariance = moments(correlated_rows(columns))
        found = fit_factors(mean, covariance, latent)
        # a sum of squares of about 100 in float64
        assert (found.covariance - covariance).abs().max() < 1e-11
        assert found.loadings.shape == (columns, latent)

    @pytest.mark.parametrize("latent", [1, 3, 5])
    def test_fewer_latents_are_at_least_as_likely_as_principal_components(self, latent):
        x = correlated_rows(6)
        mean, covariance = moments(x)
        size = covariance.diagonal().sqrt()
        found = fit_factors(mean, covariance, latent)
        likelihood = MultivariateNormal(mean, found.covariance).log_prob(x).mean()
        values = torch.linalg.eigvalsh(covariance / size / size[:, None]).flip(0)
        rest = values[latent:].mean()  # Tipping and Bishop (1999), on standardised columns
        closed = -0.5 * (
            6 * math.log(2 * math.pi) + values[:latent].log().sum() + (6 - latent) * rest.log() + 6
        )
        assert likelihood > closed - size.log().sum() - 1e-9

    def test_the_posterior_is_diagonal_and_exact(self):
        found = fit_factors(*moments(correlated_rows(5)), 3)
        scaled = found.loadings / found.noise[:, None]
        precision = torch.eye(3).double() + found.loadings.T @ scaled
        assert (precision - precision.diagonal().diag()).abs().max() < 1e-9 * precision.max()
        assert torch.allclose(precision.diagonal(), 1 / found.posterior_variance)
        assert torch.allclose(precision @ found.posterior_map, scaled.T)

    def test_white_cells_have_the_first_latents(self):
        found = fit_factors(torch.zeros(4).double(), torch.eye(4).double(), 2)
        assert torch.allclose(found.covariance, torch.eye(4).double())
        assert found.loadings[:2].diagonal().min() > 0.9
        assert not found.loadings[2:].any()

    def test_moments_of_pairs_that_no_rows_can_have_are_made_possible(self):
        covariance = torch.tensor([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]]).double()
        assert torch.linalg.eigvalsh(covariance)[0] < 0
        found = fit_factors(torch.zeros(3).double(), covariance, 3)
        assert torch.linalg.eigvalsh(found.covariance)[0] > 0
