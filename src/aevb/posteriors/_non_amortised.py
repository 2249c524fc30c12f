"""Posterior with parameters per row in the place of an encoder."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor
from torch.distributions import Distribution

from .._conditional import Conditional
from .._registry import register
from ..errors import DataError, IncompatibleError, check_counts
from ..networks import Heads, ParameterTable
from ..notes import Argument, Part, message
from ..priors._codebook import check_no_codebook
from ._registration import PosteriorRegistration


@register(
    PosteriorRegistration(
        title="parameters per row",
        paper="Hoffman et al. 2013",
        needs="the number of training rows",
        instead=message("Use {preset}", preset=Argument("preset", "svi")),
        use_when="the encoder limits the bound and the rows are few",
        cost="memory that grows with the rows",
        avoid_when="new rows are to be encoded",
    )
)
class NonAmortised(Conditional):
    """``q_i(z)`` with free parameters ``lambda_i`` for each row of the training data.

    Stochastic variational inference: nothing is lost to amortisation, and the memory grows with the
    rows. The input is row numbers ``[B]``, int64, which a model takes from ``Batch.index``. Other
    rows have no parameters: ``inference.refine`` finds some. Parameters start close to 0: for a
    Gaussian, close to the standard normal.

    Hoffman, Blei, Wang and Paisley, Stochastic variational inference (2013).

    Args:
        posterior: A posterior of the family, which is copied; its network is not used.
        n_rows: Number of training rows.

    Raises:
        ArgumentError: ``n_rows`` is less than 1.
        IncompatibleError: The parameters of ``posterior`` do not come from one network.

    Example:
        >>> import torch
        >>> from aevb import networks, posteriors
        >>> posterior = NonAmortised(posteriors.Normal(networks.MLP(784), latent=2), n_rows=1000)
        >>> posterior(torch.tensor([0, 999])).mean.shape
        torch.Size([2, 2])
    """

    def __init__(self, posterior: Conditional, n_rows: int) -> None:
        super().__init__()
        check_counts(n_rows=n_rows)
        check_no_codebook("a table of parameters per row", [posterior])
        self.n_rows = n_rows
        self.lazy_networks, self.has_density = posterior.lazy_networks, posterior.has_density
        self.posterior = copy.deepcopy(posterior)
        name, heads = _find_parameter_module(self.posterior)
        self.table = ParameterTable(n_rows, *heads.shapes)
        self.posterior.set_submodule(name, self.table)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        if input.dim() != 1 or input.is_floating_point():
            raise DataError(
                message(
                    "{part} takes row numbers [B], got a {dtype} tensor of shape {shape}",
                    part=Part("posteriors.NonAmortised"),
                    dtype=input.dtype,
                    shape=tuple(input.shape),
                ),
                argument="input",
                suggestions=(
                    "Call model.infer(Batch(x, index=..., dataset_size=...)) for training rows",
                    "Call inference.refine(model, x) for other rows",
                ),
            )
        return self.posterior(input, context)


def amortised_parameters(
    posterior: Conditional, input: Tensor, context: Tensor | None = None
) -> list[Tensor]:
    """The outputs ``[B, *shape]`` of the network that become the parameters of the posterior."""
    outputs: list[Any] = []
    hook = _find_parameter_module(posterior)[1].register_forward_hook(
        lambda module, inputs, output: outputs.append(output)
    )
    try:
        posterior(input, context)
    finally:
        hook.remove()
    return outputs[0]


def _find_parameter_module(posterior: Conditional) -> tuple[str, Heads | ParameterTable]:
    """The single module that the parameters come from, and its name."""
    modules = [
        (name, part)
        for name, part in posterior.named_modules()
        if isinstance(part, Heads | ParameterTable)
    ]
    if len(modules) != 1:
        raise IncompatibleError(
            message(
                "parameters per row need a posterior whose parameters come from one network, and "
                "those of {part} come from {count}",
                part=Part(f"posteriors.{type(posterior).__name__}"),
                count=len(modules),
            ),
            argument="posterior",
            suggestions=(message("Use {normal}", normal=Part("posteriors.Normal")),),
        )
    return modules[0]
