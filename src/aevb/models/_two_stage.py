"""The second stage of a two-stage VAE."""

from __future__ import annotations

from collections.abc import Sequence

from .. import likelihoods, networks, posteriors, priors


def build_second_stage_prior(latent: int, hidden: Sequence[int] = (128, 128)) -> priors.TwoStage:
    """Build a VAE over latents of about unit size, with as many latent variables of its own.

    Args:
        latent: Number of latent variables of the first stage.
        hidden: Widths of the encoder's hidden layers; the decoder has them in reverse.

    Returns:
        The prior.
    """
    posterior = posteriors.Normal(networks.MLP(latent, hidden, "silu"), latent)
    likelihood = likelihoods.Normal(networks.MLP(latent, hidden[::-1], "silu"), (latent,))
    return priors.TwoStage(priors.Normal(latent), posterior, likelihood)
