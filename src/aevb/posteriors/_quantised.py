"""Posteriors whose latents are entries of a codebook."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from .._registry import register
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
from ..errors import ArgumentError, check_choice, check_counts, one_of
from ..networks import Heads
from ..notes import Argument, message
from ..priors._codebook import CodebookPosterior
from ..types import Batch
from ._registration import PosteriorRegistration

COUNT_SMOOTHING = 1e-5  # additional uses of every entry, against a division by 0
LEVEL_MARGIN = 1e-3  # of the outermost levels, so that rounding a bounded number reaches them


class Quantiser(CodebookPosterior, ABC):
    """A network whose outputs are replaced by the nearest of some vectors (straight-through)."""

    full_support = False

    def __init__(self, network: nn.Module, latent: Sequence[int]) -> None:
        super().__init__()
        self.latent = tuple(latent)
        # vectors are one row of outputs, so that their axes are not taken for those of an image
        self.heads = Heads(network, (math.prod(latent),) if len(self.latent) == 2 else self.latent)

    @abstractmethod
    def quantise(self, vectors: Tensor) -> QuantisedDirac:
        """The distribution at the entries nearest to vectors ``[B, places, dim]``."""

    def forward(self, input: Tensor, context: Tensor | None = None) -> QuantisedDirac:
        return self.quantise(self.vectors(input, context))

    def vectors(self, input: Tensor, context: Tensor | None = None) -> Tensor:
        """The vectors before quantisation, ``[B, places, dim]``."""
        (raw,) = self.heads(input, context)
        return to_vectors(raw.reshape(-1, *self.latent), len(self.latent))

    def codes(self, input: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the numbers of the entries that rows are quantised to.

        Args:
            input: Rows ``[B, *event]``.
            context: Context ``[B, C]``.

        Returns:
            Numbers of entries, int64 ``[B, codes]``.
        """
        return self(input, context).codes


class CodebookQuantiser(Quantiser, ABC):
    """Tables of free entries, each table for the residual of the previous ones."""

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
        check_counts(2, size=size)
        check_choice("update", update, ("ema", "gradient"))
        for argument, value in (("commitment", commitment), ("restart", restart)):
            if not 0 <= value < math.inf:
                raise ArgumentError("give 0 or more", argument=argument, value=value)
        if not 0 <= decay < 1:
            raise ArgumentError("give at least 0 and less than 1", argument="decay", value=decay)
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

    def penalty(self, distribution: QuantisedDirac, weight: Tensor | None = None) -> Tensor:
        """Commitment of the network and, with gradient updates, the errors of the entries."""
        total = torch.stack([self._commitment_loss(stage) for stage in distribution.stages])
        return Batch(total, weight=weight).mean(total.sum(0).flatten(1).sum(1))

    def _commitment_loss(self, stage: QuantisationStage) -> Tensor:
        vector, entry = stage
        bound = self.commitment * (vector - entry.detach()).square()
        return bound + (vector.detach() - entry).square() if self.gradient_updates else bound

    @torch.no_grad()
    def initialise_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Start the entries as vectors of the data with a little noise."""
        if self.initialised:
            return
        self.initialised.fill_(True)
        residual = self.vectors(x, context).flatten(0, 1)
        for entries in self.table:
            rows = torch.randperm(len(residual), device=residual.device).repeat(
                -(-len(entries) // len(residual))
            )[: len(entries)]
            noise = 0.01 * residual.std(correction=0) * torch.randn_like(entries)
            entries.copy_(residual[rows] + noise)
            residual = residual - entries[nearest_entry(residual, entries)]
        if not self.gradient_updates:
            self.counts.fill_(1.0)
            self.sums.copy_(self.table)

    @torch.no_grad()
    def update_state(
        self, distribution: QuantisedDirac, value: Tensor, weight: Tensor | None = None
    ) -> None:
        """Update the running means of the entries and restart entries that are hardly used."""
        if self.gradient_updates:
            return
        vectors = torch.stack([vector.flatten(0, 1) for vector, _ in distribution.stages]).to(
            self.table
        )
        rows = None if weight is None else weight.sum(0)
        uses = distribution.entry_counts(rows).to(self.counts)
        counts = self.counts.lerp(uses, 1 - self.decay)
        index = distribution.table_indices().T.flatten()
        added = vectors
        if rows is not None:
            added = vectors * rows.repeat_interleave(vectors.shape[1] // len(rows))[:, None]
        assigned = (
            torch.zeros_like(self.sums).flatten(0, 1).index_add(0, index, added.flatten(0, 1))
        )
        sums = self.sums.lerp(assigned.view_as(self.sums), 1 - self.decay)
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


@register(
    PosteriorRegistration(
        title="vector quantisation",
        paper="van den Oord et al. 2017",
        support="discrete",
        needs="a codebook that the prior shares",
        instead=message("Use {preset}", preset=Argument("preset", "vq_vae")),
        use_when="discrete codes of images and sound",
        cost="a codebook that may collapse",
        avoid_when="importance weights are needed",
    )
)
class VectorQuantised(CodebookQuantiser):
    """``z = e_k`` at each place, the entry of a codebook nearest to the network's output.

    All mass is at one latent per row. Against the uniform ``priors.Codebook(posterior)`` the KL
    divergence is ``places log size`` for every row, so that the ELBO is a true bound of
    ``log p(x)``; importance weights would need a second latent and are refused. The gradient of
    ``z`` passes to the network unchanged (``gradients.Pathwise``).

    van den Oord, Vinyals and Kavukcuoglu, Neural discrete representation learning (2017); Razavi,
    van den Oord and Vinyals, Generating diverse high-fidelity images with VQ-VAE-2 (2019).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: ``(places, dim)``, or ``(dim, height, width)`` for an image of codes, whose network
            gives ``[N, C, height, width]``.
        size: Number of entries of the codebook, which all places share.
        update: ``"ema"``, running means of the vectors assigned to each entry, or ``"gradient"``,
            descent on ``|v - e|^2`` without restarts.
        commitment: Weight of the penalty ``|v - e|^2`` on the network, in nats, summed over the
            places.
        decay: Decay of the running means, from 0 to below 1.
        restart: An entry whose running use is below this fraction of an even share restarts as a
            vector of the batch.

    Raises:
        ArgumentError: ``latent`` has other axes, ``size`` is less than 2 or a setting is out of
            range.

    Example:
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


