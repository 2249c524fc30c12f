"""Models: a prior, a posterior and a likelihood."""

from ._capabilities import Capabilities
from ._top_down import top_down
from ._vae import VAE

__all__ = ["VAE", "Capabilities", "top_down"]
