"""Codes that are entries of a codebook."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from .._shapes import as_shape
from ..distributions import BaseCodebook, GridCodebook, QuantisedDirac, TableCodebook
from ..distributions._quantised import (
    QuantisationStage,
    grid_points,
    nearest_entry,
    residual_quantise,
    to_event,
    to_vectors,
)
from ..errors import ArgumentError
from ..networks import Heads
from ..priors._codebook import CodebookPosterior

COUNT_SMOOTHING = (
    1e-5  # uses that every entry is given beside its own, so that none is divided by 0
)
LEVEL_MARGIN = 1e-3  # of the outermost levels, which a bounded number then reaches in rounding


class Quantiser(CodebookPosterior, ABC):
    """A network whose outputs are replaced by the nearest of some vectors; the gradient passes as if they had not been.

    ``latent`` is ``(places, dim)``, one vector per place, or ``(dim, height, width)``, an image of them.
    """

    full_support = False

    def __init__(self, network: nn.Module, latent: Sequence[int]) -> None:
        super().__init__()
        self.latent = tuple(latent)
        # a list of vectors as a single row, lest its axes be taken for those of an image
        self.heads = Heads(network, (math.prod(latent),) if len(self.latent) == 2 else self.latent)

    @abstractmethod
    def quantise(self, vectors: Tensor) -> QuantisedDirac:
        """The distribution at the entries nearest to ``[B, places, dim]``."""

    def forward(self, input: Tensor, context: Tensor | None = None) -> QuantisedDirac:
        return self.quantise(self.vectors(input, context))

    def vectors(self, input: Tensor, context: Tensor | None = None) -> Tensor:
        """What is to be quantised, ``[B, places, dim]``."""
        (raw,) = self.heads(input, context)
        return to_vectors(raw.reshape(-1, *self.latent), len(self.latent))

    def codes(self, input: Tensor, context: Tensor | None = None) -> Tensor:
        """The numbers of the entries that data ``[B, *event]`` become: ``[B, codes]`` int64."""
        return self(input, context).codes


class CodebookQuantiser(Quantiser, ABC):
    """Tables of free entries, each for what those before it left over."""

    table: Tensor  # [tables, size, dim]
    counts: Tensor  # [tables, size], running means of how many vectors of a batch become each entry
    sums: Tensor  # [tables, size, dim], and of the sums of these vectors
    initialised: Tensor

    def __init__(
        self,
        network: nn.Module,
        latent: Sequence[int],
        tables: int,
        size: int,
        update: Literal["ema", "gradient"],
        commitment: float,
        decay: float,
        restart: float,
    ) -> None:
        shape = _check_codebook_latent(latent)
        if size < 2:
            raise ArgumentError(
                f"`size` of a codebook is {size}; give at least 2 entries, as size=512."
            )
        if update not in ("ema", "gradient"):
            raise ArgumentError(f'`update` is {update!r}; use "ema" or "gradient".')
        for argument, value in (("commitment", commitment), ("restart", restart)):
            if not 0 <= value < math.inf:
                raise ArgumentError(f"`{argument}` is {value}; give 0 or more.")
        if not 0 <= decay < 1:
            raise ArgumentError(
                f"`decay` is {decay}; give a number from 0 up to, but not including, 1, as 0.99."
            )
        super().__init__(network, shape)
        self.gradient_updates, self.commitment, self.decay, self.restart = (
            update == "gradient",
            commitment,
            decay,
            restart,
        )
        self.key = object()
        entries = torch.randn(tables, size, shape[-1] if len(shape) == 2 else shape[0])
        if self.gradient_updates:
            self.table = nn.Parameter(entries)
        else:
            self.register_buffer("table", entries)
            self.register_buffer("counts", torch.ones(tables, size))
            self.register_buffer("sums", entries.clone())
        self.register_buffer("initialised", torch.tensor(False))

    def codebook(self) -> BaseCodebook:
        return TableCodebook(self.table.unbind(), self.latent, self.key)

    def quantise(self, vectors: Tensor) -> QuantisedDirac:
        stages, numbers = residual_quantise(vectors, self.table.unbind())
        whole = torch.stack([entry for _, entry in stages]).sum(0).detach()
        return QuantisedDirac(
            to_event(_straight_through(whole, vectors), self.latent),
            numbers,
            self.codebook(),
            stages,
        )

    def penalty(self, distribution: QuantisedDirac) -> Tensor:
        """``E |v - stop(e)|^2`` times the commitment, and where the entries follow gradients ``E |stop(v) - e|^2``, over the stages."""
        total = torch.stack([self._commitment_loss(stage) for stage in distribution.stages])
        return total.sum(0).flatten(1).sum(1).mean()

    def _commitment_loss(self, stage: QuantisationStage) -> Tensor:
        vector, entry = stage
        bound = self.commitment * (vector - entry.detach()).square()
        return bound + (vector.detach() - entry).square() if self.gradient_updates else bound

    @torch.no_grad()
    def initialise_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Begin as vectors of the data, or a little beside them where there are fewer than entries."""
        if self.initialised:
            return
        self.initialised.fill_(True)
        left = self.vectors(x, context).flatten(0, 1)
        for entries in self.table:
            places = torch.randperm(len(left), device=left.device).repeat(
                -(-len(entries) // len(left))
            )[: len(entries)]
            entries.copy_(left[places] + 0.01 * left.std(correction=0) * torch.randn_like(entries))
            left = left - entries[nearest_entry(left, entries)]
        if not self.gradient_updates:
            self.counts.fill_(1.0)
            self.sums.copy_(self.table)

    @torch.no_grad()
    def update_state(
        self, distribution: QuantisedDirac, value: Tensor, weight: Tensor | None = None
    ) -> None:
        """Running means of the vectors that became each entry; one that hardly any became starts anew as a vector of this batch."""
        if self.gradient_updates:
            return
        vectors = torch.stack([vector.flatten(0, 1) for vector, _ in distribution.stages]).to(
            self.table
        )
        counts = self.counts.lerp(distribution.entry_counts().to(self.counts), 1 - self.decay)
        places = distribution.table_indices().T.flatten()
        became = (
            torch.zeros_like(self.sums).flatten(0, 1).index_add(0, places, vectors.flatten(0, 1))
        )
        sums = self.sums.lerp(became.view_as(self.sums), 1 - self.decay)
        total = counts.sum(-1, keepdim=True)
        table = sums / (
            total * (counts + COUNT_SMOOTHING) / (total + COUNT_SMOOTHING * counts.shape[-1])
        ).unsqueeze(-1)
        even = (total / counts.shape[-1]).expand_as(counts)
        picked = (torch.rand_like(counts) * vectors.shape[1]).long().clamp(max=vectors.shape[1] - 1)
        fresh = vectors.gather(1, picked.unsqueeze(-1).expand_as(table))
        dead = counts < self.restart * even
        self.counts.copy_(torch.where(dead, even, counts))
        self.table.copy_(torch.where(dead.unsqueeze(-1), fresh, table))
        self.sums.copy_(torch.where(dead.unsqueeze(-1), fresh * even.unsqueeze(-1), sums))


class VectorQuantised(CodebookQuantiser):
    """``z = e_k`` at each place, ``k`` the entry of a codebook nearest to what the network says: all mass at one code per datum.

    ``latent`` is ``(places, dim)``, or ``(dim, height, width)`` for an image of codes, whose network gives ``[N, C, height, width]``; the
    codebook has ``size`` entries, shared by all places. The gradient of ``z`` passes to the network unchanged, and the network is charged
    ``commitment |v - e|^2`` for straying from its entry, in nats, summed over the places (``Terms.penalty``).

    With ``update="ema"`` entries are running means (``decay``) of the vectors that became them; one whose running use is below ``restart``
    of an even share begins anew as a vector of the batch. With ``"gradient"`` they descend ``|v - e|^2`` and none is restarted. Against the
    uniform ``priors.Codebook(posterior)`` the divergence is ``places log size`` for every datum, so that the ELBO is a true bound of
    ``log p(x)``; importance weights would need a second code, and are refused. Takes ``gradients.Pathwise``.

    van den Oord, Vinyals and Kavukcuoglu, Neural discrete representation learning (2017); Razavi et al. (2019). Raises ``ArgumentError``
    for a latent of other axes, fewer than 2 entries, and settings out of their range.

    >>> import torch
    >>> VectorQuantised(nn.Identity(), latent=(4, 8), size=16).codes(torch.zeros(5, 3)).shape
    torch.Size([5, 4])
    """

    def __init__(
        self,
        network: nn.Module,
        latent: Sequence[int],
        size: int = 512,
        update: Literal["ema", "gradient"] = "ema",
        commitment: float = 0.25,
        decay: float = 0.99,
        restart: float = 0.05,
    ) -> None:
        super().__init__(network, latent, 1, size, update, commitment, decay, restart)


class ResidualQuantised(CodebookQuantiser):
    """``z = sum_d e_d`` at each place: ``depth`` codebooks, each for what those before it have left over.

    As many as ``size^depth`` vectors with ``depth size`` entries; a datum has ``places depth`` codes, from coarse to fine at each place,
    and the uniform prior costs ``places depth log size``. The rest as for ``VectorQuantised``; the commitment is charged at every depth.
    Lee et al., Autoregressive image generation using residual quantization (2022). Raises ``ArgumentError`` for a depth below 1 too.

    >>> import torch
    >>> ResidualQuantised(nn.Identity(), latent=(4, 8), size=16, depth=3).codes(
    ...     torch.zeros(5, 3)
    ... ).shape
    torch.Size([5, 12])
    """

    def __init__(
        self,
        network: nn.Module,
        latent: Sequence[int],
        size: int = 64,
        depth: int = 4,
        update: Literal["ema", "gradient"] = "ema",
        commitment: float = 0.25,
        decay: float = 0.99,
        restart: float = 0.05,
    ) -> None:
        if depth < 1:
            raise ArgumentError(f"`depth` is {depth}; give at least 1 codebook.")
        super().__init__(network, latent, depth, size, update, commitment, decay, restart)


class FiniteScalar(Quantiser):
    """Each number of a code rounded to one of a few levels: a codebook that is a grid, with nothing to learn and nothing to collapse.

    ``latent`` is the number of places, or ``(height, width)`` for an image of them; a code has as many numbers as there are ``levels``,
    number ``i`` one of ``levels[i]`` values from -1 on, so that the codebook has ``prod(levels)`` entries. The gradient passes the rounding
    unchanged. Divergence, bound and gradients as for ``VectorQuantised``; there is no commitment to charge. Mentzer, Minnen, Agustsson and
    Tschannen, Finite scalar quantization (2023), who advise 5 levels and more. Raises ``ArgumentError`` for no levels, and fewer than 2.

    >>> import torch
    >>> FiniteScalar(nn.Identity(), latent=4, levels=(5, 5))(torch.zeros(1, 3)).mean.shape
    torch.Size([1, 4, 2])
    """

    points: Tensor

    def __init__(
        self, network: nn.Module, latent: int | Sequence[int], levels: Sequence[int] = (8, 5, 5, 5)
    ) -> None:
        places = as_shape("latent", latent)
        if len(places) > 2:
            raise ArgumentError(
                f"`latent` is {latent}; give the number of places, or (height, width)."
            )
        if not levels or min(levels) < 2:
            raise ArgumentError(
                f"`levels` is {levels}; give at least 2 for each number of a code, as (8, 5, 5, 5)."
            )
        dim = len(levels)
        super().__init__(network, (*places, dim) if len(places) == 1 else (dim, *places))
        self.levels = tuple(levels)
        self.register_buffer("points", grid_points(levels), persistent=False)

    def codebook(self) -> GridCodebook:
        return GridCodebook(self.levels, self.latent, self.points)

    def quantise(self, vectors: Tensor) -> QuantisedDirac:
        book, levels = self.codebook(), vectors.new_tensor(self.levels)
        half, aside = (
            (levels - 1) * (1 - LEVEL_MARGIN) / 2,
            torch.where(levels % 2 == 1, 0.0, 0.5),
        )  # an even number of levels has no middle one
        bounded = torch.tanh(vectors + torch.tan(aside / half)) * half - aside
        steps = bounded.round().detach()
        loc = _straight_through(steps, bounded) / levels.div(2).floor()
        return QuantisedDirac(to_event(loc, self.latent), book.codes_from_steps(steps), book)


def _straight_through(value: Tensor, path: Tensor) -> Tensor:
    """``value``, to the bit, with the gradient of ``path``."""
    return value + (path - path.detach())


def _check_codebook_latent(latent: Sequence[int]) -> tuple[int, ...]:
    shape = as_shape("latent", latent)
    if len(shape) not in (2, 3):
        raise ArgumentError(
            f"`latent` of a codebook is {latent}; give (places, dim), as (8, 16), or (dim, height, width)."
        )
    return shape
