"""The sections of a report, in the order in which they are read. One that does not apply returns None and is left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import plots
from ..data.labels import labels_said
from ..data.words import count, sides
from ..inference import interpolate
from ..inference.latent import Path
from ..metrics.latent import encodings
from ..metrics.sweep import evaluating
from ..plots.columns import LIMIT, correlation, rows_of
from ..plots.curves import available
from ..plots.manifold import is_standard_normal
from . import numbers, parts
from .html import Section, bullets, paragraph, side_by_side, table, text
from .html import pairs as pairs_of
from .story import MAP, Story

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SAMPLES = 36  # images made up
DRAWS = 1000  # rows made up, for histograms
LISTED = 8  # rows of a table that are printed
PAIRS = 20  # images reconstructed
POINTS = 300  # rows reconstructed
GRID = 20  # points along a side of the manifold
STEPS = 11  # of a walk
WALKERS = 1000  # rows among which the ends of a walk are looked for
WANTED = ("2", "6")  # classes to walk between, where there are both


def data(story: Story) -> Section:
    """What was read, and what was decided about it."""
    spec = story.spec
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in _splits(story).items())
    used = "all test rows" if len(story.rows) == len(story.data.test) else f"the first {len(story.rows):,} test rows"
    rows = [
        ("name", spec.name),
        ("shape", f"{sides(spec.event_shape)}: {count(story.dimensions, 'number')} per {story.one}"),
        ("rows", sizes),
        ("measured on", used),
    ]
    if spec.classes:
        rows.append(("classes", f"{labels_said(spec.classes)}; the model has not seen them"))
    return Section("data", "The data", pairs_of(rows) + bullets(spec.said) + _binarised(story))


def watch(story: Story) -> Section | None:
    """What a careful reader would ask about."""
    notes = [note for ask in (_loose, _idle, _ongoing, _overfitted, _refused, _foreign) if (note := ask(story))]
    return Section("watch", "Worth knowing", bullets(notes)) if notes else None


def reconstructions(story: Story) -> Section:
    """Held-out data above, what the model makes of their codes below."""
    picked = story.shown(PAIRS if story.spec.image else POINTS)
    if story.spec.image and len(picked) > 10:
        picked = picked[: len(picked) // 10 * 10]
    with evaluating(story.model, story.seed):
        made = story.model.reconstruct(picked)
    ax = plots.reconstructions(picked, made, story.spec.columns, limits=story.limits if story.spec.image else None)
    if not story.spec.image:
        caption = f"{_columns(story)} of {len(picked):,} held-out rows: the original across, its reconstruction upwards. On the grey line both are equal."
        return _picture(
            story, "reconstructions", "Reconstructions", ax, "A scatter plot per column, reconstruction against original.", caption
        )
    ratio = plots.high_frequency_ratio(picked, made)
    sharpness = (
        f" Energy above a quarter cycle per pixel is {ratio:.2f} times that of the originals: {_sharpness(ratio)}."
        if ratio == ratio
        else ""
    )
    caption = f"Held-out images above, below each its reconstruction, the mean of p(x|z) at the mean of q(z|x).{sharpness}"
    alt = f"{len(picked)} held-out images, each with its reconstruction below."
    return _picture(story, "reconstructions", "Reconstructions", ax, alt, caption)


def samples(story: Story) -> Section | None:
    """What the model makes up; an autoencoder has no distribution of codes to draw from."""
    if not story.model.posterior.density:
        return None
    if not story.spec.image:
        return _made_rows(story)
    means, draws = _draw(story, SAMPLES, mean=True), _draw(story, SAMPLES, mean=False)
    ax = plots.samples(means, draws, limits=story.limits)
    caption = (
        "Nothing here was in the data: z is drawn from the prior, x from the likelihood. Left, the mean of p(x|z); right, a draw from p(x|z) "
        "for the same z, with the noise that the likelihood allows each pixel on its own."
    )
    alt = f"{SAMPLES} images drawn from the model: their means on the left, draws with pixel noise on the right."
    return _picture(story, "samples", "Samples", ax, alt, caption)


def interpolation(story: Story) -> Section | None:
    """A walk between the codes of two held-out data."""
    if len(story.rows) < 2:
        return None
    start, end = _ends(story)
    ways: tuple[Path, ...] = ("linear", "spherical") if story.spec.image and story.model.posterior.density else ("linear",)
    figures = "".join(_walk(story, start, end, way) for way in ways)
    return Section("interpolation", "Interpolation", figures)


def latent_map(story: Story) -> Section:
    """The codes of held-out data in two dimensions."""
    where = story.spread(MAP)
    kl = story.findings.kl
    seen = plots.plane(encodings(story.model, story.rows.subset(where)), kl)
    labels = None if story.rows.labels is None else story.rows.labels[torch.tensor(where)].cpu()
    rings = seen.coordinates and story.model.posterior.density and is_standard_normal(story.model)
    ax = plots.latent_map(seen.points, labels, story.spec.classes, names=seen.names, rings=rings)
    coloured = " Colours are the labels, each named at its median; the model has not seen them." if labels is not None else ""
    circles = (
        " The dashed circles hold 50 % and 95 % of the prior: codes far outside are places that samples never come from." if rings else ""
    )
    caption = f"Codes of {count(len(where), 'held-out ' + story.one)}, the means of q(z|x): {seen.said}.{coloured}{circles}"
    alt = f"A map of {len(where):,} codes" + (f", coloured by {len(story.spec.classes or ())} classes." if labels is not None else ".")
    return _picture(story, "latent-map", "Latent map", ax, alt, caption)


def manifold(story: Story) -> Section | None:
    """The whole plane of a two-dimensional latent, decoded."""
    if not (story.model.posterior.density and plots.has_manifold(story.model)):
        return None
    ax = plots.manifold(story.model, GRID, story.spec.columns, limits=story.limits if story.spec.image else None)
    caption = (
        f"The mean of p(x|z) at {GRID} by {GRID} equally spaced percentiles of the prior: z0 grows to the right, z1 upwards, as on the latent map. "
        "Equal areas are equally probable."
    )
    if not story.spec.image:
        caption += f" {_columns(story)}, from dark (small) to bright (large)."
    alt = f"A {GRID} by {GRID} grid of what the model expects over the latent plane."
    return _picture(story, "manifold", "Latent manifold", ax, alt, caption)


def divergence(story: Story) -> Section | None:
    """How much each latent variable tells."""
    kl, active = story.findings.kl, story.findings.active
    if kl is None or active is None:
        return None
    alive = active.variance > 0.01
    ax = plots.kl_per_dimension(kl, alive)
    idle = " Grey variables are idle: their code does not move with the data." if not alive.all() else ""
    total = f"{kl.sum().item():.2f} nats in all, the rate."
    caption = f"What each latent variable tells of {'an' if story.spec.image else 'a'} {story.one}, in nats: KL(q(z|x) ‖ p(z)) averaged over held-out data. {total}{idle}"
    alt = f"Bars of the divergence of {kl.numel()} latent variables, {int(alive.sum())} of them active."
    return _picture(story, "kl", "Information per latent variable", ax, alt, caption)


def curves(story: Story) -> Section | None:
    """How training went."""
    if not story.history:
        return None
    names = {"bound": "bound", "log_likelihood": "log-likelihood", "kl": "kl-curve"}
    drawn = [
        story.album.add(
            names[quantity],
            plots.curves(story.history, [quantity]),
            f"{quantity.replace('_', ' ')} against epochs, training and validation.",
        )
        for quantity in available(story.history)
    ]
    best = parts.best_epoch(list(story.history))
    kept = f"Training was judged on validation rows, and the weights of epoch {best.epoch} were kept." if best else ""
    scale = "The steep first tenth of the epochs does not set the scale." if len(story.history) >= 10 else ""
    return Section("training", "Training", paragraph(kept, scale) + side_by_side(*drawn))


def model(story: Story) -> Section:
    """What was built, how it was trained, and how to take it up again."""
    rows = parts.architecture(story.model) + parts.training(story.saved.training, list(story.history))
    name = story.saved.path.name
    code = f'import aevb\n\nmodel = aevb.load("{name}")\nmodel.sample(10)  # [10, {", ".join(map(str, story.spec.event_shape))}]'
    return Section("model", "The model", pairs_of(rows) + f"<pre>{text(code)}</pre>")


SECTIONS: tuple[Callable[[Story], Section | None], ...] = (
    numbers.section,
    watch,
    data,
    reconstructions,
    samples,
    interpolation,
    latent_map,
    manifold,
    divergence,
    curves,
    model,
)


def _picture(story: Story, anchor: str, title: str, ax: Axes, alt: str, caption: str) -> Section:
    pixels = story.spec.image and anchor in ("reconstructions", "samples", "manifold")
    return Section(anchor, title, story.album.add(anchor, ax, alt, caption, pixels=pixels))


def _splits(story: Story) -> dict[str, object]:
    return {"train": story.data.train, "validation": story.data.validation, "test": story.data.test}


def _binarised(story: Story) -> str:
    if story.spec.binarisation is None:
        return ""
    how = "afresh at every epoch of training" if story.spec.binarisation == "dynamic" else "once, before training"
    return paragraph(
        f"Binarisation: {story.spec.binarisation}. Grey values were made 0 or 1 at random, {how}; held-out rows once. Likelihoods are those of the "
        "binary images, and compare only with numbers of the same binarisation."
    )


def _columns(story: Story) -> str:
    more = story.dimensions > LIMIT
    return f"The first {LIMIT} of {story.dimensions:,} columns" if more else "Columns"


def _sharpness(ratio: float) -> str:
    if ratio < 0.95:
        return "the reconstructions are fuzzier"
    return "the reconstructions are as sharp" if ratio <= 1.05 else "the reconstructions have more of it"


def _draw(story: Story, n: int, mean: bool) -> Tensor:
    """The same seed for means and draws: the codes, drawn first, are the same."""
    with evaluating(story.model, story.seed):
        return story.model.sample(n, mean=mean).cpu()


def _made_rows(story: Story) -> Section:
    """Histograms, correlations and a few rows, beside those of held-out data."""
    spec, real = story.spec, story.data.train[: 10 * DRAWS].cpu()
    draws = _draw(story, DRAWS, mean=False)
    histograms = story.album.add(
        "samples",
        plots.samples(draws, draws, real, spec.columns),
        "A histogram per column, of training rows and of generated rows.",
        f"{_columns(story)}: training rows filled, {DRAWS:,} rows drawn from the model outlined. A model that has learned them covers them.",
    )
    compared = _compared(story, real, draws) if story.dimensions > 1 else ""
    return Section("samples", "Samples", histograms + compared + _listed(story, draws))


def _compared(story: Story, real: Tensor, draws: Tensor) -> str:
    apart = correlation(rows_of(real)) - correlation(rows_of(draws))
    above = torch.from_numpy(apart)[tuple(torch.triu_indices(len(apart), len(apart), 1))]
    mean = above[above.isfinite()].abs().mean().item()
    caption = f"Correlations between columns, from −1 (blue) to 1 (red). Those of generated rows are off by {mean:.2f} on average."
    ax = plots.correlations(real, draws, story.spec.columns)
    return story.album.add("correlations", ax, "Correlation matrices of training rows and of generated rows.", caption)


def _listed(story: Story, draws: Tensor) -> str:
    names = [*(story.spec.columns or [str(i + 1) for i in range(story.dimensions)])][:LIMIT]
    rows = [
        (str(i + 1), *(f"{value:.4g}".replace("-", "−") for value in row.flatten()[:LIMIT].tolist()))
        for i, row in enumerate(draws[:LISTED])
    ]
    return paragraph(f"{LISTED} generated rows:") + table(("", *names), rows, "cells")


def _ends(story: Story) -> tuple[int, int]:
    """Two held-out rows to walk between: of two classes, a 2 and a 6 where there are any, else far apart in code."""
    among = torch.arange(min(WALKERS, len(story.rows)))
    codes = encodings(story.model, story.rows.subset(among))
    if story.rows.labels is not None:
        labels = story.rows.labels[: len(among)].tolist()
        wanted = [list(story.spec.classes or ()).index(name) for name in WANTED if name in (story.spec.classes or ())]
        first, *others = [label for label in (wanted if len(wanted) == 2 and set(wanted) <= set(labels) else dict.fromkeys(labels))]
        if others:
            return labels.index(first), labels.index(others[0])
    start = int((codes - codes.mean(0)).norm(dim=1).argmax())
    return start, int((codes - codes[start]).norm(dim=1).argmax())


def _walk(story: Story, start: int, end: int, way: Path) -> str:
    with evaluating(story.model, story.seed):
        walk = interpolate(story.model, story.rows[start], story.rows[end], STEPS, way)
    ax = plots.interpolation(walk, story.spec.columns, limits=story.limits if story.spec.image else None)
    ways = {
        "linear": "A straight line between the codes",
        "spherical": "An arc between the same codes, which keeps its distance from the origin",
    }
    held = (
        f" of held-out {story.named(start)} to held-out {story.named(end)}, in {STEPS} steps; the ends are the two reconstructions."
        if way == "linear"
        else "."
    )
    caption = ways[way] + held + ("" if story.spec.image else f" {_columns(story)}.")
    name = "interpolation" if way == "linear" else f"interpolation-{way}"
    return story.album.add(name, ax, f"{STEPS} steps from one held-out {story.one} to another, {way}.", caption, pixels=story.spec.image)


def _loose(story: Story) -> str | None:
    weighed = story.findings.log_likelihood
    if weighed is None or weighed.effective_sample_size >= max(2.0, 0.05 * weighed.samples):
        return None
    return (
        f"The estimate of log p(x) is loose: of {weighed.samples:,} samples an effective {weighed.effective_sample_size:.1f} carry the weight. "
        "The truth is probably higher; more samples bring the estimate closer."
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
    best = parts.best_epoch(list(story.history))
    if best is None or len(story.history) < 3 or best.epoch != story.history[-1].epoch:
        return None
    return "The last epoch was the best one: longer training may give better numbers."


def _overfitted(story: Story) -> str | None:
    """Validation well past its best, by more than half of what training gained since."""
    best = parts.best_epoch(list(story.history))
    last = story.history[-1] if story.history else None
    if best is None or last is None or best.validation is None or last.validation is None or best.epoch > 0.6 * last.epoch:
        return None
    lost = best.validation - last.validation
    return f"Validation was best at epoch {best.epoch} of {last.epoch} and then fell by {lost:.2f} nats: the model began to learn its training rows by heart."


def _refused(story: Story) -> str | None:
    skipped = sum(epoch.skipped for epoch in story.history)
    return f"{count(skipped, 'step')} of training met a number that was not finite, and were skipped." if skipped else None


def _foreign(story: Story) -> str | None:
    trained = story.saved.spec
    if trained is None or trained.name == story.spec.name:
        return None
    return f'The model was trained on "{trained.name}"; this report measures it on "{story.spec.name}".'
