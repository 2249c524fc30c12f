"""Checks before training: which gradients fit which models and objectives."""

from __future__ import annotations

import math

from torch.distributions import Distribution

from ..distributions._discrete import Discrete, as_discrete
from ..distributions._quantised import CodebookSupport
from ..distributions._support import has_mass_outside
from ..errors import IncompatibleError
from ..models import VAE
from ..notes import Argument, Message, Part, Text, message
from ..objectives import Objective
from ..objectives._bounds import IMPORTANCE_WEIGHTED_MEAN
from ..posteriors import PosteriorRegistration
from ..priors import PriorRegistration
from ._gradient import Gradient, resolve_exact_kl

MAX_ENUMERATED_STATES = 4096  # over which a sum is still cheap
PATHWISE, LEAVE_ONE_OUT = Part("gradients.Pathwise"), Part("gradients.LeaveOneOut")
SCORE_FUNCTION, ELBO = Part("gradients.ScoreFunction"), Part("objectives.ELBO")


def check_objective_for_model(model: VAE, objective: Objective) -> None:
    """Check that an objective exists for a model, whatever the gradient."""
    if objective.kind != "reconstruction":
        _check_kl(model, objective)
    if objective.kl == "exact" and not model.exact_kl:
        p, q = model.probe()
        raise IncompatibleError(
            f"no KL divergence in closed form is registered from `{type(q).__name__}` to "
            f"`{type(p).__name__}`",
            argument="kl",
            value="exact",
            suggestions=(_use(Part("objectives.ELBO", {"kl": "sampled"})),),
        )
    objective.check(model)


def check_row_weights(gradient: Gradient, objective: Objective) -> None:
    """Check that rows may have weights.

    Raises:
        IncompatibleError: A mean over rows does not know the weights.
    """
    parts = [part for part in (gradient, *objective.penalties, objective) if not part.takes_weights]
    if parts:
        raise IncompatibleError(
            f"`{type(parts[0]).__name__}` estimates from a whole batch what weights of rows would "
            "change, and takes none",
            argument="data",
            suggestions=("Leave the weights out, or use another objective or gradient",),
        )


def check_reparameterisable(gradient: Gradient, model: VAE, objective: Objective) -> None:
    """Check that draws of the posterior can be differentiated."""
    _, q = model.probe()
    if not q.has_rsample:
        raise _incompatible(
            gradient,
            f"needs a posterior that can be reparameterised, got {_posterior_name(model)}",
            _suggest_gradients(q),
        )


def check_posterior_density(gradient: Gradient, model: VAE) -> None:
    """Check that the posterior has a density, and not all its mass at one point."""
    if not (model.posterior.has_density and model.posterior.full_support):
        raise _incompatible(
            gradient,
            f"needs a posterior with a density, got {_posterior_name(model)}",
            _use(PATHWISE),
        )


def check_target_mean(gradient: Gradient, objective: Objective) -> None:
    """Check that the target is a function of the log-densities of each draw."""
    if objective.target_mean is None:
        raise _incompatible(
            gradient,
            f"needs a target of the log-densities of each draw, got {_objective_label(objective)}",
            message(
                "Use {pathwise}, or {elbo} without penalties",
                pathwise=PATHWISE,
                elbo=Part("objectives.ELBO", {"samples": 2}),
            ),
        )


def check_log_weights(gradient: Gradient, objective: Objective) -> None:
    """Check that the target is a function of the log-weights, with a sampled KL divergence."""
    if not objective.uses_log_weights or objective.target_mean is None or objective.kl == "exact":
        raise _incompatible(
            gradient,
            "needs an objective that is a function of log-weights with a sampled KL divergence, "
            f"got {_objective_label(objective)}",
            message(
                'Use {elbo} without free bits, capacity and kl="exact", {iwae}, or {pathwise}',
                elbo=ELBO,
                iwae=Part("objectives.IWAE"),
                pathwise=PATHWISE,
            ),
        )


