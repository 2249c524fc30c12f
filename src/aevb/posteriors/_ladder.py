"""Layers of latents, inferred on the way down through the prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Size, Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from .. import distributions, priors
from .._conditional import Conditional
from .._registry import register
from ..distributions import gaussian, to_scale
from ..distributions._chain import LayerTrace, LayerValueFn
from ..errors import ArgumentError, IncompatibleError
from ..networks import Heads
from ..notes import Argument, Part, message
from ..priors._chain import repeat_rows
from ._registration import PosteriorRegistration


@register(
    PosteriorRegistration(
        title="ladder",
        paper="Sonderby et al. 2016",
        needs="the hierarchical prior of the model",
        instead=message("Use {preset}", preset=Argument("preset", "ladder_vae")),
        use_when="several layers of latents",
        cost="one network per layer",
        avoid_when="one layer reaches the same bound",
    )
)
class Ladder(Conditional):
    """``q(z|x) = q(z_L|x) prod_i q(z_i | z_{i+1}, x)``: prior and data combined at every layer.

    The networks go up from the data: the first takes ``x``, each other one the features of the
    previous one. Features give a mean ``m_i`` and a scale ``s_i``. On the way down the prior of a
    layer is ``N(mu_i(z_{i+1}), sigma_i(z_{i+1}))``, and precision weights combine the two:

    ``q(z_i | z_{i+1}, x) = N((m_i / s_i^2 + mu_i / sigma_i^2) v_i, v_i)`` with
    ``1 / v_i = 1 / s_i^2 + 1 / sigma_i^2``;

    for the last layer ``q(z_L|x) = N(m_L, s_L^2)``. The first network and the prior receive the
    context. Mean and variance are estimated, except those of the last layer.

    Sonderby et al., Ladder variational autoencoders (2016).

    Args:
        prior: The prior of the model, a chain of diagonal Gaussians.
        networks: One network per layer, from the data up.

    Raises:
        ArgumentError: The numbers of networks and layers differ.
        IncompatibleError: ``prior`` is not a chain of diagonal Gaussians.

    Example:
        >>> import torch
        >>> from aevb import networks, posteriors, priors
        >>> prior = priors.Chain(
        ...     [posteriors.Normal(networks.MLP(2, [8]), latent=4), priors.Normal(2)]
        ... )
        >>> ladder = Ladder(prior, [networks.MLP(9, [16]), networks.MLP(16, [8])])
        >>> ladder(torch.zeros(5, 9)).rsample((3,)).shape
        torch.Size([3, 5, 6])
    """

    lazy_networks = True

    def __init__(self, prior: priors.Chain, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        if not isinstance(prior, priors.Chain):
            raise IncompatibleError(
                "a ladder needs a hierarchical prior",
                argument="prior",
                value=Part(f"priors.{type(prior).__name__}"),
                suggestions=(message("Use {chain}", chain=Part("priors.Chain")),),
            )
        if len(networks) != len(prior.layers.parts):
            raise ArgumentError(
                f"there are {len(networks)} networks for {len(prior.layers.parts)} layers of the "
                "prior; give one for each",
                argument="networks",
            )
        self.prior = prior
        # the shapes of their outputs follow from the prior at the first call
        self.layer_heads = nn.ModuleList(Heads(network) for network in networks)

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Chain:
        p = self.prior(None, context)
        bottom_up = self._bottom_up(input, context, p.signature.shapes)
        count = len(bottom_up)

        def walk(copies: int, choose: LayerValueFn) -> LayerTrace:
            layers: dict[int, Independent] = {}

            def meet(i: int, expected: Distribution) -> Tensor:
                layers[i] = (
                    bottom_up[i]
                    if i == count - 1
                    else precision_weighted_product(bottom_up[i], expected, copies)
                )
                return choose(i, layers[i])

            passage = p.trace_layers(copies, meet)
            return replace(
                passage, layers=tuple(layers[i] for i in range(count)), prior=passage.layers
            )

        return distributions.Chain(
            walk, p.signature, input.shape[:1], bottom_up[0].mean, top_down=True, source=p.source
        )

    def _bottom_up(
        self, x: Tensor, context: Tensor | None, shapes: Sequence[Size]
    ) -> list[Independent]:
        """The Gaussian of each layer from the data alone, from the data up."""
        layers = []
        for heads, shape in zip(self.layer_heads, shapes, strict=True):
            assert isinstance(heads, Heads)
            if not heads.shapes:
                heads.shapes = [tuple(shape), tuple(shape)]
            x, context = heads.features(x, context), None
            loc, raw = heads.to_parameters(x, x.shape[:1])
            layers.append(gaussian(loc, to_scale(raw)))
        return layers


def precision_weighted_product(
    bottom_up: Independent, top_down: Distribution, repeats: int
) -> Independent:
    """The product of Gaussians of the rows ``[B]`` and of their draws ``[repeats * B]``."""
    if not (isinstance(top_down, Independent) and isinstance(top_down.base_dist, Normal)):
        raise IncompatibleError(
            "a ladder needs a prior of diagonal Gaussians, and one of its layers is a "
            f"{type(top_down).__name__}",
            argument="prior",
            suggestions=(
                message(
                    "Use {normal} for its layers, or {chain} for the posterior",
                    normal=Part("posteriors.Normal"),
                    chain=Part("posteriors.Chain"),
                ),
            ),
        )
    loc, spread = repeat_rows(bottom_up.mean, repeats), repeat_rows(bottom_up.variance, repeats)
    up, down = 1 / spread, 1 / top_down.variance  # precisions add: neither scale can be 0
    variance = 1 / (up + down)
    return gaussian((up * loc + down * top_down.mean) * variance, variance.sqrt())
