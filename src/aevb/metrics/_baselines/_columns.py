"""Independent columns of a table, each with the family of its likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...likelihoods import Columns
from ...networks import MLP, Column

STEPS = 100  # of L-BFGS; it ends earlier where it has converged


def fit_columns(columns: Sequence[Column], x: Tensor) -> Callable[[Tensor], Tensor]:
    """Fit the families of the columns to rows ``[N, D]`` of encoded cells, without latents.

    Args:
        columns: The columns.
        x: Encoded rows, NaN where a cell is missing.

    Returns:
        The log-density of each cell of encoded rows, ``[N, D]``, in the units of the data.
    """
    likelihood = Columns(MLP(1, [1]), tuple(columns)).double()
    nothing = torch.zeros(1, 1, dtype=torch.float64)
    likelihood(nothing)  # makes the head, whose biases are the parameters of the columns
    likelihood.initialise_from_data(x)
    parameters = [each for each in likelihood.parameters() if each.requires_grad]
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-7
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = -likelihood(nothing).log_prob(x).mean()
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(loss)

    @torch.no_grad()
    def cells(rows: Tensor) -> Tensor:
        return likelihood(nothing).cell_log_prob(rows)

    return cells
