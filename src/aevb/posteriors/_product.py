"""Product of posteriors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional
from .._registry import register
from ..notes import Part, message
from ..priors._codebook import check_no_codebook
from ..priors._product import check_nonempty_parts
from ._registration import PosteriorRegistration


@register(
    PosteriorRegistration(
        title="product",
        needs="a posterior for each part of the latent",
        instead=message("Build it in Python, by {part}", part=Part("posteriors.Product")),
        use_when="parts of the latent have different families",
        cost="the sum of the parts",
        avoid_when="one family fits all latents",
    )
)
class Product(Conditional):
    """``q(z|x) = prod_i q_i(z_i|x)`` over one vector: continuous and discrete parts, for instance.

    The latent is the concatenation of the flattened parts, as in ``priors.Product``. With a
    discrete part draws cannot be differentiated: use ``gradients.LeaveOneOut()``.

    Args:
        parts: The posteriors of the parts, at least one.

    Raises:
        ArgumentError: ``parts`` is empty.
        IncompatibleError: A part has a codebook.

    Example:
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
        check_no_codebook("a product", parts)
        self.lazy_networks = any(part.lazy_networks for part in parts)
        self.has_density = all(part.has_density for part in parts)

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Product:
        return distributions.Product([part(input, context) for part in self.parts])
