"""The latent space: walks, codes on a map, the plane decoded, and what each variable tells."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .. import plots
from ..data.words import count
from ..inference import interpolate
from ..inference.latent import Path
from ..metrics.latent import THRESHOLD, encodings
from ..metrics.sweep import evaluating
from ..plots.manifold import is_standard_normal
from .html import Section
from .story import Story

MAP = 5000  # codes on a map, at most
GRID = 20  # points along a side of the manifold
STEPS = 11  # of a walk
WALKERS = 1000  # rows among which the ends of a walk are looked for
WANTED = ("2", "6")  # classes to walk between, where there are both


def interpolation(story: Story) -> Section | None:
    """A walk between the codes of two held-out data."""
    if len(story.rows) < 2:
        return None
    start, end = _ends(story)
    ways: tuple[Path, ...] = ("linear", "spherical") if story.spec.image and story.model.posterior.density else ("linear",)
    return Section("interpolation", "Interpolation", "".join(_walk(story, start, end, way) for way in ways))


def latent_map(story: Story) -> Section:
    """The codes of held-out data in two dimensions."""
    where = story.spread(MAP)
    seen = plots.plane(encodings(story.model, story.rows.subset(where)), story.findings.kl)
    labels = None if story.rows.labels is None else story.rows.labels.cpu()[where]
    labels = None if labels is None or (labels < 0).any() else labels  # where some are unknown, colours would tell half of the story
    rings = seen.coordinates and story.model.posterior.density and is_standard_normal(story.model)
    ax = plots.latent_map(seen.points, labels, story.spec.classes, names=seen.names, rings=rings)
    unseen = "" if story.labels_told else "; the model has not seen them"
    coloured = f" Colours are the labels, each named at its median{unseen}." if labels is not None else ""
    circles = " The dashed circles hold 50 % and 95 % of the prior; samples hardly ever come from outside." if rings else ""
    how = "means of q(z|x)" if story.model.posterior.density else "a single code for each"
    caption = f"Codes of {count(len(where), 'held-out ' + story.one)}, {how}: {seen.said}.{coloured}{circles}"
    return story.picture("latent-map", "Latent map", ax, f"A map of the codes of {len(where):,} held-out {story.one}s.", caption)


def manifold(story: Story) -> Section | None:
    """The whole plane of a two-dimensional latent, decoded."""
    if not (story.model.posterior.density and plots.has_manifold(story.model)):
        return None
    ax = plots.manifold(story.model, GRID, story.spec.columns, limits=story.limits)
    colours = "" if story.spec.image else f" {story.columns}, from dark (small) to bright (large)."
    caption = (
        f"The mean of p(x|z) at {GRID} by {GRID} equally spaced percentiles of the prior: z0 grows to the right, z1 upwards, as on the "
        f"latent map. Equal areas are equally probable.{colours}"
    )
    alt = f"A {GRID} by {GRID} grid of what the model expects over the latent plane."
    return story.picture("manifold", "Latent manifold", ax, alt, caption)


def divergence(story: Story) -> Section | None:
    """How much each latent variable tells."""
    kl, active = story.findings.kl, story.findings.active
    if kl is None:
        return None
    alive = (kl if active is None else active.variance) > THRESHOLD
    idle = " Grey variables are idle: their code does not move with the data." if not alive.all() else ""
    caption = (
        "What each latent variable tells of a datum, in nats: KL(q(z|x) ‖ p(z)), averaged over held-out data. "
        f"Together {kl.sum().item():.2f} nats, the rate.{idle}"
    )
    alt = f"Bars of the divergence of {kl.numel()} latent variables, {int(alive.sum())} of them active."
    return story.picture("kl", "Information per latent variable", plots.kl_per_dimension(kl, alive), alt, caption)


def _walk(story: Story, start: int, end: int, way: Path) -> str:
    ends = story.rows.subset([start, end])
    x, context = ends.tensor(), ends.context
    with evaluating(story.model, story.seed):
        walk = interpolate(story.model, x[0], x[1], STEPS, way, context=context)
    straight = f"A straight line in {STEPS} steps between the codes of held-out {story.named(start)} and {story.named(end)}."
    caption = {
        "linear": f"{straight} Its ends are their reconstructions.",
        "spherical": "An arc between the same codes, whose distance from the origin changes evenly.",
    }[way]
    caption += "" if story.spec.image else f" {story.columns}, from start (0) to end (1)."
    ax = plots.interpolation(walk, story.spec.columns, limits=story.limits)
    name = "interpolation" if way == "linear" else f"interpolation-{way}"
    return story.album.add(name, ax, f"{STEPS} steps from one held-out {story.one} to another, {way}.", caption)


def _ends(story: Story) -> tuple[int, int]:
    """Two held-out rows to walk between: of two classes, else far apart in code."""
    among = torch.arange(min(WALKERS, len(story.rows)))
    if story.rows.labels is not None:
        labels = story.rows.labels[: len(among)].tolist()
        first, *others = _classes_of_ends([label for label in labels if label >= 0] or labels, story.spec.classes or ())
        if others:
            return labels.index(first), labels.index(others[0])
    codes = encodings(story.model, story.rows.subset(among))
    start = int((codes - codes.mean(0)).norm(dim=1).argmax())
    return start, int((codes - codes[start]).norm(dim=1).argmax())


def _classes_of_ends(labels: Sequence[int], classes: Sequence[str]) -> list[int]:
    """The classes to walk between: a 2 and a 6 where there are any, else the first ones."""
    wanted = [classes.index(name) for name in WANTED if name in classes]
    return wanted if len(wanted) == len(WANTED) and set(wanted) <= set(labels) else list(dict.fromkeys(labels))
