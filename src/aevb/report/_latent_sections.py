"""Pictures of the latent space: interpolations, maps, the decoded plane, and each variable."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .. import plots
from ..data._formatting import format_count
from ..inference import interpolate
from ..inference._batches import seeded_evaluation
from ..inference._latent_paths import PathKind
from ..metrics._latent import ACTIVE_UNIT_THRESHOLD, posterior_means
from ..models import first_member
from ..plots._manifold import has_standard_normal_prior
from ._html import Section, paragraph
from ._report_context import ReportContext
from ._table_sections import rows_table

MAX_LATENT_MAP_POINTS = 5000
MANIFOLD_GRID_SIZE = 20
"""Points along each side of the manifold."""

INTERPOLATION_STEPS = 11
INTERPOLATION_CANDIDATES = 1000
"""Rows among which the ends of an interpolation are searched."""

PREFERRED_END_CLASSES = ("2", "6")
"""Classes to interpolate between if the data have both."""


def interpolation_section(report: ReportContext) -> Section | None:
    """Paths between two held-out rows in latent space."""
    if len(report.rows) < 2:
        return None
    start, end = _interpolation_ends(report)
    has_arc = report.has_pictures and report.model.posterior.has_density
    paths: tuple[PathKind, ...] = ("linear", "spherical") if has_arc else ("linear",)
    figures = "".join(_interpolation_figure(report, start, end, path) for path in paths)
    return Section("interpolation", "Interpolation", figures)


def latent_map_section(report: ReportContext) -> Section:
    """The latent variables of held-out rows in two dimensions."""
    indices = report.spread_indices(MAX_LATENT_MAP_POINTS)
    projection = plots.project_latents(
        posterior_means(report.model, report.rows.subset(indices)), report.kl_per_dimension
    )
    labels = None if report.rows.labels is None else report.rows.labels.cpu()[indices]
    if labels is not None and (labels < 0).any():
        labels = None  # colours of some rows alone would mislead
    has_contours = (
        projection.is_axis_aligned
        and report.model.posterior.has_density
        and has_standard_normal_prior(report.model)
    )
    ax = plots.latent_map(
        projection.points,
        labels,
        report.spec.class_names,
        axis_names=projection.axis_names,
        prior_contours=has_contours,
    )
    rows = format_count(len(indices), f"held-out {report.item_noun}")
    how = "means of q(z|x)" if report.model.posterior.has_density else "the output of the encoder"
    unseen = "" if report.is_conditioned_on_labels else "; the model has not seen the labels"
    colours = f" Colours are labels, with each name at the median of its class{unseen}."
    contours = (
        " The dashed circles contain 50 % and 95 % of the prior; few samples come from outside."
    )
    caption = (
        f"Latent variables of {rows}, {how}: {projection.description}."
        f"{colours if labels is not None else ''}{contours if has_contours else ''}"
    )
    alt = f"A map of the latent variables of {rows}."
    return report.figure_section("latent-map", "Latent map", ax, alt, caption)


def manifold_section(report: ReportContext) -> Section | None:
    """The decoded plane of a two-dimensional latent space."""
    drawable = report.spec.kind in ("image", "table") and report.model.posterior.has_density
    drawable = drawable and report.spec.schema is None
    model = first_member(report.model)
    if not (drawable and plots.has_manifold(model)):
        return None
    size = MANIFOLD_GRID_SIZE
    ax = plots.manifold(model, size, report.spec.columns, limits=report.value_limits)
    colours = (
        ""
        if report.has_pictures
        else f" {report.columns_phrase}, dark for small, bright for large."
    )
    caption = (
        f"The mean of p(x|z) at {size} by {size} equally spaced percentiles of the prior: z0 "
        "grows to the right, z1 upwards, as on the latent map. Equal areas are equally "
        f"probable.{colours}"
    )
    alt = f"A {size} by {size} grid of the mean of p(x|z) over the latent plane."
    return report.figure_section("manifold", "Latent manifold", ax, alt, caption)


def kl_section(report: ReportContext) -> Section | None:
    """The KL divergence of each latent variable."""
    kl, active = report.kl_per_dimension, report.evaluation.active_units
    if kl is None:
        return None
    is_active = (kl if active is None else active.variance) > ACTIVE_UNIT_THRESHOLD
    inactive = (
        ""
        if is_active.all()
        else " Grey variables are inactive: their posterior mean does not vary with the data."
    )
    caption = (
        "The information of each latent variable about a datum in nats: KL(q(z|x) ‖ p(z)), "
        f"averaged over held-out data. The sum, {kl.sum().item():.2f} nats, is the rate.{inactive}"
    )
    alt = f"KL divergence of {kl.numel()} latent variables, {int(is_active.sum())} of them active."
    ax = plots.kl_per_dimension(kl, is_active)
    return report.figure_section("kl", "Information per latent variable", ax, alt, caption)


def _interpolation_figure(report: ReportContext, start: int, end: int, path: PathKind) -> str:
    """The decoded path between two rows."""
    ends = report.rows.subset([start, end])
    x, context = ends.tensor(), ends.context
    with seeded_evaluation(report.model, report.seed):
        walk = interpolate(report.model, x[0], x[1], INTERPOLATION_STEPS, path, context=context)
    caption = {
        "linear": f"{INTERPOLATION_STEPS} steps on a straight line in latent space between "
        f"held-out {report.describe_row(start)} and {report.describe_row(end)}. The ends are their "
        "reconstructions.",
        "spherical": "An arc between the same ends, whose distance from the origin changes evenly.",
    }[path]
    if report.spec.schema is not None:
        names = [f"{place:.1f}" for place in torch.linspace(0, 1, INTERPOLATION_STEPS).tolist()]
        return paragraph(caption) + rows_table(report.spec.schema, walk.x.cpu(), names)
    if report.spec.kind == "series":
        caption += f" {report.columns_phrase}, every second step."
        ax = plots.series(walk.x[::2])
    else:
        rows = f" {report.columns_phrase}, from start (0) to end (1)."
        caption += "" if report.has_pictures else rows
        ax = (
            plots.images(report.pictures(walk.x), 1, limits=report.value_limits)
            if report.spec.kind == "video"
            else plots.interpolation(walk, report.spec.columns, limits=report.value_limits)
        )
    name = "interpolation" if path == "linear" else f"interpolation-{path}"
    alt = f"{INTERPOLATION_STEPS} steps from one held-out {report.item_noun} to another, {path}."
    return report.figures.add_figure(name, ax, alt, caption)


def _interpolation_ends(report: ReportContext) -> tuple[int, int]:
    """Two held-out rows of different classes, else two that are distant in latent space."""
    candidates = torch.arange(min(INTERPOLATION_CANDIDATES, len(report.rows)))
    if report.rows.labels is not None:
        labels = report.rows.labels[: len(candidates)].tolist()
        first, *others = _end_classes(
            [label for label in labels if label >= 0] or labels, report.spec.class_names or ()
        )
        if others:
            return labels.index(first), labels.index(others[0])
    z = posterior_means(report.model, report.rows.subset(candidates))
    start = int((z - z.mean(0)).norm(dim=1).argmax())
    return start, int((z - z[start]).norm(dim=1).argmax())


def _end_classes(labels: Sequence[int], class_names: Sequence[str]) -> list[int]:
    """The preferred classes if the data have both, else all classes in order of appearance."""
    preferred = [class_names.index(name) for name in PREFERRED_END_CLASSES if name in class_names]
    if len(preferred) == len(PREFERRED_END_CLASSES) and set(preferred) <= set(labels):
        return preferred
    return list(dict.fromkeys(labels))
