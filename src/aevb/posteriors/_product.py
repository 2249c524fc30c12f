"""A code of several parts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional
from ..priors._codebook import check_no_codebook
from ..priors._product import check_nonempty_parts


class Product(Conditional):
    """``q(z|x) = prod_i q_i(z_i|x)``: posteriors side by side, a continuous and a discrete one for instance, over one vector.

    The codes of the parts are flattened and put end to end, in the order given; so are those of ``priors.Product``. With a discrete part
    draws cannot be differentiated: use ``gradients.LeaveOneOut()``. Raises ``ArgumentError`` for no part, and
    ``IncompatibleError`` for a part with a codebook.

    >>> import torch
    >>> from aevb import posteriors
    >>> both = Product(
    ...     [posteriors.Normal(nn.Identity(), 2), posteriors.Bernoulli(nn.Identity(), 3)]
    ... )
    >>> both(torch.zeros(5, 4)).sample().shape
    torch.Size([5, 5])
    """

    def __init__(self, parts: Sequence[Conditional]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(check_nonempty_parts(parts))
        check_no_codebook("posteriors.Product", parts)
        self.lazy_networks = any(part.lazy_networks for part in parts)
        self.has_density = all(part.has_density for part in parts)

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Product:
        return distributions.Product([part(input, context) for part in self.parts])
