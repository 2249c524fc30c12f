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
from ..conditional import Unconditional
from ..data import Dataset, Rows
from ..distributions import Quantised
from ..distributions.discrete import discrete
from ..distributions.quantised import one_hot
from ..distributions.support import core, reaches_beyond
from ..errors import ArgumentError, DataError, IncompatibleError, extra
from ..metrics.sweep import blocks, dtype_of, evaluating, rows_of
from ..models import VAE
from ..models.mode import at_rest
from ..presets.after import second_stage
from ..priors.codebook import Coding
from ..random import seeded
from .door import check_numbers, check_seed
from .fit import fit
from .optimisers import WarmupCosine, adam

Family = Literal["mixture", "flow", "two_stage", "autoregressive"]

WANTED = 20_000  # codes, where there are fewer data: several draws for each
MOST = 32  # draws for each datum
HELD_OUT = 10  # every so manieth row, where no validation rows are given
BATCH = 256
RATE = 3e-3
LOOKS = 20  # at the codes held out, while a prior learns


@dataclass(frozen=True)
class Codes:
    """Codes ``[N, *latent]`` to learn from, and others to choose by."""

    train: Tensor
    held_out: Tensor


@dataclass(frozen=True)
class Wish:
    """What is asked of a prior that is to be fitted."""

    components: int
    steps: int
    seed: int


def fit_prior(
    model: VAE, data: Any, family: Family | Unconditional = "mixture", *, components: int = 10, steps: int = 2000, seed: int = 0
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
    >>> model = VAE(priors.Normal(2), posteriors.Dirac(net, 2), likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)))
    >>> fitted = fit_prior(model, torch.eye(6).repeat(20, 1), components=2)
    >>> type(fitted.prior.prior).__name__, fitted.sample(3).shape
    ('Mixture', torch.Size([3, 6]))
    """
    check_seed(seed)
    check_numbers(components=components, steps=steps)
    find = _finder(family)
    _check(model, family)
    twin = copy.deepcopy(model)
    codes = _codes(model, data, seed)
    with seeded(seed):
        found = find(codes, Wish(components, steps, seed)).to(model.device)
    prior = priors.Codebook(twin.posterior, found) if isinstance(twin.posterior, Coding) else found
    fitted = VAE(**{**twin.arguments, "prior": prior}).eval()
    p, q = fitted.probe()
    if model.posterior.density and reaches_beyond(q, p):
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` puts codes where `priors.{type(prior).__name__}` has no mass; "
            "fit one on the same support."
        )
    return fitted


def _finder(family: Family | Unconditional) -> Callable[[Codes, Wish], Unconditional]:
    if isinstance(family, Unconditional):
        return lambda codes, wish: _learned(copy.deepcopy(family), codes, wish)
    if family not in _FAMILIES:
        raise ArgumentError(f"`family` is {family!r}; use one of {', '.join(_FAMILIES)}, or give a prior.")
    return _FAMILIES[family]


def _check(model: VAE, family: Family | Unconditional) -> None:
    """Raise ``IncompatibleError`` where the model's codes are not of the kind that the family is for."""
    _, q = model.probe()
    name = f"posteriors.{type(model.posterior).__name__}"
    if model.prior.told:
        raise IncompatibleError(
            f"`priors.{type(model.prior).__name__}` is another prior for each context, which one that is fitted afterwards would forget; "
            "fit_prior takes models whose prior is the same for all, as `priors.Normal`."
        )
    coded, shape = discrete(q) is not None or isinstance(model.posterior, Coding), tuple(q.event_shape)
    if isinstance(family, Unconditional):
        own = tuple(family().event_shape)
        if own != shape and not isinstance(model.posterior, Coding):
            raise IncompatibleError(
                f"`family` has events of shape {own}, and codes of `{name}` have {shape}; build it with latent={shape}."
            )
        return
    if family == "autoregressive" and not coded:
        raise IncompatibleError(f'family="autoregressive" is for codes that are discrete, got `{name}`. Use family="flow".')
    if family != "autoregressive" and coded:
        raise IncompatibleError(
            f'family="{family}" is a density of real numbers, and codes of `{name}` are discrete. Use family="autoregressive".'
        )
    if not coded and (len(q.event_shape) != 1 or not isinstance(core(q.support), type(constraints.real))):
        raise IncompatibleError(
            f'family="{family}" is a density of any vector of numbers, and codes of `{name}` are of shape {shape} on '
            f"{_described(q)}. Give a prior of that kind as `family`, as family=priors.{type(model.prior).__name__}(...)."
        )


def _described(q: Distribution) -> str:
    found = core(q.support)
    return "the real line" if isinstance(found, type(constraints.real)) else f"a part of it ({found})"


