"""Models: a prior, a posterior and a likelihood put together."""

from .top_down import top_down
from .vae import VAE

__all__ = ["VAE", "top_down"]
