"""Hierarchies: layers of latent variables as one distribution of one vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from .._random import seed_scope
from .._row_noise import moment_noise
from ._kl import analytic_kl, has_analytic_kl
from ._moments import count_variables
from ._monte_carlo_moments import MonteCarloMoments
from ._product import ProductSupport, split_event
from ._support import element_constraint

# index and distribution of a layer to its value [N, *event]
LayerValueFn = Callable[[int, Distribution], Tensor]
MOMENT_CHUNK_SIZE = 4  # draws at a time, so that moments need the memory of a training step


@dataclass(frozen=True)
class LayerSignature:
    """Shapes and supports of the layers, known before a draw; one entry per layer.

    Args:
        shapes: Event shapes.
        n_variables: Numbers of variables; all categories of a variable count once.
        supports: Supports.
        has_rsample: Whether draws of all layers are differentiable.
    """

    shapes: tuple[Size, ...]
    n_variables: tuple[int, ...]
    supports: tuple[constraints.Constraint, ...]
    has_rsample: bool

    @staticmethod
    def from_layers(layers: Sequence[Distribution]) -> LayerSignature:
        """The signature of a list of layers."""
        return LayerSignature(
            tuple(layer.event_shape for layer in layers),
            tuple(count_variables(layer) for layer in layers),
            tuple(layer.support or constraints.real for layer in layers),
            all(layer.has_rsample for layer in layers),
        )


@dataclass(frozen=True)
class LayerTrace:
    """Layers and values of one pass through a hierarchy for ``N`` points; layers from the data up.

    Args:
        layers: Conditional distributions; batch shape ``[N]``, or the layer's own where it depends
            on no other layer.
        values: Values ``[N, *event]``.
        prior: Prior of each layer, where a posterior computes it on its pass.
        features: Decoder features ``[N, ...]``, where the pass computes them.
        source: The layers that ``prior`` and ``features`` come from.
    """

    layers: tuple[Distribution, ...]
    values: tuple[Tensor, ...]
    prior: tuple[Distribution, ...] | None = None
    features: Tensor | None = None
    source: object = None


# number of copies of the batch, and the value of each layer, to the pass
TraceFn = Callable[[int, LayerValueFn], LayerTrace]


class Chain(MonteCarloMoments):
    """Distribution of a hierarchy, ``p(z) = prod_i p(z_i | other layers)``, over one vector.

    The event ``[D]`` concatenates the flattened events of the layers, from the data up. Mean and
    variance average the conditional moments of each layer over ``draws`` draws of the layers before
    it, so they are exact for the first layer of the pass.

    Args:
        trace_layers: ``trace_layers(copies, layer_value)`` passes through the layers in the order
            of their dependence, for ``copies`` copies of the batch, and calls ``layer_value(i,
            distribution)`` for each value.
        signature: Shapes and supports of the layers.
        batch_shape: Batch shape.
        like: Tensor with the dtype and device of the draws.
        top_down: Whether the pass starts with the last layer.
        source: The object that owns the layers; a posterior that computes the same object's priors
            saves the second pass.
        draws: Number of draws for mean and variance.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> def trace(copies, layer_value):
        ...     top = Independent(Normal(torch.zeros(1), 1.0), 1)
        ...     high = layer_value(1, top)
        ...     low = Independent(Normal(high, 0.5), 1)
        ...     return LayerTrace((low, top), (layer_value(0, low), high))
        >>> one = Independent(Normal(torch.zeros(1), 1.0), 1)
        >>> p = Chain(
        ...     trace,
        ...     LayerSignature.from_layers([one, one]),
        ...     Size(),
        ...     torch.zeros(()),
        ...     top_down=True,
        ... )
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
        super().__init__(batch_shape, Size((sum(self.sizes),)))

    @property
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

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        with torch.no_grad():
            return self._sample_with(Size(sample_shape), lambda layer, shape: layer.sample(shape))

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        return self._sample_with(Size(sample_shape), lambda layer, shape: layer.rsample(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.layer_log_probs(value).sum(0)

    def layer_log_probs(self, value: Tensor) -> Tensor:
        """Log-density of each layer.

        Args:
            value: Points ``[*samples, *batch, D]``.

        Returns:
            ``[L, *samples, *batch]`` in nats.
        """
        return self.score_layers(self.trace_value(value).layers, value)

    def trace_value(self, value: Tensor) -> LayerTrace:
        """The pass on which every layer takes its part of ``value``.

        For the last draw, the pass that drew it.

        Args:
            value: Points ``[*samples, *batch, D]``.
        """
        # a trace without gradients cannot serve a call that needs them
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
        """Log-densities of given layers at their parts of ``value``.

        Args:
            layers: Conditional distributions, from the data up.
            value: Points ``[*samples, *batch, D]``.

        Returns:
            ``[L, *samples, *batch]`` in nats.
        """
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
        trace = self.trace_layers(
            sample_shape.numel(), lambda i, layer: _sample_points(layer, points, draw)
        )
        z = torch.cat([value.reshape(points, -1) for value in trace.values], -1)
        z = z.reshape(*lead, -1)
        self.last_draw = z, trace, torch.is_grad_enabled()
        return z

    def _reference_tensor(self) -> Tensor:
        return self.like

    def _moments(self) -> tuple[Tensor, Tensor]:
        with seed_scope(0, self.like.device):
            chunks = [
                self._conditional_moments(min(MOMENT_CHUNK_SIZE, self.draws - start), start)
                for start in range(0, self.draws, MOMENT_CHUNK_SIZE)
            ]
        means, variances = (torch.cat(parts) for parts in zip(*chunks, strict=True))
        return means.mean(0), variances.mean(0) + means.var(0, correction=0)

    def _conditional_moments(self, draws: int, start: int) -> tuple[Tensor, Tensor]:
        """Mean and variance of each layer given the layers before, ``[copies, *batch, D]``."""
        points = draws * self.batch_shape.numel()
        with moment_noise(self.batch_shape.numel(), self.like, draws, start):
            trace = self.trace_layers(
                draws, lambda i, layer: _sample_points(layer, points, _rsample_or_sample)
            )

        def concatenate(moments: list[Tensor]) -> Tensor:
            pairs = zip(moments, trace.layers, strict=True)
            rows = [_expand_to_points(moment, layer, points) for moment, layer in pairs]
            return torch.cat(rows, -1).reshape(draws, *self.batch_shape, -1)

        return (
            concatenate([layer.mean for layer in trace.layers]),
            concatenate([layer.variance for layer in trace.layers]),
        )


@dataclass(frozen=True)
class HierarchyTerms:
    """Log-densities of posterior and prior of a hierarchy at a draw ``z``; layers from the data up.

    Args:
        log_posterior: ``log q(z|x)``, ``[K, B]``.
        log_prior: ``log p(z)``, ``[K, B]``.
        layer_kl: Contribution of each layer to ``log q(z|x) - log p(z)``, ``[L, K, B]``; the
            conditional KL where it is analytic.
        trace: Pass through the layers of the prior.
    """

    log_posterior: Tensor
    log_prior: Tensor
    layer_kl: Tensor
    trace: LayerTrace


def hierarchy_terms(
    q: Distribution, p: Distribution, z: Tensor, analytic: Sequence[bool] = ()
) -> HierarchyTerms | None:
    """Score both distributions of a hierarchy at ``z``, in as few passes as possible.

    Args:
        q: Posterior.
        p: Prior.
        z: Draws ``[K, B, D]``.
        analytic: Whether to use the analytic KL of each layer (``analytic_kl_mask``).

    Returns:
        The terms, or ``None`` where ``q`` and ``p`` are not chains with the same layers.
    """
    if (
        not (isinstance(q, Chain) and isinstance(p, Chain))
        or q.signature.shapes != p.signature.shapes
    ):
        return None
    q_trace = q.trace_value(z)
    shared = q_trace.prior is not None and q_trace.source is p.source
    p_trace = q_trace if shared else p.trace_value(z)
    priors = p_trace.layers if p_trace.prior is None else p_trace.prior
    log_q, log_p = q.score_layers(q_trace.layers, z), q.score_layers(priors, z)
    layer_kl = log_q - log_p
    if any(analytic):
        points = math.prod(z.shape[:-1])
        rows = zip(q_trace.layers, priors, analytic, layer_kl, strict=True)
        layer_kl = torch.stack(
            [
                _expand_to_points(analytic_kl(a, b), a, points).reshape(z.shape[:-1])
                if is_analytic
                else log_ratio
                for a, b, is_analytic, log_ratio in rows
            ]
        )
    return HierarchyTerms(log_q.sum(0), log_p.sum(0), layer_kl, p_trace)


def layer_sizes(q: Distribution) -> tuple[int, ...]:
    """Number of variables of each layer, from the data up.

    Empty for a distribution that is no hierarchy.
    """
    return q.signature.n_variables if isinstance(q, Chain) else ()


def analytic_kl_mask(q: Distribution, p: Distribution) -> tuple[bool, ...]:
    """Which layers have an analytic ``KL(q_i || p_i)`` given the layers before them.

    Both conditionals must be known at the same point of the pass: all layers of two chains with the
    same direction, or the layer that the prior starts with.

    Args:
        q: Posterior.
        p: Prior.

    Returns:
        One flag per layer, from the data up; empty where ``q`` and ``p`` are not chains with the
        same layers.
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
        (q.top_down == p.top_down or i == first) and has_analytic_kl(*pair)
        for i, pair in enumerate(pairs)
    )


def _sample_points(
    layer: Distribution, points: int, draw: Callable[[Distribution, Size], Tensor]
) -> Tensor:
    """Draw ``points`` values of a layer, ``[N, *event]``.

    Several per row where the layer depends on the row only.
    """
    copies = points // layer.batch_shape.numel()
    shape = Size() if layer.batch_shape == Size((points,)) else Size((copies,))
    return draw(layer, shape).reshape(points, *layer.event_shape)


def _rsample_or_sample(layer: Distribution, shape: Size) -> Tensor:
    return layer.rsample(shape) if layer.has_rsample else layer.sample(shape)


def _log_prob(layer: Distribution, piece: Tensor) -> Tensor:
    """Log-density ``[N]`` of values ``[N, *event]``."""
    return layer.log_prob(piece.reshape(-1, *layer.batch_shape, *layer.event_shape)).reshape(-1)


def _expand_to_points(value: Tensor, layer: Distribution, points: int) -> Tensor:
    """Repeat a value per batch element for each point: ``[*batch, ...]`` to ``[N, -1]``."""
    rows = value.reshape(layer.batch_shape.numel(), -1)
    return rows.expand(points // len(rows), *rows.shape).reshape(points, -1)
