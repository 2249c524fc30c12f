"""Properties of a model that decide which methods apply to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch.distributions import Distribution

from .._conditional import Conditional, Unconditional
from ..distributions import ClassConditional, QuantisedDirac, analytic_kl_mask, has_analytic_kl
from ..distributions._autoregressive import as_enumerable
from ..distributions._members import count_members
from ..likelihoods._likelihood import Likelihood
from ..networks._column import Measure
from ..networks._condition import Condition


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What can be computed with a model, determined once from its parts.

    Args:
        has_density: Whether the posterior has a density; a ``Dirac`` does not.
        full_support: Whether the posterior may draw every latent that the prior may draw; a
            vector-quantised posterior does not.
        reparameterised: Whether gradients pass through draws of the posterior.
        analytic_kl: Whether ``KL(q(z|x) || p(z))`` has a formula.
        analytic_kl_layers: For a hierarchy, whether the KL divergence of each layer has a formula;
            empty for other models.
        stochastic_density: Whether the density of the prior is a random estimate.
        n_rows: Number of training rows with parameters of their own, ``None`` for an encoder.
        context: Whether the model takes no context, may take one, or requires one.
        predicts_labels: Whether the posterior infers a class.
        codebook: Whether the latent consists of entries of a codebook.
        finite_states: Number of values of a discrete latent that can be enumerated, ``None`` for
            any other latent.
        missing_values: Whether the likelihood accepts missing cells (NaN).
        measure: Whether rows have a density, a probability, or both.
        members: Number of models whose densities are averaged; 1 for a single model.
    """

    has_density: bool
    full_support: bool
    reparameterised: bool
    analytic_kl: bool
    analytic_kl_layers: tuple[bool, ...]
    stochastic_density: bool
    n_rows: int | None
    context: Literal["none", "optional", "required"]
    predicts_labels: bool
    codebook: bool
    finite_states: int | None
    missing_values: bool
    measure: Measure
    members: int = 1

    @property
    def importance_weights(self) -> bool:
        """Whether draws of the posterior can be weighted to estimate ``log p(x)``."""
        return self.has_density and self.full_support

    @property
    def encodes_new_rows(self) -> bool:
        """Whether the posterior applies to rows outside the training set."""
        return self.n_rows is None

    @property
    def uses_analytic_kl(self) -> bool:
        """Whether the KL divergence, or that of a layer of a hierarchy, has a formula."""
        return self.analytic_kl or any(self.analytic_kl_layers)

    @classmethod
    def from_parts(
        cls,
        prior: Unconditional,
        posterior: Conditional,
        likelihood: Likelihood,
        condition: Condition | None,
        p: Distribution,
        q: Distribution,
    ) -> Capabilities:
        """Determine the capabilities from the parts and from ``p(z)`` and ``q(z|x)`` of one row."""
        states = [each.n_states for each in map(as_enumerable, (p, q)) if each is not None]
        context = "required" if condition is not None else "none"
        return cls(
            has_density=posterior.has_density,
            full_support=posterior.full_support,
            reparameterised=q.has_rsample,
            analytic_kl=posterior.has_density and has_analytic_kl(q, p),
            analytic_kl_layers=analytic_kl_mask(q, p),
            stochastic_density=any(
                part.stochastic_density for part in prior.modules() if isinstance(part, Conditional)
            ),
            n_rows=posterior.n_rows,
            context="optional" if condition is not None and condition.is_optional else context,
            predicts_labels=isinstance(q, ClassConditional),
            codebook=isinstance(q, QuantisedDirac),
            finite_states=states[0] if states else None,
            missing_values=likelihood.allows_missing,
            measure=likelihood.measure,
            members=count_members(q),
        )
