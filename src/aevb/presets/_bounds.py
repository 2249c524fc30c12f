"""Methods with another bound or another gradient of the same model."""

from __future__ import annotations

from .. import gradients, objectives
from .._recipe import Recipe
from ..data._spec import Spec
from ..models import VAE
from ..objectives import Exponential, Linear, Schedule
from ._assemble import build_vae
from ._builders import Hidden, Scale
from ._registration import register_preset

__all__ = [
    "capacity_vae",
    "ciwae",
    "dreg_iwae",
    "gumbel_softmax_vae",
    "miwae",
    "piwae",
    "rebar_vae",
    "renyi_vae",
    "reweighted_wake_sleep",
    "rloo_vae",
    "sigma_vae",
    "stl_vae",
    "vimco",
    "wake_sleep",
]


@register_preset(
    paper="Burgess et al. 2018",
    components="Normal posterior, ELBO(beta=30, capacity=Linear(0, 25)), Pathwise()",
    use_when="as beta_vae, with the information in the latent variables set in nats",
    cost="as vae",
    avoid_when="the information that the data need is unknown",
)
def capacity_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    gamma: float = 30.0,
    capacity: float | Schedule = Linear(0.0, 25.0, steps=10_000),
) -> Recipe:
    """VAE whose KL divergence is kept at a capacity that rises slowly.

    Burgess et al., Understanding disentangling in beta-VAE (2018).

    Args:
        gamma: Weight of the distance of the KL divergence from the capacity; 1000 in the paper, and
            30 keeps it as well and leaves the likelihood its part of the gradient.
        capacity: Nats per datum, a number or a schedule.
    """
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    objective = objectives.ELBO(samples, beta=gamma, capacity=capacity)
    return Recipe(model, objective, gradients.Pathwise())


@register_preset(
    paper="Rybkin et al. 2021",
    components='Normal posterior, Normal likelihood with scale="optimal", ELBO(), Pathwise()',
    use_when="real numbers whose noise is unknown: there is no weight to tune",
    cost="as vae",
    avoid_when="the data are not real numbers, or elements have different noise",
    table_likelihood="normal",
)
def sigma_vae(
    spec: Spec, *, latent: int = 16, hidden: Hidden = None, dropout: float = 0.0, samples: int = 1
) -> Recipe:
    """VAE whose noise scale is the running reconstruction error.

    Rybkin, Daniilidis and Levine, Simple and effective VAE training with calibrated decoders
    (2021).
    """
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale="optimal")
    return Recipe(model, objectives.ELBO(samples), gradients.Pathwise())


@register_preset(
    paper="Roeder et al. 2017",
    components="Normal posterior, ELBO(), DoublyReparameterised()",
    use_when="as vae near convergence: the gradient has no noise where the posterior is exact",
    cost="one further pass of the posterior's density",
    avoid_when="the posterior is far from exact: the gain is small",
)
def stl_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
) -> Recipe:
    """VAE with the sticking-the-landing gradient.

    Roeder, Wu and Duvenaud, Sticking the landing (2017).
    """
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    return Recipe(model, objectives.ELBO(samples), gradients.DoublyReparameterised())


@register_preset(
    paper="Tucker et al. 2019",
    components="Normal posterior, IWAE(50), DoublyReparameterised()",
    use_when="as iwae, with as many samples as there is time for",
    cost="the decoder runs 50 times",
    avoid_when="time is short: iwae gains most with its first samples",
)
def dreg_iwae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 50,
) -> Recipe:
    """Importance-weighted autoencoder with many samples and the doubly reparameterised gradient.

    Tucker et al., Doubly reparameterized gradient estimators (2019).
    """
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    return Recipe(model, objectives.IWAE(samples), gradients.DoublyReparameterised())


@register_preset(
    paper="Li and Turner 2016",
    components="Normal posterior, Renyi(0.5, 5), DoublyReparameterised()",
    use_when="between vae and iwae: a posterior with less noise in its gradient, a looser bound",
    cost="the decoder runs samples times",
    avoid_when="you report likelihoods: the bound is looser than that of iwae",
)
def renyi_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    alpha: float = 0.5,
    samples: int = 5,
) -> Recipe:
    """VAE with a variational Renyi bound.

    Li and Turner, Renyi divergence variational inference (2016).

    Args:
        alpha: Order of the divergence: 1 is the ELBO, 0 the importance-weighted bound.
    """
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    return Recipe(model, objectives.Renyi(alpha, samples), gradients.DoublyReparameterised())


@register_preset(
    paper="Rainforth et al. 2018",
    components="Normal posterior, MIWAE(8, 8), Pathwise()",
    use_when="comparisons: dreg_iwae solves the same problem with a tighter bound",
    cost="the decoder runs 64 times",
    avoid_when="dreg_iwae is possible",
)
def miwae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    groups: int = 8,
    size: int = 8,
) -> Recipe:
    """VAE with a mean of importance-weighted bounds.

    Rainforth et al., Tighter variational bounds are not necessarily better (2018).

    Args:
        groups: Number of bounds.
        size: Number of draws of each bound.
    """
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    return Recipe(model, objectives.MIWAE(groups, size), gradients.Pathwise())


@register_preset(
    paper="Rainforth et al. 2018",
    components="Normal posterior, PIWAE(8, 8), Pathwise()",
    use_when="many samples with a plain gradient, and a less noisy target for the posterior",
    cost="the decoder runs 64 times, two gradients",
    avoid_when="dreg_iwae is possible",
)
def piwae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    groups: int = 8,
    size: int = 8,
) -> Recipe:
    """VAE with a tight bound for the model and a mean of looser bounds for the posterior.

    Rainforth et al., Tighter variational bounds are not necessarily better (2018).

    Args:
        groups: Number of groups of draws.
        size: Number of draws in each group.
    """
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    return Recipe(model, objectives.PIWAE(groups, size), gradients.Pathwise())


