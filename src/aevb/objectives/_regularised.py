"""Penalties that keep an autoencoder's codes small and its decoder smooth, in place of noise on the codes.

Ghosh et al., From variational to deterministic autoencoders (2020): on ``Reconstruction()`` with a ``posteriors.Dirac``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..networks import Heads
from ..types import Terms
from ._penalised import Penalty, PenaltyTerm, check_non_negative
from ._schedules import Schedule


class LatentNorm(Penalty):
    """``1/2 E |z|^2``, summed over the latent variables: with weight 1, ``-log p(z)`` of a standard normal prior up to a constant.

    Ghosh et al. (2020), whose ``beta`` is the weight. Alone it only makes codes small and the decoder steep: give the decoder a penalty
    too. Raises ``ArgumentError`` for a weight below 0.

    >>> LatentNorm().measures
    ('code_norm',)
    """

    def __init__(self, weight: float | Schedule = 1.0) -> None:
        check_non_negative(weight=weight)
        super().__init__(code_norm=weight)

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        return PenaltyTerm((terms.z.flatten(2).square().sum(-1).mean() / 2,))


class DecoderNorm(Penalty):
    """``|theta|^2`` of the decoder's networks, weights and biases: weight decay for the decoder alone. Ghosh et al. (2020), RAE-L2.

    Scales of the noise are no part of it. Raises ``ArgumentError`` for a weight below 0, and ``IncompatibleError`` for a likelihood
    without a network.

    >>> DecoderNorm().measures
    ('decoder_norm',)
    """

    def __init__(self, weight: float | Schedule = 1e-3) -> None:
        check_non_negative(weight=weight)
        super().__init__(decoder_norm=weight)

    def check(self, model: VAE) -> None:
        if not _decoder_parameters(model):
            name = type(model.likelihood).__name__
            raise IncompatibleError(
                f"`objectives.DecoderNorm` needs a decoder with weights, and `likelihoods.{name}` has no network that they could be in. "
                "Leave the penalty out, or use `objectives.DecoderGradient()`."
            )

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        return PenaltyTerm(
            (torch.stack([weight.square().sum() for weight in _decoder_parameters(model)]).sum(),)
        )


class DecoderGradient(Penalty):
    """``1/2 E |J(z)|^2`` with ``J = dE[x|z] / dz``: how far the decoder moves the data when a code moves. Ghosh et al. (2020), RAE-GP.

    The squared Frobenius norm is estimated as ``E_v |v^T J|^2`` with ``probes`` vectors ``v`` of random signs per code: unbiased, and one
    pass back through the decoder each. In squared units of the data: with data of size 16, 256 times what it is for data of size 1.
    Raises ``ArgumentError`` for a weight below 0 or ``probes < 1``.

    >>> DecoderGradient(probes=4).measures
    ('decoder_gradient',)
    """

    def __init__(self, weight: float | Schedule = 1.0, probes: int = 1) -> None:
        check_non_negative(weight=weight)
        super().__init__(decoder_gradient=weight)
        if probes < 1:
            raise ArgumentError(f"`probes` is {probes}; give at least 1.")
        self.probes = probes

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        mean = terms.reconstruction.mean
        squares = torch.stack(
            [
                _vector_jacobian_product(mean, terms.z).flatten(2).square().sum(-1).mean()
                for _ in range(self.probes)
            ]
        )
        return PenaltyTerm((squares.mean() / 2,))


def _vector_jacobian_product(mean: Tensor, z: Tensor) -> Tensor:
    """``v^T J`` ``[K, B, *latent]`` for random signs ``v``."""
    signs = (torch.rand_like(mean) < 0.5).to(mean.dtype) * 2 - 1
    (gradient,) = torch.autograd.grad(mean, z, signs, create_graph=True)
    return gradient


def _decoder_parameters(model: VAE) -> list[Tensor]:
    """The weights and biases of the likelihood's networks."""
    networks = [module for module in model.likelihood.modules() if isinstance(module, Heads)]
    return [parameter for network in networks for parameter in network.parameters()]
