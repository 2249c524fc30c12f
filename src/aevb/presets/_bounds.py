"""Methods that are another bound or another gradient of the same model."""

from __future__ import annotations

from .. import gradients, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..models import VAE
from ..objectives import Exponential, Linear, Schedule
from ._basic import Hidden, build_gaussian_vae
from ._builders import build_encoder_and_likelihood

Scale = float | str | None


def build_bernoulli_vae(spec: Spec, latent: int, hidden: Hidden, scale: Scale) -> VAE:
    """Bits as codes, with learned prior probabilities: a sigmoid belief net."""
    parts = build_encoder_and_likelihood(spec, latent, hidden, scale)
    return VAE(
        priors.Bernoulli(latent, learned=True),
        posteriors.Bernoulli(parts.encoder, latent),
        parts.likelihood,
    )


def capacity_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    gamma: float = 30.0,
    capacity: float | Schedule = Linear(0.0, 25.0, steps=10_000),
) -> Recipe:
    """Burgess et al., Understanding disentangling in beta-VAE (2018): the divergence is held at a capacity that rises slowly.

    They weigh the distance to it by ``gamma=1000``; 30 holds it as well, and leaves the likelihood its part of the gradient.
    """
    objective = objectives.ELBO(samples, beta=gamma, capacity=capacity)
    return Recipe(build_gaussian_vae(spec, latent, hidden, scale), objective, gradients.Pathwise())


def sigma_vae(spec: Spec, *, latent: int = 16, hidden: Hidden = None, samples: int = 1) -> Recipe:
    """Rybkin, Daniilidis and Levine, Simple and effective VAE training with calibrated decoders (2021): the noise is the running error."""
    return Recipe(
        build_gaussian_vae(spec, latent, hidden, "optimal"),
        objectives.ELBO(samples),
        gradients.Pathwise(),
    )


def stl_vae(
    spec: Spec, *, latent: int = 16, hidden: Hidden = None, scale: Scale = None, samples: int = 1
) -> Recipe:
    """Roeder, Wu and Duvenaud, Sticking the landing (2017)."""
    return Recipe(
        build_gaussian_vae(spec, latent, hidden, scale),
        objectives.ELBO(samples),
        gradients.DoublyReparameterised(),
    )


def dreg_iwae(
    spec: Spec, *, latent: int = 16, hidden: Hidden = None, scale: Scale = None, samples: int = 50
) -> Recipe:
    """Tucker et al., Doubly reparameterized gradient estimators (2019)."""
    return Recipe(
        build_gaussian_vae(spec, latent, hidden, scale),
        objectives.IWAE(samples),
        gradients.DoublyReparameterised(),
    )


def renyi_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    alpha: float = 0.5,
    samples: int = 5,
) -> Recipe:
    """Li and Turner, Renyi divergence variational inference (2016)."""
    return Recipe(
        build_gaussian_vae(spec, latent, hidden, scale),
        objectives.Renyi(alpha, samples),
        gradients.DoublyReparameterised(),
    )


def miwae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    groups: int = 8,
    size: int = 8,
) -> Recipe:
    """Rainforth et al., Tighter variational bounds are not necessarily better (2018): a mean of importance-weighted bounds."""
    return Recipe(
        build_gaussian_vae(spec, latent, hidden, scale),
        objectives.MIWAE(groups, size),
        gradients.Pathwise(),
    )


def piwae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    groups: int = 8,
    size: int = 8,
) -> Recipe:
    """Rainforth et al. (2018): a tight bound for the model, a mean of looser ones for the posterior."""
    return Recipe(
        build_gaussian_vae(spec, latent, hidden, scale),
        objectives.PIWAE(groups, size),
        gradients.Pathwise(),
    )


def ciwae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    scale: Scale = None,
    beta: float = 0.05,
    samples: int = 64,
) -> Recipe:
    """Rainforth et al. (2018): a bound between the ELBO and the importance-weighted one."""
    return Recipe(
        build_gaussian_vae(spec, latent, hidden, scale),
        objectives.CIWAE(beta, samples),
        gradients.Pathwise(),
    )


def rloo_vae(
    spec: Spec, *, latent: int = 16, hidden: Hidden = None, scale: Scale = None, samples: int = 4
) -> Recipe:
    """Kool, van Hoof and Welling, Buy 4 REINFORCE samples, get a baseline for free! (2019), with bits as codes."""
    return Recipe(
        build_bernoulli_vae(spec, latent, hidden, scale),
        objectives.ELBO(samples),
        gradients.LeaveOneOut(),
    )


def vimco(
    spec: Spec, *, latent: int = 16, hidden: Hidden = None, scale: Scale = None, samples: int = 5
) -> Recipe:
    """Mnih and Rezende, Variational inference for Monte Carlo objectives (2016), with bits as codes."""
    return Recipe(
        build_bernoulli_vae(spec, latent, hidden, scale),
        objectives.IWAE(samples),
        gradients.LeaveOneOut(),
    )


def rebar_vae(
    spec: Spec, *, latent: int = 16, hidden: Hidden = None, scale: Scale = None, samples: int = 1
) -> Recipe:
    """Tucker et al., REBAR (2017), with bits as codes."""
    return Recipe(
        build_bernoulli_vae(spec, latent, hidden, scale),
        objectives.ELBO(samples),
        gradients.REBAR(),
    )


def gumbel_softmax_vae(
    spec: Spec,
    *,
    latent: int = 16,
    categories: int = 10,
    hidden: Hidden = None,
    scale: Scale = None,
    samples: int = 1,
    temperature: float | Schedule = Exponential(1.0, 0.5, steps=10_000),
) -> Recipe:
    """Jang, Gu and Poole, Categorical reparameterization with Gumbel-softmax (2017): ``latent`` codes of ``categories`` each."""
    shape = (latent, categories)
    parts = build_encoder_and_likelihood(spec, shape, hidden, scale)
    model = VAE(
        priors.Categorical(shape), posteriors.Categorical(parts.encoder, shape), parts.likelihood
    )
    return Recipe(model, objectives.ELBO(samples), gradients.Relaxed(temperature))


def wake_sleep(
    spec: Spec, *, latent: int = 16, hidden: Hidden = None, scale: Scale = None, samples: int = 1
) -> Recipe:
    """Hinton, Dayan, Frey and Neal, The wake-sleep algorithm (1995), on a sigmoid belief net."""
    return Recipe(
        build_bernoulli_vae(spec, latent, hidden, scale),
        objectives.ELBO(samples),
        gradients.WakeSleep(),
    )


def reweighted_wake_sleep(
    spec: Spec, *, latent: int = 16, hidden: Hidden = None, scale: Scale = None, samples: int = 5
) -> Recipe:
    """Bornschein and Bengio, Reweighted wake-sleep (2015), on a sigmoid belief net."""
    return Recipe(
        build_bernoulli_vae(spec, latent, hidden, scale),
        objectives.IWAE(samples),
        gradients.ReweightedWakeSleep(),
    )
