"""From what is known of the data to networks and a likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from .. import likelihoods, networks
from .._shapes import as_shape
from ..data._spec import COUNT_LIKELIHOODS, REAL_LIKELIHOODS, Spec
from ..errors import ArgumentError
from ..likelihoods._likelihood import Likelihood

DEFAULT_MLP_WIDTHS = (400, 400)
DEFAULT_CONV_CHANNELS = (32, 64)
LikelihoodFactory = Callable[[Spec, nn.Module, int, float | str | None], Likelihood]


@dataclass(frozen=True)
class EncoderAndLikelihood:
    """What a preset puts together: the encoder's network and the likelihood with the decoder's."""

    encoder: nn.Module
    likelihood: Likelihood


def build_encoder_and_likelihood(
    spec: Spec,
    latent: int | Sequence[int],
    hidden: Sequence[int] | None = None,
    scale: float | str | None = None,
    *,
    extra_latents: bool = False,
    likelihood: LikelihoodFactory | None = None,
) -> EncoderAndLikelihood:
    """Encoder and likelihood for data of this kind.

    ``hidden`` are the widths of the fully connected layers (400, 400 by default), mirrored in the decoder, or the channels of the
    convolutions (32, 64 by default). ``scale`` is that of a Normal, Laplace or Student t likelihood, in standardised units. Both are told
    what ``spec.condition`` says. ``more`` says that codes have further numbers, which the decoder is not shown. ``likelihood`` makes
    another one than the spec names. Raises ``ArgumentError``
    where a condition is known of some rows only.
    """
    codes = math.prod(as_shape("latent", latent))
    encoder, decoder = build_conditioned_networks(spec, codes, hidden)
    decoder = networks.LeadingLatents(decoder, codes) if extra_latents else decoder
    return EncoderAndLikelihood(
        build_standardised(spec, encoder),
        (likelihood or build_likelihood)(spec, decoder, len(as_shape("latent", latent)), scale),
    )


def build_standardised(spec: Spec, network: nn.Module) -> nn.Module:
    """A network of the data that sees numbers of about unit size."""
    if spec.support == "levels" and spec.likelihood in ("discretised_logistic", "categorical"):
        middle = ((spec.levels or 256) - 1) / 2
        shift, size = (middle,), (middle,)
    else:
        shift, size = spec.shift, spec.scale
    if tuple(shift) == (0.0,) and tuple(size) == (1.0,):
        return network
    return networks.Standardise(network, list(shift), list(size))


def build_likelihood(
    spec: Spec, network: nn.Module, latent_rank: int = 1, scale: float | str | None = None
) -> Likelihood:
    """The likelihood that the spec names, in the units of the data: where they are rescaled, the log-Jacobian is part of it."""
    if spec.likelihood not in _LIKELIHOOD_FACTORIES:
        raise ArgumentError(
            f"`likelihood` is {spec.likelihood!r}; use one of {', '.join(_LIKELIHOOD_FACTORIES)}."
        )
    if scale is not None and spec.likelihood not in REAL_LIKELIHOODS:
        raise ArgumentError(
            f"`scale` is {scale!r}, and a {spec.likelihood} likelihood has none; leave it out, or use likelihood=normal."
        )
    inner = _LIKELIHOOD_FACTORIES[spec.likelihood](
        network, spec, latent_rank, "per_element" if scale is None else scale
    )
    if spec.likelihood in COUNT_LIKELIHOODS or (
        tuple(spec.shift) == (0.0,) and tuple(spec.scale) == (1.0,)
    ):
        return inner  # counts have no units; what they are measured in stands inside
    return likelihoods.Scaled(inner, list(spec.shift), list(spec.scale))


def build_conditioned_networks(
    spec: Spec, latent_size: int, hidden: Sequence[int] | None
) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder for events of this kind, both told what ``spec.condition`` says."""
    condition = build_condition(spec)
    context = 0 if condition is None else condition.width
    encoder, decoder = build_networks(spec, latent_size, hidden, context)
    if condition is None:
        return encoder, decoder
    return networks.ConditionedNetwork(encoder, condition), networks.ConditionedNetwork(
        decoder, condition
    )


def build_networks(
    spec: Spec, latent_size: int, hidden: Sequence[int] | None, context_size: int = 0
) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder for events of this kind, both with so many numbers of context."""
    return build_encoder(spec, hidden, context_size), build_decoder(
        spec, latent_size, hidden, context_size
    )


def build_encoder(spec: Spec, hidden: Sequence[int] | None, context_size: int = 0) -> nn.Module:
    """A network for events of this kind, with so many numbers of context."""
    if spec.network == "conv":
        return networks.ConvEncoder(
            list(spec.event_shape), list(hidden or DEFAULT_CONV_CHANNELS), context=context_size
        )
    return networks.MLP(
        math.prod(spec.event_shape),
        list(DEFAULT_MLP_WIDTHS if hidden is None else hidden),
        context=context_size,
    )


def build_decoder(
    spec: Spec, latent_size: int, hidden: Sequence[int] | None, context_size: int = 0
) -> nn.Module:
    """The way back from so many codes."""
    if spec.network == "conv":
        return networks.ConvDecoder(
            latent_size,
            list(spec.event_shape),
            list(hidden or DEFAULT_CONV_CHANNELS)[::-1],
            context=context_size,
        )
    return networks.MLP(
        latent_size,
        list(DEFAULT_MLP_WIDTHS if hidden is None else hidden)[::-1],
        context=context_size,
    )


def build_condition(spec: Spec) -> networks.Condition | None:
    """What models of these data are told of each datum. Raises ``ArgumentError`` where it is known of some rows only."""
    if spec.condition is None:
        return None
    condition = networks.Condition(spec.condition)
    if condition.is_optional:
        names = ", ".join(condition.names)
        raise ArgumentError(
            f"`condition` is {names}, known of some rows only, and this preset is told it of each: use preset=semi_supervised_vae, which "
            "infers a class, or read the data without partial."
        )
    return condition


_LIKELIHOOD_FACTORIES: dict[str, Callable[[nn.Module, Spec, int, float | str], Likelihood]] = {
    "bernoulli": lambda network, spec, rank, scale: likelihoods.Bernoulli(
        network, list(spec.event_shape), rank
    ),
    "continuous_bernoulli": lambda network, spec, rank, scale: likelihoods.ContinuousBernoulli(
        network, list(spec.event_shape), rank
    ),
    "discretised_logistic": lambda network, spec, rank, scale: likelihoods.DiscretisedLogistic(
        network, list(spec.event_shape), spec.levels or 256, rank
    ),
    "categorical": lambda network, spec, rank, scale: likelihoods.Categorical(
        network, list(spec.event_shape), spec.levels or 256, rank
    ),
    "normal": lambda network, spec, rank, scale: likelihoods.Normal(
        network, list(spec.event_shape), scale, rank
    ),
    "laplace": lambda network, spec, rank, scale: likelihoods.Laplace(
        network, list(spec.event_shape), scale, rank
    ),
    "student_t": lambda network, spec, rank, scale: likelihoods.StudentT(
        network, list(spec.event_shape), scale, latent_rank=rank
    ),
    "poisson": lambda network, spec, rank, scale: likelihoods.Poisson(
        network, list(spec.event_shape), spec.scale[0], rank
    ),
    "negative_binomial": lambda network, spec, rank, scale: likelihoods.NegativeBinomial(
        network, list(spec.event_shape), unit=spec.scale[0], latent_rank=rank
    ),
}