@register(
    PosteriorRegistration(
        title="residual quantisation",
        paper="Lee et al. 2022",
        support="discrete",
        needs="codebooks that the prior shares",
        instead=message("Use {preset}", preset=Argument("preset", "residual_vq_vae")),
        use_when="more codes than one codebook can hold",
        cost="depth codebooks",
        avoid_when="importance weights are needed",
    )
)
class ResidualQuantised(CodebookQuantiser):
    """``z = sum_d e_d`` at each place: each codebook for the residual of the previous ones.

    ``size^depth`` vectors with ``depth size`` entries; a row has ``places depth`` codes, from
    coarse to fine at each place, and the uniform prior costs ``places depth log size`` nats. The
    commitment is charged at every depth. In other respects as ``VectorQuantised``.

    Lee et al., Autoregressive image generation using residual quantization (2022).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: ``(places, dim)`` or ``(dim, height, width)``.
        size: Number of entries of each codebook.
        depth: Number of codebooks.
        update: ``"ema"``, running means of the vectors assigned to each entry, or ``"gradient"``,
            descent on ``|v - e|^2`` without restarts.
        commitment: Weight of the penalty ``|v - e|^2`` on the network, in nats, summed over the
            places.
        decay: Decay of the running means, from 0 to below 1.
        restart: An entry whose running use is below this fraction of an even share restarts as a
            vector of the batch.

    Raises:
        ArgumentError: ``latent`` has other axes, ``size`` is less than 2, ``depth`` less than 1 or
            a setting is out of range.

    Example:
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
        check_counts(depth=depth)
        super().__init__(network, latent, depth, size, update, commitment, decay, restart)


@register(
    PosteriorRegistration(
        title="finite scalar quantisation",
        paper="Mentzer et al. 2023",
        support="discrete",
        needs="a grid of codes that the prior shares",
        instead=message("Use {preset}", preset=Argument("preset", "fsq_vae")),
        use_when="discrete codes without a codebook that may collapse",
        cost="none",
        avoid_when="importance weights are needed",
    )
)
class FiniteScalar(Quantiser):
    """Each number of a latent rounded to one of a few levels: a codebook that is a grid.

    Nothing is learned and nothing can collapse. The gradient passes the rounding unchanged. KL
    divergence, bound and gradients are as for ``VectorQuantised``, without a commitment.

    Mentzer, Minnen, Agustsson and Tschannen, Finite scalar quantization (2023), who advise at least
    5 levels.

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Number of places, or ``(height, width)`` for an image of codes.
        levels: Number of levels of each number of a code: number ``i`` has ``levels[i]`` values
            from -1 on, and the codebook ``prod(levels)`` entries.

    Raises:
        ArgumentError: ``levels`` is empty or has an entry below 2, or ``latent`` has other axes.

    Example:
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
                "give the number of places, or (height, width)", argument="latent", value=latent
            )
        if not levels or min(levels) < 2:
            raise ArgumentError(
                "give at least 2 levels for each number of a code", argument="levels", value=levels
            )
        dim = len(levels)
        super().__init__(network, (*places, dim) if len(places) == 1 else (dim, *places))
        self.levels = tuple(levels)
        self.register_buffer("points", grid_points(levels), persistent=False)

    def codebook(self) -> GridCodebook:
        return GridCodebook(self.levels, self.latent, self.points)

    def quantise(self, vectors: Tensor) -> QuantisedDirac:
        book, levels = self.codebook(), vectors.new_tensor(self.levels)
        half = (levels - 1) * (1 - LEVEL_MARGIN) / 2
        offset = torch.where(levels % 2 == 1, 0.0, 0.5)  # an even number has no middle level
        bounded = torch.tanh(vectors + torch.tan(offset / half)) * half - offset
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
            "a codebook needs (places, dim) or (dim, height, width)",
            argument="latent",
            value=latent,
            suggestions=(one_of("latent", [(8, 16), (16, 8, 8)]),),
        )
    return shape
