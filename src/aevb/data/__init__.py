"""Data of any kind as three parts of rows, with a record of what was found and chosen.

>>> data = load("digits")
>>> data.spec.said[0]
'Read 1,797 images of 8 x 8 with 17 grey levels (0 to 16) and labels 0 to 9.'
"""

from .choose import LIKELIHOODS
from .dataset import Dataset
from .fetch import get
from .few import few_labels
from .load import load, load_as
from .named import SetInfo, list_sets
from .rows import Rows
from .save import save
from .spec import Spec
from .transforms import BinariseAfresh, Cast, Decode, Unpack, binarise

__all__ = [
    "LIKELIHOODS",
    "BinariseAfresh",
    "Cast",
    "Dataset",
    "Decode",
    "Rows",
    "SetInfo",
    "Spec",
    "Unpack",
    "binarise",
    "few_labels",
    "get",
    "list_sets",
    "load",
    "load_as",
    "save",
]
