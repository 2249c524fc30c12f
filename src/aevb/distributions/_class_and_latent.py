"""Joint distributions of a class and a latent: a vector with the one-hot class in front."""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from .._row_noise import row_members
from ._base import BaseDistribution
from ._one_hot import one_hot
from ._product import ProductSupport, split_event

# log-probability of a class that the label excludes: finite, so that 0 times it is 0
EXCLUDED_CLASS_LOG_PROB = -1e3


def apply_known_labels(log_weight: Tensor, label: Tensor | None) -> Tensor:
    """Replace log-probabilities ``[*batch, C]`` where the one-hot ``label`` ``[B, C]`` is not NaN.

    Example:
        >>> (
        ...     apply_known_labels(
        ...         torch.zeros(2), torch.tensor([[0.0, 1.0], [torch.nan, torch.nan]])
        ...     )
        ...     + 0
        ... )
        tensor([[-1000.,     0.],
                [    0.,     0.]])
    """
    if label is None:
        return log_weight
    known = label.isfinite().all(-1, keepdim=True)
    return torch.where(known, EXCLUDED_CLASS_LOG_PROB * (1 - label.nan_to_num()), log_weight)


class ClassAndLatent(BaseDistribution):
    """Independent class and latent: ``p(y) p(z)``.

    Where the weights of the classes do not sum to 1, neither does the density, as in ``p(y, z)``
    with a known class ``y``. Draws and moments are those of the normalised density.

    Args:
        log_weight: Log-weights ``[*batch, C]`` of the classes.
        latent: Distribution of the latent, without a batch.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> p = ClassAndLatent(
        ...     torch.full((3,), 1 / 3).log(), Independent(Normal(torch.zeros(2), 1.0), 1)
        ... )
        >>> p.sample((4,)).shape
        torch.Size([4, 5])
    """

    def __init__(self, log_weight: Tensor, latent: Distribution) -> None:
        self.log_weight, self.latent = log_weight, latent
        self.shapes = [log_weight.shape[-1:], latent.event_shape]
        super().__init__(
            log_weight.shape[:-1], Size((sum(shape.numel() for shape in self.shapes),))
        )

    @property
    def support(self) -> constraints.Constraint:
        return _class_and_latent_support(self.shapes, self.latent)

    @property
    def mean(self) -> Tensor:
        return self._concat(self.log_weight.softmax(-1), self.latent.mean.flatten())

    @property
    def variance(self) -> Tensor:
        weight = self.log_weight.softmax(-1)
        return self._concat(weight * (1 - weight), self.latent.variance.flatten())

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        y = _sample_class(self.log_weight, Size(sample_shape))
        z = self.latent.sample(Size((*sample_shape, *self.batch_shape)))
        return self._concat(y, z.flatten(z.dim() - len(self.shapes[1])))

    def log_prob(self, value: Tensor) -> Tensor:
        y, z = split_event(value, self.shapes)
        return (y * self.log_weight).sum(-1) + self.latent.log_prob(z)

    def normalised(self) -> ClassAndLatent:
        """The distribution of the draws."""
        return ClassAndLatent(self.log_weight.log_softmax(-1), self.latent)

    @staticmethod
    def _concat(y: Tensor, z: Tensor) -> Tensor:
        return torch.cat([y, z.expand(*y.shape[:-1], -1)], -1)


