"""Published models: functions ``preset(spec, *, latent, hidden, ...) -> Recipe`` of about ten lines, and the one table that lists them."""

from .basic import autoencoder, beta_vae, iwae, vae
from .build import conditionals, likelihood_of
from .table import PRESETS, Preset, preset

__all__ = ["PRESETS", "Preset", "autoencoder", "beta_vae", "conditionals", "iwae", "likelihood_of", "preset", "vae"]
