"""Draws from the true posterior instead of an approximation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, biject_to

from .._registry import register
from .._shapes import as_shape
from ..distributions import hmc_state_fn, hmc_transition, tune_step_size
from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..models._eval_mode import eval_mode
from ..notes import Argument, Part, message
from ..objectives import Constant, Objective
from ..types import Batch, GradientEstimate, ObjectiveValue, Terms
from ._compatibility import check_log_weights, check_objective_for_model, check_posterior_density
from ._gradient import Gradient, GradientRegistration, resolve_exact_kl, training_terms

MCEM_INITIAL_STEP_SIZE = 0.1
MCEM_STEP_SIZE_GAIN = 0.05  # of an adaptation without end: the posterior moves with the model
UNIT_BETA = Constant(1.0)  # the weight of the KL divergence in the bound


@register(
    GradientRegistration(
        paper="Kingma and Welling 2014",
        posteriors="with a density on a continuous space",
        objectives="lower bounds with an unweighted KL divergence",
        use_when="few rows, where the decoder matters: it maximises the likelihood itself",
        cost="ten decoder passes per step",
    )
)
class MonteCarloEM(Gradient):
    """Monte Carlo EM: maximise ``E[log p(x, z)]`` at Hamiltonian draws from ``p(z|x)``.

    Each datum has several chains, which are moved whenever it is in the batch, with one step size
    for all. With ``rows`` and ``latent``, chains continue where they ended, as in the paper;
    otherwise they begin at draws from the model's posterior each time, which needs no memory and is
    biased by that start.

    The model's posterior only starts the chains: prior and likelihood learn nothing from it. It is
    fitted to the draws by ``E_p(z|x)[log q(z|x)]``, so that encodings and likelihoods can be
    computed afterwards. The reported number is the objective's bound at draws of that posterior.
    Latents with a constrained support are moved in unconstrained coordinates.

    Args:
        rows: Number of training rows.
        latent: Shape of the latent variable.
        chains: Number of chains per row.
        leapfrogs: Number of leapfrog steps of a proposal.
        transitions: Number of proposals per step.
        acceptance: Share of proposals to accept, to which the step size is adapted.

    Raises:
        ArgumentError: A count is below 1, ``acceptance`` is outside (0, 1), or only one of ``rows``
            and ``latent`` is given.

    References:
        Kingma and Welling, Auto-encoding variational Bayes (2014), section 5; Hoffman, Learning
        deep latent Gaussian models with Markov chain Monte Carlo (2017).
    """

    takes_weights = True

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
                raise ArgumentError("give at least 1", argument=argument, value=count)
        if not 0 < acceptance < 1:
            raise ArgumentError(
                "give the share of proposals to accept, between 0 and 1",
                argument="acceptance",
                value=acceptance,
            )
        if (rows is None) != (latent is None):
            missing = Argument("rows", 1000) if rows is None else Argument("latent", 8)
            raise ArgumentError(
                "chains that continue need the number of rows and the shape of the latent",
                argument=missing.name,
                value=None,
                suggestions=(message("Write {missing}, for example", missing=missing),),
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
            shape = model.latent_shape
            latent = shape[0] if len(shape) == 1 else shape
            rule = Part("gradients.MonteCarloEM", {"rows": self.rows, "latent": latent})
            raise IncompatibleError(
                "gradient `MonteCarloEM` has chains for latents of shape "
                f"{tuple(self.chain_state.shape[2:])}, and the model has shape {shape}",
                suggestions=(message("Use {rule}", rule=rule),),
            )

    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        q = model.infer(batch)
        with eval_mode(model), torch.no_grad():
            z = self._run_chains(model, batch, q)
            terms, value = _reported_bound(model, objective, batch, q)
        chain_terms = training_terms(model, batch, z, q)
        log_densities = (
            chain_terms.log_likelihood + chain_terms.log_prior + chain_terms.log_posterior
        )
        return GradientEstimate(value, -batch.mean(log_densities), terms)

    def _run_chains(self, model: VAE, batch: Batch, q: Distribution) -> Tensor:
        """The chains of these data after the E-step, ``[chains, B, *latent]``."""
        transform = _unconstrained_transform(model.prior(None, batch.context))

        def log_density(u: Tensor) -> Tensor:
            z = transform(u)
            return model.log_joint(batch, z) + transform.log_abs_det_jacobian(u, z)

        state_fn = hmc_state_fn(log_density)
        state = state_fn(transform.inv(self._initial_state(batch, q)))
        for _ in range(self.transitions):
            transition = hmc_transition(state_fn, state, self.step_size, self.leapfrogs)
            state = transition.state
            self.step_size.copy_(
                tune_step_size(
                    self.step_size,
                    batch.mean(transition.acceptance)[None],
                    self.acceptance,
                    MCEM_STEP_SIZE_GAIN,
                )
            )
        z = transform(state.z)
        self._store_state(batch, z)
        return z

    def _initial_state(self, batch: Batch, q: Distribution) -> Tensor:
        fresh = _draw_values(q, self.chains)
        if self.rows is None:
            return fresh
        index = self._row_index(batch)
        started = self.chain_started[index].reshape(1, -1, *[1] * (fresh.dim() - 2))
        return torch.where(started, self.chain_state[index].transpose(0, 1).to(fresh), fresh)

    def _store_state(self, batch: Batch, z: Tensor) -> None:
        if self.rows is not None:
            index = self._row_index(batch)
            self.chain_state[index] = z.transpose(0, 1).to(self.chain_state)
            self.chain_started[index] = True

    def _row_index(self, batch: Batch) -> Tensor:
        if batch.index is None or batch.dataset_size != self.rows:
            raise IncompatibleError(
                f"gradient `MonteCarloEM` has chains for {self.rows:,} rows, and these rows have "
                f"no row numbers or come from a data set of {batch.dataset_size}",
                suggestions=(
                    f"Use `gradients.MonteCarloEM(rows={batch.dataset_size}, latent=...)`",
                    message("Use {rule}", rule=Part("gradients.MonteCarloEM")),
                ),
            )
        return batch.index


def _reported_bound(
    model: VAE, objective: Objective, batch: Batch, q: Distribution
) -> tuple[Terms, ObjectiveValue]:
    """The bound at posterior draws; at draws of the chains it would exceed ``log p(x)``."""
    terms = model.terms(
        batch, _draw_values(q, objective.samples), q, exact_kl=resolve_exact_kl(model, objective)
    )
    return terms, objective(terms, model)


def _draw_values(q: Distribution, count: int) -> Tensor:
    """Draw without a gradient, reparameterised if possible: torch's samplers stop at NaN."""
    return q.rsample((count,)) if q.has_rsample else q.sample((count,))


