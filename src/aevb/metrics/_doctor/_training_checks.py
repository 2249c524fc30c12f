"""Checks of the training: learning rate, weight of the terms, length of the run, gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import torch

from ..._registry import register
from ...data._formatting import format_count
from ...notes import Argument, Part, message
from .._latent import ACTIVE_UNIT_THRESHOLD
from ._check import (
    DRIFT,
    FAILED_TRAINING,
    LEARNING_RATE,
    REPEATED_ROWS,
    SCHEDULES,
    CheckRegistration,
)
from ._context import DiagnosticContext, EpochLike
from ._diagnosis import CheckResult, Finding

MAD_TO_STANDARD_DEVIATION = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""


@register(CheckRegistration(name="unfinished_schedules", title="Schedules", order=5))
def _unfinished_schedules(context: DiagnosticContext) -> CheckResult | None:
    """Check that every schedule of the objective has reached its end."""
    if not context.history:
        return None
    last = context.history[-1]
    finding = None
    if not last.schedules_finished:
        weight = "" if last.beta is None else f", with beta at {last.beta:.2g}"
        finding = Finding(
            "schedules_unfinished",
            "The schedules did not end",
            f"After {last.step:,} steps a schedule of the objective was still running{weight}.",
            "The target of the last step is not yet the whole objective, and the latents are not "
            "final.",
            message(
                "Let the schedules end within the run, as a share of it: {schedule}.",
                schedule=Part("objectives.Linear", {"fraction": 0.2}),
            ),
        )
    return CheckResult("schedules", "ended" if last.schedules_finished else "running", finding)


@register(CheckRegistration(name="learning_rate", title="Steps", order=3, causes=REPEATED_ROWS))
def _learning_rate(context: DiagnosticContext) -> CheckResult | None:
    """Check for traces of too high a learning rate.

    These are skipped steps, a falling bound, dead units, and weights that an epoch replaced.
    """
    history, limits = context.history, context.thresholds
    if len(history) < 2:
        return None
    highest, steps = max(epoch.learning_rate for epoch in history), max(history[-1].step, 1)
    skipped, dead = sum(epoch.skipped_steps for epoch in history), context.dead_unit_share
    bounds = [epoch.bound for epoch in history if math.isfinite(epoch.bound)]
    lost, steepness = largest_fall(bounds, limits.min_fall_epochs)
    update, epoch_steps = largest_update(history)
    signs = []
    if skipped > limits.skipped_step_share * steps:
        signs.append(f"{skipped:,} of {steps:,} steps had a non-finite loss or gradient")
    if lost > limits.fall_share and steepness > limits.fall_steepness:
        signs.append(f"the bound fell by {lost:.0%} of its range in the run")
    small = 0 < update < limits.small_update * math.sqrt(epoch_steps)
    if dead is not None and dead > limits.dead_unit_share and not small:
        signs.append(f"{dead:.0%} of the hidden units are 0 for every row")
    if update > limits.large_update * math.sqrt(epoch_steps):
        signs.append(
            f"an epoch of {format_count(epoch_steps, 'step')} changed the weights by {update:.0%} "
            "of their norm"
        )
    finding = None
    if signs:
        finding = Finding(
            "learning_rate_too_high",
            "The learning rate is too high",
            f"With learning rates up to {highest:.2g}, {_join_with_and(signs)}.",
            "Steps overshoot: they undo what was learned, or move units to where no gradient "
            "reaches them any more.",
            message(
                "Lower the learning rate, to {lr} for a start.",
                lr=Argument("lr", float(f"{highest / 10:.2g}")),
            ),
        )
    return CheckResult(
        "steps",
        f"{skipped:,} skipped, largest fall {lost:.0%}, largest change of the weights in an epoch "
        f"{update:.2g}, highest learning rate {highest:.2g}",
        finding,
        {
            "skipped": float(skipped),
            "fall": lost,
            "steepness": steepness,
            "largest_update": update,
            "highest_learning_rate": highest,
        },
    )


def largest_update(history: Sequence[EpochLike]) -> tuple[float, int]:
    """Largest relative change of the weights in an epoch, for its steps, and these steps.

    Weights that move at random change with the root of the number of steps: the epoch with the
    largest change in this unit counts. Zero for a history without it.
    """
    before = [0, *(epoch.step for epoch in history)]
    changes = [
        (epoch.relative_update or 0.0, max(epoch.step - start, 1))
        for epoch, start in zip(history, before, strict=False)
    ]
    finite = [change for change in changes if math.isfinite(change[0])]
    return max(finite, key=lambda change: change[0] / math.sqrt(change[1]), default=(0.0, 1))


def largest_fall(bounds: Sequence[float], min_epochs: int = 5) -> tuple[float, float]:
    """Largest fall of a smoothed curve in shares of its range, and its steepness.

    The steepness is the steepest fall between two epochs in units of the usual difference. Epochs
    of few steps have a noisy bound: a fall counts only where it is both large and steep. Zeros for
    fewer than ``min_epochs`` epochs.

    >>> largest_fall([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    (0.0, 0.0)
    >>> largest_fall([1.0, 3.0, 5.0, 7.0, 9.0, 1.0, 1.0])[0] > 0.9
    True
    """
    if len(bounds) < min_epochs:
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
    steepness = steepest / usual if usual > 0 else math.inf if steepest > 0 else 0.0
    return (lost / spread if spread > 0 else 0.0), steepness


@register(
    CheckRegistration(
        name="run_length", title="Late gain", order=60, causes=(*SCHEDULES, *FAILED_TRAINING)
    )
)
def _run_length(context: DiagnosticContext) -> CheckResult | None:
    """Check whether held-out rows still gained much in the second half of the run."""
    gain, limits = _late_gain(context), context.thresholds
    if gain is None:
        return None
    highest = max(epoch.learning_rate for epoch in context.history)
    finding = None
    if gain > max(
        limits.late_gain_share * context.rate_distortion.rate.mean, limits.late_gain_nats
    ):
        epochs = Argument("epochs", max(50, 3 * len(context.history)))
        if highest < limits.low_learning_rate:
            recommendation = message(
                "Train for longer, {epochs}, or with a higher learning rate, {lr}.",
                epochs=epochs,
                lr=Argument("lr", float(f"{10 * highest:.2g}")),
            )
        else:
            recommendation = message("Train for longer, {epochs}.", epochs=epochs)
        finding = Finding(
            "run_too_short",
            "The run was too short",
            f"In the second half of {len(context.history)} epochs the bound of held-out rows "
            f"gained {gain:.1f} nats.",
            "As many more epochs would gain a good part of that again: no number of the model is "
            "final.",
            recommendation,
        )
    return CheckResult(
        "gain in the second half of the run", f"{gain:.2f} nats", finding, {"gain": gain}
    )


def _late_gain(context: DiagnosticContext) -> float | None:
    """Gain of held-out rows in the second half of the epochs, in nats.

    0 where the best weights are from long before the end.
    """
    scores = [
        epoch.validation
        for epoch in context.history
        if epoch.validation is not None and math.isfinite(epoch.validation)
    ]
    if len(scores) < 2 or context.best_epoch is None:
        return None
    last = context.history[-1].epoch
    if context.best_epoch.epoch < context.thresholds.finished_share * last:
        return 0.0
    half = len(scores) // 2
    return max(0.0, max(scores[half:]) - max(scores[:half]))


@register(
    CheckRegistration(
        name="kl_weight", title="Weight of the KL divergence", order=6, causes=SCHEDULES
    )
)
def _kl_weight(context: DiagnosticContext) -> CheckResult | None:
    """Check whether beta is so large that the latents carry no information."""
    beta = context.history[-1].beta if context.history else None
    if beta is None:
        return None
    idle, rate = _idle_latent_share(context), context.rate_distortion.rate.mean
    limits, finding = context.thresholds, None
    if (
        beta > 1
        and idle is not None
        and (idle >= limits.idle_latent_share or rate < limits.low_rate_nats)
    ):
        finding = Finding(
            "kl_weight_too_large",
            "The KL divergence has too much weight",
            f"beta is {beta:g}; all latent variables together carry {rate:.2f} nats about a row, "
            f"and {idle:.0%} of them are idle.",
            f"Every nat in the latents has to gain {beta:g} nats of likelihood, and few do.",
            message(
                "Lower the weight, to {beta} for a bound of log p(x).", beta=Argument("beta", 1)
            ),
        )
    return CheckResult("weight of the KL divergence, beta", f"{beta:g}", finding, {"beta": beta})


def _idle_latent_share(context: DiagnosticContext) -> float | None:
    """Share of latent variables without information, or with a mean that does not vary."""
    if context.kl_per_dimension is None or context.active_units is None:
        return None
    kl, variance = context.kl_per_dimension, context.active_units.variance.flatten().cpu()
    idle = kl.flatten() < context.thresholds.idle_latent_nats
    if len(variance) == kl.numel():
        idle = idle | (variance <= ACTIVE_UNIT_THRESHOLD)
    return idle.double().mean().item()


@register(
    CheckRegistration(
        name="overfitting", title="Training ELBO above held-out ELBO", order=4, causes=DRIFT
    )
)
def _overfitting(context: DiagnosticContext) -> CheckResult | None:
    """Check how much better the ELBO of training rows is than that of held-out rows.

    Before its schedules have ended, a run also counts whose validation fell for long while its
    training bound rose: nothing else ends it there.
    """
    train, held_out = context.train_rate_distortion, context.rate_distortion
    if train is None or not context.model.posterior.has_density:
        return None
    gap = train.elbo.mean - held_out.elbo.mean
    error = math.hypot(train.elbo.standard_error, held_out.elbo.standard_error)
    limits, rate, finding = context.thresholds, held_out.rate.mean, None
    memorised = gap > max(limits.standard_errors * error, limits.memorised_share * rate)
    if not context.has_few_rows and (memorised or _overfitted_early(context)):
        stop = (
            "Use"
            if context.best_epoch is not None
            else "Stop earlier, by means of validation rows, or use"
        )
        finding = Finding(
            "training_rows_memorised",
            "The model memorised its training rows",
            f"Their ELBO is {gap:.1f} ± {error:.1f} nats above that of held-out rows, whose rate "
            f"is {rate:.1f} nats{_validation_fall(context)}.",
            "The model describes its training rows rather than the distribution they come from.",
            message(
                f"{stop} a smaller network, {{dropout}}, {{decay}}, or more data.",
                dropout=Argument("dropout", 0.1),
                decay=Argument("weight_decay", 0.1),
            ),
        )
    return CheckResult(
        "training ELBO above held-out ELBO",
        f"{gap:.2f} ± {error:.2f} nats",
        finding,
        {"gap": gap, "error": error},
    )


def _overfitted_early(context: DiagnosticContext) -> bool:
    """Whether validation fell while the training bound rose, long before the schedules ended."""
    best, last = context.best_epoch, context.history[-1] if context.history else None
    if best is None or best.validation is None or last is None or last.validation is None:
        return False
    limits = context.thresholds
    fell = best.validation - last.validation > limits.late_gain_nats and last.bound > best.bound
    early = best.epoch < limits.finished_share * last.epoch
    return fell and early and not last.schedules_finished


def _validation_fall(context: DiagnosticContext) -> str:
    """How far validation fell after its best epoch, in words."""
    best, last = context.best_epoch, context.history[-1] if context.history else None
    if (
        best is None
        or last is None
        or best.validation is None
        or last.validation is None
        or best.epoch == last.epoch
    ):
        return ""
    return (
        f"; validation was best at epoch {best.epoch} of {last.epoch}, whose weights these are, "
        f"and then fell by {best.validation - last.validation:.1f} nats"
    )


@register(
    CheckRegistration(
        name="gradient_flow", title="Norm of the gradient", order=100, causes=LEARNING_RATE
    )
)
def _gradient_flow(context: DiagnosticContext) -> CheckResult | None:
    """Check that every part of the model receives a gradient."""
    posterior = context.model.posterior
    if (
        not posterior.has_density
        or not context.model.probe()[1].has_rsample
        or posterior.n_rows is not None
        or not posterior.full_support  # a codebook gets its gradient through the draw alone
    ):
        return None
    norms = context.gradient_norms
    dead = [name for name, norm in norms.items() if norm == 0 or not math.isfinite(norm)]
    finding = None
    if dead:
        finding = Finding(
            "gradients_missing",
            "Gradients do not arrive",
            f"The gradient of the ELBO in {_join_with_and(dead)} is "
            f"{', '.join(f'{norms[name]:g}' for name in dead)}.",
            "That part no longer learns: its units are dead, or its values overflow.",
            "Train again from new weights with a lower learning rate.",
        )
    return CheckResult(
        "norm of the gradient",
        ", ".join(f"{name} {norm:.3g}" for name, norm in norms.items()),
        finding,
        dict(norms),
    )


def _join_with_and(parts: list[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
