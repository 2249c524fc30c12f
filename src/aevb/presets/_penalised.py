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
from ._assemble import build_vae
from ._builders import Hidden, Scale, build_encoder_and_likelihood
from ._registration import register_preset

__all__ = [
    "adversarial_ae",
    "beta_tcvae",
    "dip_vae",
    "factor_vae",
    "info_vae",
    "msssim_vae",
    "rae_gp",
    "rae_l2",
    "vae_gan",
    "wae_mmd",
]

CRITIC_WIDTHS = (256, 256, 256)  # of a critic of latents


@register_preset(
    paper="Chen et al. 2018",
    components="Normal posterior, ELBO() and TotalCorrelation(beta=6), Pathwise()",
    use_when="independent latent variables at a smaller loss of likelihood than beta_vae",
    cost="as vae, the posterior densities of all pairs in a batch",
    avoid_when="batches are small: the estimate is biased (factor_vae)",
)
def beta_tcvae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    beta: float | Schedule = 6.0,
    alpha: float | Schedule = 1.0,
    gamma: float | Schedule = 1.0,
    estimator: Literal["stratified", "weighted"] = "stratified",
) -> Recipe:
    """VAE whose total correlation has the weight ``beta``.

    Chen et al., Isolating sources of disentanglement in VAEs (2018).

    Args:
        beta: Weight of the total correlation, a number or a schedule.
        alpha: Weight of the mutual information of data and latents.
        gamma: Weight of the divergence of each variable from the prior.
        estimator: Estimator of the aggregate posterior.
    """
    correlation = objectives.TotalCorrelation(beta, alpha, gamma, estimator)
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    return _penalised_recipe(model, objectives.ELBO(samples), correlation)


@register_preset(
    paper="Kumar et al. 2018",
    components="Normal posterior, ELBO() and DIP(), Pathwise()",
    use_when="uncorrelated latent variables, by moments alone: cheap with many of them",
    cost="as vae",
    avoid_when="independence matters and not only correlation: beta_tcvae",
)
def dip_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    off_diagonal: float | Schedule = 10.0,
    diagonal: float | Schedule = 10.0,
    kind: Literal["I", "II"] = "II",
) -> Recipe:
    """VAE whose aggregate posterior has the covariance of the prior.

    Kumar et al., Variational inference of disentangled latent concepts (2018).

    Args:
        off_diagonal: Weight of the squared covariances, a number or a schedule.
        diagonal: Weight of the squared distance of the variances from 1.
        kind: Covariance of the posterior means (``"I"``) or of the aggregate posterior (``"II"``).
    """
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    penalty = objectives.DIP(off_diagonal, diagonal, kind)
    return _penalised_recipe(model, objectives.ELBO(samples), penalty)


@register_preset(
    paper="Zhao et al. 2019",
    components="Normal posterior, ELBO(beta=0.5) and MMD(weight=9.5), Pathwise()",
    use_when="latent variables that keep more of the data, with the aggregate posterior still "
    "close to the prior",
    cost="as vae, a kernel over the batch",
    avoid_when="you compare likelihoods: the target is no bound",
)
def info_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    alpha: float = 0.5,
    lam: float = 10.0,
    kernel: Literal["imq", "rbf"] = "rbf",
) -> Recipe:
    """VAE with a smaller KL divergence and a discrepancy of the aggregate posterior.

    Zhao et al., InfoVAE (2019). The KL divergence has the weight ``1 - alpha``, the discrepancy
    ``alpha + lam - 1``; ``alpha=1`` is the MMD-VAE.

    Args:
        alpha: Weight of the mutual information, from 0 to 1.
        lam: Weight of the divergence of the aggregate posterior, at least ``1 - alpha``.
        kernel: Kernel of the discrepancy.
    """
    if not 0 <= alpha <= 1:
        raise ArgumentError("give a number from 0 to 1", argument="alpha", value=alpha)
    if alpha + lam < 1:
        raise ArgumentError(
            f"with an alpha of {alpha} give at least {1 - alpha:g}", argument="lam", value=lam
        )
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    objective = objectives.ELBO(samples, beta=1 - alpha)
    return _penalised_recipe(model, objective, objectives.MMD(alpha + lam - 1, kernel))


