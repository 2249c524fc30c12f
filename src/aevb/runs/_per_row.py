"""Models with parameters for each row, as models of any row: other rows are refined once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.distributions import Distribution

from .._conditional import Conditional
from ..data import Rows
from ..inference import refine
from ..models import VAE
from ..posteriors import NonAmortised


class RefinedRows(Conditional):
    """The posterior of a model with parameters for each row, as a function of the row.

    Training rows keep their trained parameters; the parameters of any other row are found by
    ``inference.refine`` when it is first used.
    """

    def __init__(self, model: VAE) -> None:
        super().__init__()
        trained = cast(NonAmortised, model.posterior)
        self.lazy_networks, self.has_density = trained.lazy_networks, trained.has_density
        self.free = NonAmortised(trained, 1).to(model.device)
        self.entries = torch.zeros_like(self.free.table.entries)
        # the row of zeros is that of ``VAE.probe``
        self.places = dict.fromkeys(_keys(torch.zeros(1, *model.event_shape)), 0)
        self._model = (model,)  # in a tuple: its parts belong to the new model, too

    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        keys = _keys(input)
        new = [number for number, key in enumerate(keys) if key not in self.places]
        if new:
            self.refine(input[new], None if context is None else context[new])
        places = torch.tensor([self.places[key] for key in keys], device=self.entries.device)
        self.free.table.entries.data = self.entries[places]
        return self.free.posterior(torch.arange(len(keys), device=input.device), context)

    def refine(self, x: Tensor, context: Tensor | None) -> None:
        """Find parameters for rows."""
        model = self._model[0]
        found = cast(
            NonAmortised, refine(model, model.to_data_units(x), context=context).model.posterior
        )
        self.add(x, found.table.entries)

    def add(self, x: Tensor, entries: Tensor) -> None:
        """Store the parameters of rows."""
        first = len(self.entries)
        self.entries = torch.cat([self.entries, entries.detach()])
        self.places |= {key: first + number for number, key in enumerate(_keys(x))}


def with_refined_rows(model: VAE, train: Rows | None, parts: Sequence[Rows]) -> VAE:
    """A model that encodes rows although its posterior has parameters for training rows alone.

    Args:
        model: The model.
        train: Its training rows; None where they are not known.
        parts: The rows to refine, each set at once, so that all commands get the same parameters.
    """
    posterior = RefinedRows(model)
    if train is not None and len(train) == model.posterior.n_rows:
        trained = cast(NonAmortised, model.posterior)
        posterior.add(
            train.with_offset(model.data_offset).model_input(slice(None)), trained.table.entries
        )
    for rows in parts:
        x = rows.with_offset(model.data_offset).model_input(slice(None))
        if len(x) and not all(key in posterior.places for key in _keys(x)):
            posterior.refine(x.to(model.device), rows.context)
    refined = VAE(model.prior, posterior.eval(), model.likelihood)
    refined.training = False  # of this module alone: the parts are those of the caller
    return refined


def _keys(x: Tensor) -> list[bytes]:
    """The values of each row."""
    return [row.tobytes() for row in (x.detach().float().cpu() + 0.0).numpy()]
