"""What may have gone wrong in training: its rate, the weight of its terms, too long a run, gradients that do not arrive."""

from __future__ import annotations

import itertools
import math

from ..latent import THRESHOLD
from .diagnosis import Examined, Finding
from .patient import Patient

FALL = 0.1  # of all that the bound moved in a run, lost from one epoch to the next
SILENT = 0.5  # of the hidden units
IDLE = 0.01  # nats
CLIMBING = 0.1  # of all that held-out rows gained
LITTLE = 1.0  # nats, of all latent variables


def rate(patient: Patient) -> Examined | None:
    """Steps that were refused, a bound that falls, and hidden units that died are what too high a learning rate leaves behind."""
    history = patient.history
    if len(history) < 2:
        return None
    highest, steps = max(epoch.learning_rate for epoch in history), max(history[-1].step, 1)
    skipped, fall, silent = sum(epoch.skipped for epoch in history), _fall(patient), patient.silent
    signs = []
    if skipped > 0.001 * steps:
        signs.append(f"{skipped:,} of {steps:,} steps met a number that was not finite")
    if fall > FALL:
        signs.append(f"from one epoch to the next the bound fell by {fall:.0%} of all that it moved in the run")
    if silent is not None and silent > SILENT:
        signs.append(f"{silent:.0%} of the hidden units are silent for every row")
    finding = None
    if signs:
        finding = Finding(
            "The learning rate is too high",
            f"With rates up to {highest:.2g}, {_and(signs)}.",
            "Steps overshoot: they undo what was learnt, or push units where no gradient reaches them any more.",
            f"Lower the learning rate, to lr={highest / 10:.2g} for a start, or clip the gradient, clip=100.",
        )
    return Examined("steps", f"{skipped:,} refused, largest fall {fall:.0%}, highest rate {highest:.2g}", finding)


def _fall(patient: Patient) -> float:
    """The largest fall of the training bound between two epochs, in shares of its range over the run."""
    bounds = [epoch.bound for epoch in patient.history if math.isfinite(epoch.bound)]
    spread = max(bounds, default=0.0) - min(bounds, default=0.0)
    return max(0.0, *(a - b for a, b in itertools.pairwise(bounds))) / spread if spread > 0 else 0.0


def length(patient: Patient) -> Examined | None:
    """Whether held-out rows still gained when the run ended: in its last tenth, in shares of all that they gained."""
    gains = climbs(patient)
    if gains is None:
        return None
    finding = None
    if gains > CLIMBING:
        finding = Finding(
            "The run was too short",
            f"The bound of held-out rows gained {gains:.0%} of all it gained in the last tenth of {len(patient.history)} epochs.",
            "Nothing that is said of the model here is final.",
            f"Train for longer, epochs={max(50, 3 * len(patient.history))}.",
        )
    return Examined("gain in the last tenth of the run", f"{gains:.1%}", finding)


def climbs(patient: Patient) -> float | None:
    """What held-out rows gained in the last tenth of the epochs, in shares of all that they gained; ``None`` where nobody knows."""
    scores = [epoch.validation for epoch in patient.history if epoch.validation is not None and math.isfinite(epoch.validation)]
    if len(scores) < 2 or max(scores) <= scores[0]:
        return None
    before = scores[: -max(1, len(scores) // 10)]
    return max(0.0, max(scores) - max(before)) / (max(scores) - scores[0])


def weight(patient: Patient) -> Examined | None:
    """Whether the divergence weighs so much that codes say nothing."""
    beta = patient.history[-1].beta if patient.history else None
    if beta is None:
        return None
    idle, rate = _idle(patient), patient.terms.rate.mean
    finding = None
    if beta > 1 and idle is not None and (idle >= 0.5 or rate < LITTLE):
        finding = Finding(
            "The divergence weighs too much",
            f"beta is {beta:g}; all latent variables together say {rate:.2f} nats of a datum, and {idle:.0%} of them are idle.",
            f"Every nat that a code says of a datum has to bring {beta:g} nats of likelihood, and few do.",
            "Lower the weight, to beta=1 for a bound of log p(x).",
        )
    return Examined("weight of the divergence, beta", f"{beta:g}", finding)


def _idle(patient: Patient) -> float | None:
    """The share of latent variables that carry nothing, or whose mean does not move with the data."""
    if patient.kl is None or patient.active is None:
        return None
    still = patient.active.variance.flatten().cpu() <= THRESHOLD
    return ((patient.kl.flatten() < IDLE) | still if len(still) == patient.kl.numel() else patient.kl < IDLE).double().mean().item()


def overfitting(patient: Patient) -> Examined | None:
    """How much better the bound of training rows is, in shares of what the codes say."""
    if patient.training_terms is None or not patient.model.posterior.density:
        return None
    there, here = patient.training_terms, patient.terms
    gap, error = there.elbo.mean - here.elbo.mean, math.hypot(there.elbo.standard_error, here.elbo.standard_error)
    finding = None
    if gap > 4 * error and gap > 0.5 * here.rate.mean:
        finding = Finding(
            "Training rows are known by heart",
            f"Their ELBO is {gap:.1f} ± {error:.1f} nats above that of held-out rows, whose codes say {here.rate.mean:.1f} nats.",
            "The model describes the rows it was trained on rather than where they come from.",
            "Stop earlier, as with patience=20, take a smaller network, or more data.",
        )
    return Examined("ELBO of training rows, above held-out rows", f"{gap:.2f} ± {error:.2f} nats", finding)


def gradients(patient: Patient) -> Examined | None:
    """Whether a gradient arrives in every part."""
    model = patient.model
    if not model.posterior.density or not model.probe()[1].has_rsample or model.posterior.rows is not None:
        return None
    if not model.posterior.covers:  # of a codebook it arrives through the draw alone, and these draws are held
        return None
    norms = patient.gradients
    dead = [name for name, norm in norms.items() if norm == 0 or not math.isfinite(norm)]
    finding = None
    if dead:
        finding = Finding(
            "Gradients do not arrive",
            f"The gradient of the ELBO in {_and(dead)} is {', '.join(f'{norms[name]:g}' for name in dead)}.",
            "That part does not learn any more: its units are dead, or its numbers overflow.",
            "Train again from new weights with a lower learning rate.",
        )
    return Examined("norm of the gradient", ", ".join(f"{name} {norm:.3g}" for name, norm in norms.items()), finding)


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
