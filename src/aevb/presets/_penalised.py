"""Methods that add a penalty or a critic to a bound, or to the reconstruction alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from .. import gradients, networks, objectives
from .._recipe import Recipe
from ..data._spec import Spec
from ..errors import ArgumentError
from ..models import VAE
from ..objectives import Objective, Penalty, Schedule
from ._basic import Hidden, autoencoder, build_gaussian_vae
from ._builders import build_encoder_and_likelihood

Scale = float | str | None
CRITIC_WIDTHS = (256, 256, 256)  # widths of a critic of codes


def beta_tcvae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    beta: float | Schedule = 6.0,
    alpha: float | Schedule = 1.0,
    gamma: float | Schedule = 1.0,
    estimator: Literal["stratified", "weighted"] = "stratified",
) -> Recipe:
    """Chen et al., Isolating sources of disentanglement in VAEs (2018): the total correlation weighs ``beta``."""
    correlation = objectives.TotalCorrelation(beta, alpha, gamma, estimator)
    return _penalised_recipe(
        build_gaussian_vae(spec, latent, hidden, scale), objectives.ELBO(samples), correlation
    )


def dip_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    off_diagonal: float | Schedule = 10.0,
    diagonal: float | Schedule = 10.0,
    kind: Literal["I", "II"] = "II",
) -> Recipe:
    """Kumar et al., Variational inference of disentangled latent concepts (2018): codes with the covariance of the prior."""
    model = build_gaussian_vae(spec, latent, hidden, scale)
    return _penalised_recipe(
        model, objectives.ELBO(samples), objectives.DIP(off_diagonal, diagonal, kind)
    )


def info_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    alpha: float = 0.5,
    lam: float = 10.0,
    kernel: Literal["imq", "rbf"] = "rbf",
) -> Recipe:
    """Zhao et al., InfoVAE (2019): the divergence weighs ``1 - alpha``, the discrepancy ``alpha + lam - 1``; MMD-VAE is ``alpha=1``."""
    if not 0 <= alpha <= 1 or alpha + lam < 1:
        raise ArgumentError(
            f"`alpha` is {alpha} and `lam` {lam}; give an alpha from 0 to 1, and lam so that alpha + lam is at least 1."
        )
    model = build_gaussian_vae(spec, latent, hidden, scale)
    return _penalised_recipe(
        model, objectives.ELBO(samples, beta=1 - alpha), objectives.MMD(alpha + lam - 1, kernel)
    )


def wae_mmd(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    weight: float | Schedule = 100.0,
    kernel: Literal["imq", "rbf"] = "imq",
) -> Recipe:
    """Tolstikhin et al., Wasserstein auto-encoders (2018), with a deterministic encoder."""
    model = autoencoder(spec, latent=latent, hidden=hidden, scale=scale).model
    return _penalised_recipe(model, objectives.Reconstruction(), objectives.MMD(weight, kernel))


def factor_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    gamma: float | Schedule = 10.0,
    critic: Sequence[int] = CRITIC_WIDTHS,
    lr_scale: float = 1.0,
) -> Recipe:
    """Kim and Mnih, Disentangling by factorising (2018): the total correlation weighs ``gamma``, by a critic of codes."""
    adversary = objectives.FactorCritic(networks.MLP(latent, list(critic)), latent, gamma, lr_scale)
    return _penalised_recipe(
        build_gaussian_vae(spec, latent, hidden, scale), objectives.ELBO(samples), adversary
    )


def adversarial_ae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    weight: float | Schedule = 10.0,
    critic: Sequence[int] = CRITIC_WIDTHS,
    lr_scale: float = 0.2,
) -> Recipe:
    """Makhzani et al., Adversarial autoencoders (2015): a critic tells codes from draws from the prior."""
    adversary = objectives.PriorCritic(networks.MLP(latent, list(critic)), latent, weight, lr_scale)
    model = autoencoder(spec, latent=latent, hidden=hidden, scale=scale).model
    return _penalised_recipe(model, objectives.Reconstruction(), adversary)


def vae_gan(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    features: float | Schedule = 10.0,
    adversarial: float | Schedule = 10.0,
    likelihood_weight: float = 0.01,
    lr_scale: float = 0.1,
) -> Recipe:
    """Larsen et al., Autoencoding beyond pixels using a learned similarity metric (2016); the critic is a second encoder."""
    network = build_encoder_and_likelihood(
        replace(spec, condition=None), latent, hidden, scale
    ).encoder  # the critic judges by the data alone
    critic = objectives.DataCritic(network, list(spec.event_shape), features, adversarial, lr_scale)
    return _penalised_recipe(
        build_gaussian_vae(spec, latent, hidden, scale),
        objectives.Rate(samples, likelihood_weight=likelihood_weight),
        critic,
    )


def rae_l2(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    beta: float | Schedule = 1.0,
    weight: float | Schedule = 1e-3,
) -> Recipe:
    """Ghosh et al., From variational to deterministic autoencoders (2020): small codes, and small weights of the decoder."""
    model = autoencoder(spec, latent=latent, hidden=hidden, scale=scale).model
    return _penalised_recipe(
        model,
        objectives.Reconstruction(),
        objectives.LatentNorm(beta),
        objectives.DecoderNorm(weight),
    )


def rae_gp(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    beta: float | Schedule = 1.0,
    weight: float = 1.0,
) -> Recipe:
    """Ghosh et al. (2020): small codes, and a decoder whose gradient is small; ``weight`` is for data of unit size."""
    model = autoencoder(spec, latent=latent, hidden=hidden, scale=scale).model
    gradient = objectives.DecoderGradient(weight / _data_unit(spec) ** 2)
    return _penalised_recipe(
        model, objectives.Reconstruction(), objectives.LatentNorm(beta), gradient
    )


def msssim_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    weight: float | Schedule = 100.0,
    likelihood_weight: float = 0.01,
    data_range: float | None = None,
) -> Recipe:
    """Snell et al., Learning to generate images with perceptual similarity metrics (2017): structural similarity for a likelihood."""
    similarity = objectives.MSSSIM(weight, _data_range(spec) if data_range is None else data_range)
    return _penalised_recipe(
        build_gaussian_vae(spec, latent, hidden, scale),
        objectives.Rate(samples, likelihood_weight=likelihood_weight),
        similarity,
    )


def _penalised_recipe(model: VAE, objective: Objective, *penalties: Penalty) -> Recipe:
    return Recipe(model, objectives.Penalised(objective, penalties), gradients.Pathwise())


def _data_unit(spec: Spec) -> float:
    """What one unit of standardised data is in the units of the data."""
    return (
        (spec.levels or 256) / 2 if spec.support == "levels" else sum(spec.scale) / len(spec.scale)
    )


def _data_range(spec: Spec) -> float:
    """The distance between the darkest and the brightest value that these data can have."""
    if spec.support == "real":
        raise ArgumentError(
            "`data_range` of real data is not known; give the distance between the darkest and the brightest value."
        )
    return float((spec.levels or 256) - 1) if spec.support == "levels" else 1.0