def check_single_target(gradient: Gradient, objective: Objective) -> None:
    """Check that the posterior has the target of the model."""
    if objective.posterior_target_mean is not None:
        raise _incompatible(
            gradient,
            f"has one target, and in {_objective_label(objective)} the posterior has its own",
            message("Use {iwae}, or {loo}", iwae=Part("objectives.IWAE"), loo=LEAVE_ONE_OUT),
        )


def check_multiple_samples(gradient: Gradient, objective: Objective) -> None:
    """Check that there are at least two draws, so that one can be left out."""
    if objective.samples < 2:
        name = "samples" if "samples" in objective.arguments else "groups"
        several = {name: 4 if name == "samples" else 2}
        raise _incompatible(
            gradient,
            message(
                "needs at least 2 samples to leave one out, got {samples}",
                samples=Argument("samples", objective.samples),
            ),
            message(
                "Use {objective}, or {score}",
                objective=Part(f"objectives.{_class_name(objective)}", several),
                score=SCORE_FUNCTION,
            ),
        )


def check_importance_weighted(gradient: Gradient, objective: Objective) -> None:
    """Check that the target has normalised importance weights."""
    if (
        objective.target_mean != IMPORTANCE_WEIGHTED_MEAN
        or objective.posterior_target_mean is not None
    ):
        raise _incompatible(
            gradient,
            f"weighs draws by normalised importance weights, got {_objective_label(objective)}",
            message(
                "Use {iwae}, or {wake_sleep}",
                iwae=Part("objectives.IWAE", {"samples": 5}),
                wake_sleep=Part("gradients.WakeSleep"),
            ),
        )


def check_amortised(gradient: Gradient, model: VAE) -> None:
    """Check that the posterior can be evaluated at samples of the model."""
    if model.posterior.n_rows is not None:
        raise _incompatible(
            gradient,
            f"evaluates the posterior at samples of the model, and {_posterior_name(model)} has "
            "parameters for its training rows only",
            message(
                "Use {wake}, or {pathwise}",
                wake=Part("gradients.ReweightedWakeSleep", {"update": "wake"}),
                pathwise=PATHWISE,
            ),
        )


def check_discrete(gradient: Gradient, model: VAE) -> Discrete:
    """Return the posterior as independent discrete variables; raise ``IncompatibleError`` else."""
    _, q = model.probe()
    discrete = as_discrete(q)
    if discrete is None:
        raise _incompatible(
            gradient,
            f"needs independent discrete latent variables, got {_posterior_name(model)}",
            _use(PATHWISE if q.has_rsample else LEAVE_ONE_OUT),
        )
    return discrete


def check_relaxed_prior(gradient: Gradient, model: VAE, objective: Objective) -> None:
    """Check that the prior can be relaxed as the posterior, where the KL divergence is sampled."""
    p, q = model.probe()
    if not resolve_exact_kl(model, objective) and type(as_discrete(p)) is not type(as_discrete(q)):
        raise _incompatible(
            gradient,
            "with a sampled KL divergence needs a prior of the posterior's family, got "
            f"`priors.{_class_name(model.prior)}`",
            _use(LEAVE_ONE_OUT),
        )


def check_state_count(gradient: Gradient, model: VAE, limit: int) -> None:
    """Check that the posterior has few enough states for a sum."""
    states = check_discrete(gradient, model).n_states
    if states > limit:
        raise _incompatible(
            gradient,
            "sums over all states of the latent variable, and there are "
            f"{_format_count(states)}, more than the limit of {limit:,}",
            message("Use {loo}, or fewer latent variables", loo=LEAVE_ONE_OUT),
        )


