"""The laws of objectives, on a model whose ``log p(x)`` is known."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from .. import _persistence as persistence
from .._random import seed_scope
from ..errors import AevbError
from ..gradients._gradient import resolve_exact_kl
from ..likelihoods import Normal as NormalLikelihood
from ..metrics import exact_log_likelihood
from ..models import VAE
from ..objectives import Objective
from ..posteriors import Normal as NormalPosterior
from ..priors import Normal
from ..types import Batch, Terms
from ._subject import LawReport, display_name, expect, expect_close, run_laws

BOUND_REPLICATES = 2000  # copies of one datum, for a standard error


@dataclass(frozen=True)
class ObjectiveSubject:
    """An objective with the model on which it is tried."""

    objective: Objective
    model: VAE

    def terms(self, rows: int) -> Terms:
        """The terms of draws for data sampled from the model."""
        return _draw_model_terms(
            self.model,
            self.objective,
            Batch(self.model.sample(rows), index=torch.arange(rows), dataset_size=rows),
        )


def _draw_model_terms(model: VAE, objective: Objective, batch: Batch) -> Terms:
    q = model.infer(batch)
    z = q.rsample((objective.samples,)) if q.has_rsample else q.sample((objective.samples,))
    return model.terms(batch, z, q, exact_kl=resolve_exact_kl(model, objective))


def check_bound_direction(subject: ObjectiveSubject) -> str | None:
    """A lower bound lies below log p(x) of a linear-Gaussian model, an upper bound above it."""
    kind, model = subject.objective.kind, linear_gaussian_model()
    if kind not in ("lower bound", "upper bound"):
        return f"its number is {'no bound' if kind == 'neither' else 'a reconstruction'}"
    for x in ([0.7, -1.2], [-3.0, 2.0]):
        datum = torch.tensor([x], dtype=torch.float64)
        batch = Batch(datum.expand(BOUND_REPLICATES, 2), dataset_size=BOUND_REPLICATES)
        try:
            subject.objective.check(model)
            bound = subject.objective(
                _draw_model_terms(model, subject.objective, batch), model
            ).bound.detach()
        except AevbError as error:
            return f"it does not exist for this model: {error}"
        _check_bound_side(bound, exact_log_likelihood(model, datum).item(), kind)
    return None


def _check_bound_side(bound: Tensor, truth: float, kind: str) -> None:
    mean, error, side = (
        bound.mean().item(),
        bound.std().item() / math.sqrt(BOUND_REPLICATES),
        1 if kind == "lower bound" else -1,
    )
    expect(
        side * (mean - truth) <= 5 * error + 1e-9,
        f"the mean of {BOUND_REPLICATES:,} values is {mean:.4f} +- {error:.4f} where log p(x) is "
        f"{truth:.4f}",
        f"{'at most' if side > 0 else 'at least'} log p(x)",
    )


def check_nats(subject: ObjectiveSubject) -> str | None:
    """The number is in nats per datum: with c nats more of log-likelihood it is c larger."""
    terms = subject.terms(5)
    value = subject.objective(terms, subject.model)
    expect(
        tuple(value.bound.shape) == (5,),
        f"the bound has shape {tuple(value.bound.shape)}",
        "(5,): one number for each datum",
    )
    more = subject.objective(
        replace(terms, log_likelihood=terms.log_likelihood + 3.0), subject.model
    )
    expect_close(
        more.bound - value.bound,
        torch.full((5,), 3.0, dtype=value.bound.dtype),
        "3 nats and the increase of the bound",
        1e-9,
    )
    return None


def check_target_gradient(subject: ObjectiveSubject) -> str | None:
    """The target has a finite gradient in the model, which is not 0."""
    terms = subject.terms(16)
    value = subject.objective(terms, subject.model)
    target = value.target.mean() - value.penalty
    gradients = torch.autograd.grad(target, list(subject.model.parameters()), allow_unused=True)
    expect(target.isfinite(), f"the target is {target.item():g}", "a finite number")
    present = [gradient for gradient in gradients if gradient is not None]
    expect(
        all(bool(gradient.isfinite().all()) for gradient in present),
        "a gradient is not finite",
        "finite numbers",
    )
    expect(
        sum(gradient.abs().sum().item() for gradient in present) > 0,
        "all gradients are 0",
        "another number",
    )
    return None


def check_config_round_trip(subject: ObjectiveSubject) -> str | None:
    """An objective that is built from its record has the same record."""
    record = persistence.to_config(subject.objective)
    if "foreign" in json.dumps(record):
        return "it is not a class of the library; pass it when a run is loaded"
    rebuilt = persistence.to_config(persistence.from_config(json.loads(json.dumps(record))))
    expect(rebuilt == record, f"it is rebuilt as {rebuilt}", str(record))
    return None


OBJECTIVE_LAWS: Mapping[str, Callable[[ObjectiveSubject], str | None]] = {
    "truthful": check_bound_direction,
    "units": check_nats,
    "climbs": check_target_gradient,
    "recorded": check_config_round_trip,
}


def check_objective(
    objective: Objective, model: VAE | None = None, *, laws: Sequence[str] | None = None
) -> LawReport:
    """Try the laws of an objective.

    Args:
        objective: The objective.
        model: The model on which it is tried; a small Gaussian model by default.
        laws: Names of the laws to try; all by default.

    Returns:
        The laws that hold, and those that could not be tried.

    Raises:
        LawError: The objective breaks a law.
        ArgumentError: A law is not known.
        IncompatibleError: The objective does not exist for the model.

    Example:
        >>> from aevb import objectives
        >>> check_objective(objectives.IWAE(samples=3)).passed_laws
        ('truthful', 'units', 'climbs', 'recorded')
    """
    subject = ObjectiveSubject(
        copy.deepcopy(objective).double(),
        linear_gaussian_model() if model is None else copy.deepcopy(model).double(),
    )
    subject.objective.check(subject.model)
    return run_laws(display_name(objective), OBJECTIVE_LAWS, lambda: subject, laws)


def linear_gaussian_model() -> VAE:
    """A linear-Gaussian model of two numbers with one latent variable and an inexact posterior."""
    with seed_scope(0):
        model = VAE(
            Normal(1), NormalPosterior(nn.Identity(), 1), NormalLikelihood(nn.Identity(), (2,), 0.8)
        ).double()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
    return model
