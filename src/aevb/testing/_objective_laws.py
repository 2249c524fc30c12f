"""The laws of objectives, on a model whose truth is known."""

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

BOUND_REPLICATES = 2000  # of one datum, for an error bar


@dataclass(frozen=True)
class ObjectiveSubject:
    """An objective with a model that it is tried on."""

    objective: Objective
    model: VAE

    def terms(self, rows: int) -> Terms:
        """The terms of draws for some data of the model's own."""
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
    """what is called a lower bound lies below log p(x) of a linear-Gaussian model, and an upper bound above it"""
    kind, model = subject.objective.kind, linear_gaussian_model()
    if kind not in ("lower bound", "upper bound"):
        return f"it calls its number {'a ' * (kind == 'reconstruction')}{kind}"
    for x in ([0.7, -1.2], [-3.0, 2.0]):
        datum = torch.tensor([x], dtype=torch.float64)
        batch = Batch(datum.expand(BOUND_REPLICATES, 2), dataset_size=BOUND_REPLICATES)
        try:
            subject.objective.check(model)
            bound = subject.objective(
                _draw_model_terms(model, subject.objective, batch), model
            ).bound.detach()
        except AevbError as refused:
            return f"it does not exist for such a model: {refused}"
        _check_bound_side(bound, exact_log_likelihood(model, datum).item(), kind)
    return None


def _check_bound_side(bound: Tensor, truth: float, kind: str) -> None:
    mean, error, side = (
        bound.mean().item(),
        bound.std().item() / math.sqrt(BOUND_REPLICATES),
        1 if kind == "lower bound" else -1,
    )
    measured = f"the mean of {BOUND_REPLICATES:,} is {mean:.4f} +- {error:.4f} where log p(x) is {truth:.4f}"
    expect(
        side * (mean - truth) <= 5 * error + 1e-9,
        measured,
        f"{'at most' if side > 0 else 'at least'} log p(x)",
    )


def check_nats(subject: ObjectiveSubject) -> str | None:
    """the number is in nats per datum: with c nats more of log-likelihood it is c larger"""
    terms = subject.terms(5)
    score = subject.objective(terms, subject.model)
    expect(
        tuple(score.bound.shape) == (5,),
        f"the bound has shape {tuple(score.bound.shape)}",
        "(5,): one number for each datum",
    )
    more = subject.objective(
        replace(terms, log_likelihood=terms.log_likelihood + 3.0), subject.model
    )
    expect_close(
        more.bound - score.bound,
        torch.full((5,), 3.0, dtype=score.bound.dtype),
        "3 nats and what the bound has more",
        1e-9,
    )
    return None


def check_target_gradient(subject: ObjectiveSubject) -> str | None:
    """the target has a finite slope in the model, which is not 0"""
    terms = subject.terms(16)
    score = subject.objective(terms, subject.model)
    value = score.target.mean() - score.penalty
    slopes = torch.autograd.grad(value, list(subject.model.parameters()), allow_unused=True)
    expect(value.isfinite(), f"the target is {value.item():g}", "a finite number")
    found = [slope for slope in slopes if slope is not None]
    expect(
        all(bool(slope.isfinite().all()) for slope in found),
        "a slope is not finite",
        "finite numbers",
    )
    expect(
        sum(slope.abs().sum().item() for slope in found) > 0, "all slopes are 0", "another number"
    )
    return None


def check_config_round_trip(subject: ObjectiveSubject) -> str | None:
    """what is built from its record is itself"""
    record = persistence.to_config(subject.objective)
    if "foreign" in json.dumps(record):
        return "it is of the caller's own, and is given again where a run is loaded"
    again = persistence.to_config(persistence.from_config(json.loads(json.dumps(record))))
    expect(again == record, f"it is built again as {again}", str(record))
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
    """Try every law of an objective, or those named in ``laws``; on ``model`` where it needs one of its own, else on a small Gaussian one.

    Raises ``LawError`` for the first law that is broken.

    >>> from aevb import objectives
    >>> check_objective(objectives.IWAE(samples=3)).held
    ('truthful', 'units', 'climbs', 'recorded')
    """
    aim = ObjectiveSubject(
        copy.deepcopy(objective).double(),
        linear_gaussian_model() if model is None else copy.deepcopy(model).double(),
    )
    aim.objective.check(aim.model)
    return run_laws(display_name(objective), OBJECTIVE_LAWS, lambda: aim, laws)


def linear_gaussian_model() -> VAE:
    """A linear-Gaussian model of two numbers with one latent variable, whose posterior is not the exact one."""
    with seed_scope(0):
        model = VAE(
            Normal(1), NormalPosterior(nn.Identity(), 1), NormalLikelihood(nn.Identity(), (2,), 0.8)
        ).double()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
    return model