@register_preset(
    paper="Tolstikhin et al. 2018",
    components="Dirac posterior, Reconstruction() and MMD(weight=100), Pathwise()",
    use_when="an autoencoder whose prior can be sampled; no likelihood",
    cost="as autoencoder, a kernel over the batch",
    avoid_when="you need log p(x)",
    kind="reconstruction",
)
def wae_mmd(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    weight: float | Schedule = 100.0,
    kernel: Literal["imq", "rbf"] = "imq",
) -> Recipe:
    """Wasserstein autoencoder with a deterministic encoder.

    Tolstikhin et al., Wasserstein auto-encoders (2018).

    Args:
        weight: Weight of the discrepancy, a number or a schedule.
        kernel: Kernel of the discrepancy.
    """
    model = _build_autoencoder(spec, latent, hidden, scale, dropout)
    return _penalised_recipe(model, objectives.Reconstruction(), objectives.MMD(weight, kernel))


@register_preset(
    paper="Kim and Mnih 2018",
    components="Normal posterior, ELBO() and FactorCritic(), Pathwise()",
    use_when="as beta_tcvae, for any posterior or small batches",
    cost="a critic to train",
    avoid_when="beta_tcvae works: it has nothing further to tune",
)
def factor_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    gamma: float | Schedule = 10.0,
    critic: Sequence[int] = CRITIC_WIDTHS,
    lr_scale: float = 1.0,
) -> Recipe:
    """VAE whose total correlation is penalised by a critic of latents.

    Kim and Mnih, Disentangling by factorising (2018).

    Args:
        gamma: Weight of the total correlation, a number or a schedule.
        critic: Widths of the layers of the critic.
    """
    adversary = objectives.FactorCritic(networks.MLP(latent, list(critic)), latent, gamma, lr_scale)
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    return _penalised_recipe(model, objectives.ELBO(samples), adversary)


@register_preset(
    paper="Makhzani et al. 2015",
    components="Dirac posterior, Reconstruction() and PriorCritic(), Pathwise()",
    use_when="as wae_mmd, for priors that kernels fit badly",
    cost="a critic to train",
    avoid_when="you need log p(x), or training without tuning",
    kind="reconstruction",
)
def adversarial_ae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    weight: float | Schedule = 10.0,
    critic: Sequence[int] = CRITIC_WIDTHS,
    lr_scale: float = 0.2,
) -> Recipe:
    """Adversarial autoencoder: a critic separates encodings from draws from the prior.

    Makhzani et al., Adversarial autoencoders (2015).

    Args:
        weight: Weight of the critic's penalty, a number or a schedule.
        critic: Widths of the layers of the critic.
    """
    adversary = objectives.PriorCritic(networks.MLP(latent, list(critic)), latent, weight, lr_scale)
    model = _build_autoencoder(spec, latent, hidden, scale, dropout)
    return _penalised_recipe(model, objectives.Reconstruction(), adversary)


@register_preset(
    paper="Larsen et al. 2016",
    components="Normal posterior, Rate(likelihood_weight=0.01) and DataCritic(), Pathwise()",
    use_when="sharper images",
    cost="a critic over the data to train",
    avoid_when="you need likelihoods to compare, or training without tuning",
)
def vae_gan(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    features: float | Schedule = 10.0,
    adversarial: float | Schedule = 10.0,
    likelihood_weight: float = 0.01,
    lr_scale: float = 0.1,
) -> Recipe:
    """VAE whose reconstruction is measured by the features of a critic of data.

    Larsen et al., Autoencoding beyond pixels using a learned similarity metric (2016). The critic
    has the architecture of the encoder.

    Args:
        features: Weight of the distance of features, a number or a schedule.
        adversarial: Weight of the adversarial term.
        likelihood_weight: Weight of the log-likelihood.
    """
    network = build_encoder_and_likelihood(  # the critic does not see the condition
        replace(spec, condition=None), latent, hidden, scale
    ).encoder
    critic = objectives.DataCritic(network, list(spec.event_shape), features, adversarial, lr_scale)
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    objective = objectives.Rate(samples, likelihood_weight=likelihood_weight)
    return _penalised_recipe(model, objective, critic)


