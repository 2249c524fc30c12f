"""A prior learned after the rest: where the codes of all data together really are."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from .. import priors
from .._conditional import Unconditional
from .._random import seed_scope
from ..data import Dataset, Rows
from ..distributions import QuantisedDirac
from ..distributions._discrete import as_discrete
from ..distributions._quantised import codes_to_one_hot
from ..distributions._support import element_constraint, has_mass_outside
from ..errors import ArgumentError, DataError, IncompatibleError, missing_extra
from ..metrics._blocks import as_model_rows, iter_batches, model_dtype, seeded_evaluation
from ..models import VAE
from ..models._eval_mode import eval_mode
from ..presets._two_stage import build_second_stage_prior
from ..priors._codebook import CodebookPosterior
from ._compatibility import check_positive, check_seed
from ._fit import fit
from ._optimisers import WarmupCosine, adam

PriorFamily = Literal["mixture", "flow", "two_stage", "autoregressive"]

TARGET_LATENTS = 20_000  # codes, where there are fewer data: several draws for each
MAX_DRAWS_PER_ROW = 32  # draws for each datum
HELD_OUT_EVERY = 10  # every so manieth row, where no validation rows are given
PRIOR_BATCH_SIZE = 256
PRIOR_LEARNING_RATE = 3e-3
PRIOR_EVALUATIONS = 20  # at the codes held out, while a prior learns


@dataclass(frozen=True)
class LatentSplit:
    """Codes ``[N, *latent]`` to learn from, and others to choose by."""

    train: Tensor
    held_out: Tensor


@dataclass(frozen=True)
class PriorFitSettings:
    """What is asked of a prior that is to be fitted."""

    components: int
    steps: int
    seed: int


def fit_prior(
    model: VAE,
    data: Any,
    family: PriorFamily | Unconditional = "mixture",
    *,
    components: int = 10,
    steps: int = 2000,
    seed: int = 0,
) -> VAE:
    """The same model with a prior fitted to its codes: ``max E[log p(z)]`` over ``z ~ q(z|x)`` and all ``x`` in ``data``.

    Encoder and decoder stay what they are; ``sample`` draws codes from the new prior, every metric measures with it, and it is saved and
    loaded with the model. Nothing is taken from the model that was given: the result is a copy. Of ``family``

    - ``"mixture"``: ``components`` Gaussians of full covariance, by expectation maximisation (scikit-learn's; Ghosh et al., From
      variational to deterministic autoencoders, 2020),
    - ``"flow"``: a masked autoregressive flow, by ``steps`` steps of maximum likelihood,
    - ``"two_stage"``: a second VAE over the codes, by as many steps (Dai and Wipf, Diagnosing and enhancing VAE models, 2019),
    - ``"autoregressive"``: for discrete codes, each given those before it, by maximum likelihood,

    or any prior of the right shape, which learns by maximum likelihood. Continuous codes are brought to unit size and back.

    Args:
        model: a trained model, a Dirac posterior included: its codes then have a prior at last.
        data: a ``Dataset`` (its training rows; validation rows choose the best weights), or rows, an array, a tensor ``[N, *event]``.
        family: as above.
        components: of the mixture.
        steps: of 256 codes each.
        seed: of all draws.

    Raises:
        IncompatibleError: codes that the family is no distribution of.
        ArgumentError: a family that is not known, or a setting that no run could use.
        DataError: data that the model cannot take, or fewer of them than components.
        MissingExtraError: a mixture, where scikit-learn is not installed.

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
    find = _resolve_fitter(family)
    _check_family(model, family)
    twin = copy.deepcopy(model)
    codes = _draw_latent_split(model, data, seed)
    with seed_scope(seed):
        found = find(codes, PriorFitSettings(components, steps, seed)).to(model.device)
    prior = (
        priors.Codebook(twin.posterior, found)
        if isinstance(twin.posterior, CodebookPosterior)
        else found
    )
    fitted = VAE(**{**twin.arguments, "prior": prior}).eval()
    p, q = fitted.probe()
    if model.posterior.has_density and has_mass_outside(q, p):
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` puts codes where `priors.{type(prior).__name__}` has no mass; "
            "fit one on the same support."
        )
    return fitted


def _resolve_fitter(
    family: PriorFamily | Unconditional,
) -> Callable[[LatentSplit, PriorFitSettings], Unconditional]:
    if isinstance(family, Unconditional):
        return lambda codes, wish: _fit_by_maximum_likelihood(copy.deepcopy(family), codes, wish)
    if family not in _FITTERS:
        raise ArgumentError(
            f"`family` is {family!r}; use one of {', '.join(_FITTERS)}, or give a prior."
        )
    return _FITTERS[family]


def _check_family(model: VAE, family: PriorFamily | Unconditional) -> None:
    """Raise ``IncompatibleError`` where the model's codes are not of the kind that the family is for."""
    _, q = model.probe()
    name = f"posteriors.{type(model.posterior).__name__}"
    if model.prior.needs_context:
        raise IncompatibleError(
            f"`priors.{type(model.prior).__name__}` is another prior for each context, which one that is fitted afterwards would forget; "
            "fit_prior takes models whose prior is the same for all, as `priors.Normal`."
        )
    coded, shape = (
        as_discrete(q) is not None or isinstance(model.posterior, CodebookPosterior),
        tuple(q.event_shape),
    )
    if isinstance(family, Unconditional):
        own = tuple(family().event_shape)
        if own != shape and not isinstance(model.posterior, CodebookPosterior):
            raise IncompatibleError(
                f"`family` has events of shape {own}, and codes of `{name}` have {shape}; build it with latent={shape}."
            )
        return
    if family == "autoregressive" and not coded:
        raise IncompatibleError(
            f'family="autoregressive" is for codes that are discrete, got `{name}`. Use family="flow".'
        )
    if family != "autoregressive" and coded:
        raise IncompatibleError(
            f'family="{family}" is a density of real numbers, and codes of `{name}` are discrete. Use family="autoregressive".'
        )
    if not coded and (
        len(q.event_shape) != 1
        or not isinstance(element_constraint(q.support), type(constraints.real))
    ):
        raise IncompatibleError(
            f'family="{family}" is a density of any vector of numbers, and codes of `{name}` are of shape {shape} on '
            f"{_describe_support(q)}. Give a prior of that kind as `family`, as family=priors.{type(model.prior).__name__}(...)."
        )


def _describe_support(q: Distribution) -> str:
    found = element_constraint(q.support)
    return (
        "the real line" if isinstance(found, type(constraints.real)) else f"a part of it ({found})"
    )


def _draw_latent_split(model: VAE, data: Any, seed: int) -> LatentSplit:
    """Draws from the posterior of all rows, or the one code of each where it has no spread."""
    if isinstance(data, Dataset):
        train, held_out = as_model_rows(model, data.train), as_model_rows(model, data.validation)
    else:
        train, held_out = _split_rows(as_model_rows(model, data))
    draws = (
        max(1, min(MAX_DRAWS_PER_ROW, TARGET_LATENTS // len(train)))
        if model.posterior.has_density
        else 1
    )
    return LatentSplit(
        _draw_latents(model, train, draws, seed), _draw_latents(model, held_out, 1, seed + 1)
    )


def _split_rows(rows: Rows) -> tuple[Rows, Rows]:
    """Every tenth row held out; too few rows are all of both."""
    if len(rows) < HELD_OUT_EVERY:
        return rows, rows
    number = torch.arange(len(rows))
    held_out = number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    return rows.subset(number[~held_out]), rows.subset(number[held_out])


def _draw_latents(model: VAE, rows: Rows, draws: int, seed: int) -> Tensor:
    with seeded_evaluation(model, seed):
        each = [
            _posterior_draws(model.infer(batch), draws)
            for batch in iter_batches(rows, PRIOR_BATCH_SIZE, model_dtype(model))
        ]
    return torch.cat(each).cpu()


def _posterior_draws(q: Distribution, draws: int) -> Tensor:
    """Draws ``[draws * B, *latent]``; of entries of a codebook their numbers, one-hot."""
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
            f"`data` give {len(latents.train)} codes, fewer than components={settings.components}; give more rows, or fewer components."
        )
    shift, scale = _standardisation(latents.train)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # a mixture that could still gain a little is a mixture
        found = GaussianMixture(
            settings.components, reg_covar=1e-5, max_iter=300, random_state=settings.seed % 2**32
        ).fit(((latents.train - shift) / scale).double().numpy())
    mixture = priors.Mixture(latents.train.shape[1], settings.components, covariance="full").to(
        latents.train
    )
    mixture.set_components(
        *(torch.from_numpy(part) for part in (found.weights_, found.means_, found.covariances_))
    )
    return priors.Scaled(mixture, shift.tolist(), scale.tolist())


def _fit_flow(latents: LatentSplit, settings: PriorFitSettings) -> Unconditional:
    shift, scale = _standardisation(latents.train)
    size = latents.train.shape[1]
    if size < 2:
        raise IncompatibleError(
            'family="flow" needs at least 2 latent variables, and there is 1. Use family="mixture".'
        )
    return _fit_by_maximum_likelihood(
        priors.Scaled(priors.Flow(size, "maf", 3, (128, 128)), shift.tolist(), scale.tolist()),
        latents,
        settings,
    )


def _fit_two_stage(latents: LatentSplit, settings: PriorFitSettings) -> Unconditional:
    shift, scale = _standardisation(latents.train)
    train, held_out = ((part - shift) / scale for part in (latents.train, latents.held_out))
    second = build_second_stage_prior(latents.train.shape[1]).to(latents.train)
    epochs = max(1, round(settings.steps * PRIOR_BATCH_SIZE / len(train)))
    given: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": PRIOR_BATCH_SIZE,
        "optimizer": adam(PRIOR_LEARNING_RATE),
        "seed": settings.seed,
    }
    fit(_as_vae(second), train, validation=held_out, device="cpu", progress=False, **given)
    return priors.Scaled(second.eval(), shift.tolist(), scale.tolist())


def _as_vae(second: priors.TwoStage) -> VAE:
    return VAE(second.prior, second.posterior, second.likelihood)  # pyright: ignore[reportArgumentType]


def _fit_autoregressive(latents: LatentSplit, settings: PriorFitSettings) -> Unconditional:
    return _fit_by_maximum_likelihood(
        priors.Autoregressive(tuple(latents.train.shape[1:])), latents, settings
    )


_FITTERS: dict[str, Callable[[LatentSplit, PriorFitSettings], Unconditional]] = {
    "mixture": _fit_mixture,
    "flow": _fit_flow,
    "two_stage": _fit_two_stage,
    "autoregressive": _fit_autoregressive,
}
assert tuple(_FITTERS) == get_args(PriorFamily)


def _standardisation(z: Tensor) -> tuple[Tensor, Tensor]:
    """What brings codes to mean 0 and deviation 1; one that never moves is left as it is."""
    scale = z.std(0)
    return z.mean(0), torch.where(scale > 1e-6, scale, torch.ones_like(scale))


def _fit_by_maximum_likelihood(
    prior: Unconditional, latents: LatentSplit, settings: PriorFitSettings
) -> Unconditional:
    """The prior after ``steps`` steps of maximum likelihood, with the weights that were best on the codes held out."""
    prior = prior.to(latents.train.device, latents.train.dtype)
    prior.initialise_from_data(latents.train)
    weights = [parameter for parameter in prior.parameters() if parameter.requires_grad]
    if not weights:
        return prior
    optimizer, schedule = torch.optim.Adam(weights, PRIOR_LEARNING_RATE), WarmupCosine()
    best, kept = -math.inf, {}
    for step in range(settings.steps):
        optimizer.param_groups[0]["lr"] = PRIOR_LEARNING_RATE * schedule(step, settings.steps)
        _maximum_likelihood_step(
            prior, latents.train[torch.randint(len(latents.train), (PRIOR_BATCH_SIZE,))], optimizer
        )
        if (step + 1) % max(1, settings.steps // PRIOR_EVALUATIONS) == 0 and (
            score := _held_out_log_prob(prior, latents.held_out)
        ) > best:
            best, kept = (
                score,
                {name: tensor.clone() for name, tensor in prior.state_dict().items()},
            )
    prior.load_state_dict(kept or prior.state_dict())
    return prior.eval()


def _maximum_likelihood_step(
    prior: Unconditional, z: Tensor, optimizer: torch.optim.Optimizer
) -> None:
    optimizer.zero_grad()
    loss = -prior().log_prob(z).mean()
    if loss.isfinite():
        loss.backward()
        optimizer.step()


@torch.no_grad()
def _held_out_log_prob(prior: Unconditional, z: Tensor) -> float:
    with eval_mode(prior), seed_scope(0):
        return prior().log_prob(z).mean().item()