def _codes(model: VAE, data: Any, seed: int) -> Codes:
    """Draws from the posterior of all rows, or the one code of each where it has no spread."""
    if isinstance(data, Dataset):
        train, held_out = rows_of(model, data.train), rows_of(model, data.validation)
    else:
        train, held_out = _parted(rows_of(model, data))
    draws = max(1, min(MOST, WANTED // len(train))) if model.posterior.density else 1
    return Codes(_drawn(model, train, draws, seed), _drawn(model, held_out, 1, seed + 1))


def _parted(rows: Rows) -> tuple[Rows, Rows]:
    """Every tenth row held out; too few rows are all of both."""
    if len(rows) < HELD_OUT:
        return rows, rows
    number = torch.arange(len(rows))
    held_out = number % HELD_OUT == HELD_OUT - 1
    return rows.subset(number[~held_out]), rows.subset(number[held_out])


def _drawn(model: VAE, rows: Rows, draws: int, seed: int) -> Tensor:
    with evaluating(model, seed):
        each = [_shown(model.infer(batch), draws) for batch in blocks(rows, BATCH, dtype_of(model))]
    return torch.cat(each).cpu()


def _shown(q: Distribution, draws: int) -> Tensor:
    """Draws ``[draws * B, *latent]``; of entries of a codebook their numbers, one-hot."""
    if isinstance(q, Quantised):
        return one_hot(q.numbers, q.book.size, q.mean)
    return q.sample(torch.Size((draws,))).flatten(0, 1)


def _mixture(codes: Codes, wish: Wish) -> Unconditional:
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise extra("sklearn", "fitting a mixture") from error
    if len(codes.train) < wish.components:
        raise DataError(
            f"`data` give {len(codes.train)} codes, fewer than components={wish.components}; give more rows, or fewer components."
        )
    shift, scale = _unit(codes.train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a mixture that could still gain a little is a mixture
        found = GaussianMixture(wish.components, reg_covar=1e-5, max_iter=300, random_state=wish.seed % 2**32).fit(
            ((codes.train - shift) / scale).double().numpy()
        )
    mixture = priors.Mixture(codes.train.shape[1], wish.components, covariance="full").to(codes.train)
    mixture.set(*(torch.from_numpy(part) for part in (found.weights_, found.means_, found.covariances_)))
    return priors.Scaled(mixture, shift.tolist(), scale.tolist())


def _flow(codes: Codes, wish: Wish) -> Unconditional:
    shift, scale = _unit(codes.train)
    size = codes.train.shape[1]
    if size < 2:
        raise IncompatibleError('family="flow" needs at least 2 latent variables, and there is 1. Use family="mixture".')
    return _learned(priors.Scaled(priors.Flow(size, "maf", 3, (128, 128)), shift.tolist(), scale.tolist()), codes, wish)


def _two_stage(codes: Codes, wish: Wish) -> Unconditional:
    shift, scale = _unit(codes.train)
    train, held_out = ((part - shift) / scale for part in (codes.train, codes.held_out))
    second = second_stage(codes.train.shape[1]).to(codes.train)
    epochs = max(1, round(wish.steps * BATCH / len(train)))
    given: dict[str, Any] = {"epochs": epochs, "batch_size": BATCH, "optimizer": adam(RATE), "seed": wish.seed}
    fit(_as_model(second), train, validation=held_out, device="cpu", progress=False, **given)
    return priors.Scaled(second.eval(), shift.tolist(), scale.tolist())


def _as_model(second: priors.TwoStage) -> VAE:
    return VAE(second.prior, second.posterior, second.likelihood)  # pyright: ignore[reportArgumentType]


def _autoregressive(codes: Codes, wish: Wish) -> Unconditional:
    return _learned(priors.Autoregressive(tuple(codes.train.shape[1:])), codes, wish)


_FAMILIES: dict[str, Callable[[Codes, Wish], Unconditional]] = {
    "mixture": _mixture,
    "flow": _flow,
    "two_stage": _two_stage,
    "autoregressive": _autoregressive,
}
assert tuple(_FAMILIES) == get_args(Family)


def _unit(codes: Tensor) -> tuple[Tensor, Tensor]:
    """What brings codes to mean 0 and deviation 1; one that never moves is left as it is."""
    scale = codes.std(0)
    return codes.mean(0), torch.where(scale > 1e-6, scale, torch.ones_like(scale))


def _learned(prior: Unconditional, codes: Codes, wish: Wish) -> Unconditional:
    """The prior after ``steps`` steps of maximum likelihood, with the weights that were best on the codes held out."""
    prior = prior.to(codes.train.device, codes.train.dtype)
    prior.prime(codes.train)
    weights = [parameter for parameter in prior.parameters() if parameter.requires_grad]
    if not weights:
        return prior
    optimizer, schedule = torch.optim.Adam(weights, RATE), WarmupCosine()
    best, kept = -math.inf, {}
    for step in range(wish.steps):
        optimizer.param_groups[0]["lr"] = RATE * schedule(step, wish.steps)
        _climb(prior, codes.train[torch.randint(len(codes.train), (BATCH,))], optimizer)
        if (step + 1) % max(1, wish.steps // LOOKS) == 0 and (score := _scored(prior, codes.held_out)) > best:
            best, kept = score, {name: tensor.clone() for name, tensor in prior.state_dict().items()}
    prior.load_state_dict(kept or prior.state_dict())
    return prior.eval()


def _climb(prior: Unconditional, z: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss = -prior().log_prob(z).mean()
    if loss.isfinite():
        loss.backward()
        optimizer.step()


@torch.no_grad()
def _scored(prior: Unconditional, z: Tensor) -> float:
    with at_rest(prior), seeded(0):
        return prior().log_prob(z).mean().item()
