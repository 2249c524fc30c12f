"""The sections of a report, in the order in which they are read. One that does not apply gives None and is left out."""

from __future__ import annotations

from collections.abc import Callable

from . import codes, health, looks, numbers, quality, setting
from .html import Section
from .story import Story

SECTIONS: tuple[Callable[[Story], Section | None], ...] = (
    numbers.section,
    health.section,
    setting.data,
    looks.reconstructions,
    looks.samples,
    looks.by_label,
    codes.interpolation,
    codes.latent_map,
    codes.manifold,
    codes.divergence,
    quality.section,
    setting.curves,
    setting.model,
)
