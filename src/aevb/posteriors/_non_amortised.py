"""Parameters of their own for each datum, in the place of an encoder."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor
from torch.distributions import Distribution

from .._conditional import Conditional
from ..errors import ArgumentError, DataError, IncompatibleError
from ..networks import Heads, ParameterTable
from ..priors._codebook import check_no_codebook


class NonAmortised(Conditional):
    """``q_i(z)`` of the family of ``posterior``, with free parameters ``lambda_i`` for each of ``rows`` data in the place of its network.

    Stochastic variational inference: nothing is amortised, so nothing is lost to amortisation, and the memory grows with the rows. Its
    input are row numbers ``[B]``, int64, which a model takes from ``Batch.index``. Other rows than those trained on have no parameters:
    ``inference.refine`` finds some. ``posterior`` is copied; of its network, which may be any, nothing is kept. Parameters start close to
    0: for a Gaussian, close to the standard normal.

    Hoffman, Blei, Wang and Paisley, Stochastic variational inference (2013). Raises ``ArgumentError`` for ``rows < 1``,
    ``IncompatibleError`` for a posterior whose parameters do not come from one network.

    >>> import torch
    >>> from aevb import networks, posteriors
    >>> posterior = NonAmortised(posteriors.Normal(networks.MLP(784), latent=2), rows=1000)
    >>> posterior(torch.tensor([0, 999])).mean.shape
    torch.Size([2, 2])
    """

    def __init__(self, posterior: Conditional, n_rows: int) -> None:
        super().__init__()
        if n_rows < 1:
            raise ArgumentError(
                f"`rows` is {n_rows}; give the number of training rows, as in rows=len(data.train)."
            )
        check_no_codebook("posteriors.Free", [posterior])
        self.n_rows = n_rows
        self.lazy_networks, self.has_density = posterior.lazy_networks, posterior.has_density
        self.posterior = copy.deepcopy(posterior)
        name, heads = _find_parameter_module(self.posterior)
        self.table = ParameterTable(n_rows, *heads.shapes)
        self.posterior.set_submodule(name, self.table)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        if input.dim() != 1 or input.is_floating_point():
            raise DataError(
                f"`posteriors.NonAmortised` takes row numbers [B], got a {input.dtype} tensor of shape {tuple(input.shape)}: write "
                "`model.infer(Batch(x, index=..., total=...))`, or `inference.refine(model, x)` for data that are not its rows."
            )
        return self.posterior(input, context)


def amortised_parameters(
    posterior: Conditional, input: Tensor, context: Tensor | None = None
) -> list[Tensor]:
    """What the posterior's network says of each datum, before the family makes a distribution of it: ``[B, *shape]`` each."""
    found: list[Any] = []
    listening = _find_parameter_module(posterior)[1].register_forward_hook(
        lambda module, inputs, output: found.append(output)
    )
    try:
        posterior(input, context)
    finally:
        listening.remove()
    return found[0]


def _find_parameter_module(posterior: Conditional) -> tuple[str, Heads | ParameterTable]:
    """The one module that the parameters come from, and its name."""
    found = [
        (name, part)
        for name, part in posterior.named_modules()
        if isinstance(part, Heads | ParameterTable)
    ]
    if len(found) != 1:
        raise IncompatibleError(
            f"parameters per datum need a posterior whose parameters come from one network, and those of "
            f"`posteriors.{type(posterior).__name__}` come from {len(found)}. Use `posteriors.Normal(...)`."
        )
    return found[0]
