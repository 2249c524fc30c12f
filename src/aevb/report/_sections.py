"""The sections of a report, in the order in which they are read. One that does not apply gives None and is left out."""

from __future__ import annotations

from collections.abc import Callable

from . import _data_sections as looks
from . import _diagnosis as health
from . import _latent_sections as codes
from . import _numbers as numbers
from . import _quality as quality
from . import _setup_sections as setting
from ._html import Section
from ._report_context import ReportContext

SECTIONS: tuple[Callable[[ReportContext], Section | None], ...] = (
    numbers.numbers_section,
    health.diagnosis_section,
    setting.data_section,
    looks.reconstructions_section,
    looks.samples_section,
    looks.samples_by_label_section,
    codes.interpolation_section,
    codes.latent_map_section,
    codes.manifold_section,
    codes.kl_section,
    quality.quality_section,
    setting.training_section,
    setting.model_section,
)
