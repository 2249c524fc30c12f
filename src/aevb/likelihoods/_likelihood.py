"""The base class of likelihoods."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._conditional import Conditional
from .._offset import Offset
from .._shapes import as_shape
from ..distributions import cell_log_prob
from ..distributions._chain import LayerTrace
from ..distributions._factors import Factors
from ..errors import IncompatibleError
from ..networks import Heads
from ..networks._column import Measure
from ..notes import Part, message
from ._linear_cells import LinearCells

CellKind = Literal["numbers", "angles", "names"]
LogLikelihoodFunction = Callable[[Tensor], Tensor]


class Likelihood(Conditional, ABC):
    """Base of likelihoods ``p(x|z)`` over rows of data.

    A subclass sets ``event_shape`` and overrides ``forward``, which maps latents
    ``[*batch, *latent]`` to a distribution with batch shape ``[*batch]`` and event shape
    ``event_shape``.

    Attributes:
        event_shape: Shape of a row of data.
        measure: Whether rows have a ``"density"`` in the units of the data, a ``"probability"``,
            which has none, or both: ``"mixed"``. Only data with a density may be rescaled.
        unbounded: Whether data with probabilities have no greatest value.
        cell_kinds: What the cells hold: ``"numbers"``, or ``"angles"`` or ``"names"``, which have
            no average. One word for all cells, or one per cell in row-major order.
        factorises: Whether the cells of a row are independent given ``z``.
        has_conditionals: Whether cells that depend on each other have known distributions given
            ``z`` and some of the others.
        allows_missing: Whether cells may be missing (NaN).
        data_offset: What is subtracted from data far from 0, in float64, before the model receives
            them. The distributions are those of the data in these model units.
    """

    measure: Measure = "density"
    unbounded: bool = False
    cell_kinds: CellKind | tuple[CellKind, ...] = "numbers"
    factorises: bool = True
    has_conditionals: bool = False
    allows_missing: bool = False
    data_offset: Offset | None = None

    event_shape: tuple[int, ...]

    def log_likelihood_function(
        self, x: Tensor, context: Tensor | None = None, *, many_draws: bool = False
    ) -> LogLikelihoodFunction:
        """Prepare ``z -> log p(x|z)`` for many latents of the same rows, without gradients.

        A family whose density is linear in parts of ``x`` overrides this method to compute those
        parts once.

        Args:
            x: Rows of shape ``[B, *event]``.
            context: Context ``[B, C]``.
            many_draws: Whether enough draws will follow to make compilation worth its time.

        Returns:
            A function from latents ``[K, B, *latent]`` to log-densities ``[K, B]``.
        """
        return lambda z: self(z, context).log_prob(x)

    def cells(self, z: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Score each cell of a row: the parts of ``log p(x|z)``, which sum to it.

        Jointly normal cells are scored given those before them.

        Args:
            z: Latents ``[*batch, *latent]``.
            x: Rows ``[*batch, *event]``, which may broadcast against the latents.
            context: Context ``[B, C]``.

        Returns:
            The log-densities or log-probabilities ``[*batch, *event]`` in nats; 0 for missing and
            for constant cells.

        Raises:
            IncompatibleError: The cells depend on each other given ``z``.

        Example:
            >>> from aevb import likelihoods
            >>> normal = likelihoods.Normal(nn.Identity(), (2,), scale=1.0)
            >>> x = torch.tensor([[1.0, torch.nan]])
            >>> likelihoods.Missing(normal).cells(torch.zeros(1, 3), x).shape
            torch.Size([1, 2])
        """
        p = self(z, context)
        known = self.factorises or self.has_conditionals
        each = cell_log_prob(p, x) if known else None
        if each is None or each.shape[each.dim() - len(p.event_shape) :] != p.event_shape:
            part = Part(f"likelihoods.{type(self).__name__}")
            raise IncompatibleError(
                message("the cells of {part} depend on each other given z", part=part),
                argument="likelihood",
                suggestions=(INDEPENDENT_CELLS,),
            )
        return each

    def initialise_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Initialise data-dependent state, also of nested likelihoods.

        Args:
            x: Rows of data ``[N, *event]``.
            context: Context ``[N, C]`` of these rows.
        """
        for inner in self._nested_likelihoods():
            inner.initialise_from_data(x, context)

    def linear_cells(self, x: Tensor) -> LinearCells | None:
        """Return the numbers whose locations are linear outputs of a decoder with a skip.

        Args:
            x: Rows of data ``[N, *event]``.

        Returns:
            The numbers as the likelihood standardises them; ``None`` without any.
        """
        return None

    def start_linear(self, factors: Factors) -> None:
        """Set the untrained decoder to a linear map of the latent; other cells to marginals.

        Args:
            factors: The map for the numbers of ``linear_cells``.
        """

    def decode_layers(
        self, passage: LayerTrace, z: Tensor, context: Tensor | None = None
    ) -> Distribution:
        """Return ``p(x|z)`` where the layers of a hierarchy have been traversed already.

        Args:
            passage: The traversal that gave ``z``; a decoder with the same trunk reuses its
                features.
            z: Latents ``[K, B, D]``.
            context: Context ``[B, C]``.

        Returns:
            The distribution with batch shape ``[K, B]``.
        """
        return self(z, context)

    @property
    def constant_values(self) -> Tensor | None:
        """The values ``[*event]`` of constant cells, NaN for all others; ``None`` without any."""
        values = (inner.constant_values for inner in self._nested_likelihoods())
        return next((each for each in values if each is not None), None)

    @property
    def dependent_cells(self) -> tuple[int, ...]:
        """Places of cells that are linear functions of others in the training rows."""
        return tuple(
            place for inner in self._nested_likelihoods() for place in inner.dependent_cells
        )

    def has_mass(self, cell: int, value: float) -> bool:
        """Whether a value of a cell has a probability, and not a density.

        Args:
            cell: The place of the cell in the event, in row-major order.
            value: The value, in the units of the model.
        """
        inner = self._nested_likelihoods()
        return inner[0].has_mass(cell, value) if inner else self.measure == "probability"

    def resample_weights(self) -> None:
        """Draw the random weights for the next training pass, also of nested likelihoods."""
        for inner in self._nested_likelihoods():
            inner.resample_weights()

    def weight_kl(self) -> Tensor | None:
        """Return ``KL(q(theta) || p(theta))`` of random weights, also of nested likelihoods.

        Returns:
            The KL divergence ``[]`` in nats, ``None`` without random weights.
        """
        nested = [inner.weight_kl() for inner in self._nested_likelihoods()]
        # two steps: a comprehension with := cannot be traced
        divergences = [divergence for divergence in nested if divergence is not None]
        return torch.stack(divergences).sum() if divergences else None

    def _describe_data_as(self, likelihood: Likelihood) -> None:
        """Take over what another likelihood says about its data."""
        self.measure, self.unbounded = likelihood.measure, likelihood.unbounded
        self.cell_kinds, self.event_shape = likelihood.cell_kinds, likelihood.event_shape

    def _nested_likelihoods(self) -> list[Likelihood]:
        return [part for part in self.children() if isinstance(part, Likelihood)]


INDEPENDENT_CELLS = message(
    "Use a likelihood with independent cells, such as {normal}, {bernoulli} or {mixture}",
    normal=Part("likelihoods.Normal"),
    bernoulli=Part("likelihoods.Bernoulli"),
    mixture=Part("likelihoods.LogisticMixture"),
)


def make_heads(
    network: nn.Module,
    event_shape: Sequence[int],
    parameters: int,
    latent_rank: int,
    per_element: int | None = None,
) -> Heads:
    """Heads for ``parameters`` tensors of the event's shape, or with ``per_element`` appended."""
    shape = (*event_shape, per_element) if per_element else tuple(event_shape)
    return Heads(network, *[shape] * parameters, input_ndim=latent_rank)


def as_event_shape(event_shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of an event, or an ``ArgumentError``."""
    return as_shape("event_shape", event_shape)
