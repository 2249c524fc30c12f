"""Models: a prior, a posterior and a likelihood put together."""

from .vae import VAE

__all__ = ["VAE"]
