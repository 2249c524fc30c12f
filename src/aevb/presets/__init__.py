"""Published models: functions ``preset(spec, *, latent, hidden, ...) -> Recipe`` of about ten lines, and the one table that lists them."""

from .basic import autoencoder, beta_vae, iwae, vae
from .bounds import (
    capacity_vae,
    ciwae,
    dreg_iwae,
    gumbel_softmax_vae,
    miwae,
    piwae,
    rebar_vae,
    renyi_vae,
    reweighted_wake_sleep,
    rloo_vae,
    sigma_vae,
    stl_vae,
    vimco,
    wake_sleep,
)
from .build import conditionals, likelihood_of
from .free import bayesian_vae, mcem, svi
from .learned import mixture_vae, mnist, vamp_vae
from .penalised import adversarial_ae, beta_tcvae, dip_vae, factor_vae, info_vae, msssim_vae, rae_gp, rae_l2, vae_gan, wae_mmd
from .table import PRESETS, Preset, find, preset

__all__ = [
    "PRESETS",
    "Preset",
    "adversarial_ae",
    "autoencoder",
    "bayesian_vae",
    "beta_tcvae",
    "beta_vae",
    "capacity_vae",
    "ciwae",
    "conditionals",
    "dip_vae",
    "dreg_iwae",
    "factor_vae",
    "find",
    "gumbel_softmax_vae",
    "info_vae",
    "iwae",
    "likelihood_of",
    "mcem",
    "miwae",
    "mixture_vae",
    "mnist",
    "msssim_vae",
    "piwae",
    "preset",
    "rae_gp",
    "rae_l2",
    "rebar_vae",
    "renyi_vae",
    "reweighted_wake_sleep",
    "rloo_vae",
    "sigma_vae",
    "stl_vae",
    "svi",
    "vae",
    "vae_gan",
    "vamp_vae",
    "vimco",
    "wae_mmd",
    "wake_sleep",
]
