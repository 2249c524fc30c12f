"""Networks: features for the heads of posteriors and likelihoods.

Any ``nn.Module`` can take their place.
"""

from ._column import Column
from ._columns import Columns
from ._condition import (
    Condition,
    ConditionedNetwork,
    ContextVariable,
    Covariate,
    Labels,
    WithoutContext,
)
from ._conv import (
    ConvDecoder,
    ConvEncoder,
    ResNet,
    ResNetDecoder,
    has_convolutions,
    use_channels_last,
)
from ._heads import Heads, set_precision
from ._input_noise import set_input_noise
from ._leading_latents import LeadingLatents
from ._library_size import LibrarySize, Log1p
from ._made import MADE
from ._missing import FillMissing
from ._mlp import MLP
from ._parameter_table import ParameterTable
from ._pixel_cnn import PixelCNN
from ._registration import NetworkRegistration
from ._sequences import GRU, DeepSets, Embed, SequenceConv
from ._spectral_norm import SpectralNorm
from ._standardise import Standardise
from ._top_down import Conv, Pyramid, TopDown
from ._whitening import Whiten

__all__ = [
    "GRU",
    "MADE",
    "MLP",
    "Column",
    "Columns",
    "Condition",
    "ConditionedNetwork",
    "ContextVariable",
    "Conv",
    "ConvDecoder",
    "ConvEncoder",
    "Covariate",
    "DeepSets",
    "Embed",
    "FillMissing",
    "Heads",
    "Labels",
    "LeadingLatents",
    "LibrarySize",
    "Log1p",
    "NetworkRegistration",
    "ParameterTable",
    "PixelCNN",
    "Pyramid",
    "ResNet",
    "ResNetDecoder",
    "SequenceConv",
    "SpectralNorm",
    "Standardise",
    "TopDown",
    "Whiten",
    "WithoutContext",
    "has_convolutions",
    "set_input_noise",
    "set_precision",
    "use_channels_last",
]
