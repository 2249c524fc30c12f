"""Models from the names of a prior, a posterior and a likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from .. import posteriors, priors
from .._conditional import Conditional, Unconditional
from .._shapes import as_shape
from ..data._spec import Spec
from ..distributions._output_maps import LOG_SCALE_BOUND
from ..errors import IncompatibleError, one_of
from ..models import VAE
from ..notes import Argument, message
from ..posteriors import PosteriorRegistration, build_posterior
from ..priors import PriorRegistration, build_prior
from ..priors._registration import is_support_within
from ._builders import (
    Hidden,
    Options,
    Scale,
    build_encoder_and_likelihood,
    build_likelihood,
    replace_likelihood,
)


def check_prior_and_posterior(
    prior: str | None,
    posterior: str | None,
    prior_options: Options = None,
    posterior_options: Options = None,
) -> tuple[PriorRegistration, PosteriorRegistration]:
    """Find a prior and a posterior by name and check that they fit; nothing is built.

    Args:
        prior: Name of the prior; the usual one for the posterior by default.
        posterior: Name of the posterior; the usual one for the prior by default.
        prior_options: Arguments of the prior.
        posterior_options: Arguments of the posterior.

    Returns:
        The registrations of both.

    Raises:
        ArgumentError: A name or an option is not known.
        IncompatibleError: A family needs more than a latent vector, or the posterior has mass where
            the prior has none.

    Example:
        >>> p, q = check_prior_and_posterior("gamma", None)
        >>> p.name, q.name
        ('gamma', 'gamma')
        >>> check_prior_and_posterior("sphere", "iaf")
        Traceback (most recent call last):
            ...
        aevb.errors.IncompatibleError: `posterior` is "iaf"; its latent is real and that of the
        prior sphere is sphere, so that their KL divergence is infinite. Write
        posterior="power_spherical" or posterior="von_mises_fisher".
    """
    p = None if prior is None else PriorRegistration.find(prior)
    q = PosteriorRegistration.find(
        p.posterior if p and posterior is None else posterior or "normal"
    )
    p = p or PriorRegistration.find(q.prior)
    p.check(**(prior_options or {}))
    q.check(**(posterior_options or {}))
    if not is_support_within(q.support, p.support):
        fitting = sorted(
            name
            for name, entry in PosteriorRegistration.buildable().items()
            if is_support_within(entry.support, p.support)
        )
        raise IncompatibleError(
            f"its latent is {q.support} and that of the prior {p.name} is {p.support}, so that "
            "their KL divergence is infinite",
            argument="posterior",
            value=q.name,
            suggestions=(one_of("posterior", fitting),),
        )
    return p, q


def build_vae(
    spec: Spec,
    *,
    latent: int | Sequence[int] = 16,
    prior: str | None = None,
    posterior: str | None = None,
    likelihood: str | None = None,
    hidden: Hidden = None,
    dropout: float = 0.0,
    scale: Scale = None,
    linear: bool = False,
    hide: float = 0.0,
    scale_bound: float = LOG_SCALE_BOUND,
    prior_options: Options = None,
    posterior_options: Options = None,
    likelihood_options: Options = None,
) -> VAE:
    """Assemble a model from the names of a prior, a posterior and a likelihood.

    Args:
        spec: Description of the data, which decides the networks.
        latent: Number of latent variables, or ``(variables, categories)`` for one-hot latents.
        prior: Name of the prior (``PriorRegistration``); by default the usual prior for the
            posterior.
        posterior: Name of the posterior (``PosteriorRegistration``); by default the usual posterior
            for the prior.
        likelihood: Name of the likelihood (``LikelihoodRegistration``); by default as in the
            spec.
        hidden: Widths of the layers of the networks.
        dropout: Dropout probability of the networks.
        scale: Scale of the likelihood, where it has one.
        linear: Whether the networks of a table contain a linear map, so that training begins at a
            Gaussian.
        hide: Share of the cells of mixed columns that are hidden from the encoder in training.
        scale_bound: Bound of the absolute logarithms of the scales of whitened numbers.
        prior_options: Arguments of the prior.
        posterior_options: Arguments of the posterior.
        likelihood_options: Further arguments of the likelihood, such as ``concentration``.

    Returns:
        The model.

    Raises:
        ArgumentError: A name or an option is not known, or the data must be read for the
            likelihood.
        IncompatibleError: The parts do not fit together.

    Example:
        >>> from aevb import data
        >>> digits = data.load("digits")
        >>> model = build_vae(
        ...     digits.spec, latent=2, prior="vamp", prior_options={"components": 5}, hidden=[8]
        ... )
        >>> type(model.prior).__name__, model.sample(3).shape
        ('Vamp', torch.Size([3, 8, 8]))
    """
    p, q = check_prior_and_posterior(prior, posterior, prior_options, posterior_options)
    spec = spec if likelihood is None else replace_likelihood(spec, likelihood)
    made = partial(build_likelihood, options=likelihood_options) if likelihood_options else None
    parts = build_encoder_and_likelihood(
        spec,
        latent,
        hidden,
        scale,
        linear=linear,
        hide=hide,
        dropout=dropout,
        likelihood=made,
        scale_bound=scale_bound,
    )
    families = _build_families(p, q, spec, parts.encoder, latent, prior_options, posterior_options)
    return VAE(*families, parts.likelihood)


def replace_families(
    model: VAE,
    spec: Spec,
    *,
    prior: str | None = None,
    posterior: str | None = None,
    prior_options: Options = None,
    posterior_options: Options = None,
) -> VAE:
    """Replace the standard normal prior and the diagonal normal posterior of a model.

    Args:
        model: A model with these two, whose networks are used again.
        spec: Description of the data.
        prior: Name of the prior; by default the usual prior for the posterior.
        posterior: Name of the posterior; by default the usual posterior for the prior.
        prior_options: Arguments of the prior.
        posterior_options: Arguments of the posterior.

    Returns:
        Another model with the same networks and likelihood.

    Raises:
        ArgumentError: A name or an option is not known.
        IncompatibleError: The model has another prior or posterior, or the parts do not fit
            together.
    """
    p, q = check_prior_and_posterior(prior, posterior, prior_options, posterior_options)
    argument, value = ("posterior", posterior) if prior is None else ("prior", prior)
    for role, part, plain in (
        ("prior", model.prior, priors.Normal),
        ("posterior", model.posterior, posteriors.Normal),
    ):
        if type(part) is not plain:
            raise IncompatibleError(
                f"this preset needs its own {role}, `{role}s.{type(part).__name__}`",
                argument=argument,
                value=value,
                suggestions=(
                    message("Leave it out, or write {preset}", preset=Argument("preset", "vae")),
                ),
            )
    network, latent = (model.posterior.arguments[name] for name in ("network", "latent"))
    families = _build_families(p, q, spec, network, latent, prior_options, posterior_options)
    return VAE(*families, model.likelihood)


def _build_families(
    p: PriorRegistration,
    q: PosteriorRegistration,
    spec: Spec,
    network: nn.Module,
    latent: int | Sequence[int],
    prior_options: Options,
    posterior_options: Options,
) -> tuple[Unconditional, Conditional]:
    """Build a prior and a posterior that fit together."""
    if p.target is priors.Vamp and spec.schema is not None:
        raise IncompatibleError(
            "its pseudo-inputs are rows of numbers, and the columns of the data are of several "
            "kinds",
            argument="prior",
            value=p.name,
            suggestions=(message("Write {prior}", prior=Argument("prior", "mixture")),),
        )
    size = latent if isinstance(latent, int) else as_shape("latent", latent)
    posterior = build_posterior(q.name, network, size, **(posterior_options or {}))
    # pseudo-data have Gaussian encodings: heads of their own where the posterior is another family
    own_heads = p.target is priors.Vamp and q.name != "normal"
    prior = build_prior(
        p.name,
        size,
        posterior=build_posterior("normal", network, size) if own_heads else posterior,
        event_shape=spec.event_shape,
        value_range=value_range(spec),
        **(prior_options or {}),
    )
    return prior, posterior


def value_range(spec: Spec) -> tuple[float | None, float | None]:
    """Return the smallest and largest value of the data, ``None`` where there is no bound."""
    if spec.support == "levels":
        return 0.0, float((spec.levels or 256) - 1)
    return (0.0, 1.0) if spec.support in ("binary", "unit") else (None, None)
