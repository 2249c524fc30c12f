"""Draws from the true posterior in the place of an approximate one's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, biject_to

from ..distributions import hmc
from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..models.mode import at_rest
from ..objectives import Constant, Objective
from ..shapes import as_shape
from ..types import Batch, Estimate, Score, Terms
from .door import check_density, check_log_weights, check_pair
from .gradient import Gradient, wants_exact

FIRST = 0.1  # step size to begin with
PLAIN = Constant(1.0)  # the weight of the divergence in the bound itself
GAIN = 0.05  # of its adaptation, which never ends: the posterior moves as the model learns


class MonteCarloEM(Gradient):
    """E-step: Hamiltonian Monte Carlo from ``p(z|x)``. M-step: one step up ``E[log p(x, z)]`` at its draws, which climbs ``log p(x)``.

    Each datum has ``chains`` chains, moved by ``transitions`` proposals of ``leapfrogs`` steps whenever it is in the batch, with one step
    size for all, tuned to the share ``acceptance``. With ``rows``, the number of training rows, and ``latent``, the shape of a code, the
    chains go on where they were left, as in the paper; without, they begin anew at draws from the model's posterior each time, which
    costs no memory and is biased as far as they have not forgotten that.

    The model's posterior has no part in what prior and likelihood learn but to begin the chains: it is fitted to their draws, by
    ``E_p(z|x)[log q(z|x)]``, so that codes and likelihoods can be had afterwards. What is reported is the objective's bound at draws of
    that posterior. Latents on a constrained support are moved in unconstrained coordinates.

    Kingma and Welling, Auto-encoding variational Bayes (2014), section 5; Hoffman, Learning deep latent Gaussian models with Markov chain
    Monte Carlo (2017). Raises ``ArgumentError`` for counts below 1, an acceptance outside (0, 1), and ``rows`` without ``latent``.
    """

    state: Tensor
    begun: Tensor
    step: Tensor

    def __init__(
        self,
        rows: int | None = None,
        latent: int | Sequence[int] | None = None,
        chains: int = 1,
        leapfrogs: int = 10,
        transitions: int = 1,
        acceptance: float = 0.9,
    ) -> None:
        super().__init__()
        counts = {"rows": 1 if rows is None else rows, "chains": chains, "leapfrogs": leapfrogs, "transitions": transitions}
        for argument, count in counts.items():
            if count < 1:
                raise ArgumentError(f"`{argument}` is {count}; give at least 1.")
        if not 0 < acceptance < 1:
            raise ArgumentError(f"`acceptance` is {acceptance}; give the share of proposals to be accepted, between 0 and 1.")
        if (rows is None) != (latent is None):
            raise ArgumentError(f"`rows` is {rows} and `latent` is {latent}; chains that go on need both, as in rows=1000, latent=8.")
        self.rows, self.chains, self.leapfrogs, self.transitions, self.acceptance = rows, chains, leapfrogs, transitions, acceptance
        self.register_buffer("step", torch.tensor([FIRST]))
        if rows is not None and latent is not None:
            self.register_buffer("state", torch.zeros(rows, chains, *as_shape("latent", latent)))
            self.register_buffer("begun", torch.zeros(rows, dtype=torch.bool))

    def check(self, model: VAE, objective: Objective) -> None:
        check_pair(model, objective)
        check_density(self, model)
        check_log_weights(self, objective)
        _check_plain(objective)
        _check_fixed(model)
        _coordinates(model.probe()[0])
        if self.rows is not None and tuple(self.state.shape[2:]) != model.latent_shape:
            given, own = tuple(self.state.shape[2:]), model.latent_shape
            raise IncompatibleError(
                f"gradient `MonteCarloEM` holds chains for codes of shape {given}, and the model's have {own}. "
                f"Use `gradients.MonteCarloEM(rows={self.rows}, latent={own[0] if len(own) == 1 else own})`."
            )

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> Estimate:
        q = model.infer(batch)
        with at_rest(model), torch.no_grad():
            z = self._explained(model, batch, q)
            terms, score = _reported(model, objective, batch, q)
        explained = model.terms(batch, z, q)
        climbed = explained.log_likelihood + explained.log_prior + explained.log_posterior
        return Estimate(score, -climbed.mean(), terms)

    def _explained(self, model: VAE, batch: Batch, q: Distribution) -> Tensor:
        """The chains of these data after the E-step, ``[chains, B, *latent]``."""
        free = _coordinates(model.prior(None, batch.context))

        def log_density(u: Tensor) -> Tensor:
            z = free(u)
            return model.log_joint(batch, z) + free.log_abs_det_jacobian(u, z)

        field = hmc.field(log_density)
        here = field(free.inv(self._begin(batch, q)))
        for _ in range(self.transitions):
            moved = hmc.transition(field, here, self.step, self.leapfrogs)
            here = moved.place
            self.step.copy_(hmc.tuned(self.step, moved.acceptance, self.acceptance, GAIN))
        z = free(here.z)
        self._keep(batch, z)
        return z

    def _begin(self, batch: Batch, q: Distribution) -> Tensor:
        fresh = _drawn(q, self.chains)
        if self.rows is None:
            return fresh
        index = self._rows_of(batch)
        begun = self.begun[index].reshape(1, -1, *[1] * (fresh.dim() - 2))
        return torch.where(begun, self.state[index].transpose(0, 1).to(fresh), fresh)

    def _keep(self, batch: Batch, z: Tensor) -> None:
        if self.rows is not None:
            index = self._rows_of(batch)
            self.state[index] = z.transpose(0, 1).to(self.state)
            self.begun[index] = True

    def _rows_of(self, batch: Batch) -> Tensor:
        if batch.index is None or batch.total != self.rows:
            raise IncompatibleError(
                f"gradient `MonteCarloEM` holds chains for {self.rows:,} rows, and these come without row numbers or from a set of "
                f"{batch.total}. Use `gradients.MonteCarloEM(rows={batch.total}, latent=...)`, or `gradients.MonteCarloEM()`."
            )
        return batch.index


def _reported(model: VAE, objective: Objective, batch: Batch, q: Distribution) -> tuple[Terms, Score]:
    """The bound at draws of the posterior's own: at those of the chains it would lie above ``log p(x)``."""
    terms = model.terms(batch, _drawn(q, objective.samples), q, exact_kl=wants_exact(model, objective))
    return terms, objective(terms, model)


