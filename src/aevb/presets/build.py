"""From what is known of the data to networks and a likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from .. import likelihoods, networks
from ..data.spec import COUNTS, REAL, Spec
from ..errors import ArgumentError
from ..likelihoods.likelihood import Likelihood
from ..shapes import as_shape

HIDDEN = (400, 400)
CHANNELS = (32, 64)


@dataclass(frozen=True)
class Conditionals:
    """What a preset puts together: the encoder's network and the likelihood with the decoder's."""

    encoder: nn.Module
    likelihood: Likelihood


def conditionals(
    spec: Spec, latent: int | Sequence[int], hidden: Sequence[int] | None = None, scale: float | str | None = None
) -> Conditionals:
    """Encoder and likelihood for data of this kind.

    ``hidden`` are the widths of the fully connected layers (400, 400 by default), mirrored in the decoder, or the channels of the
    convolutions (32, 64 by default). ``scale`` is that of a Normal, Laplace or Student t likelihood, in standardised units.
    """
    codes = math.prod(as_shape("latent", latent))
    encoder, decoder = _networks(spec, codes, hidden)
    if spec.support == "levels" and spec.likelihood in ("discretised_logistic", "categorical"):
        middle = ((spec.levels or 256) - 1) / 2
        shift, size = (middle,), (middle,)
    else:
        shift, size = spec.shift, spec.scale
    if tuple(shift) != (0.0,) or tuple(size) != (1.0,):
        encoder = networks.Standardise(encoder, list(shift), list(size))
    return Conditionals(encoder, likelihood_of(spec, decoder, len(as_shape("latent", latent)), scale))


def likelihood_of(spec: Spec, network: nn.Module, latent_rank: int = 1, scale: float | str | None = None) -> Likelihood:
    """The likelihood that the spec names, in the units of the data: where they are rescaled, the log-Jacobian is part of it."""
    if spec.likelihood not in _LIKELIHOODS:
        raise ArgumentError(f"`likelihood` is {spec.likelihood!r}; use one of {', '.join(_LIKELIHOODS)}.")
    if scale is not None and spec.likelihood not in REAL:
        raise ArgumentError(f"`scale` is {scale!r}, and a {spec.likelihood} likelihood has none; leave it out, or use likelihood=normal.")
    inner = _LIKELIHOODS[spec.likelihood](network, spec, latent_rank, "per_element" if scale is None else scale)
    if spec.likelihood in COUNTS or (tuple(spec.shift) == (0.0,) and tuple(spec.scale) == (1.0,)):
        return inner  # counts have no units; what they are measured in stands inside
    return likelihoods.Scaled(inner, list(spec.shift), list(spec.scale))


def _networks(spec: Spec, codes: int, hidden: Sequence[int] | None) -> tuple[nn.Module, nn.Module]:
    if spec.network == "conv":
        channels = list(hidden or CHANNELS)
        encoder = networks.ConvEncoder(list(spec.event_shape), channels)
        return encoder, networks.ConvDecoder(codes, list(spec.event_shape), channels[::-1])
    widths = list(HIDDEN if hidden is None else hidden)
    return networks.MLP(math.prod(spec.event_shape), widths), networks.MLP(codes, widths[::-1])


_LIKELIHOODS: dict[str, Callable[[nn.Module, Spec, int, float | str], Likelihood]] = {
    "bernoulli": lambda network, spec, rank, scale: likelihoods.Bernoulli(network, list(spec.event_shape), rank),
    "continuous_bernoulli": lambda network, spec, rank, scale: likelihoods.ContinuousBernoulli(network, list(spec.event_shape), rank),
    "discretised_logistic": lambda network, spec, rank, scale: likelihoods.DiscretisedLogistic(
        network, list(spec.event_shape), spec.levels or 256, rank
    ),
    "categorical": lambda network, spec, rank, scale: likelihoods.Categorical(network, list(spec.event_shape), spec.levels or 256, rank),
    "normal": lambda network, spec, rank, scale: likelihoods.Normal(network, list(spec.event_shape), scale, rank),
    "laplace": lambda network, spec, rank, scale: likelihoods.Laplace(network, list(spec.event_shape), scale, rank),
    "student_t": lambda network, spec, rank, scale: likelihoods.StudentT(network, list(spec.event_shape), scale, latent_rank=rank),
    "poisson": lambda network, spec, rank, scale: likelihoods.Poisson(network, list(spec.event_shape), spec.scale[0], rank),
    "negative_binomial": lambda network, spec, rank, scale: likelihoods.NegativeBinomial(
        network, list(spec.event_shape), unit=spec.scale[0], latent_rank=rank
    ),
}
