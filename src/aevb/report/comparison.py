"""The page of a comparison: the numbers of several runs, what is noise between them, and what they make of the same data."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from .. import plots
from ..data.words import count, listing
from ..files import write_atomically
from ..metrics import Comparison, Measured, RateDistortion
from ..metrics.comparison import WORDS, Column, Difference
from ..metrics.sweep import evaluating
from ..persistence import size_of, versions
from . import parts
from .album import Album
from .html import Section, bullets, pairs, paragraph, side_by_side, table
from .numbers import with_error
from .page import page
from .story import Story

PAIRS, POINTS = 10, 300  # images and rows that are reconstructed
IMAGES, ROWS, REAL = 30, 1000, 10_000  # images drawn, rows drawn, rows of data beside them
SHOWN = 12  # runs whose pictures are shown
KIND = "Variational autoencoders side by side"
UNITS = "Nats per {one}, ± one standard error over held-out data."
LESS = (
    "Each less {best}, ± one standard error of the difference. p says how often noise alone makes so much of {what}, corrected for all "
    "pairs; from 0.05 on it is called noise. What is more than noise, in any column, is marked *."
)
FOREST_ALT = "The difference of each run to the best one, with error bars."
FOREST = "Bars reach two standard errors of the difference to each side, before correction. Grey is noise, red is worse, blue the best."
CURVES = (
    "The ELBO (of an autoencoder the reconstruction) of each run on its own validation rows while it was trained. "
    "The steep beginning does not set the scale."
)
VERDICTS = {"best": "best", "noise": "noise", "worse": "worse", "unknown": ""}


@dataclass(frozen=True)
class Entry:
    """A run as its page tells it."""

    key: str  # what tables and pictures call it
    side: str  # that of its configuration where seeds are taken together, its own elsewhere
    about: str  # in what it differs from the others
    configuration: str  # the same without its seed
    story: Story
    active: int | None = None  # latent variables in use
    why: str | None = None  # it is not compared

    @property
    def terms(self) -> RateDistortion:
        return self.story.findings.rate_distortion

    @property
    def title(self) -> str:
        return f"{self.key}: {self.about or self.story.saved.path.name}"


@dataclass(frozen=True)
class Contest:
    """All that the page draws from: runs, what comes of comparing them, and the settings in which they differ, one value for each run."""

    title: str
    entries: Sequence[Entry]
    found: Comparison
    settings: Sequence[tuple[str, Sequence[str]]]
    measured: str  # on which rows, in a sentence
    album: Album = field(default_factory=Album)

    @property
    def shown(self) -> list[Entry]:
        """The runs whose pictures are shown: one of each configuration."""
        return list({entry.side: entry for entry in reversed(self.entries)}.values())[::-1][:SHOWN]

    @property
    def first(self) -> Story:
        """One of those that are compared."""
        return next(entry.story for entry in self.entries if entry.why is None)


def write_comparison(contest: Contest, target: Path) -> Path:
    """Write the page, one file with everything in it; returns its path."""
    made = [make(contest) for make in (_numbers, _differences, _settings, _training, _reconstructions, _samples, _runs)]
    found = versions()
    content = page(
        title=contest.title,
        kind=KIND,
        verdict=_minus(_opening(contest)),
        cards=[],
        sections=[section for section in made if section is not None],
        footer=f"Measured with aevb {found['aevb']}, torch {found['torch']}, seed {contest.first.seed}. Numbers are of held-out rows.",
    )
    write_atomically(target, content.encode())
    return target


def _opening(contest: Contest) -> str:
    """The sentence that the page opens with, with what the best one is."""
    if len(contest.found.sides) < 2:
        return "No two of these runs can be compared: their numbers are not of one thing."
    best = contest.found.sides[contest.found.best].name
    about = next(entry.configuration for entry in contest.entries if entry.side == best)
    named = f"{best} ({about})" if about else best
    first, *rest = contest.found.outcome
    return " ".join([named + first.removeprefix(best), *rest])


def _numbers(contest: Contest) -> Section:
    """A line for each run."""
    head = ("", "log p(x)", "ELBO", "rate", "distortion", *(["bits/dim"] if contest.first.spec.discrete else []), "latents in use")
    rows = [_line(entry, contest.first.spec.discrete) for entry in contest.entries]
    keys = pairs((entry.key, f"{entry.story.saved.path}{': ' if entry.about else ''}{entry.about}") for entry in contest.entries)
    said = UNITS.format(one=contest.first.one)
    return Section("numbers", "The numbers", keys + paragraph(contest.measured, said) + table(head, rows, "cells"))


def _line(entry: Entry, discrete: bool) -> list[str]:
    findings, terms = entry.story.findings, entry.terms
    weighed = findings.log_likelihood
    best = terms.elbo if weighed is None else weighed.value
    counted = entry.story.spec.discrete
    bits = [_value(best.bits_per_dimension(entry.story.dimensions), 4) if counted else "–"] if discrete else []
    active = "–" if entry.active is None else f"{entry.active} of {math.prod(entry.story.model.latent_shape)}"
    numbers = [_value(value) for value in (terms.elbo, terms.rate, terms.distortion)]
    return [entry.key, "–" if weighed is None else _value(weighed.value), *numbers, *bits, active]


def _differences(contest: Contest) -> Section | None:
    """What each side is less than the best, and whether that is noise."""
    found = contest.found
    left_out = [entry for entry in contest.entries if entry.why is not None]
    apart = bullets(_minus(f"{entry.key} ({entry.story.saved.path}) is not compared: it {entry.why}.") for entry in left_out)
    if len(found.sides) < 2:
        return Section("differences", "The differences", apart) if left_out else None
    names = [side.name for side in found.sides]
    picture = contest.album.add("differences", plots.differences(found.deciding.differences, names), FOREST_ALT, FOREST)
    below = paragraph(LESS.format(best=names[found.best], what=WORDS[found.deciding.quantity]))
    said = bullets(map(_minus, found.said))
    return Section("differences", "The differences", said + (apart if left_out else "") + picture + below + _table(contest))


def _table(contest: Contest) -> str:
    """A line of differences for each side; where seeds are taken together their mean, too."""
    found, told = contest.found, _told(contest)
    means = "seeds" in found.spread
    head = ("", "", "p", *([f"mean {told[0].title}"] if means else []), *(each.title for each in told))
    rows = []
    for place, side in enumerate(found.sides):
        deciding = found.deciding.differences[place]
        own = [_value(found.deciding.values[place])] if means else []
        cells = [_difference(each.column.differences[place], each.digits) for each in told]
        rows.append([side.name, VERDICTS[found.verdicts[place]], "" if deciding is None else _chance(deciding.p), *own, *cells])
    return table(head, rows, "cells")


@dataclass(frozen=True)
class Shown:
    """A column as the page has it."""

    title: str
    column: Column
    digits: int = 2


def _told(contest: Contest) -> list[Shown]:
    """The columns of differences; bits per dimension where data are counted in steps."""
    found, spec = contest.found, contest.first.spec
    bits = spec.discrete and found.deciding.quantity != "reconstruction"
    nats = [Shown(WORDS[column.quantity], column) for column in found.columns]
    return [*nats, *([Shown("bits/dim", found.deciding.in_bits(spec.dimensions), 4)] if bits else [])]


def _difference(found: Difference | None, digits: int) -> str:
    if found is None:
        return ""
    return ("+" if found.value.mean > 0 else "") + _value(found.value, digits) + ("*" if found.real else "")


def _chance(p: float) -> str:
    return "–" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def _settings(contest: Contest) -> Section | None:
    """In what the runs differ."""
    if not contest.settings:
        return Section("settings", "What differs", paragraph("All settings of the runs are the same."))
    head = ("", *(entry.key for entry in contest.entries))
    return Section("settings", "What differs", table(head, [(name, *values) for name, values in contest.settings], "cells"))


def _training(contest: Contest) -> Section | None:
    """How validation went."""
    compared = [entry for entry in contest.entries if entry.why is None]
    drawn = [entry for entry in compared if any(epoch.validation is not None for epoch in entry.story.history)]
    if not drawn:
        return None
    ax = plots.validation([entry.story.history for entry in drawn], [entry.side for entry in drawn])
    seeds = "Seeds of one configuration have one colour." if len({entry.side for entry in drawn}) < len(drawn) else ""
    alt = "Validation against epochs, a line for each run."
    return Section("training", "Training", contest.album.add("validation", ax, alt, f"{CURVES} {seeds}".strip()))


def _reconstructions(contest: Contest) -> Section | None:
    """The same held-out data through every run."""
    drawn = [entry for entry in contest.shown if entry.story.model.posterior.rows is None]
    figures = [_reconstructed(contest, entry) for entry in drawn]
    without = [entry.key for entry in contest.shown if entry.story.model.posterior.rows is not None]
    unknown = f"New rows are unknown to {listing(without)}, which has a code for each training row alone." if without else ""
    how = (
        "Held-out images above, below each its reconstruction" if contest.first.spec.image else "Originals across, reconstructions upwards"
    )
    said = f"{how}: the mean of p(x|z) at the code of the original."
    return (
        Section("reconstructions", "Reconstructions", paragraph(said, _of_each(contest), unknown) + side_by_side(*figures))
        if figures
        else None
    )


def _reconstructed(contest: Contest, entry: Entry) -> str:
    story = entry.story
    rows = story.rows.subset(story.spread(PAIRS if story.spec.image else POINTS))
    originals = rows.tensor()
    with evaluating(story.model, story.seed):
        made = story.model.reconstruct(originals, rows.context)
    ax = plots.reconstructions(originals, made, story.spec.columns, limits=contest.first.limits)
    return _titled(entry, contest.album.add(f"reconstructions-{entry.key}", ax, f"Held-out data and what {entry.key} makes of them."))


def _samples(contest: Contest) -> Section | None:
    """What each run makes up."""
    drawn = [entry for entry in contest.shown if entry.story.model.posterior.density or "prior" in entry.story.saved.training]
    figures = [_sampled(contest, entry) for entry in drawn]
    image = "Means of p(x|z), with z drawn from the prior by the same seed."
    rows = "Held-out rows filled, rows drawn from the model outlined; the closer, the better."
    said = paragraph(image if contest.first.spec.image else rows, _of_each(contest))
    return Section("samples", "Samples", said + side_by_side(*figures)) if figures else None


def _sampled(contest: Contest, entry: Entry) -> str:
    story, alt = entry.story, f"Data that {entry.key} made up."
    if story.spec.image:
        ax = plots.images(_draw(story, IMAGES, mean=True), limits=contest.first.limits)
    else:
        ax = plots.samples(made := _draw(story, ROWS, mean=False), made, story.rows[:REAL].cpu(), story.spec.columns)
    return _titled(entry, contest.album.add(f"samples-{entry.key}", ax, alt))


def _titled(entry: Entry, figure: str) -> str:
    """A picture below the name of its run: beside others there is no room for a caption at its side."""
    return f"<div>{paragraph(entry.title)}{figure}</div>"


def _draw(story: Story, n: int, mean: bool) -> Tensor:
    """Draws, told what held-out rows evenly spread were, where the model is told something."""
    context = story.rows.context
    told = None if context is None else context[[place * len(story.rows) // n for place in range(n)]]
    with evaluating(story.model, story.seed):
        return story.model.sample(n, told, mean=mean).cpu()


def _of_each(contest: Contest) -> str:
    several = len({entry.side for entry in contest.entries})
    one = "One run of each configuration is shown." if several < len(contest.entries) else ""
    return one + (f" The first {SHOWN} of {several}." if several > SHOWN else "")


def _runs(contest: Contest) -> Section:
    """What each configuration is made of, and how a run of it was trained."""
    listed = [(entry.side, _made_of(entry)) for entry in contest.shown]
    return Section("runs", "The runs", pairs(listed))


def _made_of(entry: Entry) -> str:
    known = dict(parts.architecture(entry.story.model) + parts.training(entry.story.saved.training, entry.story.history))
    said = [f"{name}: {known[name]}" for name in ("prior", "posterior", "likelihood", "objective", "gradient", "epochs") if name in known]
    return "; ".join([count(size_of(entry.story.model), "parameter"), *said])


def _value(value: Measured, digits: int = 2) -> str:
    return "–" if math.isnan(value.mean) else with_error(value, digits)


def _minus(text: str) -> str:
    """Numbers with a minus sign that does not break from them; names keep their hyphens.

    >>> _minus("digits-1 has -3.2 (-4)")
    'digits-1 has −3.2 (−4)'
    """
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)
