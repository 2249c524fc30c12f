"""Tensor to features: what the families put their heads on. Any ``nn.Module`` of one's own serves as well."""

from .conv import ConvDecoder, ConvEncoder, convolves, fast_layout
from .fill import FillAndFlag
from .heads import Heads, set_precision
from .masked import MADE
from .mlp import MLP
from .sequences import GRU, DeepSets, Embed, SequenceConv
from .spectral import SpectralNorm
from .standardise import Standardise
from .table import Table

__all__ = [
    "GRU",
    "MADE",
    "MLP",
    "ConvDecoder",
    "ConvEncoder",
    "DeepSets",
    "Embed",
    "FillAndFlag",
    "Heads",
    "SequenceConv",
    "SpectralNorm",
    "Standardise",
    "Table",
    "convolves",
    "fast_layout",
    "set_precision",
]