def _drawn(q: Distribution, count: int) -> Tensor:
    """Draws without a gradient; through the transform where there is one, since torch's other sampler stops at a scale that is NaN."""
    return q.rsample((count,)) if q.has_rsample else q.sample((count,))


def _coordinates(prior: Distribution) -> Any:  # a Transform, whose calls torch annotates as if they could give nothing
    """The map from unconstrained numbers to codes. Raises ``IncompatibleError`` where there is none."""
    try:
        return biject_to(prior.support)
    except NotImplementedError:
        raise IncompatibleError(
            "gradient `MonteCarloEM` needs latent variables that move continuously, and those of this model do not. "
            "Use `gradients.LeaveOneOut()` with samples >= 2, or `gradients.ScoreFunction()`."
        ) from None


def _check_plain(objective: Objective) -> None:
    """Whatever is climbed here is ``log p(x)``: a target that is something else would be ignored."""
    if objective.kind != "lower bound" or objective.schedules.get("beta", PLAIN) != PLAIN:
        raise IncompatibleError(
            f"gradient `MonteCarloEM` climbs log p(x) itself and reports a lower bound of it, got `{type(objective).__name__}` with a "
            "target of its own. Use `objectives.ELBO()`."
        )


def _check_fixed(model: VAE) -> None:
    if model.likelihood.weight_divergence() is not None:
        raise IncompatibleError(
            f"gradient `MonteCarloEM` finds the best weights, and those of `likelihoods.{type(model.likelihood).__name__}` are random. "
            "Use `gradients.Pathwise()`."
        )
