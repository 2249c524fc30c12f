"""Tensor to features: what the families put their heads on. Any ``nn.Module`` of one's own serves as well."""

from .conv import ConvDecoder, ConvEncoder, convolves
from .heads import Heads, set_precision
from .mlp import MLP
from .standardise import Standardise

__all__ = ["MLP", "ConvDecoder", "ConvEncoder", "Heads", "Standardise", "convolves", "set_precision"]
