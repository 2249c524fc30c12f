"""What is refused before any computing, each with its reason and the line to write instead."""

from __future__ import annotations

import math

from torch.distributions import Distribution, constraints

from ..distributions._discrete import Bits, Discrete, OneHotCodes, as_discrete
from ..distributions._poincare_ball import poincare_ball
from ..distributions._quantised import CodebookSupport
from ..distributions._sphere import unit_sphere
from ..distributions._support import element_constraint, has_mass_outside
from ..errors import IncompatibleError
from ..models import VAE
from ..objectives import Objective
from ..objectives._bounds import IMPORTANCE_WEIGHTED_MEAN
from ._gradient import Gradient, resolve_exact_kl

MAX_ENUMERATED_STATES = 4096  # over which a sum is still cheap
_PRIOR_BY_FAMILY = {Bits: "Bernoulli", OneHotCodes: "Categorical"}
_PRIOR_BY_SUPPORT = {
    type(constraints.real): "Normal",
    type(constraints.positive): "Gamma",
    type(constraints.unit_interval): "Beta",
    type(constraints.simplex): "Dirichlet",
    type(unit_sphere): "Sphere",
    type(poincare_ball): "WrappedNormal",
    type(constraints.boolean): "Bernoulli",
    type(constraints.one_hot): "Categorical",
}


def check_objective_for_model(model: VAE, objective: Objective) -> None:
    """Refuse an objective that does not exist for the model, whatever the gradient."""
    if objective.kind != "reconstruction":
        _check_kl(model, objective)
    if objective.kl == "exact" and not model.exact_kl:
        p, q = model.probe()
        raise IncompatibleError(
            f'kl="exact" needs a registered divergence, and there is none from `{type(q).__name__}` to `{type(p).__name__}`. '
            'Use `objectives.ELBO(kl="sample_without_gradient")`.'
        )
    objective.check(model)


def check_reparameterisable(gradient: Gradient, model: VAE, objective: Objective) -> None:
    """Refuse a posterior whose draws cannot be differentiated."""
    _, q = model.probe()
    if not q.has_rsample:
        raise IncompatibleError(
            f"gradient `{_class_name(gradient)}` needs a posterior that can be reparameterised, got `{_posterior_name(model)}`. "
            f"Use {_suggest_gradients(model, q, objective)}."
        )


def check_posterior_density(gradient: Gradient, model: VAE) -> None:
    """Refuse a posterior without a density, and one with all its mass at a single code: neither has a score."""
    if not (model.posterior.has_density and model.posterior.full_support):
        raise IncompatibleError(
            f"gradient `{_class_name(gradient)}` needs a posterior with a density, got `{_posterior_name(model)}`. Use `gradients.Pathwise()`."
        )


def check_target_mean(gradient: Gradient, objective: Objective) -> None:
    """Refuse a target that is no function of each draw's log-densities."""
    if objective.target_mean is None:
        raise IncompatibleError(
            f"gradient `{_class_name(gradient)}` needs a target of each draw's log-densities, got `{_objective_label(objective)}`. "
            "Use `gradients.Pathwise()`, or `objectives.ELBO(samples=2)` without penalties."
        )


def check_log_weights(gradient: Gradient, objective: Objective) -> None:
    """Refuse a target that is no function of the log-weights, and a divergence by formula."""
    if not objective.uses_log_weights or objective.target_mean is None or objective.kl == "exact":
        raise IncompatibleError(
            f"gradient `{_class_name(gradient)}` needs an objective that is a function of log-weights with a sampled divergence, got "
            f'`{_objective_label(objective)}`. Use `objectives.ELBO()` without free bits, capacity and kl="exact", `objectives.IWAE(...)`, '
            "or `gradients.Pathwise()`."
        )


def check_single_target(gradient: Gradient, objective: Objective) -> None:
    """Refuse an objective whose posterior climbs a target of its own."""
    if objective.posterior_target_mean is not None:
        raise IncompatibleError(
            f"gradient `{_class_name(gradient)}` climbs one target, and in `{_objective_label(objective)}` the posterior has its own. "
            "Use `objectives.IWAE(...)`, or `gradients.LeaveOneOut()`."
        )


def check_multiple_samples(gradient: Gradient, objective: Objective) -> None:
    """Refuse a single draw, where one is to be left out."""
    if objective.samples < 2:
        raise IncompatibleError(
            f"gradient `{_class_name(gradient)}` needs at least 2 samples to leave one out, got samples={objective.samples}. "
            f"Use `objectives.{_class_name(objective)}({_multiple_samples_argument(objective)})`, or `gradients.ScoreFunction()`."
        )


def check_importance_weighted(gradient: Gradient, objective: Objective) -> None:
    """Refuse all but normalised importance weights."""
    if (
        objective.target_mean != IMPORTANCE_WEIGHTED_MEAN
        or objective.posterior_target_mean is not None
    ):
        raise IncompatibleError(
            f"gradient `{_class_name(gradient)}` weighs draws by normalised importance weights, got `{_objective_label(objective)}`. "
            "Use `objectives.IWAE(samples=5)`, or `gradients.WakeSleep()`."
        )