def _unconstrained_transform(
    prior: Distribution,
) -> Any:  # a Transform, whose calls torch annotates as Optional
    """The map from unconstrained numbers to latents, or ``IncompatibleError``."""
    try:
        return biject_to(prior.support)
    except NotImplementedError:
        raise IncompatibleError(
            "gradient `MonteCarloEM` needs continuous latents, and those of this model are not",
            suggestions=(
                message(
                    "Use {leave_one_out} with at least 2 samples, or {score}",
                    leave_one_out=Part("gradients.LeaveOneOut"),
                    score=Part("gradients.ScoreFunction"),
                ),
            ),
        ) from None


def _check_unweighted_bound(objective: Objective) -> None:
    """Check that the target is the bound: this gradient maximises ``log p(x)``."""
    if objective.kind != "lower bound" or objective.schedules.get("beta", UNIT_BETA) != UNIT_BETA:
        raise IncompatibleError(
            "gradient `MonteCarloEM` maximises log p(x) itself and reports a lower bound of it, "
            f"got `{type(objective).__name__}` with another target",
            suggestions=(message("Use {elbo}", elbo=Part("objectives.ELBO")),),
        )


def _check_deterministic_weights(model: VAE) -> None:
    """Check that the likelihood has no random weights."""
    if model.likelihood.weight_kl() is not None:
        raise IncompatibleError(
            "gradient `MonteCarloEM` finds the best weights, and those of "
            f"`likelihoods.{type(model.likelihood).__name__}` are random",
            suggestions=(message("Use {pathwise}", pathwise=Part("gradients.Pathwise")),),
        )