def check_enumerable(gradient: Gradient, objective: Objective) -> None:
    """Check that the bound does not depend on the number of draws."""
    mean = objective.posterior_target_mean or objective.target_mean
    if mean is not None and (mean.groups > 1 or all(power == 1 for _, power in mean.components)):
        raise _incompatible(
            gradient,
            f"sums over all states, where {_objective_label(objective)} would be log p(x) itself, "
            "which trains no posterior",
            message("Use {elbo}, or {loo}", elbo=ELBO, loo=LEAVE_ONE_OUT),
        )


def _check_kl(model: VAE, objective: Objective) -> None:
    """Check that the KL divergence exists and is finite."""
    if not model.posterior.has_density:
        raise IncompatibleError(
            f"objective `{_class_name(objective)}` needs a posterior with a density, got "
            f"{_posterior_name(model)}",
            suggestions=(
                message(
                    "Use {reconstruction}, or {normal}",
                    reconstruction=Part("objectives.Reconstruction"),
                    normal=Part("posteriors.Normal"),
                ),
            ),
        )
    p, q = model.probe()
    if has_mass_outside(q, p):
        raise IncompatibleError(
            f"{_posterior_name(model)} has mass where `priors.{_class_name(model.prior)}` has "
            "none, so that their KL divergence is infinite",
            argument="prior",
            suggestions=(_suggest_prior(model, q),),
        )


def _incompatible(gradient: Gradient, reason: Text, suggestion: Text) -> IncompatibleError:
    """The error of a gradient that does not fit."""
    subject = f"gradient `{_class_name(gradient)}` "
    if isinstance(reason, Message):
        reason = Message(subject + reason.template, reason.references)
    else:
        reason = subject + reason
    return IncompatibleError(reason, suggestions=(suggestion,))


def _use(part: Part) -> Message:
    """The suggestion to use a part."""
    return message("Use {part}", part=part)


def _suggest_prior(model: VAE, q: Distribution) -> Text:
    """A prior with the support of the posterior, if the register has one."""
    if isinstance(q.support, CodebookSupport):
        return "Give the model prior=priors.Codebook(posterior), made with this posterior"
    entry = PosteriorRegistration.of(type(model.posterior))
    if entry is None or entry.needs:
        return "Give the model a prior on the same support"
    shape = tuple(q.event_shape)
    name = PriorRegistration.find(entry.prior).target.__name__
    part = Part(f"priors.{name}", {"latent": shape[0] if len(shape) == 1 else shape})
    return message("Give the model {prior}", prior=Argument("prior", part))


def _suggest_gradients(q: Distribution) -> Message:
    """Gradients that need no differentiable draw, the best first."""
    parts = {"leave_one_out": LEAVE_ONE_OUT}
    listed = ["{leave_one_out} (unbiased, needs samples >= 2)"]
    discrete = as_discrete(q)
    if discrete is not None:
        parts["relaxed"] = Part("gradients.Relaxed")
        listed.append("{relaxed} (biased, little noise)")
    parts["score"] = SCORE_FUNCTION
    listed.append("{score} (unbiased, noisy)")
    if discrete is not None and discrete.n_states <= MAX_ENUMERATED_STATES:
        parts["enumerate"] = Part("gradients.Enumerate")
        listed.append(f"{{enumerate}} (exact, {discrete.n_states:,} states)")
    return message(f"Use {', '.join(listed[:-1])} or {listed[-1]}", **parts)


def _format_count(states: int) -> str:
    """A number in digits, or its order of magnitude."""
    return f"{states:,}" if states < 10**9 else f"about 10^{math.floor(math.log10(states))}"


def _objective_label(objective: Objective) -> str:
    """The class of an objective, with the printed name where that says more."""
    name = _class_name(objective)
    label = (
        name
        if objective.name in (name, "reconstruction log-likelihood")
        else f"{name} ({objective.name})"
    )
    return f"`{label}`"


def _class_name(part: object) -> str:
    """The name of the class."""
    return type(part).__name__


def _posterior_name(model: VAE) -> str:
    """The public name of the posterior's class."""
    return f"`posteriors.{_class_name(model.posterior)}`"