class ClassConditional(BaseDistribution):
    """Class and a latent conditioned on it: ``q(y) q(z|y)``.

    Args:
        logits: Logits ``[B, C]`` of the classes.
        latent: Distribution of the latent with batch shape ``[C * B]``: all rows under the first
            class, then all rows under the second class.
        label: One-hot classes ``[B, C]``, NaN for rows without a label. A known class takes all the
            probability; ``class_log_probs`` ignores it.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> q = ClassConditional(torch.zeros(5, 3), Independent(Normal(torch.zeros(15, 2), 1.0), 1))
        >>> z, log_measure = q.enumerate_classes(samples=1)
        >>> q.sample((4,)).shape, z.shape, torch.allclose(log_measure.exp().sum(0), torch.ones(5))
        (torch.Size([4, 5, 5]), torch.Size([3, 5, 5]), True)
    """

    def __init__(self, logits: Tensor, latent: Distribution, label: Tensor | None = None) -> None:
        self.class_log_probs = torch.log_softmax(logits, -1)
        self.log_weight = apply_known_labels(self.class_log_probs, label)
        self.latent = latent
        self.shapes = [logits.shape[-1:], latent.event_shape]
        super().__init__(logits.shape[:-1], Size((sum(shape.numel() for shape in self.shapes),)))

    @property
    def n_classes(self) -> int:
        """Number of classes C."""
        return self.log_weight.shape[-1]

    @property
    def support(self) -> constraints.Constraint:
        return _class_and_latent_support(self.shapes, self.latent)

    @property
    def mean(self) -> Tensor:
        return torch.cat(
            [self.log_weight.exp(), self.average_over_classes(self.latent.mean.flatten(1))], -1
        )

    @property
    def variance(self) -> Tensor:
        weight, mean = self.log_weight.exp(), self.latent.mean.flatten(1)
        away = mean - self.average_over_classes(mean).repeat(self.n_classes, 1)
        spread = self.average_over_classes(self.latent.variance.flatten(1) + away.square())
        return torch.cat([weight * (1 - weight), spread], -1)

    def average_over_classes(self, value: Tensor) -> Tensor:
        """Average over the classes, weighted with their probabilities.

        Args:
            value: Values ``[C * B, *rest]``.

        Returns:
            ``[B, *rest]``.
        """
        each = value.unflatten(0, (self.n_classes, -1))
        weight = self.log_weight.exp().T
        return (weight.reshape(*weight.shape, *[1] * (each.dim() - 2)) * each).sum(0)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        y = _sample_class(self.log_weight, Size(sample_shape))
        with row_members(self.n_classes):
            z = self.latent.sample(Size(sample_shape))
        each = z.flatten(z.dim() - len(self.shapes[1])).unflatten(-2, (self.n_classes, -1))
        return torch.cat([y, (y.transpose(-1, -2)[..., None] * each).sum(-3)], -1)

    def enumerate_classes(self, samples: int) -> tuple[Tensor, Tensor]:
        """Every class with ``samples`` differentiable draws of its latent.

        Args:
            samples: Number of draws per class, S.

        Returns:
            Values ``[C * S, B, D]`` and their log-measure ``log q(y) - log S``, ``[C * S, B]``.
        """
        with row_members(self.n_classes):
            z = self.latent.rsample((samples,))
        z = z.flatten(2).unflatten(1, (self.n_classes, -1))  # [S, C, B, L]
        y = torch.eye(self.n_classes, dtype=z.dtype, device=z.device)[:, None].expand(
            *z.shape[:-1], -1
        )
        log_measure = (self.log_weight.T - math.log(samples)).expand(samples, -1, -1)
        return torch.cat([y, z], -1).flatten(0, 1), log_measure.flatten(0, 1)

    def log_prob(self, value: Tensor) -> Tensor:
        y, z = split_event(
            value.expand(*torch.broadcast_shapes(value.shape[:-1], self.batch_shape), -1),
            self.shapes,
        )
        axis = z.dim() - len(self.shapes[1]) - 1  # of the data
        copies = (
            z.unsqueeze(axis)
            .expand(*z.shape[:axis], self.n_classes, *z.shape[axis:])
            .flatten(axis, axis + 1)
        )
        each = self.latent.log_prob(copies).unflatten(-1, (self.n_classes, -1))  # [..., C, B]
        chosen = y.transpose(-1, -2)
        return (y * self.log_weight).sum(-1) + torch.where(chosen > 0.5, each, 0.0).sum(-2)


def _sample_class(log_weight: Tensor, shape: Size) -> Tensor:
    return one_hot(log_weight).sample(shape)


def _class_and_latent_support(shapes: list[Size], latent: Distribution) -> constraints.Constraint:
    pairs = [(constraints.one_hot, shapes[0]), (latent.support or constraints.real, shapes[1])]
    return ProductSupport(pairs, [shape.numel() for shape in shapes])
