"""Priors fitted after training to the latent representations of the data."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from .. import priors
from .._conditional import Unconditional
from .._grad_mode import gradients_enabled, make_differentiable
from .._loop import Journal, Loop, Position
from .._random import seed_scope
from .._skipped_steps import SkippedSteps
from ..data import Dataset, Rows
from ..distributions import QuantisedDirac
from ..distributions._discrete import as_discrete
from ..distributions._quantised import codes_to_one_hot
from ..distributions._support import element_constraint, has_mass_outside
from ..errors import (
    ArgumentError,
    DataError,
    IncompatibleError,
    NumericalError,
    missing_extra,
    one_of,
)
from ..inference._batches import iter_batches, model_dtype, seeded_evaluation
from ..inference._inputs import as_model_rows
from ..models import VAE
from ..models._ensemble import check_single
from ..models._eval_mode import eval_mode
from ..models._two_stage import build_second_stage_prior
from ..notes import Argument, Note, Part, message
from ..priors._codebook import CodebookPosterior
from ._compatibility import check_positive, check_seed
from ._fit import fit
from ._optimisers import WarmupCosine, adam, make_update
from ._step import clip_and_check, persistent_buffers

PriorFamily = Literal["mixture", "flow", "two_stage", "autoregressive"]

TARGET_LATENTS = 20_000  # draws in all; with fewer rows, several draws per row
MAX_DRAWS_PER_ROW = 32
HELD_OUT_EVERY = 10  # every tenth row is held out if there are no validation rows
PRIOR_BATCH_SIZE = 256
PRIOR_LEARNING_RATE = 3e-3
PRIOR_EVALUATIONS = 20  # on held-out latents during the fit


@dataclass(frozen=True)
class LatentSplit:
    """Latents ``[N, *latent]`` for the fit, and held-out latents for the choice of weights."""

    train: Tensor
    held_out: Tensor


@dataclass(frozen=True)
class PriorFitSettings:
    """The settings of a fit."""

    components: int
    steps: int
    seed: int


@gradients_enabled()
def fit_prior(
    model: VAE,
    data: Any,
    family: PriorFamily | Unconditional = "mixture",
    *,
    components: int = 10,
    steps: int = 2000,
    seed: int = 0,
) -> VAE:
    """Fit a prior to a trained model: maximise ``E[log p(z)]`` over ``z ~ q(z|x)`` and all rows.

    Encoder and decoder do not change. The result is a copy: ``sample`` draws from the new prior,
    every metric uses it, and it is saved with the model. The families:

    - ``"mixture"``: Gaussians with full covariance, by expectation maximisation (scikit-learn;
      Ghosh et al., From variational to deterministic autoencoders, 2020),
    - ``"flow"``: a masked autoregressive flow, by maximum likelihood,
    - ``"two_stage"``: a second VAE over the latents (Dai and Wipf, Diagnosing and enhancing VAE
      models, 2019),
    - ``"autoregressive"``: for discrete latents, each given the earlier ones, by maximum
      likelihood,

    or any prior of the right shape, which is fitted by maximum likelihood. Continuous latents are
    standardised for the fit. Non-finite steps are skipped, with a ``RuntimeWarning``.

    Args:
        model: A trained model. A ``Dirac`` posterior, which has no density, gets a prior too.
        data: A ``Dataset`` (training rows; validation rows choose the best weights), or rows, an
            array or a tensor ``[N, *event]``.
        family: One of the families above, or a prior.
        components: Components of the mixture.
        steps: Steps of 256 latents each.
        seed: Seed of all draws.

    Returns:
        A copy of the model with the fitted prior, in evaluation mode.

    Raises:
        IncompatibleError: The family is not a distribution of these latents.
        ArgumentError: The family is unknown, or no fit can use a setting.
        DataError: The model cannot take the data, or there are fewer rows than components.
        NumericalError: Latents are not finite, or three steps in a row were not finite.
        MissingExtraError: A mixture needs scikit-learn.

    Example:
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> net = networks.MLP(6, [8])
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Dirac(net, 2),
        ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
        ... )
        >>> fitted = fit_prior(model, torch.eye(6).repeat(20, 1), components=2)
        >>> type(fitted.prior.prior).__name__, fitted.sample(3).shape
        ('Mixture', torch.Size([3, 6]))
    """
    check_seed(seed)
    check_positive(components=components, steps=steps)
    fitter = _resolve_fitter(family)
    check_single(model, "a fitted prior")
    _check_family(model, family)
    twin = copy.deepcopy(model)
    make_differentiable(twin)
    latents = _draw_latent_split(model, data, seed)
    with seed_scope(seed):
        prior = fitter(latents, PriorFitSettings(components, steps, seed)).to(model.device)
    if isinstance(twin.posterior, CodebookPosterior):
        prior = priors.Codebook(twin.posterior, prior)
    fitted = VAE(**{**twin.arguments, "prior": prior}).eval()
    p, q = fitted.probe()
    if model.posterior.has_density and has_mass_outside(q, p):
        raise IncompatibleError(
            message(
                "{posterior} has mass where {prior} has none",
                posterior=_posterior_name(model),
                prior=f"`priors.{type(prior).__name__}`",
            ),
            argument="family",
            suggestions=("Fit a prior with the same support",),
        )
    return fitted


def _posterior_name(model: VAE) -> str:
    return f"`posteriors.{type(model.posterior).__name__}`"


def _resolve_fitter(
    family: PriorFamily | Unconditional,
) -> Callable[[LatentSplit, PriorFitSettings], Unconditional]:
    if isinstance(family, Unconditional):
        return lambda latents, settings: _fit_by_maximum_likelihood(
            copy.deepcopy(family), latents, settings
        )
    if family not in _FITTERS:
        raise ArgumentError(
            "this is not known",
            argument="family",
            value=family,
            suggestions=(one_of("family", list(_FITTERS)), "Give a prior"),
        )
    return _FITTERS[family]


def _check_family(model: VAE, family: PriorFamily | Unconditional) -> None:
    """Raise ``IncompatibleError`` if the family is not for the latents of the model."""
    _, q = model.probe()
    name = _posterior_name(model)
    if model.prior.needs_context:
        raise IncompatibleError(
            f"`priors.{type(model.prior).__name__}` depends on the context, and a fitted prior "
            "does not",
            suggestions=(
                "Use a model whose prior is the same for all rows, for instance `priors.Normal`",
            ),
        )
    has_codebook = isinstance(model.posterior, CodebookPosterior)
    discrete, shape = as_discrete(q) is not None or has_codebook, tuple(q.event_shape)
    if isinstance(family, Unconditional):
        own = tuple(family().event_shape)
        if own != shape and not has_codebook:
            raise IncompatibleError(
                f"`family` has events of shape {own}, and the latents of {name} have {shape}",
                argument="family",
                suggestions=(message("Build it with {latent}", latent=Argument("latent", shape)),),
            )
        return
    if family == "autoregressive" and not discrete:
        raise _wrong_family(family, f"it needs discrete latents, and {name} is continuous", "flow")
    if family != "autoregressive" and discrete:
        reason = f"it is a density of real numbers, and the latents of {name} are discrete"
        raise _wrong_family(family, reason, "autoregressive")
    real_line = isinstance(element_constraint(q.support), type(constraints.real))
    if not discrete and (len(q.event_shape) != 1 or not real_line):
        support = "the real line" if real_line else f"{element_constraint(q.support)}"
        raise IncompatibleError(
            f"it is a density of real vectors, and the latents of {name} have shape {shape} on "
            f"{support}",
            argument="family",
            value=family,
            suggestions=(
                message(
                    "Give a prior of that kind: {prior}",
                    prior=Argument("family", Part(f"priors.{type(model.prior).__name__}")),
                ),
            ),
        )


def _wrong_family(family: str, reason: str, better: str) -> IncompatibleError:
    return IncompatibleError(
        reason, argument="family", value=family, suggestions=(one_of("family", [better]),)
    )


def _draw_latent_split(model: VAE, data: Any, seed: int) -> LatentSplit:
    """Draw from the posterior of all rows; once per row if it has no density."""
    if isinstance(data, Dataset):
        train, held_out = as_model_rows(model, data.train), as_model_rows(model, data.validation)
    else:
        train, held_out = _split_rows(as_model_rows(model, data))
    draws = 1
    if model.posterior.has_density:
        draws = max(1, min(MAX_DRAWS_PER_ROW, TARGET_LATENTS // len(train)))
    latents = LatentSplit(
        _draw_latents(model, train, draws, seed), _draw_latents(model, held_out, 1, seed + 1)
    )
    if not (latents.train.isfinite().all() and latents.held_out.isfinite().all()):
        raise NumericalError("latent representations of `data` are not finite", argument="data")
    return latents


def _split_rows(rows: Rows) -> tuple[Rows, Rows]:
    """Hold every tenth row out; with too few rows, both parts are all rows."""
    if len(rows) < HELD_OUT_EVERY:
        return rows, rows
    number = torch.arange(len(rows))
    held_out = number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    return rows.subset(number[~held_out]), rows.subset(number[held_out])


def _draw_latents(model: VAE, rows: Rows, draws: int, seed: int) -> Tensor:
    with seeded_evaluation(model, seed):
        blocks = [
            _posterior_draws(model.infer(batch), draws)
            for batch in iter_batches(rows, PRIOR_BATCH_SIZE, model_dtype(model))
        ]
    return torch.cat(blocks).cpu()


def _posterior_draws(q: Distribution, draws: int) -> Tensor:
    """Draws ``[draws * B, *latent]``; for a codebook the one-hot numbers of its entries."""
    if isinstance(q, QuantisedDirac):
        return codes_to_one_hot(q.codes, q.codebook.n_entries, q.mean)
    return q.sample(torch.Size((draws,))).flatten(0, 1)


def _fit_mixture(latents: LatentSplit, settings: PriorFitSettings) -> Unconditional:
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise missing_extra("sklearn", "fitting a mixture") from error
    if len(latents.train) < settings.components:
        raise DataError(
            f"the data give {len(latents.train):,} latents, which are fewer",
            argument="components",
            value=settings.components,
            suggestions=("Give more rows, or fewer components",),
        )
    shift, scale = _standardisation(latents.train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a slightly better mixture may exist
        mixture = GaussianMixture(
            settings.components, reg_covar=1e-5, max_iter=300, random_state=settings.seed % 2**32
        ).fit(((latents.train - shift) / scale).double().numpy())
    parameters = [
        torch.from_numpy(part) for part in (mixture.weights_, mixture.means_, mixture.covariances_)
    ]
    if not all(part.isfinite().all() for part in parameters):
        raise NumericalError(
            "the mixture is not finite",
            argument="components",
            value=settings.components,
            suggestions=("Use fewer components",),
        )
    prior = priors.Mixture(latents.train.shape[1], settings.components, covariance="full")
    prior.to(latents.train).set_components(*parameters)
    return priors.Scaled(prior, shift.tolist(), scale.tolist())


def _fit_flow(latents: LatentSplit, settings: PriorFitSettings) -> Unconditional:
    shift, scale = _standardisation(latents.train)
    size = latents.train.shape[1]
    if size < 2:
        raise _wrong_family(
            "flow", "it needs at least 2 latent variables, and there is 1", "mixture"
        )
    flow = priors.Flow(size, "maf", 3, (128, 128))
    scaled = priors.Scaled(flow, shift.tolist(), scale.tolist())
    return _fit_by_maximum_likelihood(scaled, latents, settings)


def _fit_two_stage(latents: LatentSplit, settings: PriorFitSettings) -> Unconditional:
    shift, scale = _standardisation(latents.train)
    train, held_out = ((part - shift) / scale for part in (latents.train, latents.held_out))
    second = build_second_stage_prior(latents.train.shape[1]).to(latents.train)
    result = fit(
        VAE(second.prior, second.posterior, second.likelihood),  # pyright: ignore[reportArgumentType]
        train,
        validation=held_out,
        epochs=max(1, round(settings.steps * PRIOR_BATCH_SIZE / len(train))),
        batch_size=PRIOR_BATCH_SIZE,
        optimizer=adam(PRIOR_LEARNING_RATE),
        seed=settings.seed,
        device="cpu",
        progress=False,
    )
    _warn_of_skipped_steps(result.notes)
    return priors.Scaled(second.eval(), shift.tolist(), scale.tolist())


def _fit_autoregressive(latents: LatentSplit, settings: PriorFitSettings) -> Unconditional:
    prior = priors.Autoregressive(tuple(latents.train.shape[1:]))
    return _fit_by_maximum_likelihood(prior, latents, settings)


_FITTERS: dict[str, Callable[[LatentSplit, PriorFitSettings], Unconditional]] = {
    "mixture": _fit_mixture,
    "flow": _fit_flow,
    "two_stage": _fit_two_stage,
    "autoregressive": _fit_autoregressive,
}
assert tuple(_FITTERS) == get_args(PriorFamily)


def _standardisation(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each latent; 1 for a constant latent."""
    scale = z.std(0)
    return z.mean(0), torch.where(scale > 1e-6, scale, torch.ones_like(scale))


