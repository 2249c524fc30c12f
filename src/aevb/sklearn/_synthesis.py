"""Synthetic rows of a table."""

from __future__ import annotations

from typing import ClassVar

from ._base import BaseVAE
from ._vae import DensityMixin, GeneratorMixin


class VAESynthesizer(GeneratorMixin, DensityMixin, BaseVAE):
    """Rows like those of a table, with its columns, dtypes and legal values.

    Example:
        >>> import polars
        >>> frame = polars.DataFrame({"age": [31, None, 45, 28] * 25, "sex": ["f", "m"] * 50})
        >>> synthesizer = VAESynthesizer(hidden=(16,), epochs=2, random_state=0).fit(frame)
        >>> synthesizer.sample(3, where="sex=f")["sex"].to_list()
        ['f', 'f', 'f']
    """

    _default_preset: ClassVar[str | None] = "table_synthesis"
