"""Models: a prior, a posterior and a likelihood put together."""

from ._top_down import top_down
from ._vae import VAE

__all__ = ["VAE", "top_down"]
