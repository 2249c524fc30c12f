"""What the bytes of a row are, in a column of bytes: a record in the metadata of the file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from ..errors import DataError

METADATA_KEY = "aevb"
STORED_DTYPES = ("uint8", "float32")
_EDITED_HINT = "it was edited, or written by another version"


@dataclass(frozen=True)
class ByteFormat:
    """The column of rows, the shape of an event, and the kind of its numbers, little-endian and in row-major order."""

    column: str
    shape: tuple[int, ...]
    kind: Literal["uint8", "float32"]

    def to_metadata(self) -> dict[str, str]:
        """The record as metadata of a file.

        >>> ByteFormat("row", (28, 28), "uint8").to_metadata()
        {'aevb': '{"column": "row", "shape": [28, 28], "kind": "uint8"}'}
        """
        return {METADATA_KEY: json.dumps(asdict(self))}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], origin: str) -> ByteFormat | None:
        """The record again, None where there is none. Raises ``DataError`` where it is not one of ours."""
        if METADATA_KEY not in metadata:
            return None
        try:
            record = json.loads(metadata[METADATA_KEY])
            form = cls(
                str(record["column"]), tuple(int(side) for side in record["shape"]), record["kind"]
            )
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f'{origin}: its metadata "{METADATA_KEY}" cannot be read ({error!r}): it was edited, or written by another version.'
            ) from error
        if form.kind not in STORED_DTYPES or min(form.shape, default=0) < 1:
            raise DataError(f'{origin}: its metadata "{METADATA_KEY}" says {form}: {_EDITED_HINT}.')
        return form

    def decode_bytes(self, rows: np.ndarray, origin: str) -> np.ndarray:
        """Bytes ``[N, bytes]`` as numbers ``[N, *shape]``. Raises ``DataError`` where there are more or fewer of them."""
        kind = np.dtype(self.kind).newbyteorder("<")
        size = math.prod(self.shape) * kind.itemsize
        if rows.dtype != np.uint8 or rows.shape[1:] != (size,):
            raise DataError(
                f"{origin}: its metadata says {size} bytes for each row, and a row has {rows[0].nbytes}: it was edited."
            )
        return rows.view(kind).reshape(-1, *self.shape)