@register_preset(
    paper="Ghosh et al. 2020",
    components="Dirac posterior, Reconstruction(), LatentNorm() and DecoderNorm(), Pathwise()",
    use_when="a smooth autoencoder",
    cost="as autoencoder",
    avoid_when="you need log p(x); samples need a density fitted to the encodings",
    kind="reconstruction",
)
def rae_l2(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    beta: float | Schedule = 1.0,
    weight: float | Schedule = 1e-3,
) -> Recipe:
    """Regularised autoencoder: small encodings and small weights of the decoder.

    Ghosh et al., From variational to deterministic autoencoders (2020).

    Args:
        beta: Weight of the squared norm of the encodings, a number or a schedule.
        weight: Weight of the squared norm of the decoder's weights.
    """
    model = _build_autoencoder(spec, latent, hidden, scale, dropout)
    penalties = objectives.LatentNorm(beta), objectives.DecoderNorm(weight)
    return _penalised_recipe(model, objectives.Reconstruction(), *penalties)


@register_preset(
    paper="Ghosh et al. 2020",
    components="Dirac posterior, Reconstruction(), LatentNorm() and DecoderGradient(), Pathwise()",
    use_when="as rae_l2, smooth at the encodings instead of everywhere",
    cost="a second gradient through the decoder",
    avoid_when="you need log p(x), or speed: rae_l2",
    kind="reconstruction",
)
def rae_gp(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    beta: float | Schedule = 1.0,
    weight: float = 1.0,
) -> Recipe:
    """Regularised autoencoder: small encodings and a small gradient of the decoder.

    Ghosh et al., From variational to deterministic autoencoders (2020).

    Args:
        beta: Weight of the squared norm of the encodings, a number or a schedule.
        weight: Weight of the squared gradient, for data of unit size.
    """
    model = _build_autoencoder(spec, latent, hidden, scale, dropout)
    gradient = objectives.DecoderGradient(weight / _data_unit(spec) ** 2)
    return _penalised_recipe(
        model, objectives.Reconstruction(), objectives.LatentNorm(beta), gradient
    )


@register_preset(
    paper="Snell et al. 2017",
    components="Normal posterior, Rate(likelihood_weight=0.01) and MSSSIM(), Pathwise()",
    use_when="images compared by structure instead of pixels",
    cost="as vae, five image sizes per step",
    avoid_when="you need likelihoods to compare, or images are small",
)
def msssim_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    weight: float | Schedule = 100.0,
    likelihood_weight: float = 0.01,
    data_range: float | None = None,
) -> Recipe:
    """VAE whose reconstruction is measured by multi-scale structural similarity.

    Snell et al., Learning to generate images with perceptual similarity metrics (2017).

    Args:
        weight: Weight of the dissimilarity, a number or a schedule.
        likelihood_weight: Weight of the log-likelihood.
        data_range: Distance between the darkest and the brightest possible value; by default that
            of the spec.
    """
    similarity = objectives.MSSSIM(weight, _data_range(spec) if data_range is None else data_range)
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    objective = objectives.Rate(samples, likelihood_weight=likelihood_weight)
    return _penalised_recipe(model, objective, similarity)


def _build_autoencoder(
    spec: Spec, latent: int, hidden: Hidden, scale: Scale, dropout: float
) -> VAE:
    """A model with a deterministic encoder."""
    return build_vae(
        spec, latent=latent, posterior="dirac", hidden=hidden, dropout=dropout, scale=scale
    )


def _penalised_recipe(model: VAE, objective: Objective, *penalties: Penalty) -> Recipe:
    """A recipe with penalties."""
    return Recipe(model, objectives.Penalised(objective, penalties), gradients.Pathwise())


def _data_unit(spec: Spec) -> float:
    """The size of one unit of standardised data in the units of the data."""
    return (
        (spec.levels or 256) / 2 if spec.support == "levels" else sum(spec.scale) / len(spec.scale)
    )


def _data_range(spec: Spec) -> float:
    """The distance between the darkest and the brightest possible value of these data."""
    if spec.support == "real":
        raise ArgumentError(
            "give the distance between the darkest and the brightest value, which is not known of "
            "real data",
            argument="data_range",
            value=None,
        )
    return float((spec.levels or 256) - 1) if spec.support == "levels" else 1.0
