"""What may have gone wrong in training: its rate, the weight of its terms, too long a run, gradients that do not arrive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import torch

from .._latent import ACTIVE_UNIT_THRESHOLD
from ._context import DiagnosticContext
from ._diagnosis import CheckResult, Finding

MIN_FALL_EPOCHS = 5  # of a history in which a fall can be told from noise
FALL_SHARE_THRESHOLD = 0.3  # of all that the bound moved in a run, lost from its highest point
FALL_STEEPNESS_THRESHOLD = 6.0  # times the usual difference of two epochs
MAD_TO_STANDARD_DEVIATION = (
    1.4826  # of a normal distribution: the deviation, by the median distance from the median
)
SKIPPED_STEP_SHARE = 0.001  # of the steps
DEAD_UNIT_SHARE_THRESHOLD = 0.5  # of the hidden units
IDLE_LATENT_NATS = 0.01  # nats
LATE_GAIN_RATE_SHARE, LATE_GAIN_NATS = (
    0.4,
    2.0,
)  # of what codes say, and nats: gained in the second half of a run
LOW_RATE_NATS = 1.0  # nats, of all latent variables
LOW_LEARNING_RATE = 3e-4  # a rate below it may be the reason for a run that is not over


def unfinished_schedules(diagnostics: DiagnosticContext) -> CheckResult | None:
    """Whether what follows a schedule has come to rest."""
    if not diagnostics.history:
        return None
    last = diagnostics.history[-1]
    finding = None
    if not last.schedules_finished:
        weight = "" if last.beta is None else f", with beta at {last.beta:.2g}"
        finding = Finding(
            "The schedules did not end",
            f"After {last.step:,} steps a schedule of the objective was still under way{weight}.",
            "What was climbed at the end is not yet the whole objective, and the codes are not yet what they are to be.",
            f"Train for longer, epochs={3 * len(diagnostics.history)}, or let the schedules take fewer steps than the run.",
        )
    return CheckResult("schedules", "settled" if last.schedules_finished else "under way", finding)


def learning_rate(diagnostics: DiagnosticContext) -> CheckResult | None:
    """Steps that were refused, a bound that falls, and hidden units that died are what too high a learning rate leaves behind."""
    history = diagnostics.history
    if len(history) < 2:
        return None
    highest, steps = max(epoch.learning_rate for epoch in history), max(history[-1].step, 1)
    skipped, silent = sum(epoch.skipped_steps for epoch in history), diagnostics.dead_unit_share
    lost, steep = largest_fall([epoch.bound for epoch in history if math.isfinite(epoch.bound)])
    signs = []
    if skipped > SKIPPED_STEP_SHARE * steps:
        signs.append(f"{skipped:,} of {steps:,} steps met a number that was not finite")
    if lost > FALL_SHARE_THRESHOLD and steep > FALL_STEEPNESS_THRESHOLD:
        signs.append(f"the bound fell by {lost:.0%} of all that it moved in the run")
    if silent is not None and silent > DEAD_UNIT_SHARE_THRESHOLD:
        signs.append(f"{silent:.0%} of the hidden units are silent for every row")
    finding = None
    if signs:
        finding = Finding(
            "The learning rate is too high",
            f"With rates up to {highest:.2g}, {_join_with_and(signs)}.",
            "Steps overshoot: they undo what was learnt, or push units where no gradient reaches them any more.",
            f"Lower the learning rate, to lr={highest / 10:.2g} for a start.",
        )
    numbers = {"refused": float(skipped), "fall": lost, "steepness": steep, "highest_rate": highest}
    return CheckResult(
        "steps",
        f"{skipped:,} refused, largest fall {lost:.0%}, highest rate {highest:.2g}",
        finding,
        numbers,
    )


def largest_fall(bounds: Sequence[float]) -> tuple[float, float]:
    """How far a smoothed curve fell from its highest point, in shares of its range, and its steepest fall by the usual difference.

    Epochs of few steps have a bound that goes up and down by itself: a fall counts where it is large, and steeper than that. Zeros for
    fewer than five epochs.

    >>> fall([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), fall([1.0, 3.0, 5.0, 7.0, 9.0, 1.0, 1.0])[0] > 0.9
    ((0.0, 0.0), True)
    """
    if len(bounds) < MIN_FALL_EPOCHS:
        return 0.0, 0.0
    values = torch.tensor(bounds, dtype=torch.float64)
    smooth = values.unfold(0, max(1, len(values) // 10), 1).mean(1)
    spread = (smooth.max() - smooth.min()).item()
    lost = max(
        high - value
        for high, value in zip(accumulate(smooth.tolist(), max), smooth.tolist(), strict=True)
    )
    steps = values.diff()
    usual = MAD_TO_STANDARD_DEVIATION * (steps - steps.median()).abs().median().item()
    steepest = max(0.0, -steps.min().item())
    return (lost / spread if spread > 0 else 0.0), (
        steepest / usual if usual > 0 else math.inf if steepest > 0 else 0.0
    )


def run_length(diagnostics: DiagnosticContext) -> CheckResult | None:
    """Whether held-out rows still gained much when the run ended: in its second half, by what the codes say of them."""
    gained = _late_gain(diagnostics)
    if gained is None:
        return None
    highest = max(epoch.learning_rate for epoch in diagnostics.history)
    finding = None
    if gained > max(LATE_GAIN_RATE_SHARE * diagnostics.rate_distortion.rate.mean, LATE_GAIN_NATS):
        faster = (
            f", or with a higher learning rate, lr={10 * highest:.2g}"
            if highest < LOW_LEARNING_RATE
            else ""
        )
        finding = Finding(
            "The run was too short",
            f"In the second half of {len(diagnostics.history)} epochs the bound of held-out rows gained {gained:.1f} nats.",
            "As many more epochs would bring a good part of that again: nothing that is said of the model here is final.",
            f"Train for longer, epochs={max(50, 3 * len(diagnostics.history))}{faster}.",
        )
    return CheckResult(
        "gain in the second half of the run", f"{gained:.2f} nats", finding, {"gain": gained}
    )


def _late_gain(diagnostics: DiagnosticContext) -> float | None:
    """What held-out rows gained in the second half of the epochs, nats; nothing where the best weights are from long before the end."""
    scores = [
        epoch.validation
        for epoch in diagnostics.history
        if epoch.validation is not None and math.isfinite(epoch.validation)
    ]
    if len(scores) < 2 or diagnostics.best_epoch is None:
        return None
    if diagnostics.best_epoch.epoch < 0.9 * diagnostics.history[-1].epoch:
        return 0.0
    half = len(scores) // 2
    return max(0.0, max(scores[half:]) - max(scores[:half]))


def kl_weight(diagnostics: DiagnosticContext) -> CheckResult | None:
    """Whether the divergence weighs so much that codes say nothing."""
    beta = diagnostics.history[-1].beta if diagnostics.history else None
    if beta is None:
        return None
    idle, rate = _idle_latent_share(diagnostics), diagnostics.rate_distortion.rate.mean
    finding = None
    if beta > 1 and idle is not None and (idle >= 0.5 or rate < LOW_RATE_NATS):
        finding = Finding(
            "The divergence weighs too much",
            f"beta is {beta:g}; all latent variables together say {rate:.2f} nats of a datum, and {idle:.0%} of them are idle.",
            f"Every nat that a code says of a datum has to bring {beta:g} nats of likelihood, and few do.",
            "Lower the weight, to beta=1 for a bound of log p(x).",
        )
    return CheckResult("weight of the divergence, beta", f"{beta:g}", finding, {"beta": beta})


def _idle_latent_share(diagnostics: DiagnosticContext) -> float | None:
    """The share of latent variables that carry nothing, or whose mean does not move with the data."""
    if diagnostics.kl_per_dimension is None or diagnostics.active_units is None:
        return None
    still = diagnostics.active_units.variance.flatten().cpu() <= ACTIVE_UNIT_THRESHOLD
    return (
        (
            (diagnostics.kl_per_dimension.flatten() < IDLE_LATENT_NATS) | still
            if len(still) == diagnostics.kl_per_dimension.numel()
            else diagnostics.kl_per_dimension < IDLE_LATENT_NATS
        )
        .double()
        .mean()
        .item()
    )


def overfitting(diagnostics: DiagnosticContext) -> CheckResult | None:
    """How much better the bound of training rows is, in shares of what the codes say, and what happened to validation."""
    if diagnostics.train_rate_distortion is None or not diagnostics.model.posterior.has_density:
        return None
    there, here = diagnostics.train_rate_distortion, diagnostics.rate_distortion
    gap, error = (
        there.elbo.mean - here.elbo.mean,
        math.hypot(there.elbo.standard_error, here.elbo.standard_error),
    )
    finding = None
    if not diagnostics.has_few_rows and gap > 4 * error and gap > 0.5 * here.rate.mean:
        finding = Finding(
            "Training rows are known by heart",
            f"Their ELBO is {gap:.1f} ± {error:.1f} nats above that of held-out rows, whose codes say {here.rate.mean:.1f} nats"
            f"{_validation_fall_text(diagnostics)}.",
            "The model describes the rows it was trained on rather than where they come from.",
            f"{_overfitting_recommendation(diagnostics)} a smaller network, or more data.",
        )
    return CheckResult(
        "training ELBO above held-out",
        f"{gap:.2f} ± {error:.2f} nats",
        finding,
        {"gap": gap, "error": error},
    )


def _validation_fall_text(diagnostics: DiagnosticContext) -> str:
    """What validation did after its best epoch."""
    best, last = diagnostics.best_epoch, diagnostics.history[-1] if diagnostics.history else None
    if (
        best is None
        or last is None
        or best.validation is None
        or last.validation is None
        or best.epoch == last.epoch
    ):
        return ""
    return (
        f"; validation was best at epoch {best.epoch} of {last.epoch}, whose weights these are, and then fell by "
        f"{best.validation - last.validation:.1f} nats"
    )


def _overfitting_recommendation(diagnostics: DiagnosticContext) -> str:
    """To stop earlier helps where the last weights were kept."""
    return (
        "Take"
        if diagnostics.best_epoch is not None
        else "Stop earlier, by rows to validate with, or take"
    )


def gradient_flow(diagnostics: DiagnosticContext) -> CheckResult | None:
    """Whether a gradient arrives in every part."""
    model = diagnostics.model
    if (
        not model.posterior.has_density
        or not model.probe()[1].has_rsample
        or model.posterior.n_rows is not None
    ):
        return None
    if (
        not model.posterior.full_support
    ):  # of a codebook it arrives through the draw alone, and these draws are held
        return None
    norms = diagnostics.gradient_norms
    dead = [name for name, norm in norms.items() if norm == 0 or not math.isfinite(norm)]
    finding = None
    if dead:
        finding = Finding(
            "Gradients do not arrive",
            f"The gradient of the ELBO in {_join_with_and(dead)} is {', '.join(f'{norms[name]:g}' for name in dead)}.",
            "That part does not learn any more: its units are dead, or its numbers overflow.",
            "Train again from new weights with a lower learning rate.",
        )
    return CheckResult(
        "norm of the gradient",
        ", ".join(f"{name} {norm:.3g}" for name, norm in norms.items()),
        finding,
        dict(norms),
    )


def _join_with_and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
