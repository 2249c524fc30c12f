"""Published models: functions ``preset(spec, *, latent, hidden, ...) -> Recipe`` of about ten lines, and the one table that lists them."""

from .after import pixel_vae, two_stage_vae
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
from .codes import darn, fsq_vae, gumbel_vae, residual_vq_vae, vq_vae
from .conditional import cvae, semi_supervised_vae
from .families import flow_prior_vae, full_covariance_vae, iaf_vae, maf_vae, planar_vae, poincare_vae, spherical_vae, spline_vae
from .free import bayesian_vae, mcem, svi
from .hierarchies import hamiltonian_vae, ladder_vae, top_down_vae
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
    "cvae",
    "darn",
    "dip_vae",
    "dreg_iwae",
    "factor_vae",
    "find",
    "flow_prior_vae",
    "fsq_vae",
    "full_covariance_vae",
    "gumbel_softmax_vae",
    "gumbel_vae",
    "hamiltonian_vae",
    "iaf_vae",
    "info_vae",
    "iwae",
    "ladder_vae",
    "likelihood_of",
    "maf_vae",
    "mcem",
    "miwae",
    "mixture_vae",
    "mnist",
    "msssim_vae",
    "piwae",
    "pixel_vae",
    "planar_vae",
    "poincare_vae",
    "preset",
    "rae_gp",
    "rae_l2",
    "rebar_vae",
    "renyi_vae",
    "residual_vq_vae",
    "reweighted_wake_sleep",
    "rloo_vae",
    "semi_supervised_vae",
    "sigma_vae",
    "spherical_vae",
    "spline_vae",
    "stl_vae",
    "student_vae",
    "svi",
    "top_down_vae",
    "two_stage_vae",
    "vae",
    "vae_gan",
    "vamp_vae",
    "vimco",
    "vq_vae",
    "wae_mmd",
    "wake_sleep",
]