@register_preset(
    paper="Rainforth et al. 2018",
    components="Normal posterior, CIWAE(0.05, 64), Pathwise()",
    use_when="as piwae, with one bound for both",
    cost="the decoder runs samples times",
    avoid_when="there is no time to tune the mixing weight",
)
def ciwae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    beta: float = 0.05,
    samples: int = 64,
) -> Recipe:
    """VAE with a bound between the ELBO and the importance-weighted bound.

    Rainforth et al., Tighter variational bounds are not necessarily better (2018).

    Args:
        beta: Share of the ELBO, from 0 to 1.
    """
    model = build_vae(spec, latent=latent, hidden=hidden, dropout=dropout, scale=scale)
    return Recipe(model, objectives.CIWAE(beta, samples), gradients.Pathwise())


@register_preset(
    paper="Kool et al. 2019",
    components="Bernoulli posterior, ELBO(4), LeaveOneOut()",
    use_when="binary latent variables, to start with",
    cost="the decoder runs 4 times",
    avoid_when="latent variables may be real numbers: vae is faster and closer",
)
def rloo_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 4,
) -> Recipe:
    """VAE with binary latent variables and the leave-one-out gradient.

    Kool, van Hoof and Welling, Buy 4 REINFORCE samples, get a baseline for free! (2019).
    """
    model = _build_bernoulli_vae(spec, latent, hidden, scale, dropout)
    return Recipe(model, objectives.ELBO(samples), gradients.LeaveOneOut())


@register_preset(
    paper="Mnih and Rezende 2016",
    components="Bernoulli posterior, IWAE(5), LeaveOneOut()",
    use_when="binary latent variables and the best likelihood",
    cost="the decoder runs samples times",
    avoid_when="one sample must do: rebar_vae",
)
def vimco(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 5,
) -> Recipe:
    """VAE with binary latent variables and an importance-weighted bound.

    Mnih and Rezende, Variational inference for Monte Carlo objectives (2016).
    """
    model = _build_bernoulli_vae(spec, latent, hidden, scale, dropout)
    return Recipe(model, objectives.IWAE(samples), gradients.LeaveOneOut())


@register_preset(
    paper="Tucker et al. 2017",
    components="Bernoulli posterior, ELBO(), REBAR()",
    use_when="binary latent variables where a single draw must do",
    cost="three decoder passes per draw",
    avoid_when="several draws are affordable: rloo_vae is simpler",
)
def rebar_vae(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
) -> Recipe:
    """VAE with binary latent variables and the REBAR gradient.

    Tucker et al., REBAR (2017).
    """
    model = _build_bernoulli_vae(spec, latent, hidden, scale, dropout)
    return Recipe(model, objectives.ELBO(samples), gradients.REBAR())


@register_preset(
    paper="Jang et al. 2017",
    components="Categorical posterior, ELBO(), Relaxed()",
    use_when="latent variables of several categories, fast",
    cost="as vae",
    avoid_when="the bound matters: training is biased and reports no bound (rloo_vae is unbiased)",
    kind="neither",
)
def gumbel_softmax_vae(
    spec: Spec,
    *,
    latent: int = 16,
    categories: int = 10,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
    temperature: float | Schedule = Exponential(1.0, 0.5, steps=10_000),
) -> Recipe:
    """VAE with categorical latent variables, relaxed while training.

    Jang, Gu and Poole, Categorical reparameterization with Gumbel-softmax (2017).

    Args:
        categories: Number of categories of each latent variable.
        temperature: Temperature of the relaxation, a number or a schedule.
    """
    model = build_vae(
        spec,
        latent=(latent, categories),
        posterior="categorical",
        hidden=hidden,
        dropout=dropout,
        scale=scale,
    )
    return Recipe(model, objectives.ELBO(samples), gradients.Relaxed(temperature))


@register_preset(
    paper="Hinton et al. 1995",
    components="Bernoulli posterior, ELBO(), WakeSleep()",
    use_when="comparisons: reweighted_wake_sleep ends nearer to the maximum of the likelihood",
    cost="a draw from the model in each step",
    avoid_when="the likelihood matters: reweighted_wake_sleep",
)
def wake_sleep(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 1,
) -> Recipe:
    """Sigmoid belief net trained by the wake-sleep algorithm.

    Hinton, Dayan, Frey and Neal, The wake-sleep algorithm (1995).
    """
    model = _build_bernoulli_vae(spec, latent, hidden, scale, dropout)
    return Recipe(model, objectives.ELBO(samples), gradients.WakeSleep())


@register_preset(
    paper="Bornschein and Bengio 2015",
    components="Bernoulli posterior, IWAE(5), ReweightedWakeSleep()",
    use_when="binary latent variables whose posterior should cover all explanations",
    cost="the decoder runs samples times, and a draw from the model",
    avoid_when="latent variables are real numbers",
)
def reweighted_wake_sleep(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    samples: int = 5,
) -> Recipe:
    """Sigmoid belief net trained by reweighted wake-sleep.

    Bornschein and Bengio, Reweighted wake-sleep (2015).
    """
    model = _build_bernoulli_vae(spec, latent, hidden, scale, dropout)
    return Recipe(model, objectives.IWAE(samples), gradients.ReweightedWakeSleep())


def _build_bernoulli_vae(
    spec: Spec, latent: int, hidden: Hidden, scale: Scale, dropout: float
) -> VAE:
    """A sigmoid belief net: binary latent variables with learned prior probabilities."""
    return build_vae(
        spec,
        latent=latent,
        prior="bernoulli",
        prior_options={"learned": True},
        hidden=hidden,
        dropout=dropout,
        scale=scale,
    )
