"""Networks with bounded Lipschitz constant."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from .._registry import register
from ..types import Configurable
from ._registration import NetworkRegistration

SPECTRAL_NORM_LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


@register(
    NetworkRegistration(
        kind="wrapper",
        events=("vector", "image"),
        paper="Miyato et al. (2018)",
        use_when="an autoencoder needs a smooth decoder",
        cost="one power iteration per layer and step",
        avoid_when="the likelihood has noise that regularises",
    )
)
class SpectralNorm(Configurable, nn.Module):
    """A network whose weights are divided by their largest singular value, by power iteration.

    With 1-Lipschitz activations (ReLU, tanh) the features change by no more than the input, up to
    the difference between a convolution and its weight matrix; the following head sets the scale.
    In a decoder it replaces noise on the latents: Ghosh et al. (2020), RAE-SN; Miyato et al.,
    Spectral normalization for generative adversarial networks (2018).

    Args:
        network: Network, changed in place.

    Example:
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
