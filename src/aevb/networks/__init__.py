"""Tensor to features: what the families put their heads on. Any ``nn.Module`` of one's own serves as well."""

from .conv import ConvDecoder, ConvEncoder, convolves, fast_layout
from .heads import Heads, set_precision
from .mlp import MLP
from .spectral import SpectralNorm
from .standardise import Standardise
from .table import Table

__all__ = [
    "MLP",
    "ConvDecoder",
    "ConvEncoder",
    "Heads",
    "SpectralNorm",
    "Standardise",
    "Table",
    "convolves",
    "fast_layout",
    "set_precision",
]
