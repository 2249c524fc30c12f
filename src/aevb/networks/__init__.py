"""Tensor to features: what the families put their heads on. Any ``nn.Module`` of one's own serves as well."""

from .condition import Condition, Conditioned, Covariate, Labels, WithoutContext
from .conv import ConvDecoder, ConvEncoder, ResNet, ResNetDecoder, convolves, fast_layout
from .fill import FillAndFlag
from .heads import Heads, set_precision
from .masked import MADE
from .mlp import MLP
from .part import Part
from .pixel import PixelCNN
from .sequences import GRU, DeepSets, Embed, SequenceConv
from .spectral import SpectralNorm
from .standardise import Standardise
from .table import Table
from .top_down import Conv, Pyramid, TopDown

__all__ = [
    "GRU",
    "MADE",
    "MLP",
    "Condition",
    "Conditioned",
    "Conv",
    "ConvDecoder",
    "ConvEncoder",
    "Covariate",
    "DeepSets",
    "Embed",
    "FillAndFlag",
    "Heads",
    "Labels",
    "Part",
    "PixelCNN",
    "Pyramid",
    "ResNet",
    "ResNetDecoder",
    "SequenceConv",
    "SpectralNorm",
    "Standardise",
    "Table",
    "TopDown",
    "WithoutContext",
    "convolves",
    "fast_layout",
    "set_precision",
]
