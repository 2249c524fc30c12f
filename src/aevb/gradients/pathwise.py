"""The gradient through the draw."""

from __future__ import annotations

from ..models import VAE
from ..objectives import Objective
from ..types import Batch, Estimate
from .gradient import Gradient, check_pair, check_reparameterised, draw, loss_of


class Pathwise(Gradient):
    """Differentiate the target through ``z = g(noise, x)``. Kingma and Welling (2014), Rezende et al. (2014).

    Needs a posterior that can be reparameterised.
    """

    def check(self, model: VAE, objective: Objective) -> None:
        check_pair(model, objective)
        check_reparameterised(self, model)

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate:
        terms = draw(model, objective, batch, reparameterised=True)
        score = objective(terms, model)
        return Estimate(score, loss_of(score), terms)
