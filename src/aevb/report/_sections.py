"""The sections of a report in the order of reading: result, pictures, diagnosis, details.

A section that does not apply to a run is None and is left out.
"""

from __future__ import annotations

from collections.abc import Callable

from ._data_sections import reconstructions_section, samples_by_label_section, samples_section
from ._diagnosis import diagnosis_section
from ._html import Section
from ._latent_sections import (
    interpolation_section,
    kl_section,
    latent_map_section,
    manifold_section,
)
from ._numbers import numbers_section
from ._quality import quality_section
from ._report_context import ReportContext
from ._setup_sections import data_section, model_section, training_section, tuning_section
from ._table_sections import (
    associations_section,
    calibration_section,
    privacy_section,
    schema_section,
    unlikely_rows_section,
)

SECTIONS: tuple[Callable[[ReportContext], Section | None], ...] = (
    numbers_section,
    reconstructions_section,
    samples_section,
    associations_section,
    samples_by_label_section,
    interpolation_section,
    latent_map_section,
    manifold_section,
    kl_section,
    unlikely_rows_section,
    diagnosis_section,
    quality_section,
    privacy_section,
    calibration_section,
    tuning_section,
    training_section,
    schema_section,
    data_section,
    model_section,
)
