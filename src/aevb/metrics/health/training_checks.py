"""What may have gone wrong in training: its rate, the weight of its terms, too long a run, gradients that do not arrive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import torch

from ..latent import THRESHOLD
from .diagnosis import Examined, Finding
from .patient import Patient

EPOCHS = 5  # of a history in which a fall can be told from noise
FALL = 0.3  # of all that the bound moved in a run, lost from its highest point
STEEP = 6.0  # times the usual difference of two epochs
USUAL = 1.4826  # of a normal distribution: the deviation, by the median distance from the median
REFUSED = 0.001  # of the steps
SILENT = 0.5  # of the hidden units
IDLE = 0.01  # nats
CLIMBING, MUCH = 0.4, 2.0  # of what codes say, and nats: gained in the second half of a run
LITTLE = 1.0  # nats, of all latent variables
SLOW = 3e-4  # a rate below it may be the reason for a run that is not over


def schedules(patient: Patient) -> Examined | None:
    """Whether what follows a schedule has come to rest."""
    if not patient.history:
        return None
    last = patient.history[-1]
    finding = None
    if not last.settled:
        weight = "" if last.beta is None else f", with beta at {last.beta:.2g}"
        finding = Finding(
            "The schedules did not end",
            f"After {last.step:,} steps a schedule of the objective was still under way{weight}.",
            "What was climbed at the end is not yet the whole objective, and the codes are not yet what they are to be.",
            f"Train for longer, epochs={3 * len(patient.history)}, or let the schedules take fewer steps than the run.",
        )
    return Examined("schedules", "settled" if last.settled else "under way", finding)


def rate(patient: Patient) -> Examined | None:
    """Steps that were refused, a bound that falls, and hidden units that died are what too high a learning rate leaves behind."""
    history = patient.history
    if len(history) < 2:
        return None
    highest, steps = max(epoch.learning_rate for epoch in history), max(history[-1].step, 1)
    skipped, silent = sum(epoch.skipped for epoch in history), patient.silent
    lost, steep = fall([epoch.bound for epoch in history if math.isfinite(epoch.bound)])
    signs = []
    if skipped > REFUSED * steps:
        signs.append(f"{skipped:,} of {steps:,} steps met a number that was not finite")
    if lost > FALL and steep > STEEP:
        signs.append(f"the bound fell by {lost:.0%} of all that it moved in the run")
    if silent is not None and silent > SILENT:
        signs.append(f"{silent:.0%} of the hidden units are silent for every row")
    finding = None
    if signs:
        finding = Finding(
            "The learning rate is too high",
            f"With rates up to {highest:.2g}, {_and(signs)}.",
            "Steps overshoot: they undo what was learnt, or push units where no gradient reaches them any more.",
            f"Lower the learning rate, to lr={highest / 10:.2g} for a start.",
        )
    numbers = {"refused": float(skipped), "fall": lost, "steepness": steep, "highest_rate": highest}
    return Examined("steps", f"{skipped:,} refused, largest fall {lost:.0%}, highest rate {highest:.2g}", finding, numbers)


def fall(bounds: Sequence[float]) -> tuple[float, float]:
    """How far a smoothed curve fell from its highest point, in shares of its range, and its steepest fall by the usual difference.

    Epochs of few steps have a bound that goes up and down by itself: a fall counts where it is large, and steeper than that. Zeros for
    fewer than five epochs.

    >>> fall([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), fall([1.0, 3.0, 5.0, 7.0, 9.0, 1.0, 1.0])[0] > 0.9
    ((0.0, 0.0), True)
    """
    if len(bounds) < EPOCHS:
        return 0.0, 0.0
    values = torch.tensor(bounds, dtype=torch.float64)
    smooth = values.unfold(0, max(1, len(values) // 10), 1).mean(1)
    spread = (smooth.max() - smooth.min()).item()
    lost = max(high - value for high, value in zip(accumulate(smooth.tolist(), max), smooth.tolist(), strict=True))
    steps = values.diff()
    usual = USUAL * (steps - steps.median()).abs().median().item()
    steepest = max(0.0, -steps.min().item())
    return (lost / spread if spread > 0 else 0.0), (steepest / usual if usual > 0 else math.inf if steepest > 0 else 0.0)


def length(patient: Patient) -> Examined | None:
    """Whether held-out rows still gained much when the run ended: in its second half, by what the codes say of them."""
    gained = _gained(patient)
    if gained is None:
        return None
    highest = max(epoch.learning_rate for epoch in patient.history)
    finding = None
    if gained > max(CLIMBING * patient.terms.rate.mean, MUCH):
        faster = f", or with a higher learning rate, lr={10 * highest:.2g}" if highest < SLOW else ""
        finding = Finding(
            "The run was too short",
            f"In the second half of {len(patient.history)} epochs the bound of held-out rows gained {gained:.1f} nats.",
            "As many more epochs would bring a good part of that again: nothing that is said of the model here is final.",
            f"Train for longer, epochs={max(50, 3 * len(patient.history))}{faster}.",
        )
    return Examined("gain in the second half of the run", f"{gained:.2f} nats", finding, {"gain": gained})


def _gained(patient: Patient) -> float | None:
    """What held-out rows gained in the second half of the epochs, nats; nothing where the best weights are from long before the end."""
    scores = [epoch.validation for epoch in patient.history if epoch.validation is not None and math.isfinite(epoch.validation)]
    if len(scores) < 2 or patient.best is None:
        return None
    if patient.best.epoch < 0.9 * patient.history[-1].epoch:
        return 0.0
    half = len(scores) // 2
    return max(0.0, max(scores[half:]) - max(scores[:half]))


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
    return Examined("weight of the divergence, beta", f"{beta:g}", finding, {"beta": beta})


def _idle(patient: Patient) -> float | None:
    """The share of latent variables that carry nothing, or whose mean does not move with the data."""
    if patient.kl is None or patient.active is None:
        return None
    still = patient.active.variance.flatten().cpu() <= THRESHOLD
    return ((patient.kl.flatten() < IDLE) | still if len(still) == patient.kl.numel() else patient.kl < IDLE).double().mean().item()


def overfitting(patient: Patient) -> Examined | None:
    """How much better the bound of training rows is, in shares of what the codes say, and what happened to validation."""
    if patient.training_terms is None or not patient.model.posterior.density:
        return None
    there, here = patient.training_terms, patient.terms
    gap, error = there.elbo.mean - here.elbo.mean, math.hypot(there.elbo.standard_error, here.elbo.standard_error)
    finding = None
    if not patient.few and gap > 4 * error and gap > 0.5 * here.rate.mean:
        finding = Finding(
            "Training rows are known by heart",
            f"Their ELBO is {gap:.1f} ± {error:.1f} nats above that of held-out rows, whose codes say {here.rate.mean:.1f} nats"
            f"{_fell(patient)}.",
            "The model describes the rows it was trained on rather than where they come from.",
            f"{_less(patient)} a smaller network, or more data.",
        )
    return Examined("training ELBO above held-out", f"{gap:.2f} ± {error:.2f} nats", finding, {"gap": gap, "error": error})


def _fell(patient: Patient) -> str:
    """What validation did after its best epoch."""
    best, last = patient.best, patient.history[-1] if patient.history else None
    if best is None or last is None or best.validation is None or last.validation is None or best.epoch == last.epoch:
        return ""
    return (
        f"; validation was best at epoch {best.epoch} of {last.epoch}, whose weights these are, and then fell by "
        f"{best.validation - last.validation:.1f} nats"
    )


def _less(patient: Patient) -> str:
    """To stop earlier helps where the last weights were kept."""
    return "Take" if patient.best is not None else "Stop earlier, by rows to validate with, or take"


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
    return Examined("norm of the gradient", ", ".join(f"{name} {norm:.3g}" for name, norm in norms.items()), finding, dict(norms))


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
