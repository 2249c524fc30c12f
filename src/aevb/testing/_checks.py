"""One function for each kind of part, which tries every law that the kind obeys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._conditional import Conditional, Unconditional
from ..likelihoods import Columns
from ..likelihoods import Normal as NormalLikelihood
from ..likelihoods._likelihood import Likelihood
from ..models._eval_mode import eval_mode
from ..posteriors import Normal as NormalPosterior
from . import _laws as laws
from ._column_laws import COLUMN_LAWS
from ._subject import Law, LawReport, Subject, check_laws, display_name

LAWS_WITHOUT_DENSITY = ("moments", "draws", "parameters", "low_precision", "saved", "one_graph")


def check_distribution(
    family: Callable[..., Distribution],
    *parameters: Tensor,
    laws: Sequence[str] | None = None,
    implicit: bool = False,
    circular: bool = False,
) -> LawReport:
    """Try the laws of a distribution on ``family(*parameters)``.

    Args:
        family: Maps parameters to a distribution.
        *parameters: Tensors of shape ``[B, *shape]``, which lead to a distribution with batch shape
            ``[B]``.
        laws: Names of the laws to try; all by default.
        implicit: Whether draws are differentiated by their distribution function and not as a
            function of noise, like those of a rejection sampler.
        circular: Whether the values are angles.

    Returns:
        The laws that hold, and those that could not be tried.

    Raises:
        LawError: The distribution breaks a law.
        ArgumentError: A law is not known.

    Example:
        >>> from torch.distributions import Normal
        >>> report = check_distribution(Normal, torch.tensor([0.3, -1.0]), torch.tensor([0.5, 2.0]))
        >>> report.passed_laws
        ('mass', 'moments', 'support', 'draws', 'batched', 'row_noise', 'precision')
    """
    return check_laws(
        Subject(display_name(family), family, parameters, implicit, circular),
        DISTRIBUTION_LAWS,
        laws,
    )


def check_posterior(
    posterior: Conditional,
    x: Tensor,
    prior: Unconditional | None = None,
    *,
    context: Tensor | None = None,
    laws: Sequence[str] | None = None,
    implicit: bool = False,
    eager: bool = False,
) -> LawReport:
    """Try the laws of a posterior on data.

    The laws are tried on copies; the posterior is not changed.

    Args:
        posterior: The posterior.
        x: Data of shape ``[B, *event]``; row numbers for a posterior with parameters for each row.
        prior: A prior; the KL divergence to it is checked, too.
        context: Context of shape ``[B, C]``.
        laws: Names of the laws to try; all by default.
        implicit: Whether draws are differentiated by their distribution function.
        eager: Whether a step with this part cannot be traced.

    Returns:
        The laws that hold, and those that could not be tried.

    Raises:
        LawError: The posterior breaks a law.
        ArgumentError: A law is not known.

    Example:
        >>> from aevb import networks, posteriors, priors
        >>> report = check_posterior(
        ...     posteriors.Laplace(networks.MLP(3, [4]), 2),
        ...     torch.randn(4, 3),
        ...     priors.Laplace(2),
        ...     eager=True,
        ... )
        >>> len(report.passed_laws), [law for law, reason in report.skipped_laws]
        (14, ['edges', 'one_graph'])
    """
    table = dict(POSTERIOR_LAWS)
    if prior is not None:
        table.update(
            {name: partial(law, prior=prior) for name, law in POSTERIOR_PRIOR_LAWS.items()}
        )
    if not posterior.has_density:
        table = {name: table[name] for name in LAWS_WITHOUT_DENSITY}
    return check_laws(_subject(posterior, x, context, implicit=implicit, eager=eager), table, laws)


def check_prior(
    prior: Unconditional,
    *,
    context: Tensor | None = None,
    laws: Sequence[str] | None = None,
    implicit: bool = False,
    eager: bool = False,
) -> LawReport:
    """Try the laws of a prior.

    Args:
        prior: The prior.
        context: Context of shape ``[B, C]``, for a prior that depends on it.
        laws: Names of the laws to try; all by default.
        implicit: Whether draws are differentiated by their distribution function.
        eager: Whether a step with this part cannot be traced.

    Returns:
        The laws that hold, and those that could not be tried.

    Raises:
        LawError: The prior breaks a law.
        ArgumentError: A law is not known.

    Example:
        >>> from aevb import priors
        >>> check_prior(priors.Beta(2), laws=["mass", "edges"])
        LawReport(passed_laws=('mass', 'edges'), skipped_laws=())
    """
    inputs = () if context is None else (None, context)
    return check_laws(_subject(prior, *inputs, implicit=implicit, eager=eager), PRIOR_LAWS, laws)


def check_likelihood(
    likelihood: Likelihood,
    z: Tensor,
    *,
    context: Tensor | None = None,
    laws: Sequence[str] | None = None,
    circular: bool = False,
    eager: bool = False,
) -> LawReport:
    """Try the laws of a likelihood on latents.

    Args:
        likelihood: The likelihood.
        z: Latents of shape ``[B, *latent]``.
        context: Context of shape ``[B, C]``.
        laws: Names of the laws to try; all by default.
        circular: Whether the values are angles.
        eager: Whether a step with this part cannot be traced.

    Returns:
        The laws that hold, and those that could not be tried.

    Raises:
        LawError: The likelihood breaks a law.
        ArgumentError: A law is not known.

    Example:
        >>> from aevb import likelihoods, networks
        >>> poisson = likelihoods.Poisson(networks.MLP(2), (3,))
        >>> check_likelihood(poisson, torch.randn(4, 2), laws=["mass", "scored"])
        LawReport(passed_laws=('mass', 'scored'), skipped_laws=())
    """
    return check_laws(
        _subject(likelihood, z, context, circular=circular, eager=eager), LIKELIHOOD_LAWS, laws
    )


def check_columns(
    likelihood: Columns,
    z: Tensor,
    *,
    context: Tensor | None = None,
    laws: Sequence[str] | None = None,
) -> LawReport:
    """Try the laws of the cells of a table on latents, beside those of every likelihood.

    Each column integrates or sums to 1 over the data in their own units, a missing cell adds
    exactly 0, another unit changes a log-density by its logarithm and no probability, and the
    order of the columns does not matter.

    Args:
        likelihood: The likelihood.
        z: Latents of shape ``[B, *latent]``.
        context: Context of shape ``[B, C]``.
        laws: Names of the laws to try; all by default.

    Returns:
        The laws that hold.

    Raises:
        LawError: The likelihood breaks a law.
        ArgumentError: A law is not known.

    Example:
        >>> from aevb import likelihoods, networks
        >>> height = networks.Column("height", "continuous", "normal", shift=170.0, scale=8.0)
        >>> table = likelihoods.Columns(networks.MLP(2), [height])
        >>> check_columns(table, torch.randn(4, 2)).passed_laws
        ('cell_mass', 'missing_cells', 'cell_units', 'column_order')
    """
    return check_laws(_subject(likelihood, z, context), COLUMN_LAWS, laws)


def check_network(
    network: nn.Module, x: Tensor, *, laws: Sequence[str] | None = None, eager: bool = False
) -> LawReport:
    """Try the laws of a network as an encoder and as a decoder.

    The network is put under a Gaussian, as the families do it.

    Args:
        network: The network.
        x: Inputs of shape ``[B, *event]``.
        laws: Names of the laws to try; all by default.
        eager: Whether the network cannot be traced.

    Returns:
        The laws that hold, and those that could not be tried, for each of the two roles.

    Raises:
        LawError: The network breaks a law.
        ArgumentError: A law is not known.

    Example:
        >>> from aevb import networks
        >>> network = networks.MLP(3, [4])
        >>> check_network(network, torch.randn(4, 3), laws=["batched", "precision"]).passed_laws
        ('encoder: batched', 'encoder: precision', 'decoder: batched', 'decoder: precision')
    """
    encoder = NormalPosterior(network, 2)
    decoder = NormalLikelihood(network, (3,), "predicted", latent_rank=x.dim() - 1)
    passed, skipped = [], []
    for role, part in (("encoder", encoder), ("decoder", decoder)):
        subject = _subject(part, x, None, eager=eager)
        name = f"{display_name(network)} as {role}"
        report = check_laws(
            Subject(name, subject.family, subject.inputs, eager=eager), NETWORK_LAWS, laws
        )
        passed += [f"{role}: {law}" for law in report.passed_laws]
        skipped += [(f"{role}: {law}", reason) for law, reason in report.skipped_laws]
    return LawReport(tuple(passed), tuple(skipped))


def _subject(
    part: Conditional,
    *inputs: Tensor | None,
    implicit: bool = False,
    circular: bool = False,
    eager: bool = False,
) -> Subject:
    """Wrap a part with its inputs, after one call in which lazy networks are built."""
    present = tuple(value for value in inputs if value is not None)
    family = _ContextPrior(part) if isinstance(part, Unconditional) and present else part
    with eval_mode(family), torch.no_grad():
        family(*present)
    return Subject(display_name(part), family, present, implicit, circular, eager)


class _ContextPrior(Conditional):
    """A prior as a function of its context alone."""

    def __init__(self, prior: Unconditional) -> None:
        super().__init__()
        self.prior, self.lazy_networks, self.has_density = (
            prior,
            prior.lazy_networks,
            prior.has_density,
        )

    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        return self.prior(None, input)


DISTRIBUTION_LAWS: Mapping[str, Law] = {
    "mass": laws.check_normalisation,
    "moments": laws.check_moments,
    "support": laws.check_support,
    "edges": laws.check_support_edges,
    "draws": laws.check_sample_gradients,
    "batched": laws.check_batch_consistency,
    "row_noise": laws.check_row_noise,
    "precision": laws.check_single_precision,
}
MODULE_LAWS: Mapping[str, Law] = {
    "extremes": laws.check_extreme_outputs,
    "parameters": laws.check_parameter_gradients,
    "low_precision": laws.check_low_precision,
    "saved": laws.check_serialisation,
    "one_graph": laws.check_full_graph,
}
POSTERIOR_LAWS: Mapping[str, Law] = {
    **DISTRIBUTION_LAWS,
    **MODULE_LAWS,
    "stopping": laws.check_stop_gradient,
}
POSTERIOR_PRIOR_LAWS = {"divergence": laws.check_kl, "meeting": laws.check_extreme_kl}
PRIOR_LAWS: Mapping[str, Law] = {**DISTRIBUTION_LAWS, **MODULE_LAWS}
LIKELIHOOD_LAWS: Mapping[str, Law] = {
    **DISTRIBUTION_LAWS,
    **MODULE_LAWS,
    "scored": laws.check_scorer,
    "cells": laws.check_cells,
}
NETWORK_LAWS: Mapping[str, Law] = {
    name: {**DISTRIBUTION_LAWS, **MODULE_LAWS}[name]
    for name in ("batched", "precision", *MODULE_LAWS)
}
