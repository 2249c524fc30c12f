"""Layers that stretch nothing by more than a factor of 1."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ..types import Configurable

SPECTRAL_NORM_LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


class SpectralNorm(Configurable, nn.Module):
    """A network whose linear maps and convolutions are divided by their largest singular value, found by power iteration.

    With activations that stretch nothing either (ReLU, tanh) the features change by no more than the input does, up to the factor by
    which a convolution differs from its matrix of weights; the head that follows sets the scale. In a decoder it takes the place of
    noise on the codes: Ghosh et al. (2020), RAE-SN; Miyato et al., Spectral normalization for generative adversarial networks (2018).

    >>> from aevb import networks
    >>> network = SpectralNorm(networks.MLP(2, [8]))
    >>> bool(nn.utils.parametrize.is_parametrized(network.network.layers[0]))
    True
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        for module in network.modules():
            if isinstance(module, SPECTRAL_NORM_LAYERS):
                spectral_norm(module)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        return self.network(x, *context)
