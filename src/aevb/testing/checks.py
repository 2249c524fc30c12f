"""One call for each kind of part: every law that it must obey."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ..conditional import Conditional, Unconditional
from ..likelihoods import Normal as Decoded
from ..likelihoods.likelihood import Likelihood
from ..models.mode import at_rest
from ..posteriors import Normal as Encoded
from . import laws
from .subject import Checked, Law, Subject, named, obey

WITHOUT_DENSITY = ("moments", "draws", "parameters", "low_precision", "saved", "one_graph")


def check_distribution(
    family: Callable[..., Distribution],
    *parameters: Tensor,
    laws: Sequence[str] | None = None,
    implicit: bool = False,
    circular: bool = False,
) -> Checked:
    """Try every law of a distribution on ``family(*parameters)``, or those named in ``laws``.

    ``parameters`` are ``[B, *shape]`` and give a distribution of batch shape ``[B]``. ``implicit`` says that its draws are not a
    differentiable function of noise, as those of a rejection sampler, and are differentiated by their distribution function;
    ``circular`` that its values are angles. Raises ``LawError`` for the first law that is broken.

    >>> from torch.distributions import Normal
    >>> check_distribution(Normal, torch.tensor([0.3, -1.0]), torch.tensor([0.5, 2.0])).held
    ('mass', 'moments', 'support', 'draws', 'batched', 'precision')
    """
    return obey(Subject(named(family), family, parameters, implicit, circular), DISTRIBUTION, laws)


def check_posterior(
    posterior: Conditional,
    x: Tensor,
    prior: Unconditional | None = None,
    *,
    context: Tensor | None = None,
    laws: Sequence[str] | None = None,
    implicit: bool = False,
    eager: bool = False,
) -> Checked:
    """Try every law of a posterior given data ``x`` ``[B, *event]``, or those named in ``laws``.

    With a ``prior`` the divergence to it is checked, too. ``context`` ``[B, C]`` goes to the posterior with the data; where it holds
    parameters for each datum, ``x`` are row numbers. ``implicit`` is as in ``check_distribution``; ``eager`` declares that a step with
    it cannot be traced. Nothing is changed in the posterior: laws are tried on copies. Raises ``LawError`` for the first that is broken.

    >>> from aevb import networks, posteriors, priors
    >>> checked = check_posterior(posteriors.Laplace(networks.MLP(3, [4]), 2), torch.randn(4, 3), priors.Laplace(2), eager=True)
    >>> len(checked.held), checked.skipped
    (13, (('edges', 'its support has no edge that is known'), ('one_graph', 'it is declared eager-only')))
    """
    table = dict(POSTERIOR)
    if prior is not None:
        table.update({name: partial(law, prior=prior) for name, law in WITH_PRIOR.items()})
    held = table if posterior.density else {name: table[name] for name in WITHOUT_DENSITY}
    return obey(_subject(posterior, x, context, implicit=implicit, eager=eager), held, laws)


def check_prior(
    prior: Unconditional, *, context: Tensor | None = None, laws: Sequence[str] | None = None, implicit: bool = False, eager: bool = False
) -> Checked:
    """Try every law of a prior, or those named in ``laws``; ``context`` ``[B, C]`` is for one that depends on it.

    The other arguments are those of ``check_posterior``. Raises ``LawError`` for the first law that is broken.

    >>> from aevb import priors
    >>> check_prior(priors.Beta(2), laws=["mass", "edges"])
    Checked(held=('mass', 'edges'), skipped=())
    """
    inputs = () if context is None else (None, context)
    return obey(_subject(prior, *inputs, implicit=implicit, eager=eager), PRIOR, laws)


def check_likelihood(
    likelihood: Likelihood,
    z: Tensor,
    *,
    context: Tensor | None = None,
    laws: Sequence[str] | None = None,
    circular: bool = False,
    eager: bool = False,
) -> Checked:
    """Try every law of a likelihood given codes ``z`` ``[B, *latent]``, or those named in ``laws``.

    The other arguments are those of ``check_distribution`` and ``check_posterior``. Raises ``LawError`` for the first law that is broken.

    >>> from aevb import likelihoods, networks
    >>> check_likelihood(likelihoods.Poisson(networks.MLP(2), (3,)), torch.randn(4, 2), laws=["mass", "scored"])
    Checked(held=('mass', 'scored'), skipped=())
    """
    return obey(_subject(likelihood, z, context, circular=circular, eager=eager), LIKELIHOOD, laws)


def check_network(network: nn.Module, x: Tensor, *, laws: Sequence[str] | None = None, eager: bool = False) -> Checked:
    """Try what a network for inputs ``x`` ``[B, *event]`` must do as an encoder and as a decoder, or the laws named in ``laws``.

    It is put under a Gaussian, as the families do it. ``eager`` declares that it cannot be traced. Raises ``LawError`` for the first law
    that is broken.

    >>> from aevb import networks
    >>> check_network(networks.MLP(3, [4]), torch.randn(4, 3), laws=["batched", "precision"]).held
    ('encoder: batched', 'encoder: precision', 'decoder: batched', 'decoder: precision')
    """
    encoder = Encoded(network, 2)
    decoder = Decoded(network, (3,), "predicted", latent_rank=x.dim() - 1)
    held, skipped = [], []
    for role, part in (("encoder", encoder), ("decoder", decoder)):
        subject = _subject(part, x, None, eager=eager)
        checked = obey(Subject(f"{named(network)} as {role}", subject.family, subject.inputs, eager=eager), NETWORK, laws)
        held += [f"{role}: {law}" for law in checked.held]
        skipped += [(f"{role}: {law}", reason) for law, reason in checked.skipped]
    return Checked(tuple(held), tuple(skipped))


def _subject(part: Conditional, *inputs: Tensor | None, implicit: bool = False, circular: bool = False, eager: bool = False) -> Subject:
    """The part with its inputs; it is asked once, so that networks which look at their first input have."""
    given = tuple(value for value in inputs if value is not None)
    family = _Given(part) if isinstance(part, Unconditional) and given else part
    with at_rest(family), torch.no_grad():
        family(*given)
    return Subject(named(part), family, given, implicit, circular, eager)


class _Given(Conditional):
    """A prior as a function of its context alone."""

    def __init__(self, prior: Unconditional) -> None:
        super().__init__()
        self.prior, self.late, self.density = prior, prior.late, prior.density

    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        return self.prior(None, input)


DISTRIBUTION: Mapping[str, Law] = {
    "mass": laws.mass,
    "moments": laws.moments,
    "support": laws.support,
    "edges": laws.edges,
    "draws": laws.draws,
    "batched": laws.batched,
    "precision": laws.precision,
}
MODULE: Mapping[str, Law] = {
    "extremes": laws.extremes,
    "parameters": laws.parameters,
    "low_precision": laws.low_precision,
    "saved": laws.saved,
    "one_graph": laws.one_graph,
}
POSTERIOR: Mapping[str, Law] = {**DISTRIBUTION, **MODULE, "stopping": laws.stopping}
WITH_PRIOR = {"divergence": laws.divergence, "meeting": laws.meeting}
PRIOR: Mapping[str, Law] = {**DISTRIBUTION, **MODULE}
LIKELIHOOD: Mapping[str, Law] = {**DISTRIBUTION, **MODULE, "scored": laws.scored}
NETWORK: Mapping[str, Law] = {name: {**DISTRIBUTION, **MODULE}[name] for name in ("batched", "precision", *MODULE)}
