"""Samples, reconstructions and codes in numbers."""

from __future__ import annotations

from ..data.words import count
from ..metrics.quality import Closeness, Quality, quality
from ..metrics.ranged import Ranged
from .html import Section, paragraph, table
from .story import Story

ROWS = 1000  # held-out rows that samples are compared with
Row = tuple[str, str, str, str, str]  # name, value, interval, what training rows get, meaning

INTERVAL = (
    "Intervals hold 95 % of the values that other rows would give: by leaving out groups of rows in turn, from random halves of the rows, "
    "or by Wilson's score; no row is counted twice. `aevb quality` says more."
)


def section(story: Story) -> Section | None:
    """How close samples and reconstructions come to data, and what codes tell of classes."""
    if len(story.rows) < 2:
        return None
    rows = story.rows.subset(slice(ROWS))
    found = quality(story.model, story.data.train, rows, story.spec, everything=False, seed=story.seed)
    return Section(
        "quality", "Samples and codes in numbers", paragraph(_said(found, story), INTERVAL) + table(_HEAD, _rows(found), "numbers")
    )


_HEAD = ("", "value", "95 % interval", "training rows", "what it means")


def _said(found: Quality, story: Story) -> str:
    if found.samples is None:
        return f"Of {count(found.rows, 'held-out ' + story.one)}."
    frechet = found.samples.frechet
    return (
        f"{frechet.generated:,} draws from the model against {count(found.rows, 'held-out ' + story.one)}, in {frechet.features}; "
        f"beside them as many training rows. {' '.join(frechet.said)}"
    )


def _rows(found: Quality) -> list[Row]:
    made = found.reconstruction
    rows = [] if found.samples is None or found.training is None else _samples(found.samples, found.training)
    if made.psnr is None:
        rows.append(_row("squared error", made.squared_error, "", "of reconstructions, in units of what the columns' means leave"))
    else:
        means = f"of reconstructions, in decibels: 10 log10(range² / squared error), range {made.data_range:g}"
        rows.append(_row("PSNR", made.psnr, "", means))
    if made.ssim is not None:
        rows.append(_row("SSIM", made.ssim, "", "of reconstructions: structure kept, 1 at best"))
    if found.separation is not None:
        chance = f"{found.separation.chance:.3g} by chance"
        rows.append(
            _row(
                "5 neighbours", found.separation.neighbours, chance, "share of codes whose class their nearest codes of training rows name"
            )
        )
        rows.append(_row("… of drawn codes", found.separation.drawn, chance, "the same with the noise of the posterior"))
    return rows


def _samples(made: Closeness, real: Closeness) -> list[Row]:
    pairs = (
        (
            "Frechet distance",
            made.frechet.distance,
            real.frechet.distance,
            "of Gaussians around both clouds, 0 at best; too large with few rows",
        ),
        ("… without that bias", made.frechet.corrected, real.frechet.corrected, "the part that falls as one over the rows taken off"),
        ("precision", made.cover.precision, real.cover.precision, "share of samples among data"),
        ("recall", made.cover.recall, real.cover.recall, "share of data among samples"),
        ("density", made.cover.density, real.cover.density, "how many data lie around a sample, 1 as around data"),
        ("coverage", made.cover.coverage, real.cover.coverage, "share of data with a sample nearby"),
    )
    return [_row(name, value, _minus(value.figure(beside.value)), means) for name, value, beside, means in pairs if value and beside]


def _row(name: str, value: Ranged, beside: str, means: str) -> Row:
    between = f"{value.figure(value.low)} to {value.figure(value.high)}" if value.known else ""
    return name, _minus(value.figure(value.value)), _minus(between), beside, means


def _minus(figures: str) -> str:
    return figures.replace("-", "−")
