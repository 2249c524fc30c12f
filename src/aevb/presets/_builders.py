"""Networks and a likelihood for data of a kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from .. import networks
from .._shapes import as_shape
from ..data._spec import Spec
from ..distributions._output_maps import LOG_SCALE_BOUND
from ..errors import ArgumentError
from ..likelihoods import (
    Columns,
    ConstantCells,
    LikelihoodRegistration,
    Missing,
    Normal,
    Scaled,
    Whitened,
)
from ..likelihoods._likelihood import Likelihood
from ..notes import Argument, message
from ..objectives import Linear

DEFAULT_MLP_WIDTHS = (400, 400)
DEFAULT_CONV_CHANNELS = (32, 64)
_IGNORED = 1e30  # the unit of a constant column: the encoder does not see other values
DEFAULT_GRU_WIDTHS = (128,)
MAX_WHITENED = 1000  # numbers per row
Hidden = Sequence[int] | None
Scale = float | str | None
Options = Mapping[str, Any] | None
LikelihoodFactory = Callable[[Spec, nn.Module, int, Scale], Likelihood]


@dataclass(frozen=True)
class EncoderAndLikelihood:
    """The parts of a model that depend on the data.

    Args:
        encoder: The network of the posterior.
        likelihood: The likelihood with the network of the decoder.
    """

    encoder: nn.Module
    likelihood: Likelihood


def build_encoder_and_likelihood(
    spec: Spec,
    latent: int | Sequence[int],
    hidden: Hidden = None,
    scale: Scale = None,
    *,
    dropout: float = 0.0,
    extra_latents: bool = False,
    linear: bool = False,
    masking: str | None = None,
    hide: float = 0.0,
    likelihood: LikelihoodFactory | None = None,
    scale_bound: float = LOG_SCALE_BOUND,
) -> EncoderAndLikelihood:
    """Build an encoder network and a likelihood for data of a kind.

    Both are conditioned on ``spec.condition``.

    Args:
        spec: Description of the data.
        latent: Shape of the latent variable.
        hidden: Widths of the fully connected layers, (400, 400) by default, mirrored in the
            decoder; or channels of the convolutions, (32, 64) by default; or the width of a GRU,
            128 by default, once for each layer.
        scale: Scale of a normal, Laplace or Student t likelihood, in standardised units.
        dropout: Dropout probability of both networks.
        extra_latents: Whether the latent has further variables that the decoder does not use.
        linear: Whether the networks of a table have a skip, so that training begins at a Gaussian;
            complete real numbers are whitened.
        masking: Which values are missing more often, as for ``likelihoods.Columns``; the networks
            must have a skip.
        hide: Share of the cells of mixed columns that are hidden from the encoder in training.
        likelihood: Builds another likelihood than the spec names.
        scale_bound: Bound of the absolute logarithms of the scales of whitened numbers.

    Returns:
        The two parts.

    Raises:
        ArgumentError: The condition is known for some rows only, or the likelihood is not known or
            has no scale.
    """
    size = math.prod(as_shape("latent", latent))
    if linear and is_whitened(spec):
        return _build_whitened(spec, size, hidden, scale, dropout, scale_bound)
    encoder, decoder = build_conditioned_networks(spec, size, hidden, skip=linear, dropout=dropout)
    if linear and spec.schema is not None:
        columns, kind = spec.schema.modelled, "per_element" if scale is None else str(scale)
        return EncoderAndLikelihood(
            networks.Columns(encoder, columns, whiten=True, hide=hide),
            Columns(decoder, columns, scale=kind, whiten=True, masking=masking),
        )
    decoder = networks.LeadingLatents(decoder, size) if extra_latents else decoder
    p = (likelihood or build_likelihood)(spec, decoder, len(as_shape("latent", latent)), scale)
    return EncoderAndLikelihood(
        build_standardised(spec, encoder), Missing(p) if spec.padded and not p.allows_missing else p
    )


def is_whitened(spec: Spec) -> bool:
    """Whether models with a linear path whiten the data: tables of complete real numbers.

    Some of them must vary.
    """
    numbers = spec.schema is None and spec.likelihood == "normal" and not spec.padded
    varies = spec.constants is None or None in spec.constants
    return numbers and varies and spec.kind == "table" and spec.dimensions <= MAX_WHITENED


def _build_whitened(
    spec: Spec, latent: int, hidden: Hidden, scale: Scale, dropout: float, scale_bound: float
) -> EncoderAndLikelihood:
    """Build the two parts for whitened numbers."""
    constants = None if spec.constants is None else _relative_constants(spec)
    shift, unit = (
        np.broadcast_to(each, spec.dimensions).tolist()
        for each in (relative_shift(spec), spec.scale)
    )
    size = spec.dimensions if constants is None else constants.count(None)
    encoder, decoder = build_conditioned_networks(
        replace(spec, event_shape=(size,)), latent, hidden, skip=True, dropout=dropout
    )
    kind = "per_element" if scale is None else scale
    inner = Normal(decoder, (size,), kind, scale_bound=scale_bound)
    return EncoderAndLikelihood(
        networks.Whiten(encoder, shift, unit, constants),
        Whitened(inner, spec.event_shape, shift, unit, constants, spec.offset),
    )


def build_standardised(spec: Spec, network: nn.Module) -> nn.Module:
    """Wrap a network of the data so that its inputs are of about unit size."""
    if spec.schema is not None:
        return networks.Columns(network, spec.schema.modelled)
    entry = LikelihoodRegistration.find(spec.likelihood)
    if spec.has_library_size and "count" in entry.kinds:
        return networks.Log1p(network)
    if spec.support == "levels" and entry.scaling == "levels":
        middle = ((spec.levels or 256) - 1) / 2
        shift, size = (middle,), (middle,)
    else:
        shift, size = relative_shift(spec), spec.scale
    if spec.constants is not None and len(size) == len(spec.constants):
        size = [_IGNORED if x is not None else s for s, x in zip(size, spec.constants, strict=True)]
    if tuple(shift) == (0.0,) and tuple(size) == (1.0,):
        return network
    return networks.Standardise(network, list(shift), list(size))


def build_likelihood(
    spec: Spec,
    network: nn.Module,
    latent_rank: int = 1,
    scale: Scale = None,
    options: Options = None,
) -> Likelihood:
    """Build the likelihood that a spec names, in the units of the data.

    Args:
        spec: Description of the data; the log-density of rescaled data contains the log-Jacobian.
        network: Maps latents to features.
        latent_rank: Number of axes of the latent variable.
        scale: Scale of a normal, Laplace or Student t likelihood, in standardised units.
        options: Further arguments of the likelihood, such as ``concentration``.

    Returns:
        The likelihood.

    Raises:
        ArgumentError: The likelihood is not known, or it has no scale or no such option.
        IncompatibleError: The likelihood cannot be built from its name.
    """
    if spec.schema is not None:
        if isinstance(scale, str) and scale in Columns.scales:
            return Columns(network, spec.schema.modelled, scale=scale, latent_rank=latent_rank)
        if scale is not None:
            raise ArgumentError(
                "each column of the data has a likelihood and a scale of its own",
                argument="scale",
                value=scale,
                suggestions=(
                    "Leave it out",
                    message("Read the data with {normal}", normal=Argument("likelihood", "normal")),
                ),
            )
        return Columns(network, spec.schema.modelled, latent_rank=latent_rank)
    entry = LikelihoodRegistration.find(spec.likelihood)
    if scale is not None and "scale" not in entry.options:
        raise ArgumentError(
            message("{likelihood} has none", likelihood=Argument("likelihood", entry.name)),
            argument="scale",
            value=scale,
            suggestions=(
                message("Leave it out, or write {normal}", normal=Argument("likelihood", "normal")),
            ),
        )
    inner = entry.from_network(
        network,
        spec.event_shape,
        levels=spec.levels,
        unit=spec.scale[0] if entry.scaling == "mean" else 1.0,
        latent_rank=latent_rank,
        condition=_count_condition(spec, options),
        **({} if scale is None else {"scale": scale}),
        **(options or {}),
    )
    if entry.rescales and (tuple(spec.shift), tuple(spec.scale)) != ((0.0,), (1.0,)):
        inner = Scaled(inner, list(relative_shift(spec)), list(spec.scale), spec.offset)
    if spec.constants is not None and inner.factorises:
        inner = ConstantCells(inner, _relative_constants(spec))
    return Missing(inner) if spec.padded else inner


def _count_condition(spec: Spec, options: Options) -> networks.Condition | None:
    """The condition, where means or concentrations of counts depend on it themselves."""
    by_class = (options or {}).get("concentration") == "per_class"
    return build_condition(spec) if spec.has_library_size or by_class else None


def _relative_constants(spec: Spec) -> list[float | None]:
    """The values of constant elements in model units."""
    values = spec.constants or ()
    offsets = np.broadcast_to(spec.offset or 0.0, len(values)).tolist()
    return [None if x is None else x - y for x, y in zip(values, offsets, strict=True)]


def relative_shift(spec: Spec) -> tuple[float, ...]:
    """The shift of the data in model units, which have no offset."""
    if spec.offset is None:
        return spec.shift
    return tuple((np.array(spec.shift) - np.array(spec.offset)).tolist())


def replace_likelihood(spec: Spec, likelihood: str) -> Spec:
    """Describe the same data for another likelihood.

    Args:
        spec: Description of the data.
        likelihood: Name of a likelihood for the same kind of data and scaling. A likelihood of
            counts fits all data of whole numbers.

    Returns:
        The spec with the likelihood.

    Raises:
        ArgumentError: The likelihood is not known, or the data must be read for it.
        IncompatibleError: The likelihood cannot be built from its name.

    Example:
        >>> from aevb import data
        >>> replace_likelihood(data.load("digits").spec, "categorical").likelihood
        'categorical'
    """
    entry, current = map(LikelihoodRegistration.find, (likelihood, spec.likelihood))
    entry.check()
    if entry.scaling == current.scaling and set(entry.kinds) & set(current.kinds):
        return replace(spec, likelihood=entry.name)
    if entry.scaling == "mean" and spec.measure == "probability":
        unit = ((spec.levels or 2) - 1) / 4  # a guess of the mean
        return replace(spec, likelihood=entry.name, shift=(0.0,), scale=(unit,))
    raise ArgumentError(
        message(
            f"it is for {entry.values}, and the data were read for {{current}}",
            current=Argument("likelihood", current.name),
        ),
        argument="likelihood",
        value=entry.name,
        suggestions=(
            message(
                "Read the data with {likelihood}", likelihood=Argument("likelihood", entry.name)
            ),
        ),
    )


def build_conditioned_networks(
    spec: Spec, latent_size: int, hidden: Hidden, skip: bool = False, dropout: float = 0.0
) -> tuple[nn.Module, nn.Module]:
    """Build encoder and decoder, both conditioned on ``spec.condition``."""
    condition = build_condition(spec)
    context = 0 if condition is None else condition.width
    encoder = build_encoder(spec, hidden, context, skip, dropout)
    decoder = build_decoder(spec, latent_size, hidden, context, skip, dropout)
    if condition is None:
        return encoder, decoder
    return (
        networks.ConditionedNetwork(encoder, condition),
        networks.ConditionedNetwork(decoder, condition),
    )


def build_encoder(
    spec: Spec, hidden: Hidden, context_size: int = 0, skip: bool = False, dropout: float = 0.0
) -> nn.Module:
    """Build a network for events of this kind with ``context_size`` numbers of context."""
    if spec.kind in ("series", "video") and spec.network != "mlp":
        return _build_sequence_encoder(spec, hidden, context_size, dropout)
    if spec.padded:
        widths = list(DEFAULT_MLP_WIDTHS if hidden is None else hidden)
        inputs = 2 * math.prod(spec.event_shape)
        mlp = networks.MLP(inputs, widths, context=context_size, skip=skip, dropout=dropout)
        return networks.FillMissing(mlp)
    if spec.network == "conv":
        channels = list(hidden or DEFAULT_CONV_CHANNELS)
        shape = list(spec.event_shape)
        return networks.ConvEncoder(shape, channels, context=context_size, dropout=dropout)
    widths = list(DEFAULT_MLP_WIDTHS if hidden is None else hidden)
    inputs = (
        math.prod(spec.event_shape)
        if spec.schema is None
        else networks.Columns.width(spec.schema.modelled)
    )
    return networks.MLP(inputs, widths, context=context_size, skip=skip, dropout=dropout)


def _build_sequence_encoder(
    spec: Spec, hidden: Hidden, context_size: int, dropout: float
) -> nn.Module:
    """Build a network that reads the steps of a series, or the frames of a video."""
    inputs = math.prod(spec.event_shape[1:])
    if spec.network == "conv":
        channels = list(hidden or DEFAULT_CONV_CHANNELS)
        return networks.SequenceConv(
            inputs, channels, context=context_size, pool="none", dropout=dropout
        )
    widths = list(DEFAULT_GRU_WIDTHS if hidden is None else hidden)
    return networks.GRU(inputs, widths[0], len(widths), context=context_size, dropout=dropout)


def build_decoder(
    spec: Spec,
    latent_size: int,
    hidden: Hidden,
    context_size: int = 0,
    skip: bool = False,
    dropout: float = 0.0,
) -> nn.Module:
    """Build a network from ``latent_size`` latent variables to events, the encoder mirrored.

    Events of sequences are the output of a fully connected network.
    """
    if spec.network == "conv" and spec.kind == "image":
        channels = list(hidden or DEFAULT_CONV_CHANNELS)[::-1]
        shape = list(spec.event_shape)
        return networks.ConvDecoder(
            latent_size, shape, channels, context=context_size, dropout=dropout
        )
    widths = list(DEFAULT_MLP_WIDTHS if hidden is None else hidden)[::-1]
    return networks.MLP(latent_size, widths, context=context_size, skip=skip, dropout=dropout)


def warmup_weight(warmup: float) -> float | Linear:
    """The weight of the KL divergence with a warm-up.

    Args:
        warmup: Number of steps; below 1 the share of the run; 0 for none.

    Example:
        >>> warmup_weight(100).steps, warmup_weight(0.25).fraction, warmup_weight(0)
        (100, 0.25, 1.0)
    """
    if warmup == 0:
        return 1.0
    return Linear(fraction=warmup) if 0 < warmup < 1 else Linear(steps=round(warmup))


def build_condition(spec: Spec) -> networks.Condition | None:
    """Build the condition of models of these data.

    Raises:
        ArgumentError: The condition is known for some rows only.
    """
    if spec.condition is None:
        return None
    condition = networks.Condition(spec.condition)
    if condition.is_optional:
        raise ArgumentError(
            "it is known for some rows only, and this preset needs it for each row",
            argument="condition",
            value=", ".join(condition.names),
            suggestions=(
                message(
                    "Write {preset}, which infers a class",
                    preset=Argument("preset", "semi_supervised_vae"),
                ),
                message("Read the data without {partial}", partial=Argument("partial")),
            ),
        )
    return condition
