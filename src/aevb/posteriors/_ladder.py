"""Layers of latent variables, inferred on the way down through the prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Size, Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from .. import distributions, priors
from .._conditional import Conditional
from ..distributions import gaussian, to_scale
from ..distributions._chain import LayerTrace, LayerValueFn
from ..errors import ArgumentError, IncompatibleError
from ..networks import Heads
from ..priors._chain import repeat_rows


class Ladder(Conditional):
    """``q(z|x) = q(z_L|x) prod_i q(z_i | z_{i+1}, x)``: what the prior expects of a layer and what the data say, weighed by precision.

    ``networks`` go up from the data, one per layer of ``prior``: the first sees ``x``, each other one the features of the one before. From
    its features come a mean ``m_i`` and a scale ``s_i``. On the way down the prior says ``N(mu_i(z_{i+1}), sigma_i(z_{i+1}))``, and

    ``q(z_i | z_{i+1}, x) = N((m_i / s_i^2 + mu_i / sigma_i^2) v_i, v_i)``, ``1 / v_i = 1 / s_i^2 + 1 / sigma_i^2``;

    for the last layer ``q(z_L|x) = N(m_L, s_L^2)``. ``prior`` is that of the model, a ``priors.Chain`` of diagonal Gaussians, and shared
    with it. Of a context the first network is told, and the prior. Mean and variance are estimated, but those of the last layer.

    Sonderby et al., Ladder variational autoencoders (2016). Raises ``ArgumentError`` where there are not as many networks as layers, and
    ``IncompatibleError`` for a prior of another kind.

    >>> import torch
    >>> from aevb import networks, posteriors, priors
    >>> prior = priors.Chain([posteriors.Normal(networks.MLP(2, [8]), latent=4), priors.Normal(2)])
    >>> ladder = Ladder(prior, [networks.MLP(9, [16]), networks.MLP(16, [8])])
    >>> ladder(torch.zeros(5, 9)).rsample((3,)).shape
    torch.Size([3, 5, 6])
    """

    lazy_networks = True

    def __init__(self, prior: priors.Chain, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        if not isinstance(prior, priors.Chain):
            raise IncompatibleError(
                f"`prior` is a {type(prior).__name__}; a ladder goes down a hierarchy: use priors.Chain([..., priors.Normal(n)])."
            )
        if len(networks) != len(prior.layers.parts):
            raise ArgumentError(
                f"`networks` has {len(networks)} entries and the prior {len(prior.layers.parts)} layers; give one network for each."
            )
        self.prior = prior
        self.layer_heads = nn.ModuleList(
            Heads(network) for network in networks
        )  # what they say is known when the prior's layers are

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Chain:
        p = self.prior(None, context)
        said = self._bottom_up(input, context, p.signature.shapes)

        def walk(copies: int, choose: LayerValueFn) -> LayerTrace:
            found: dict[int, Independent] = {}

            def meet(i: int, expected: Distribution) -> Tensor:
                found[i] = (
                    said[i]
                    if i == len(said) - 1
                    else precision_weighted_product(said[i], expected, copies)
                )
                return choose(i, found[i])

            passage = p.trace_layers(copies, meet)
            return replace(
                passage, layers=tuple(found[i] for i in range(len(said))), prior=passage.layers
            )

        return distributions.Chain(
            walk, p.signature, input.shape[:1], said[0].mean, top_down=True, source=p.source
        )

    def _bottom_up(
        self, x: Tensor, context: Tensor | None, shapes: Sequence[Size]
    ) -> list[Independent]:
        """What the data say of each layer, from the data up."""
        said = []
        for rung, shape in zip(self.layer_heads, shapes, strict=True):
            assert isinstance(rung, Heads)
            if not rung.shapes:
                rung.shapes = [tuple(shape), tuple(shape)]
            x, context = rung.features(x, context), None
            loc, raw = rung.to_parameters(x, x.shape[:1])
            said.append(gaussian(loc, to_scale(raw)))
        return said


def precision_weighted_product(
    bottom_up: Independent, top_down: Distribution, repeats: int
) -> Independent:
    """The product of two Gaussians: one for each datum ``[B]``, and one for each of its draws ``[copies * B]``."""
    if not (isinstance(top_down, Independent) and isinstance(top_down.base_dist, Normal)):
        raise IncompatibleError(
            f"`posteriors.Ladder` needs a prior of diagonal Gaussians, got a layer of type {type(top_down).__name__}. "
            "Use posteriors.Normal(...) for its layers, or `posteriors.Chain` for the posterior."
        )
    loc, spread = repeat_rows(bottom_up.mean, repeats), repeat_rows(bottom_up.variance, repeats)
    mine, theirs = 1 / spread, 1 / top_down.variance  # a sum of precisions: neither scale can be 0
    variance = 1 / (mine + theirs)
    return gaussian((mine * loc + theirs * top_down.mean) * variance, variance.sqrt())
