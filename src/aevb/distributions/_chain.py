"""Layers of latent variables, each given others, as one distribution over one vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from .._random import seed_scope
from . import _kl as kl
from ._moments import count_variables
from ._monte_carlo_moments import MonteCarloMoments
from ._product import ProductSupport, split_event
from ._support import element_constraint

LayerValueFn = Callable[
    [int, Distribution], Tensor
]  # a layer's number and its distribution to its value [N, *event]
MOMENT_CHUNK_SIZE = 4  # draws that moments are estimated from: a few at a time, so that the memory is that of a training step


@dataclass(frozen=True)
class LayerSignature:
    """What is known of the layers before any of them is drawn, each a tuple with one entry per layer, from the data up."""

    shapes: tuple[Size, ...]  # of the events
    n_variables: tuple[int, ...]  # how many there are; the categories of one variable are one
    supports: tuple[constraints.Constraint, ...]
    has_rsample: bool  # whether draws of all layers can be differentiated

    @staticmethod
    def from_layers(layers: Sequence[Distribution]) -> LayerSignature:
        """The kind of these layers."""
        return LayerSignature(
            tuple(layer.event_shape for layer in layers),
            tuple(count_variables(layer) for layer in layers),
            tuple(layer.support or constraints.real for layer in layers),
            all(layer.has_rsample for layer in layers),
        )


@dataclass(frozen=True)
class LayerTrace:
    """What one way through all layers finds, for ``N`` points side by side; layers from the data up."""

    layers: tuple[
        Distribution, ...
    ]  # given those passed before; batch shape [N], or that of what does not depend on others
    values: tuple[Tensor, ...]  # [N, *event] each
    prior: tuple[Distribution, ...] | None = (
        None  # p of each layer, where a posterior passes through the prior on its way
    )
    features: Tensor | None = None  # [N, ...], of the decoder, where the way leads there
    source: object = None  # the layers that `prior` and `features` come from


TraceFn = Callable[
    [int, LayerValueFn], LayerTrace
]  # copies of the batch, and what is to be done at each layer


class Chain(MonteCarloMoments):
    """``p(z) = prod_i p(z_i | layers elbo_before)``, ``z`` ``[*batch, D]`` the layers' events, flattened and put end to end, from the data up.

    ``walk(copies, choose)`` goes through the layers in the order in which they depend on each other, for as many copies of the batch as
    there are draws, and asks ``choose`` for each value. ``downward`` says that it begins with the last layer. ``source`` are the layers
    themselves: a posterior that meets those of the prior need not go through them twice. Mean and variance are averages of each layer's
    own, given ``draws`` draws of those before: exact for the layer that it begins with.

    >>> from torch.distributions import Independent, Normal
    >>> def walk(copies, choose):
    ...     top = Independent(Normal(torch.zeros(1), 1.0), 1)
    ...     high = choose(1, top)
    ...     low = Independent(Normal(high, 0.5), 1)
    ...     return LayerTrace((low, top), (choose(0, low), high))
    >>> one = Independent(Normal(torch.zeros(1), 1.0), 1)
    >>> p = Chain(walk, Kind.of([one, one]), Size(), torch.zeros(()), downward=True)
    >>> p.rsample((5,)).shape, p.log_prob(torch.zeros(5, 2)).shape
    (torch.Size([5, 2]), torch.Size([5]))
    """

    def __init__(
        self,
        trace_layers: TraceFn,
        signature: LayerSignature,
        batch_shape: Size,
        like: Tensor,
        top_down: bool,
        source: object = None,
        draws: int = 64,
    ) -> None:
        self.trace_layers, self.signature, self.like, self.top_down, self.source, self.draws = (
            trace_layers,
            signature,
            like,
            top_down,
            source,
            draws,
        )
        self.has_rsample = signature.has_rsample
        self.sizes = [shape.numel() for shape in signature.shapes]
        self.last_draw: tuple[Tensor, LayerTrace, bool] | None = None
        super().__init__(batch_shape, Size((sum(self.sizes),)), validate_args=False)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> constraints.Constraint:
        if all(
            isinstance(element_constraint(support), type(constraints.real))
            for support in self.signature.supports
        ):
            return constraints.real_vector
        return ProductSupport(
            list(zip(self.signature.supports, self.signature.shapes, strict=True)), self.sizes
        )

    @property
    def mean(self) -> Tensor:
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        return self._moments()[1]

    def sample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        with torch.no_grad():
            return self._sample_with(Size(sample_shape), lambda layer, shape: layer.sample(shape))

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        return self._sample_with(Size(sample_shape), lambda layer, shape: layer.rsample(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.layer_log_probs(value).sum(0)

    def layer_log_probs(self, value: Tensor) -> Tensor:
        """The logarithm of each factor, ``[L, *samples, *batch]``."""
        return self.score_layers(self.trace_value(value).layers, value)

    def trace_value(self, value: Tensor) -> LayerTrace:
        """The passage on which every layer takes its part of ``value`` ``[*samples, *batch, D]``; of a draw, the one that drew it."""
        # what was drawn without a gradient says nothing to one that asks for it later
        if (
            self.last_draw is not None
            and value is self.last_draw[0]
            and (self.last_draw[2] or not torch.is_grad_enabled())
        ):
            return self.last_draw[1]
        lead = self._lead_shape(value)
        pieces = split_event(
            value.expand(*lead, -1).reshape(-1, value.shape[-1]), self.signature.shapes
        )
        return self.trace_layers(
            lead.numel() // self.batch_shape.numel(), lambda i, layer: pieces[i]
        )

    def score_layers(self, layers: Sequence[Distribution], value: Tensor) -> Tensor:
        """``log p_i`` of these layers at their parts of ``value``, ``[L, *samples, *batch]``."""
        lead = self._lead_shape(value)
        pieces = split_event(
            value.expand(*lead, -1).reshape(-1, value.shape[-1]), self.signature.shapes
        )
        return torch.stack(
            [_log_prob(layer, piece) for layer, piece in zip(layers, pieces, strict=True)]
        ).reshape(-1, *lead)

    def _lead_shape(self, value: Tensor) -> Size:
        return torch.broadcast_shapes(value.shape[:-1], self.batch_shape)

    def _sample_with(
        self, sample_shape: Size, draw: Callable[[Distribution, Size], Tensor]
    ) -> Tensor:
        lead = sample_shape + self.batch_shape
        points = lead.numel()
        passage = self.trace_layers(
            sample_shape.numel(), lambda i, layer: _sample_points(layer, points, draw)
        )
        z = torch.cat([value.reshape(points, -1) for value in passage.values], -1).reshape(
            *lead, -1
        )
        self.last_draw = z, passage, torch.is_grad_enabled()
        return z

    def _reference_tensor(self) -> Tensor:
        return self.like

    def _moments(self) -> tuple[Tensor, Tensor]:
        with seed_scope(0, self.like.device):
            found = [
                self._conditional_moments(min(MOMENT_CHUNK_SIZE, self.draws - start))
                for start in range(0, self.draws, MOMENT_CHUNK_SIZE)
            ]
        means, variances = (torch.cat(parts) for parts in zip(*found, strict=True))
        return means.mean(0), variances.mean(0) + means.var(0, correction=0)

    def _conditional_moments(self, draws: int) -> tuple[Tensor, Tensor]:
        """Mean and variance of each layer given one draw of those before, ``[copies, *batch, D]``."""
        points = draws * self.batch_shape.numel()
        passage = self.trace_layers(
            draws, lambda i, layer: _sample_points(layer, points, _rsample_or_sample)
        )
        return tuple(  # pyright: ignore[reportReturnType]
            torch.cat(
                [_expand_to_points(moment(layer), layer, points) for layer in passage.layers], -1
            ).reshape(draws, *self.batch_shape, -1)
            for moment in (lambda layer: layer.mean, lambda layer: layer.variance)
        )


@dataclass(frozen=True)
class HierarchyTerms:
    """Posterior and prior of a hierarchy at one draw ``z``, layer by layer from the data up."""

    log_posterior: Tensor  # [K, B]
    log_prior: Tensor  # [K, B]
    layer_kl: Tensor  # [L, K, B]: what each layer adds to log q(z|x) - log p(z), by formula given the layers before where that is known
    trace: LayerTrace  # through the prior's layers


def hierarchy_terms(
    q: Distribution, p: Distribution, z: Tensor, analytic: Sequence[bool] = ()
) -> HierarchyTerms | None:
    """Both distributions at ``z`` ``[K, B, D]``, in as few passages as may be; ``None`` where they are not chains of the same layers.

    ``formulas`` says of each layer whether its divergence is to be taken by formula.
    """
    if (
        not (isinstance(q, Chain) and isinstance(p, Chain))
        or q.signature.shapes != p.signature.shapes
    ):
        return None
    mine = q.trace_value(z)
    theirs = mine if mine.prior is not None and mine.source is p.source else p.trace_value(z)
    priors = theirs.layers if theirs.prior is None else theirs.prior
    log_q, log_p = q.score_layers(mine.layers, z), q.score_layers(priors, z)
    each = log_q - log_p
    if any(analytic):
        points = math.prod(z.shape[:-1])
        pairs = zip(mine.layers, priors, analytic, each, strict=True)
        each = torch.stack(
            [
                _expand_to_points(kl.analytic_kl(a, b), a, points).reshape(z.shape[:-1])
                if known
                else r
                for a, b, known, r in pairs
            ]
        )
    return HierarchyTerms(log_q.sum(0), log_p.sum(0), each, theirs)


def layer_sizes(q: Distribution) -> tuple[int, ...]:
    """How many variables each layer has, from the data up; nothing for what is no hierarchy."""
    return q.signature.n_variables if isinstance(q, Chain) else ()


def analytic_kl_mask(q: Distribution, p: Distribution) -> tuple[bool, ...]:
    """Of which layers ``KL(q_i || p_i)``, given the layers before, has a formula; nothing where they are not chains of the same layers.

    It must be known at the same point of the way what both of them depend on: layers of two chains of one direction, or one that the
    prior begins with.
    """
    if (
        not (isinstance(q, Chain) and isinstance(p, Chain))
        or q.signature.shapes != p.signature.shapes
    ):
        return ()
    zeros = q.like.new_zeros(*q.batch_shape, sum(q.sizes))
    pairs = list(zip(q.trace_value(zeros).layers, p.trace_value(zeros).layers, strict=True))
    first = len(pairs) - 1 if p.top_down else 0
    return tuple(
        (q.top_down == p.top_down or i == first) and kl.has_analytic_kl(*pair)
        for i, pair in enumerate(pairs)
    )


def _sample_points(
    layer: Distribution, points: int, draw: Callable[[Distribution, Size], Tensor]
) -> Tensor:
    """As many draws from one layer as there are points, ``[N, *event]``: several of each datum where the layer depends on it alone."""
    several = points // layer.batch_shape.numel()
    return draw(
        layer, Size() if layer.batch_shape == Size((points,)) else Size((several,))
    ).reshape(points, *layer.event_shape)


def _rsample_or_sample(layer: Distribution, shape: Size) -> Tensor:
    return layer.rsample(shape) if layer.has_rsample else layer.sample(shape)


def _log_prob(layer: Distribution, piece: Tensor) -> Tensor:
    """``[N]`` of values ``[N, *event]``."""
    return layer.log_prob(piece.reshape(-1, *layer.batch_shape, *layer.event_shape)).reshape(-1)


def _expand_to_points(value: Tensor, layer: Distribution, points: int) -> Tensor:
    """What a layer says once for all of its batch, said for each of the points: ``[*batch, ...]`` to ``[N, -1]``."""
    rows = value.reshape(layer.batch_shape.numel(), -1)
    return rows.expand(points // len(rows), *rows.shape).reshape(points, -1)
