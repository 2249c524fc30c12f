"""One call for each kind of part: every law that it must obey."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._conditional import Conditional, Unconditional
from ..likelihoods import Normal as NormalLikelihood
from ..likelihoods._likelihood import Likelihood
from ..models._eval_mode import eval_mode
from ..posteriors import Normal as NormalPosterior
from . import _laws as laws
from ._subject import Law, LawReport, Subject, check_laws, display_name

LAWS_WITHOUT_DENSITY = (
    "moments",
    "draws",
    "parameters",
    "check_low_precision",
    "saved",
    "check_full_graph",
)


def check_distribution(
    family: Callable[..., Distribution],
    *parameters: Tensor,
    laws: Sequence[str] | None = None,
    implicit: bool = False,
    circular: bool = False,
) -> LawReport:
    """Try every law of a distribution on ``family(*parameters)``, or those named in ``laws``.

    ``parameters`` are ``[B, *shape]`` and give a distribution of batch shape ``[B]``. ``implicit`` says that its draws are not a
    differentiable function of noise, as those of a rejection sampler, and are differentiated by their distribution function;
    ``circular`` that its values are angles. Raises ``LawError`` for the first law that is broken.

    >>> from torch.distributions import Normal
    >>> check_distribution(Normal, torch.tensor([0.3, -1.0]), torch.tensor([0.5, 2.0])).held
    ('mass', 'moments', 'support', 'draws', 'batched', 'precision')
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
    """Try every law of a posterior given data ``x`` ``[B, *event]``, or those named in ``laws``.

    With a ``prior`` the divergence to it is checked, too. ``context`` ``[B, C]`` goes to the posterior with the data; where it holds
    parameters for each datum, ``x`` are row numbers. ``implicit`` is as in ``check_distribution``; ``eager`` declares that a step with
    it cannot be traced. Nothing is changed in the posterior: laws are tried on copies. Raises ``LawError`` for the first that is broken.

    >>> from aevb import networks, posteriors, priors
    >>> checked = check_posterior(
    ...     posteriors.Laplace(networks.MLP(3, [4]), 2),
    ...     torch.randn(4, 3),
    ...     priors.Laplace(2),
    ...     eager=True,
    ... )
    >>> len(checked.held), checked.skipped
    (13, (('edges', 'its support has no edge that is known'), ('check_full_graph', 'it is declared eager-only')))
    """
    table = dict(POSTERIOR_LAWS)
    if prior is not None:
        table.update(
            {name: partial(law, prior=prior) for name, law in POSTERIOR_PRIOR_LAWS.items()}
        )
    held = table if posterior.has_density else {name: table[name] for name in LAWS_WITHOUT_DENSITY}
    return check_laws(_subject(posterior, x, context, implicit=implicit, eager=eager), held, laws)


def check_prior(
    prior: Unconditional,
    *,
    context: Tensor | None = None,
    laws: Sequence[str] | None = None,
    implicit: bool = False,
    eager: bool = False,
) -> LawReport:
    """Try every law of a prior, or those named in ``laws``; ``context`` ``[B, C]`` is for one that depends on it.

    The other arguments are those of ``check_posterior``. Raises ``LawError`` for the first law that is broken.

    >>> from aevb import priors
    >>> check_prior(priors.Beta(2), laws=["mass", "edges"])
    Checked(held=('mass', 'edges'), skipped=())
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
    """Try every law of a likelihood given codes ``z`` ``[B, *latent]``, or those named in ``laws``.

    The other arguments are those of ``check_distribution`` and ``check_posterior``. Raises ``LawError`` for the first law that is broken.

    >>> from aevb import likelihoods, networks
    >>> check_likelihood(
    ...     likelihoods.Poisson(networks.MLP(2), (3,)), torch.randn(4, 2), laws=["mass", "scored"]
    ... )
    Checked(held=('mass', 'scored'), skipped=())
    """
    return check_laws(
        _subject(likelihood, z, context, circular=circular, eager=eager), LIKELIHOOD_LAWS, laws
    )


def check_network(
    network: nn.Module, x: Tensor, *, laws: Sequence[str] | None = None, eager: bool = False
) -> LawReport:
    """Try what a network for inputs ``x`` ``[B, *event]`` must do as an encoder and as a decoder, or the laws named in ``laws``.

    It is put under a Gaussian, as the families do it. ``eager`` declares that it cannot be traced. Raises ``LawError`` for the first law
    that is broken.

    >>> from aevb import networks
    >>> check_network(networks.MLP(3, [4]), torch.randn(4, 3), laws=["batched", "precision"]).held
    ('encoder: batched', 'encoder: precision', 'decoder: batched', 'decoder: precision')
    """
    encoder = NormalPosterior(network, 2)
    decoder = NormalLikelihood(network, (3,), "predicted", latent_rank=x.dim() - 1)
    held, skipped = [], []
    for role, part in (("encoder", encoder), ("decoder", decoder)):
        subject = _subject(part, x, None, eager=eager)
        checked = check_laws(
            Subject(
                f"{display_name(network)} as {role}", subject.family, subject.inputs, eager=eager
            ),
            NETWORK_LAWS,
            laws,
        )
        held += [f"{role}: {law}" for law in checked.passed_laws]
        skipped += [(f"{role}: {law}", reason) for law, reason in checked.skipped_laws]
    return LawReport(tuple(held), tuple(skipped))


def _subject(
    part: Conditional,
    *inputs: Tensor | None,
    implicit: bool = False,
    circular: bool = False,
    eager: bool = False,
) -> Subject:
    """The part with its inputs; it is asked once, so that networks which look at their first input have."""
    given = tuple(value for value in inputs if value is not None)
    family = _ContextPrior(part) if isinstance(part, Unconditional) and given else part
    with eval_mode(family), torch.no_grad():
        family(*given)
    return Subject(display_name(part), family, given, implicit, circular, eager)


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
    "precision": laws.check_single_precision,
}
MODULE_LAWS: Mapping[str, Law] = {
    "extremes": laws.check_extreme_outputs,
    "parameters": laws.check_parameter_gradients,
    "check_low_precision": laws.check_low_precision,
    "saved": laws.check_serialisation,
    "check_full_graph": laws.check_full_graph,
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
}
NETWORK_LAWS: Mapping[str, Law] = {
    name: {**DISTRIBUTION_LAWS, **MODULE_LAWS}[name]
    for name in ("batched", "precision", *MODULE_LAWS)
}
