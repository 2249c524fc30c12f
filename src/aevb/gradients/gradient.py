"""What a gradient is, and the checks at the door."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ..errors import IncompatibleError
from ..models import VAE
from ..objectives import Objective
from ..types import Batch, Estimate, Recorded, Score, Terms


class Gradient(Recorded, nn.Module, ABC):
    """``(model, objective, batch) -> Estimate(score, loss)``; ``loss.backward()`` leaves the gradient in the parameters."""

    @abstractmethod
    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate: ...

    @abstractmethod
    def check(self, model: VAE, objective: Objective) -> None:
        """Raise ``IncompatibleError``, with the line to write instead, where this gradient does not exist for model and objective."""


def check_pair(model: VAE, objective: Objective) -> None:
    """Refuse an objective that does not exist for the model, whatever the gradient."""
    posterior = type(model.posterior).__name__
    if objective.kind != "reconstruction" and not model.posterior.density:
        raise IncompatibleError(
            f"objective `{type(objective).__name__}` needs a posterior with a density, got `posteriors.{posterior}`. "
            "Use `objectives.Reconstruction()`, or `posteriors.Normal(...)`."
        )
    if objective.kl == "exact" and not model.exact_kl:
        p, q = model.probe()
        raise IncompatibleError(
            f'kl="exact" needs a registered divergence, and there is none from `{type(q).__name__}` to `{type(p).__name__}`. '
            'Use `objectives.ELBO(kl="sampled")`.'
        )


def check_reparameterised(gradient: Gradient, model: VAE) -> None:
    """Refuse a posterior whose draws cannot be differentiated."""
    _, q = model.probe()
    if not q.has_rsample:
        raise IncompatibleError(
            f"gradient `{type(gradient).__name__}` needs a posterior that can be reparameterised, got "
            f"`posteriors.{type(model.posterior).__name__}`. Use `gradients.LeaveOneOut()` (unbiased, needs samples >= 2) or "
            "`gradients.ScoreFunction()` (unbiased, noisy)."
        )


def draw(model: VAE, objective: Objective, batch: Batch, *, reparameterised: bool) -> Terms:
    """The terms of fresh draws from the posterior, with the gradient running through them or not."""
    q = model.posterior(batch.x, batch.context)
    shape = (objective.samples,)
    z = q.rsample(shape) if reparameterised else q.sample(shape)
    return model.terms(batch, z, q, exact_kl=objective.kl != "sampled" and model.exact_kl)


def loss_of(score: Score, surrogate: Tensor | None = None) -> Tensor:
    """``-mean(target) + penalty``, ``[]``; ``surrogate`` ``[B]`` stands in for the target where its gradient differs."""
    return score.penalty - (score.target if surrogate is None else surrogate).mean()
