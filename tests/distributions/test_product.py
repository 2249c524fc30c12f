"""Unconstrained coordinates of the library's supports: image, inverse, Jacobian."""

import pytest
import torch
from torch.distributions import Beta, Gamma, Independent, Normal, biject_to

from aevb.distributions import Affine
from aevb.distributions._poincare_ball import poincare_ball
from aevb.distributions._product import Product

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize(
    "support",
    [
        poincare_ball,
        Product(
            [Independent(Normal(torch.zeros(2), 1.0), 1), Independent(Gamma(torch.ones(1), 1.0), 1)]
        ).support,
        Affine(
            Independent(Beta(torch.ones(3), 1.0), 1), torch.tensor(2.0), torch.tensor(3.0)
        ).support,
    ],
    ids=["ball", "product", "affine"],
)
def test_unconstrained_coordinates_cover_the_support_with_the_right_jacobian(support):
    """The log determinant equals autograd's Jacobian; the inverse restores the input."""
    free = biject_to(support)
    u = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = free(u)
    assert support.check(z).all()
    assert torch.allclose(free.inv(z), u, atol=1e-9)
    jacobians = torch.stack([torch.autograd.functional.jacobian(free, row) for row in u])
    log_det = free.log_abs_det_jacobian(u, z)
    log_det = log_det if log_det.dim() == 1 else log_det.sum(-1)
    assert torch.allclose(log_det, torch.linalg.slogdet(jacobians).logabsdet, atol=1e-9)
