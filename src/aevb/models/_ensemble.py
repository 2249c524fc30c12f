"""Ensembles: models whose densities are averaged, as one model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .._conditional import Conditional, Unconditional
from ..distributions import MemberAndLatent, MemberSelection
from ..errors import IncompatibleError
from ..likelihoods._likelihood import Likelihood
from ..notes import Argument, message
from ._vae import VAE


def build_ensemble(members: Sequence[VAE]) -> VAE:
    """Combine models of one architecture to one, whose density is the mean of theirs.

    ``p(x) = 1/M sum_m p_m(x)`` is the density of a model whose latent has one more variable: the
    number of the member, in front. Whatever is estimated by importance sampling is that of the
    mixture: the weights of the draws decide which members explain a row. Samples take each member
    with the same probability. The functions of ``inference`` that return or take latents use those
    of the first member.

    Args:
        members: The models, with the same shapes; they are not copied.

    Returns:
        The model of the mixture, in evaluation mode. It cannot be trained.

    Raises:
        IncompatibleError: There is no member, the members have different shapes, or they have no
            importance weights or no encoder.

    Example:
        >>> import torch
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> members = [
        ...     VAE(
        ...         priors.Normal(2),
        ...         posteriors.Normal(networks.MLP(3), 2),
        ...         likelihoods.Normal(networks.MLP(2), (3,)),
        ...     )
        ...     for _ in range(4)
        ... ]
        >>> ensemble = build_ensemble(members)
        >>> ensemble.capabilities.members, ensemble.sample(5).shape
        (4, torch.Size([5, 3]))
    """
    _check_members(members)
    prior = EnsemblePrior([member.prior for member in members])
    posterior = EnsemblePosterior([member.posterior for member in members])
    parts = [member.likelihood for member in members]
    return VAE(prior, posterior, EnsembleLikelihood(parts, members[0].latent_shape)).eval()


def first_member(model: VAE) -> VAE:
    """Return the first member of an ensemble, whose latents stand for it, or a single model itself.

    Args:
        model: Any model.

    Returns:
        A model that shares its parts with the ensemble.
    """
    if model.capabilities.members == 1:
        return model
    parts = (model.prior, model.posterior, model.likelihood)
    return VAE(*(part.get_submodule("parts.0") for part in parts)).eval()  # pyright: ignore[reportArgumentType]


def check_single(model: VAE, purpose: str) -> None:
    """Check that a model is no ensemble.

    Raises:
        IncompatibleError: It is.
    """
    if model.capabilities.members > 1:
        raise IncompatibleError(
            f"{purpose} is for a single model, and this is an ensemble of "
            f"{model.capabilities.members} members, each with its own latent variables",
            argument="model",
            suggestions=(message("Train it without {ensemble}", ensemble=Argument("ensemble")),),
        )


def _check_members(members: Sequence[VAE]) -> None:
    shapes = {(member.event_shape, member.latent_shape) for member in members}
    if len(shapes) != 1:
        raise IncompatibleError(
            "give models of one shape of data and latents", argument="members", value=len(members)
        )
    for member in members:
        check_can_be_member(member)


def check_can_be_member(model: VAE) -> None:
    """Check that a model can be a member of an ensemble.

    Raises:
        IncompatibleError: It has no importance weights or no encoder.
    """
    check_has_likelihood(model, "an ensemble averages the densities of its members", "ensemble")


def check_has_likelihood(model: VAE, purpose: str, argument: str) -> None:
    """Check that log p(x) of new rows can be estimated.

    Args:
        model: The model.
        purpose: What needs it, as a clause.
        argument: The argument that asks for it.

    Raises:
        IncompatibleError: It has no importance weights or no encoder.
    """
    can = model.capabilities
    if can.importance_weights and can.encodes_new_rows:
        return
    reason = "has no estimate of it" if can.encodes_new_rows else "cannot encode new rows"
    raise IncompatibleError(
        f"{purpose}, and a model with `posteriors.{type(model.posterior).__name__}` {reason}",
        argument=argument,
        suggestions=(message("Leave {argument} out", argument=Argument(argument)),),
    )


class EnsemblePrior(Unconditional):
    """``p(m, z) = p_m(z) / M``: the prior of an ensemble; see ``build_ensemble``.

    Args:
        parts: The priors of the members.

    Example:
        >>> from aevb import priors
        >>> EnsemblePrior([priors.Normal(2), priors.Normal(2)])().sample((5,)).shape
        torch.Size([5, 3])
    """

    def __init__(self, parts: Sequence[Unconditional]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.needs_context = any(part.needs_context for part in parts)
        self.lazy_networks = any(part.lazy_networks for part in parts)

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> MemberAndLatent:
        return MemberAndLatent([part(input, context) for part in self.parts])


class EnsemblePosterior(Conditional):
    """``q(m, z|x) = q_m(z|x) / M``: the posterior of an ensemble; see ``build_ensemble``.

    Args:
        parts: The posteriors of the members.

    Example:
        >>> import torch
        >>> from aevb import posteriors
        >>> parts = [posteriors.Normal(nn.Linear(4, 3), 2) for _ in range(2)]
        >>> EnsemblePosterior(parts)(torch.zeros(5, 4)).sample().shape
        torch.Size([5, 3])
    """

    def __init__(self, parts: Sequence[Conditional]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.lazy_networks = any(part.lazy_networks for part in parts)

    def forward(self, input: Tensor, context: Tensor | None = None) -> MemberAndLatent:
        return MemberAndLatent([part(input, context) for part in self.parts])


class EnsembleLikelihood(Likelihood):
    """``p(x|m, z) = p_m(x|z)``: the likelihood of an ensemble; see ``build_ensemble``.

    Each latent is decoded by its member alone.

    Args:
        parts: The likelihoods of the members.
        latent_shape: Shape of the latent of a member.

    Example:
        >>> import torch
        >>> from aevb import likelihoods
        >>> parts = [likelihoods.Normal(nn.Linear(2, 4), (4,)) for _ in range(2)]
        >>> z = torch.tensor([[0.0, 0.3, -0.2], [1.0, 0.3, -0.2]])
        >>> EnsembleLikelihood(parts, (2,))(z).mean.shape
        torch.Size([2, 4])
    """

    def __init__(self, parts: Sequence[Likelihood], latent_shape: Sequence[int]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.member_latent_shape = tuple(latent_shape)
        self._describe_data_as(parts[0])
        self.factorises = all(part.factorises for part in parts)
        self.has_conditionals = not self.factorises and all(
            part.factorises or part.has_conditionals for part in parts
        )
        self.allows_missing = all(part.allows_missing for part in parts)

    def forward(self, input: Tensor, context: Tensor | None = None) -> MemberSelection:
        batch, rows = input.shape[:-1], input.reshape(-1, input.shape[-1])
        if context is not None:
            context = context.expand(*batch, -1).reshape(len(rows), -1)
        number, z = rows[:, 0].long(), rows[:, 1:].reshape(-1, *self.member_latent_shape)
        parts = []
        for member, part in enumerate(self.parts):
            places = (number == member).nonzero()[:, 0]
            if len(places):
                own = None if context is None else context[places]
                parts.append((places, part(z[places], own)))
        return MemberSelection(parts, batch)

    def _nested_likelihoods(self) -> list[Likelihood]:
        return [part for part in self.parts if isinstance(part, Likelihood)]
