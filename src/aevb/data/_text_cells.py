"""The cells of a text file as they are written in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from .._files import open_atomically


@dataclass(frozen=True)
class TextCells:
    """The cells of a text file, with what stands between them.

    Args:
        frame: A polars frame of texts.
        delimiter: The character between the cells of a line.
    """

    frame: Any
    delimiter: str = ","

    def fill(self, completed: Any, empty: Mapping[str, np.ndarray]) -> TextCells:
        """Replace empty cells.

        Args:
            completed: A polars frame of the same columns and rows.
            empty: Which cells of each column to replace; no other cell changes.

        Returns:
            The cells, where true and false are written as elsewhere in their column.
        """
        import polars

        written = polars.read_csv(BytesIO(completed.write_csv().encode()), infer_schema=False)
        columns = [
            _spell_as_in(self.frame[name], written[name], completed[name].dtype == polars.Boolean)
            .zip_with(polars.Series(cells), self.frame[name])
            .alias(name)
            for name, cells in empty.items()
            if cells.any()
        ]
        return TextCells(self.frame.with_columns(columns), self.delimiter)

    def write(self, path: str | Path) -> None:
        """Write the cells to a file, whole or not at all."""
        with open_atomically(Path(path)) as file:
            file.write(self.frame.write_csv(separator=self.delimiter).encode())


def _spell_as_in(observed: Any, written: Any, truths: bool) -> Any:
    """The words for true and false as in a column; cells that are no truths are unchanged."""
    if not truths:
        return written
    words = observed.str.strip_chars().replace("", None).drop_nulls()
    word = words[0] if len(words) else "true"
    cases = (str.lower, str.upper, str.capitalize)
    case = next((each for each in cases if each(word) == word), str.lower)
    return written.replace({word: case(word) for word in ("true", "false")})