def check_amortised(gradient: Gradient, model: VAE) -> None:
    """Refuse a posterior that cannot be asked about data that the model makes up."""
    if model.posterior.n_rows is not None:
        raise IncompatibleError(
            f"gradient `{_class_name(gradient)}` asks the posterior about dreams of the model, and `{_posterior_name(model)}` knows its own rows. "
            'Use `gradients.ReweightedWakeSleep(update="wake")`, or `gradients.Pathwise()`.'
        )


def check_discrete(gradient: Gradient, model: VAE) -> Discrete:
    """Refuse a posterior that is not made of independent discrete variables; returns it as one that is."""
    _, q = model.probe()
    found = as_discrete(q)
    if found is None:
        raise IncompatibleError(
            f"gradient `{_class_name(gradient)}` needs independent discrete latent variables, got `{_posterior_name(model)}`. "
            f"Use {'`gradients.Pathwise()`' if q.has_rsample else '`gradients.LeaveOneOut()`'}."
        )
    return found


def check_relaxed_prior(gradient: Gradient, model: VAE, objective: Objective) -> None:
    """Refuse a sampled divergence where the prior cannot be relaxed like the posterior."""
    p, q = model.probe()
    if not resolve_exact_kl(model, objective) and type(as_discrete(p)) is not type(as_discrete(q)):
        raise IncompatibleError(
            f"gradient `{_class_name(gradient)}` with a sampled divergence needs a prior of the posterior's family, got "
            f"`priors.{type(model.prior).__name__}`. Use `gradients.LeaveOneOut()`."
        )


def check_state_count(gradient: Gradient, model: VAE, limit: int) -> None:
    """Refuse a posterior with more states than are to be summed over."""
    states = check_discrete(gradient, model).n_states
    if states > limit:
        raise IncompatibleError(
            f"gradient `{_class_name(gradient)}` sums over all states of the latent variable, and there are {_format_count(states)}, more than "
            f"limit={limit:,}. Use `gradients.LeaveOneOut()`, or fewer latent variables."
        )


def check_enumerable(gradient: Gradient, objective: Objective) -> None:
    """Refuse bounds that are about a number of draws: over all states they are ``log p(x)``, or nothing."""
    own = objective.posterior_target_mean or objective.target_mean
    if own is not None and (own.groups > 1 or all(power == 1 for _, power in own.components)):
        raise IncompatibleError(
            f"gradient `{_class_name(gradient)}` sums over all states, where `{_objective_label(objective)}` would be log p(x) itself, which trains no "
            "posterior. Use `objectives.ELBO()`, or `gradients.LeaveOneOut()`."
        )


def _check_kl(model: VAE, objective: Objective) -> None:
    if not model.posterior.has_density:
        raise IncompatibleError(
            f"objective `{_class_name(objective)}` needs a posterior with a density, got `{_posterior_name(model)}`. "
            "Use `objectives.Reconstruction()`, or `posteriors.Normal(...)`."
        )
    p, q = model.probe()
    if has_mass_outside(q, p):
        raise IncompatibleError(
            f"`{_posterior_name(model)}` has mass where `priors.{type(model.prior).__name__}` has none, so their divergence is infinite. "
            f"Give the model {_suggest_prior(q)}."
        )


def _suggest_prior(q: Distribution) -> str:
    """A prior with the support of this posterior, as a line to write where one is known."""
    if isinstance(q.support, CodebookSupport):
        return "prior=priors.Codebook(posterior), made with this very posterior"
    found = as_discrete(q)
    name = (
        _PRIOR_BY_SUPPORT.get(type(element_constraint(q.support)))
        if found is None
        else _PRIOR_BY_FAMILY[type(found)]
    )
    if name is None:
        return "a prior on the same support"
    shape = tuple(q.event_shape)
    return f"prior=priors.{name}({shape[0] if len(shape) == 1 else shape})"


def _suggest_gradients(model: VAE, q: Distribution, objective: Objective) -> str:
    """Gradients that exist where draws cannot be differentiated, the one to take first in front."""
    found = as_discrete(q)
    lines = [
        "`gradients.LeaveOneOut()` (unbiased, needs samples >= 2)",
        "`gradients.ScoreFunction()` (unbiased, noisy)",
    ]
    if found is not None:
        lines.insert(1, "`gradients.Relaxed()` (biased, quiet)")
        if found.n_states <= MAX_ENUMERATED_STATES:
            lines.append(f"`gradients.Enumerate()` (exact, {found.n_states:,} states)")
    return ", ".join(lines[:-1]) + f" or {lines[-1]}"


def _multiple_samples_argument(objective: Objective) -> str:
    """The argument that gives an objective several draws."""
    return "samples=4" if "samples" in objective.arguments else "groups=2"


def _format_count(states: int) -> str:
    return f"{states:,}" if states < 10**9 else f"about 10^{math.floor(math.log10(states))}"


def _objective_label(objective: Objective) -> str:
    """The objective by its class, and by the name it prints where that says more."""
    name = _class_name(objective)
    return (
        name
        if objective.name in (name, "reconstruction log-likelihood")
        else f"{name} ({objective.name})"
    )


def _class_name(part: object) -> str:
    return type(part).__name__


def _posterior_name(model: VAE) -> str:
    return f"posteriors.{_class_name(model.posterior)}"
