"""Data of any kind as train, validation and test rows, with a record of what was read and chosen.

>>> data = load("digits")
>>> print(data.spec.notes[0])
Read 1,797 images of 8 x 8 with 17 grey levels (0 to 16) and labels 0 to 9.
"""

from ..networks._column import Column
from . import _idx, _image_folder, _matrices, _numpy_files, _tables, _text_tables  # noqa: F401 - they register readers
from ._cell_conditions import CellCondition
from ._conditions import parse_conditions
from ._constraints import ConstrainedFrame, Constraint, Identifier, Less, Range, Together, Unique
from ._dataset import Dataset
from ._download import download_dataset
from ._load import load, load_as
from ._masked_labels import mask_labels
from ._named_datasets import DatasetInfo, list_datasets
from ._raw import RawData, ReadOptions
from ._readers import ReaderRegistration
from ._reading import Reading
from ._rows import Rows
from ._save import save
from ._schema import Schema
from ._schema_builder import SchemaBuilder
from ._schema_text import SchemaRow
from ._shards import Shards
from ._spec import Spec
from ._transforms import DynamicBinarisation, RowTransform, ToFloat, UnpackBits, binarise

__all__ = [
    "CellCondition",
    "Column",
    "ConstrainedFrame",
    "Constraint",
    "Dataset",
    "DatasetInfo",
    "DynamicBinarisation",
    "Identifier",
    "Less",
    "Range",
    "RawData",
    "ReadOptions",
    "ReaderRegistration",
    "Reading",
    "RowTransform",
    "Rows",
    "Schema",
    "SchemaBuilder",
    "SchemaRow",
    "Shards",
    "Spec",
    "ToFloat",
    "Together",
    "Unique",
    "UnpackBits",
    "binarise",
    "download_dataset",
    "list_datasets",
    "load",
    "load_as",
    "mask_labels",
    "parse_conditions",
    "save",
]
