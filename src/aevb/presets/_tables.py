"""Models of tables of mixed columns: one for scores, one for synthetic rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch

from .. import gradients, objectives, posteriors, priors
from .._recipe import Recipe
from ..data._spec import Spec
from ..distributions._output_maps import LOG_SCALE_BOUND
from ..errors import ArgumentError, IncompatibleError, check_choice
from ..likelihoods._column_groups import can_mask_itself
from ..models import VAE
from ..notes import Argument, message
from ..objectives import Schedule
from ._assemble import build_vae
from ._builders import Hidden, Scale, build_encoder_and_likelihood, is_whitened
from ._defaults import (
    COMPONENTS,
    ImputationDefaults,
    TableDefaults,
    imputation_training,
    table_training,
)
from ._registration import register_preset

__all__ = ["not_miwae", "table_imputation", "table_synthesis", "table_vae"]

SYNTHESIS_WIDTHS = (256, 256)
# where values repeat components are nearly flat: to a deviation of 0.001 of whitened numbers, which
# prior, encoder and decoder share (0.00045 each); narrower ones would follow single values
SLOPE_BOUND, SCALE_BOUND = 1e5, 7.7

Start = Literal["gaussian", "mixture"]
Masking = Literal["either", "high", "low"]


@register_preset(
    paper="Mattei and Frellsen 2019",
    components="Normal posterior, a likelihood for each column, IWAE(5), DoublyReparameterised()",
    use_when="tables of numbers, categories and dates with empty cells: scores and imputation",
    cost="five decoder passes per row, with smaller networks than vae",
    avoid_when="realistic rows matter more than log p(x): table_synthesis",
    training_rule=table_training,
)
def table_vae(
    spec: Spec,
    *,
    latent: int | None = None,
    hidden: Hidden = None,
    scale: Scale = None,
    linear: bool = True,
    start: Start | None = None,
    dropout: float = 0.0,
    samples: int = 5,
    beta: float | Schedule | None = None,
    free_bits: float | None = None,
    prior: str | None = None,
    posterior: str | None = None,
    prior_options: Mapping[str, Any] | None = None,
    posterior_options: Mapping[str, Any] | None = None,
) -> Recipe:
    """VAE of a table: a likelihood for each column by its kind, and missing cells left out.

    The importance-weighted bound of several draws keeps the spread of imputed cells and brings
    their mean closer than a bound of one draw. Mattei and Frellsen, MIWAE: deep generative
    modelling and imputation of incomplete data sets (2019); Nazabal et al., Handling incomplete
    heterogeneous data using VAEs (2020).

    Real numbers start at factor analysis (Rubin and Thayer, EM algorithms for ML factor analysis,
    1982), all other columns at their marginal distributions.

    Args:
        latent: Number of latent variables; by default chosen by ``TableDefaults``, as are the
            widths, the scale, the prior and the training.
        hidden: Widths of the encoder's layers, mirrored in the decoder.
        scale: Scale of the numbers around their mean: ``"per_element"`` or ``"predicted"``.
        linear: Whether the networks contain a linear map, so that training begins at a Gaussian
            with the covariance of the training rows; complete tables of real numbers are whitened.
        start: ``"gaussian"``, or ``"mixture"``: training begins at a mixture of up to 32 Gaussians
            with full covariances, which is the prior; held-out training rows choose their number.
            The latent must have a variable for each number of a row, and no number may be missing.
            By default a mixture where ``TableDefaults`` has components, and a Gaussian elsewhere.
        beta: Weight of the KL divergence, which the ELBO takes in place of the importance-weighted
            bound; 1 where only ``free_bits`` are set.
        free_bits: Floor of the KL divergence per latent variable in nats, also for the ELBO.
        prior: Name of the prior, as ``"vamp"``; by default the usual prior for the posterior.
        posterior: Name of the posterior, as ``"iaf"``; by default the usual posterior for the
            prior.
        prior_options: Arguments of the prior.
        posterior_options: Arguments of the posterior.
    """
    defaults = TableDefaults.for_spec(spec)
    latent = defaults.latent if latent is None else latent
    bound = LOG_SCALE_BOUND
    if start is None:
        plain = linear and prior is None and posterior is None
        start = "mixture" if plain and defaults.starts_at_mixture(latent) else "gaussian"
    else:
        check_choice("start", start, ("gaussian", "mixture"))
    if start == "mixture":
        _check_can_start_at_mixture(linear, prior, posterior)
        bound = SCALE_BOUND if is_whitened(spec) else bound
        components = defaults.components or COMPONENTS
        usual = {"components": components, "slope_bound": SLOPE_BOUND, "scale_bound": bound}
        prior, prior_options = "mixture", {**usual, "covariance": "full", **(prior_options or {})}
        posterior_options = {"scale_bound": bound, **(posterior_options or {})}
    model = build_vae(
        spec,
        latent=latent,
        prior=prior,
        posterior=posterior,
        hidden=defaults.hidden if hidden is None else hidden,
        scale=defaults.scale if scale is None and linear else scale,
        linear=linear,
        scale_bound=bound,
        dropout=dropout,
        prior_options=prior_options,
        posterior_options=posterior_options,
    )
    if start == "mixture":
        _check_latent_of_mixture(model, spec, latent)
    if beta is None and free_bits is None:
        can = model.capabilities
        doubly = can.has_density and can.reparameterised and can.finite_states is None
        gradient = gradients.DoublyReparameterised() if doubly else gradients.Pathwise()
        return Recipe(model, objectives.IWAE(samples), gradient, defaults.training)
    weight = 1.0 if beta is None else beta
    elbo = objectives.ELBO(samples, weight, free_bits or 0.0)
    return Recipe(model, elbo, gradients.Pathwise(), defaults.training)


def _check_can_start_at_mixture(linear: bool, prior: str | None, posterior: str | None) -> None:
    """Refuse families and networks that are not those of a start at a mixture.

    Raises:
        IncompatibleError: They are others.
    """
    for name, value, wanted in (
        ("linear", linear, (True,)),
        ("prior", prior, (None, "mixture")),
        ("posterior", posterior, (None, "normal")),
    ):
        if value not in wanted:
            raise IncompatibleError(
                "a start at a mixture needs a linear path, the prior mixture and the posterior "
                "normal",
                argument=name,
                value=value,
                suggestions=(
                    "Leave it out",
                    message("Write {start}", start=Argument("start", "gaussian")),
                ),
            )


def _check_latent_of_mixture(model: VAE, spec: Spec, latent: int) -> None:
    """Refuse data and latents in which the mixture of the rows cannot be the prior.

    Raises:
        IncompatibleError: The data have no numbers, or some are missing.
        ArgumentError: The latent is smaller than a row of numbers.
    """
    gaussian = message("Write {start}", start=Argument("start", "gaussian"))
    cells = model.likelihood.linear_cells(torch.zeros(2, *spec.event_shape))
    columns = () if spec.schema is None or cells is None else spec.schema.modelled
    missing = spec.padded or any(columns[i].missing for i in (cells and cells.places) or ())
    if cells is None or missing:
        reason = "some numbers are missing" if cells is not None else "there are no real numbers"
        raise IncompatibleError(
            f"it is a mixture of complete rows of real numbers, and {reason}",
            argument="start",
            value="mixture",
            suggestions=(gaussian,),
        )
    size = len(cells.mean)
    if latent < size:
        raise ArgumentError(
            f"a start at a mixture needs a variable for each of {size} numbers",
            argument="latent",
            value=latent,
            suggestions=(message("Write {latent}", latent=Argument("latent", size)), gaussian),
        )


@register_preset(
    paper="Ipsen et al. 2021",
    components="Normal posterior, a likelihood for each column and of its missing cells, IWAE(5), "
    "DoublyReparameterised()",
    use_when="whether a number is missing depends on the number: high incomes, values beyond the "
    "range of an instrument",
    cost="table_vae, and 51 evaluations for each number that may be missing",
    avoid_when="cells are missing at random: table_vae, which assumes less",
    training_rule=table_training,
)
def not_miwae(
    spec: Spec,
    *,
    latent: int | None = None,
    hidden: Hidden = None,
    scale: Scale = None,
    masking: Masking = "either",
    dropout: float = 0.0,
    samples: int = 5,
) -> Recipe:
    """VAE of a table in which numbers are missing with a probability that depends on themselves.

    Ipsen, Mattei and Frellsen, not-MIWAE: deep generative modelling with missing not at random data
    (2021), with self-masking. A missing number is integrated out instead of drawn, so that the
    bound is tighter. Columns of other kinds are missing at random.

    The data cannot tell this model from one in which cells are missing at random, but by the shape
    of the distributions: state the direction where it is known, and compare with ``table_vae``.

    Args:
        latent: As for ``table_vae``.
        hidden: Widths of the encoder's layers, mirrored in the decoder.
        scale: Scale of the numbers around their mean: ``"per_element"`` or ``"predicted"``.
        masking: Which values are missing more often: ``"high"``, ``"low"``, or ``"either"``, which
            is learned for each column.

    Raises:
        IncompatibleError: No column of real numbers has missing cells.
    """
    schema = spec.schema
    if schema is None or not any(map(can_mask_itself, schema.modelled)):
        raise IncompatibleError(
            "no column of real numbers has missing cells",
            argument="preset",
            value="not_miwae",
            suggestions=(message("Write {preset}", preset=Argument("preset", "table_vae")),),
        )
    defaults = TableDefaults.for_spec(spec)
    latent = defaults.latent if latent is None else latent
    hidden = defaults.hidden if hidden is None else hidden
    parts = build_encoder_and_likelihood(
        spec, latent, hidden, scale, dropout=dropout, linear=True, masking=masking
    )
    posterior = posteriors.Normal(parts.encoder, latent)
    model = VAE(priors.Normal(latent), posterior, parts.likelihood)
    bound, gradient = objectives.IWAE(samples), gradients.DoublyReparameterised()
    return Recipe(model, bound, gradient, defaults.training)


@register_preset(
    paper="Ivanov et al. 2019",
    components="Mixture prior, Normal posterior, a likelihood for each column, IWAE(5), "
    "DoublyReparameterised()",
    use_when="empty cells of a table are to be filled, also such as the fitted rows do not have",
    cost="as table_vae, with more steps for small tables",
    avoid_when="log p(x) matters: table_vae",
    training_rule=imputation_training,
)
def table_imputation(
    spec: Spec,
    *,
    latent: int | None = None,
    hidden: Hidden = None,
    scale: Scale = None,
    hide: float | None = None,
    dropout: float = 0.0,
    samples: int = 5,
    components: int = 50,
) -> Recipe:
    """VAE of a table for filling its cells: ``table_vae`` with other defaults.

    While a small table is trained, cells are hidden from the encoder that the likelihood still
    scores, as in Ivanov et al., Variational autoencoder with arbitrary conditioning (2019). The
    prior is a mixture of Gaussians: rows of tables are alike in groups. Ordered levels, as of
    numbers with few values, have a probability each: given the other cells several that are far
    apart may be likely.

    Args:
        latent: Number of latent variables; by default that of ``table_vae``.
        hidden: Widths of the encoder's layers, mirrored in the decoder.
        scale: Scale of the numbers around their mean: ``"per_element"`` or ``"predicted"``; by
            default chosen by ``ImputationDefaults``, as is the training.
        hide: Share of the cells that are hidden from the encoder in each step; by default chosen
            by ``ImputationDefaults``.
        components: Number of Gaussians of the prior.
    """
    schema = None if spec.schema is None else spec.schema.with_free_levels()
    spec, table = replace(spec, schema=schema), TableDefaults.for_spec(spec)
    defaults = ImputationDefaults.for_spec(spec)
    model = build_vae(
        spec,
        latent=table.latent if latent is None else latent,
        prior="mixture",
        prior_options={"components": components},
        hidden=table.hidden if hidden is None else hidden,
        scale=defaults.scale if scale is None and schema is not None else scale,
        linear=True,
        hide=defaults.hide if hide is None else hide,
        dropout=dropout,
    )
    iwae, gradient = objectives.IWAE(samples), gradients.DoublyReparameterised()
    return Recipe(model, iwae, gradient, defaults.training)


@register_preset(
    paper="Zhang et al. 2024",
    components="Mixture prior, Normal posterior, a likelihood for each column, "
    "ExPost(ELBO(beta=0.2)), Pathwise()",
    use_when="synthetic rows of a table: encodings keep more of each row, and the prior is fitted "
    "to them",
    cost="twice table_vae",
    avoid_when="log p(x) matters: table_vae",
)
def table_synthesis(
    spec: Spec,
    *,
    latent: int = 16,
    hidden: Hidden = SYNTHESIS_WIDTHS,
    dropout: float = 0.0,
    samples: int = 1,
    beta: float | Schedule = 0.2,
    components: int = 50,
) -> Recipe:
    """VAE of a table whose prior, a mixture of Gaussians, is fitted to the encodings.

    Zhang et al., Mixed-type tabular data synthesis with score-based diffusion in latent space
    (2024), with a mixture in the place of the diffusion.

    Args:
        hidden: Widths of the encoder's layers, mirrored in the decoder.
        components: Number of Gaussians of the prior.
    """
    parts = build_encoder_and_likelihood(spec, latent, hidden, dropout=dropout)
    model = VAE(
        priors.Mixture(latent, components, "full"),
        posteriors.Normal(parts.encoder, latent),
        parts.likelihood,
    )
    return Recipe(
        model,
        objectives.ExPost(objectives.ELBO(samples, beta), priors.Normal(latent)),
        gradients.Pathwise(),
    )
