"""How far an epoch moves the parameters of a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class WeightChange:
    """Relative change of parameters since the beginning of an epoch.

    ``|w - w_0| / |w_0|`` in the Euclidean norm of all parameters together.

    Args:
        parameters: The parameters, which change in place.
        stacked: Whether the first axis of each tensor counts models.

    Example:
        >>> weight = torch.tensor([3.0, 4.0])
        >>> change = WeightChange([weight])
        >>> weight += torch.tensor([0.0, 1.0])
        >>> change.measure()
        tensor(0.2000)
    """

    def __init__(self, parameters: Iterable[Tensor], *, stacked: bool = False) -> None:
        self.parameters = [parameter.detach() for parameter in parameters]
        self.stacked = stacked
        self.start = [parameter.clone() for parameter in self.parameters]

    @torch.no_grad()
    def restart(self, start: Sequence[Tensor] = ()) -> None:
        """Begin an epoch at ``start``, by default at the present parameters."""
        for kept, tensor in zip(self.start, start or self.parameters, strict=True):
            kept.copy_(tensor)

    @torch.no_grad()
    def measure(self) -> Tensor:
        """The change: one number ``[]``, or one for each model ``[M]``."""
        if not self.parameters:
            return torch.zeros(())
        moved = [now - start for now, start in zip(self.parameters, self.start, strict=True)]
        return self._norm(moved) / self._norm(self.start)

    def _norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """Norm of all tensors together, without a copy of their squares."""
        if not self.stacked:
            return torch.nn.utils.get_total_norm(tensors)
        norms = [
            torch.linalg.vector_norm(tensor.reshape(len(tensor), -1), dim=1) for tensor in tensors
        ]
        return torch.linalg.vector_norm(torch.stack(norms), dim=0)