def _fit_by_maximum_likelihood(
    prior: Unconditional, latents: LatentSplit, settings: PriorFitSettings
) -> Unconditional:
    """Fit by maximum likelihood; the result has the best weights on the held-out latents."""
    prior = prior.to(latents.train.device, latents.train.dtype)
    prior.initialise_from_data(latents.train)
    weights = [parameter for parameter in prior.parameters() if parameter.requires_grad]
    if not weights:
        return prior
    every = max(1, settings.steps // PRIOR_EVALUATIONS)  # steps between two evaluations
    executor = _MaximumLikelihood(prior, weights, latents.train, settings.steps, every)
    journal = _BestPrior(prior, latents.held_out, every)
    Loop(executor, journal, Position(), math.ceil(settings.steps / every), every).run()
    _warn_of_skipped_steps(executor.skipped.notes)
    prior.load_state_dict(journal.best_weights or prior.state_dict())
    return prior.eval()


class _MaximumLikelihood:
    """Steps on random latents, which change nothing if a number is not finite.

    Args:
        prior: The prior.
        weights: Its parameters that are learned.
        latents: Latents ``[N, *latent]``.
        steps: Steps in all.
        epoch_steps: Steps of an epoch, of which the last may be shorter.
    """

    def __init__(
        self,
        prior: Unconditional,
        weights: Sequence[Tensor],
        latents: Tensor,
        steps: int,
        epoch_steps: int,
    ) -> None:
        self.prior, self.weights, self.latents = prior, weights, latents
        self.steps, self.epoch_steps = steps, epoch_steps
        self.optimizer = torch.optim.Adam(weights, PRIOR_LEARNING_RATE)
        self.update, self.schedule = make_update(self.optimizer), WarmupCosine()
        self.skipped, self.streak = SkippedSteps(("Fit a prior of another family",)), 0

    def iter_chunks(self, epoch: int, step_in_epoch: int) -> Iterator[Tensor]:
        start = epoch * self.epoch_steps
        for _ in range(start + step_in_epoch, min(start + self.epoch_steps, self.steps)):
            yield self.latents[torch.randint(len(self.latents), (PRIOR_BATCH_SIZE,))]

    def __call__(self, chunk: Tensor, step: int, total: float) -> int:
        rate = PRIOR_LEARNING_RATE * self.schedule(step, self.steps)
        self.optimizer.param_groups[0]["lr"] = rate
        self._take(chunk, step + 1)
        return 1

    def _take(self, z: Tensor, step: int) -> None:
        buffers = persistent_buffers(self.prior)
        before = [buffer.clone() for buffer in buffers]
        loss = -self.prior().log_prob(z).mean()
        raw = torch.autograd.grad(loss, self.weights, allow_unused=True)
        skip, gradients = clip_and_check(loss.detach(), raw)
        self.update(self.weights, gradients, skip)
        self.streak = self.streak + 1 if skip else 0
        if skip:
            for buffer, old in zip(buffers, before, strict=True):
                buffer.copy_(old)
            culprit = "the gradient" if loss.isfinite() else "log p(z)"
            self.skipped.report(culprit, self.streak, step)


class _BestPrior(Journal):
    """The best weights of a prior on held-out latents, which are scored every so many steps."""

    def __init__(self, prior: Unconditional, held_out: Tensor, every: int) -> None:
        self.prior, self.held_out, self.every = prior, held_out, every
        self.best, self.best_weights = -math.inf, dict[str, Tensor]()

    def close_epoch(self, position: Position, reason: str) -> str:
        if position.step_in_epoch == self.every:  # not after a shorter last epoch
            score = _held_out_log_prob(self.prior, self.held_out)
            if score > self.best:
                self.best = score
                self.best_weights = {name: t.clone() for name, t in self.prior.state_dict().items()}
        return super().close_epoch(position, reason)


def _warn_of_skipped_steps(notes: Iterable[Note]) -> None:
    for note in notes:
        if note.code == "step_skipped":
            warnings.warn(str(note), RuntimeWarning, stacklevel=2)


@torch.no_grad()
def _held_out_log_prob(prior: Unconditional, z: Tensor) -> float:
    with eval_mode(prior), seed_scope(0):
        return prior().log_prob(z).mean().item()
