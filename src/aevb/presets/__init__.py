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
from .families import flow_prior_vae, full_covariance_vae, iaf_vae, maf_vae, planar_vae, poincare_vae, spherical_vae, spline_vae
from .free import bayesian_vae, mcem, svi
from .learned import mixture_vae, mnist, vamp_vae
from .likelihood import count_vae, student_vae
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
    "count_vae",
    "dip_vae",
    "dreg_iwae",
    "factor_vae",
    "find",
    "flow_prior_vae",
    "full_covariance_vae",
    "gumbel_softmax_vae",
    "iaf_vae",
    "info_vae",
    "iwae",
    "likelihood_of",
    "maf_vae",
    "mcem",
    "miwae",
    "mixture_vae",
    "mnist",
    "msssim_vae",
    "piwae",
    "planar_vae",
    "poincare_vae",
    "preset",
    "rae_gp",
    "rae_l2",
    "rebar_vae",
    "renyi_vae",
    "reweighted_wake_sleep",
    "rloo_vae",
    "sigma_vae",
    "spherical_vae",
    "spline_vae",
    "stl_vae",
    "student_vae",
    "svi",
    "vae",
    "vae_gan",
    "vamp_vae",
    "vimco",
    "wae_mmd",
    "wake_sleep",
]
