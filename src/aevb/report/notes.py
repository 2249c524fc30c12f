"""What a careful reader would ask about."""

from __future__ import annotations

from ..data.words import count
from . import parts
from .html import Section, bullets
from .story import Story

LOOSE = 0.05  # of the samples: an effective size below says that the estimate of log p(x) is far from settled


def watch(story: Story) -> Section | None:
    """What a careful reader would ask about."""
    notes = [note for ask in (_loose, _idle, _ongoing, _overfitted, _refused, _foreign) if (note := ask(story))]
    return Section("watch", "Worth knowing", bullets(notes)) if notes else None


def _loose(story: Story) -> str | None:
    weighed = story.findings.log_likelihood
    if weighed is None or weighed.effective_sample_size >= max(2.0, LOOSE * weighed.samples):
        return None
    return (
        f"The estimate of log p(x) is loose: of {weighed.samples:,} samples per datum an effective "
        f"{weighed.effective_sample_size:.1f} carry the weight. The truth is probably higher; more samples bring the estimate closer."
    )


def _idle(story: Story) -> str | None:
    active = story.findings.active
    if active is None or active.count == active.variance.numel():
        return None
    size = active.variance.numel()
    if active.count == 0:
        return "No latent variable is in use: the posterior has collapsed onto the prior, and codes say nothing about the data."
    return f"{size - active.count} of {size} latent variables are idle: the model does not need them, or training switched them off early."


def _ongoing(story: Story) -> str | None:
    best = parts.best_epoch(story.history)
    if best is None or len(story.history) < 3 or best.epoch != story.history[-1].epoch:
        return None
    return "The last epoch was the best one: longer training may give better numbers."


def _overfitted(story: Story) -> str | None:
    best = parts.best_epoch(story.history)
    last = story.history[-1] if story.history else None
    if best is None or last is None or best.validation is None or last.validation is None or best.epoch > 0.6 * last.epoch:
        return None
    lost = best.validation - last.validation
    return (
        f"Validation was best at epoch {best.epoch} of {last.epoch} and then fell by {lost:.2f} nats: the model began to learn its "
        "training rows by heart. The weights are the best ones."
    )


def _refused(story: Story) -> str | None:
    skipped = sum(epoch.skipped for epoch in story.history)
    return f"{count(skipped, 'step')} of training met a number that was not finite, and were skipped." if skipped else None


def _foreign(story: Story) -> str | None:
    trained = story.saved.spec
    if trained is None or trained.name == story.spec.name:
        return None
    return f'The model was trained on "{trained.name}"; this report measures it on "{story.spec.name}".'
