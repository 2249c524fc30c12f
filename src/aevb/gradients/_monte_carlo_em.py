"""Draws from the true posterior in the place of an approximate one's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, biject_to

from .._shapes import as_shape
from ..distributions import _hmc as hmc
from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..models._eval_mode import eval_mode
from ..objectives import Constant, Objective
from ..types import Batch, GradientEstimate, ObjectiveValue, Terms
from ._compatibility import check_log_weights, check_objective_for_model, check_posterior_density
from ._gradient import Gradient, resolve_exact_kl

MCEM_INITIAL_STEP_SIZE = 0.1  # step size to begin with
UNIT_BETA = Constant(1.0)  # the weight of the divergence in the bound itself
MCEM_STEP_SIZE_GAIN = (
    0.05  # of its adaptation, which never ends: the posterior moves as the model learns
)


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

    chain_state: Tensor
    chain_started: Tensor
    step_size: Tensor

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
        counts = {
            "rows": 1 if rows is None else rows,
            "chains": chains,
            "leapfrogs": leapfrogs,
            "transitions": transitions,
        }
        for argument, count in counts.items():
            if count < 1:
                raise ArgumentError(f"`{argument}` is {count}; give at least 1.")
        if not 0 < acceptance < 1:
            raise ArgumentError(
                f"`acceptance` is {acceptance}; give the share of proposals to be accepted, between 0 and 1."
            )
        if (rows is None) != (latent is None):
            raise ArgumentError(
                f"`rows` is {rows} and `latent` is {latent}; chains that go on need both, as in rows=1000, latent=8."
            )
        self.rows, self.chains, self.leapfrogs, self.transitions, self.acceptance = (
            rows,
            chains,
            leapfrogs,
            transitions,
            acceptance,
        )
        self.register_buffer("step_size", torch.tensor([MCEM_INITIAL_STEP_SIZE]))
        if rows is not None and latent is not None:
            self.register_buffer(
                "chain_state", torch.zeros(rows, chains, *as_shape("latent", latent))
            )
            self.register_buffer("chain_started", torch.zeros(rows, dtype=torch.bool))

    def check(self, model: VAE, objective: Objective) -> None:
        check_objective_for_model(model, objective)
        check_posterior_density(self, model)
        check_log_weights(self, objective)
        _check_unweighted_bound(objective)
        _check_deterministic_weights(model)
        _unconstrained_transform(model.probe()[0])
        if self.rows is not None and tuple(self.chain_state.shape[2:]) != model.latent_shape:
            given, own = tuple(self.chain_state.shape[2:]), model.latent_shape
            raise IncompatibleError(
                f"gradient `MonteCarloEM` holds chains for codes of shape {given}, and the model's have {own}. "
                f"Use `gradients.MonteCarloEM(rows={self.rows}, latent={own[0] if len(own) == 1 else own})`."
            )

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        q = model.infer(batch)
        with eval_mode(model), torch.no_grad():
            z = self._run_chains(model, batch, q)
            terms, score = _reported_bound(model, objective, batch, q)
        explained = model.terms(batch, z, q)
        climbed = explained.log_likelihood + explained.log_prior + explained.log_posterior
        return GradientEstimate(score, -climbed.mean(), terms)

    def _run_chains(self, model: VAE, batch: Batch, q: Distribution) -> Tensor:
        """The chains of these data after the E-step, ``[chains, B, *latent]``."""
        free = _unconstrained_transform(model.prior(None, batch.context))

        def log_density(u: Tensor) -> Tensor:
            z = free(u)
            return model.log_joint(batch, z) + free.log_abs_det_jacobian(u, z)

        field = hmc.make_state_fn(log_density)
        here = field(free.inv(self._initial_state(batch, q)))
        for _ in range(self.transitions):
            moved = hmc.hmc_transition(field, here, self.step_size, self.leapfrogs)
            here = moved.state
            self.step_size.copy_(
                hmc.tune_step_size(
                    self.step_size, moved.acceptance, self.acceptance, MCEM_STEP_SIZE_GAIN
                )
            )
        z = free(here.z)
        self._store_state(batch, z)
        return z

    def _initial_state(self, batch: Batch, q: Distribution) -> Tensor:
        fresh = _draw_values(q, self.chains)
        if self.rows is None:
            return fresh
        index = self._row_index(batch)
        begun = self.chain_started[index].reshape(1, -1, *[1] * (fresh.dim() - 2))
        return torch.where(begun, self.chain_state[index].transpose(0, 1).to(fresh), fresh)

    def _store_state(self, batch: Batch, z: Tensor) -> None:
        if self.rows is not None:
            index = self._row_index(batch)
            self.chain_state[index] = z.transpose(0, 1).to(self.chain_state)
            self.chain_started[index] = True

    def _row_index(self, batch: Batch) -> Tensor:
        if batch.index is None or batch.dataset_size != self.rows:
            raise IncompatibleError(
                f"gradient `MonteCarloEM` holds chains for {self.rows:,} rows, and these come without row numbers or from a set of "
                f"{batch.dataset_size}. Use `gradients.MonteCarloEM(rows={batch.dataset_size}, latent=...)`, or `gradients.MonteCarloEM()`."
            )
        return batch.index


def _reported_bound(
    model: VAE, objective: Objective, batch: Batch, q: Distribution
) -> tuple[Terms, ObjectiveValue]:
    """The bound at draws of the posterior's own: at those of the chains it would lie above ``log p(x)``."""
    terms = model.terms(
        batch, _draw_values(q, objective.samples), q, exact_kl=resolve_exact_kl(model, objective)
    )
    return terms, objective(terms, model)


def _draw_values(q: Distribution, count: int) -> Tensor:
    """Draws without a gradient; through the transform where there is one, since torch's other sampler stops at a scale that is NaN."""
    return q.rsample((count,)) if q.has_rsample else q.sample((count,))


def _unconstrained_transform(
    prior: Distribution,
) -> Any:  # a Transform, whose calls torch annotates as if they could give nothing
    """The map from unconstrained numbers to codes. Raises ``IncompatibleError`` where there is none."""
    try:
        return biject_to(prior.support)
    except NotImplementedError:
        raise IncompatibleError(
            "gradient `MonteCarloEM` needs latent variables that move continuously, and those of this model do not. "
            "Use `gradients.LeaveOneOut()` with samples >= 2, or `gradients.ScoreFunction()`."
        ) from None


def _check_unweighted_bound(objective: Objective) -> None:
    """Whatever is climbed here is ``log p(x)``: a target that is something else would be ignored."""
    if objective.kind != "lower bound" or objective.schedules.get("beta", UNIT_BETA) != UNIT_BETA:
        raise IncompatibleError(
            f"gradient `MonteCarloEM` climbs log p(x) itself and reports a lower bound of it, got `{type(objective).__name__}` with a "
            "target of its own. Use `objectives.ELBO()`."
        )


def _check_deterministic_weights(model: VAE) -> None:
    if model.likelihood.weight_kl() is not None:
        raise IncompatibleError(
            f"gradient `MonteCarloEM` finds the best weights, and those of `likelihoods.{type(model.likelihood).__name__}` are random. "
            "Use `gradients.Pathwise()`."
        )
