"""The format of the bytes in a column of rows: a record in the metadata of a Parquet file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from ..errors import DataError
from ._formatting import source_error

METADATA_KEY = "aevb"
STORED_DTYPES = ("uint8", "float32", "float64")


@dataclass(frozen=True)
class ByteFormat:
    """What the bytes of a row are: little-endian numbers in row-major order.

    Args:
        column: The name of the column of rows.
        shape: The shape of an event.
        kind: The dtype of the numbers.
    """

    column: str
    shape: tuple[int, ...]
    kind: Literal["uint8", "float32", "float64"]

    def to_metadata(self) -> dict[str, str]:
        """The record as metadata of a file.

        >>> ByteFormat("row", (28, 28), "uint8").to_metadata()
        {'aevb': '{"column": "row", "shape": [28, 28], "kind": "uint8"}'}
        """
        return {METADATA_KEY: json.dumps(asdict(self))}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], origin: str) -> ByteFormat | None:
        """Read the record of a file; ``None`` where the file has none.

        Raises:
            DataError: The record was not written by ``to_metadata``.
        """
        if METADATA_KEY not in metadata:
            return None
        try:
            record = json.loads(metadata[METADATA_KEY])
            form = cls(
                str(record["column"]), tuple(int(side) for side in record["shape"]), record["kind"]
            )
        except (ValueError, TypeError, KeyError) as error:
            raise _edited_error(f"{origin} cannot be read ({error!r})") from error
        if form.kind not in STORED_DTYPES or min(form.shape, default=0) < 1:
            raise _edited_error(f"{origin} says {form}")
        return form

    def decode_bytes(self, rows: np.ndarray, origin: str) -> np.ndarray:
        """Convert bytes ``[N, bytes]`` to numbers ``[N, *shape]``.

        Raises:
            DataError: A row has another number of bytes than the record says.
        """
        kind = np.dtype(self.kind).newbyteorder("<")
        size = math.prod(self.shape) * kind.itemsize
        if rows.dtype != np.uint8 or rows.shape[1:] != (size,):
            raise _edited_error(
                f"{origin} says {size} bytes for each row, and a row has {rows[0].nbytes}"
            )
        return rows.view(kind).reshape(-1, *self.shape)


def _edited_error(reason: str) -> DataError:
    """The error for metadata that do not describe the file."""
    return source_error(
        f'metadata "{METADATA_KEY}" of {reason}: it was edited, or written by another version'
    )
