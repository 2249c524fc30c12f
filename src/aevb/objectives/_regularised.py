"""Penalties for small encodings and a smooth decoder, instead of noise on the encodings.

Ghosh et al., From variational to deterministic autoencoders (2020): with ``Reconstruction()`` and a
``posteriors.Dirac``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .._registry import register
from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..networks import Heads
from ..types import Terms
from ._penalised import Penalty, PenaltyRegistration, PenaltyTerm, check_non_negative
from ._schedules import Schedule


@register(
    PenaltyRegistration(
        paper="Ghosh et al. 2020",
        objective="Reconstruction()",
        use_when="smooth autoencoders, with a penalty on the decoder",
        avoid_when="it is the only penalty",
    )
)
class LatentNorm(Penalty):
    """The squared norm of encodings, ``1/2 E |z|^2``, summed over the latent variables.

    With weight 1 this is ``-log p(z)`` of a standard normal prior up to a constant. As the only
    penalty it makes encodings small and the decoder steep: penalise the decoder, too.

    Args:
        weight: Weight of the penalty, a number or a schedule; ``beta`` in the paper.

    Raises:
        ArgumentError: ``weight`` is negative.

    Example:
        >>> LatentNorm().metric_names
        ('code_norm',)

    References:
        Ghosh et al., From variational to deterministic autoencoders (2020).
    """

    takes_weights = True

    def __init__(self, weight: float | Schedule = 1.0) -> None:
        check_non_negative(weight=weight)
        super().__init__(code_norm=weight)

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        return PenaltyTerm((terms.batch.mean(terms.z.flatten(2).square().sum(-1)) / 2,))


@register(
    PenaltyRegistration(
        paper="Ghosh et al. 2020",
        objective="Reconstruction()",
        use_when="smooth autoencoders, with `LatentNorm`",
        cost="none",
    )
)
class DecoderNorm(Penalty):
    """The squared norm ``|theta|^2`` of the decoder's weights and biases.

    Scales of the noise are not part of it.

    Args:
        weight: Weight of the penalty, a number or a schedule.

    Raises:
        ArgumentError: ``weight`` is negative.
        IncompatibleError: The likelihood has no network.

    Example:
        >>> DecoderNorm().metric_names
        ('decoder_norm',)

    References:
        Ghosh et al., From variational to deterministic autoencoders (2020), RAE-L2.
    """

    takes_weights = True

    def __init__(self, weight: float | Schedule = 1e-3) -> None:
        check_non_negative(weight=weight)
        super().__init__(decoder_norm=weight)

    def check(self, model: VAE) -> None:
        if not _decoder_parameters(model):
            raise IncompatibleError(
                "`objectives.DecoderNorm` needs a decoder with weights, and "
                f"`likelihoods.{type(model.likelihood).__name__}` has no network",
                suggestions=("Leave the penalty out, or use `objectives.DecoderGradient()`",),
            )

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        return PenaltyTerm(
            (torch.stack([weight.square().sum() for weight in _decoder_parameters(model)]).sum(),)
        )


@register(
    PenaltyRegistration(
        paper="Ghosh et al. 2020",
        objective="Reconstruction()",
        use_when="autoencoders that are smooth at the encodings, with `LatentNorm`",
        cost="one backward pass through the decoder per probe",
    )
)
class DecoderGradient(Penalty):
    """The squared norm of the decoder's Jacobian, ``1/2 E |J(z)|^2`` with ``J = dE[x|z] / dz``.

    The squared Frobenius norm is estimated without bias as ``E_v |v^T J|^2`` with vectors ``v`` of
    random signs. Its unit is the squared unit of the data: for data of size 16 it is 256 times the
    value for data of size 1.

    Args:
        weight: Weight of the penalty, a number or a schedule.
        probes: Number of vectors per draw; each costs one backward pass through the decoder.

    Raises:
        ArgumentError: ``weight`` is negative, or ``probes`` is below 1.

    Example:
        >>> DecoderGradient(probes=4).metric_names
        ('decoder_gradient',)

    References:
        Ghosh et al., From variational to deterministic autoencoders (2020), RAE-GP.
    """

    takes_weights = True

    def __init__(self, weight: float | Schedule = 1.0, probes: int = 1) -> None:
        check_non_negative(weight=weight)
        super().__init__(decoder_gradient=weight)
        if probes < 1:
            raise ArgumentError("give at least 1", argument="probes", value=probes)
        self.probes = probes

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        mean = terms.reconstruction.mean
        squares = torch.stack(
            [
                terms.batch.mean(
                    _vector_jacobian_product(mean, terms.z).flatten(2).square().sum(-1)
                )
                for _ in range(self.probes)
            ]
        )
        return PenaltyTerm((squares.mean() / 2,))


def _vector_jacobian_product(mean: Tensor, z: Tensor) -> Tensor:
    """Return ``v^T J`` ``[K, B, *latent]`` for random signs ``v``."""
    signs = (torch.rand_like(mean) < 0.5).to(mean.dtype) * 2 - 1
    (gradient,) = torch.autograd.grad(mean, z, signs, create_graph=True)
    return gradient


def _decoder_parameters(model: VAE) -> list[Tensor]:
    """Return the weights and biases of the likelihood's networks."""
    networks = [module for module in model.likelihood.modules() if isinstance(module, Heads)]
    return [parameter for network in networks for parameter in network.parameters()]
