"""The latent space: walks, codes on a map, the plane decoded, and what each variable tells."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .. import plots
from ..data._formatting import format_count
from ..inference import interpolate
from ..inference._latent_paths import PathKind
from ..metrics._blocks import seeded_evaluation
from ..metrics._latent import ACTIVE_UNIT_THRESHOLD, posterior_means
from ..plots._manifold import has_standard_normal_prior
from ._html import Section
from ._report_context import ReportContext

MAX_LATENT_MAP_POINTS = 5000  # codes on a map, at most
MANIFOLD_GRID_SIZE = 20  # points along a side of the manifold
INTERPOLATION_STEPS = 11  # of a walk
INTERPOLATION_CANDIDATES = 1000  # rows among which the ends of a walk are looked for
PREFERRED_END_CLASSES = ("2", "6")  # classes to walk between, where there are both


def interpolation_section(report: ReportContext) -> Section | None:
    """A walk between the codes of two held-out data."""
    if len(report.rows) < 2:
        return None
    start, end = _interpolation_ends(report)
    ways: tuple[PathKind, ...] = (
        ("linear", "spherical")
        if report.spec.image and report.model.posterior.has_density
        else ("linear",)
    )
    return Section(
        "interpolation",
        "Interpolation",
        "".join(_interpolation_figure(report, start, end, way) for way in ways),
    )


def latent_map_section(report: ReportContext) -> Section:
    """The codes of held-out data in two dimensions."""
    where = report.spread_indices(MAX_LATENT_MAP_POINTS)
    seen = plots.project_latents(
        posterior_means(report.model, report.rows.subset(where)), report.metrics.kl_per_dimension
    )
    labels = None if report.rows.labels is None else report.rows.labels.cpu()[where]
    labels = (
        None if labels is None or (labels < 0).any() else labels
    )  # where some are unknown, colours would tell half of the story
    rings = (
        seen.is_axis_aligned
        and report.model.posterior.has_density
        and has_standard_normal_prior(report.model)
    )
    ax = plots.latent_map(
        seen.points,
        labels,
        report.spec.class_names,
        axis_names=seen.axis_names,
        prior_contours=rings,
    )
    unseen = "" if report.is_conditioned_on_labels else "; the model has not seen them"
    coloured = (
        f" Colours are the labels, each named at its median{unseen}." if labels is not None else ""
    )
    circles = (
        " The dashed circles hold 50 % and 95 % of the prior; samples hardly ever come from outside."
        if rings
        else ""
    )
    how = "means of q(z|x)" if report.model.posterior.has_density else "a single code for each"
    caption = f"Codes of {format_count(len(where), 'held-out ' + report.item_noun)}, {how}: {seen.description}.{coloured}{circles}"
    return report.figure_section(
        "latent-map",
        "Latent map",
        ax,
        f"A map of the codes of {len(where):,} held-out {report.item_noun}s.",
        caption,
    )


def manifold_section(report: ReportContext) -> Section | None:
    """The whole plane of a two-dimensional latent, decoded."""
    if not (report.model.posterior.has_density and plots.has_manifold(report.model)):
        return None
    ax = plots.manifold(
        report.model, MANIFOLD_GRID_SIZE, report.spec.columns, limits=report.value_limits
    )
    colours = (
        ""
        if report.spec.image
        else f" {report.columns_phrase}, from dark (small) to bright (large)."
    )
    caption = (
        f"The mean of p(x|z) at {MANIFOLD_GRID_SIZE} by {MANIFOLD_GRID_SIZE} equally spaced percentiles of the prior: z0 grows to the right, z1 upwards, as on the "
        f"latent map. Equal areas are equally probable.{colours}"
    )
    alt = f"A {MANIFOLD_GRID_SIZE} by {MANIFOLD_GRID_SIZE} grid of what the model expects over the latent plane."
    return report.figure_section("manifold", "Latent manifold", ax, alt, caption)


def kl_section(report: ReportContext) -> Section | None:
    """How much each latent variable tells."""
    kl, active = report.metrics.kl_per_dimension, report.metrics.active_units
    if kl is None:
        return None
    alive = (kl if active is None else active.variance) > ACTIVE_UNIT_THRESHOLD
    idle = (
        " Grey variables are idle: their code does not move with the data."
        if not alive.all()
        else ""
    )
    caption = (
        "What each latent variable tells of a datum, in nats: KL(q(z|x) ‖ p(z)), averaged over held-out data. "
        f"Together {kl.sum().item():.2f} nats, the rate.{idle}"
    )
    alt = f"Bars of the divergence of {kl.numel()} latent variables, {int(alive.sum())} of them active."
    return report.figure_section(
        "kl", "Information per latent variable", plots.kl_per_dimension(kl, alive), alt, caption
    )


def _interpolation_figure(report: ReportContext, start: int, end: int, path: PathKind) -> str:
    ends = report.rows.subset([start, end])
    x, context = ends.tensor(), ends.context
    with seeded_evaluation(report.model, report.seed):
        walk = interpolate(report.model, x[0], x[1], INTERPOLATION_STEPS, path, context=context)
    straight = f"A straight line in {INTERPOLATION_STEPS} steps between the codes of held-out {report.describe_row(start)} and {report.describe_row(end)}."
    caption = {
        "linear": f"{straight} Its ends are their reconstructions.",
        "spherical": "An arc between the same codes, whose distance from the origin changes evenly.",
    }[path]
    caption += "" if report.spec.image else f" {report.columns_phrase}, from start (0) to end (1)."
    ax = plots.interpolation(walk, report.spec.columns, limits=report.value_limits)
    name = "interpolation" if path == "linear" else f"interpolation-{path}"
    return report.figures.add_figure(
        name,
        ax,
        f"{INTERPOLATION_STEPS} steps from one held-out {report.item_noun} to another, {path}.",
        caption,
    )


def _interpolation_ends(report: ReportContext) -> tuple[int, int]:
    """Two held-out rows to walk between: of two classes, else far apart in code."""
    among = torch.arange(min(INTERPOLATION_CANDIDATES, len(report.rows)))
    if report.rows.labels is not None:
        labels = report.rows.labels[: len(among)].tolist()
        first, *others = _end_classes(
            [label for label in labels if label >= 0] or labels, report.spec.class_names or ()
        )
        if others:
            return labels.index(first), labels.index(others[0])
    codes = posterior_means(report.model, report.rows.subset(among))
    start = int((codes - codes.mean(0)).norm(dim=1).argmax())
    return start, int((codes - codes[start]).norm(dim=1).argmax())


def _end_classes(labels: Sequence[int], class_names: Sequence[str]) -> list[int]:
    """The classes to walk between: a 2 and a 6 where there are any, else the first ones."""
    wanted = [class_names.index(name) for name in PREFERRED_END_CLASSES if name in class_names]
    return (
        wanted
        if len(wanted) == len(PREFERRED_END_CLASSES) and set(wanted) <= set(labels)
        else list(dict.fromkeys(labels))
    )
