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
Make = Callable[[Spec, nn.Module, int, float | str | None], Likelihood]


@dataclass(frozen=True)
class Conditionals:
    """What a preset puts together: the encoder's network and the likelihood with the decoder's."""

    encoder: nn.Module
    likelihood: Likelihood


def conditionals(
    spec: Spec,
    latent: int | Sequence[int],
    hidden: Sequence[int] | None = None,
    scale: float | str | None = None,
    *,
    more: bool = False,
    likelihood: Make | None = None,
) -> Conditionals:
    """Encoder and likelihood for data of this kind.

    ``hidden`` are the widths of the fully connected layers (400, 400 by default), mirrored in the decoder, or the channels of the
    convolutions (32, 64 by default). ``scale`` is that of a Normal, Laplace or Student t likelihood, in standardised units. Both are told
    what ``spec.condition`` says. ``more`` says that codes have further numbers, which the decoder is not shown. ``likelihood`` makes
    another one than the spec names. Raises ``ArgumentError``
    where a condition is known of some rows only.
    """
    codes = math.prod(as_shape("latent", latent))
    encoder, decoder = networks_of(spec, codes, hidden)
    decoder = networks.Part(decoder, codes) if more else decoder
    return Conditionals(standardised(spec, encoder), (likelihood or likelihood_of)(spec, decoder, len(as_shape("latent", latent)), scale))


def standardised(spec: Spec, network: nn.Module) -> nn.Module:
    """A network of the data that sees numbers of about unit size."""
    if spec.support == "levels" and spec.likelihood in ("discretised_logistic", "categorical"):
        middle = ((spec.levels or 256) - 1) / 2
        shift, size = (middle,), (middle,)
    else:
        shift, size = spec.shift, spec.scale
    if tuple(shift) == (0.0,) and tuple(size) == (1.0,):
        return network
    return networks.Standardise(network, list(shift), list(size))


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


def networks_of(spec: Spec, codes: int, hidden: Sequence[int] | None) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder for events of this kind, both told what ``spec.condition`` says."""
    condition = condition_of(spec)
    context = 0 if condition is None else condition.width
    encoder, decoder = networks_for(spec, codes, hidden, context)
    if condition is None:
        return encoder, decoder
    return networks.Conditioned(encoder, condition), networks.Conditioned(decoder, condition)


def networks_for(spec: Spec, codes: int, hidden: Sequence[int] | None, context: int = 0) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder for events of this kind, both with so many numbers of context."""
    return encoder_for(spec, hidden, context), decoder_for(spec, codes, hidden, context)


def encoder_for(spec: Spec, hidden: Sequence[int] | None, context: int = 0) -> nn.Module:
    """A network for events of this kind, with so many numbers of context."""
    if spec.network == "conv":
        return networks.ConvEncoder(list(spec.event_shape), list(hidden or CHANNELS), context=context)
    return networks.MLP(math.prod(spec.event_shape), list(HIDDEN if hidden is None else hidden), context=context)


def decoder_for(spec: Spec, codes: int, hidden: Sequence[int] | None, context: int = 0) -> nn.Module:
    """The way back from so many codes."""
    if spec.network == "conv":
        return networks.ConvDecoder(codes, list(spec.event_shape), list(hidden or CHANNELS)[::-1], context=context)
    return networks.MLP(codes, list(HIDDEN if hidden is None else hidden)[::-1], context=context)


def condition_of(spec: Spec) -> networks.Condition | None:
    """What models of these data are told of each datum. Raises ``ArgumentError`` where it is known of some rows only."""
    if spec.condition is None:
        return None
    condition = networks.Condition(spec.condition)
    if condition.optional:
        names = ", ".join(condition.names)
        raise ArgumentError(
            f"`condition` is {names}, known of some rows only, and this preset is told it of each: use preset=semi_supervised_vae, which "
            "infers a class, or read the data without partial."
        )
    return condition


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
