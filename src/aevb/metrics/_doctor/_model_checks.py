"""Checks of the model: noise of the decoder, use of the latents, the posterior, the outputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from ..._registry import register
from ...data._formatting import format_count, format_list
from ...distributions import ColumnsDistribution, QuantisedDirac
from ...inference._batches import seeded_evaluation
from ...likelihoods._location_scale import LocationScale
from ...models import VAE
from ...notes import Argument, Part, message
from .._codebook import codebook_usage
from ._check import DRIFT, FAILED_TRAINING, LEARNING_RATE, MEMORISED, UNFINISHED, CheckRegistration
from ._context import DiagnosticContext
from ._diagnosis import CheckResult, Finding


def finite_weights(model: VAE) -> CheckResult | None:
    """A finding where weights are not finite: no other check makes sense then."""
    broken = [
        name
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point() and not tensor.isfinite().all()
    ]
    if not broken:
        return None
    finding = Finding(
        "weights_not_finite",
        "Weights are not finite",
        f"{format_list(broken, 3)} hold NaN or infinity.",
        "Every number of the model is NaN or infinite, too.",
        "Train again from new weights, with a lower learning rate.",
    )
    return CheckResult("weights that are not finite", f"{len(broken):,} tensors", finding)


@register(
    CheckRegistration(
        name="decoder_scale",
        title="Decoder's noise",
        paper="Lucas et al. (2019)",
        order=7,
        causes=FAILED_TRAINING[:2],
    )
)
def _decoder_scale(context: DiagnosticContext) -> CheckResult | None:
    """Compare the decoder's variance with the eigenvalues of the data's covariance.

    Latent variables pay off where the data vary more than the decoder's noise: with a linear
    decoder of variance ``sigma^2`` those survive whose eigenvalue is above it.
    """
    if not _is_real(context):  # without a scale, none can be too large
        return None
    noise = context.varying_cells(context.decoded_distribution.variance)
    x = context.varying_cells(context.batch(2000, context.fitted_rows).x)
    if len(x) < context.thresholds.min_rows or not x.numel():
        return None
    eigenvalues = _covariance_eigenvalues(x, noise.mean(0).sqrt())
    # the largest eigenvalue of n rows of noise in d dimensions (Marchenko and Pastur 1967)
    above = int((eigenvalues > (1 + math.sqrt(x.shape[1] / len(x))) ** 2).sum())
    largest = eigenvalues[0].item()
    finding = None
    if largest <= 1:
        fixed = any(
            part.kind == "fixed"
            for part in context.model.likelihood.modules()
            if isinstance(part, LocationScale)
        )
        finding = Finding(
            "decoder_scale_too_large",
            "The decoder's scale is too large",
            f"The largest eigenvalue of the data's covariance is {largest:.2g} times the decoder's "
            "variance.",
            "The decoder explains all variation of the data as noise, so that no latent variable "
            "is worth its KL divergence.",
            message(
                "Lower the scale of the likelihood, or let it be learned: {scale}.",
                scale=Argument("scale", "per_element"),
            )
            if fixed
            else "The scale was learned and diverged: train again from new weights, with a lower "
            "learning rate.",
        )
    return CheckResult(
        "decoder's noise",
        f"{format_count(above, 'direction')} in which data vary more",
        finding,
        {"largest_eigenvalue": largest, "directions": float(above)},
    )


def _covariance_eigenvalues(x: Tensor, unit: Tensor) -> Tensor:
    """Eigenvalues of the covariance of rows ``[N, D]``, the largest first.

    Columns are measured in ``unit``; missing cells do not count.
    """
    observed = ~x.isnan()
    mean = x.nan_to_num(0.0).sum(0) / observed.sum(0).clamp(min=1)
    centred = torch.where(observed, x - mean, 0.0) / unit
    share = observed.double().mean(0).clamp(min=1 / len(x))
    return torch.linalg.svdvals(centred / share.sqrt()).square() / len(x)


def _is_in_support(context: DiagnosticContext, value: float) -> bool:
    """Whether the likelihood has a density for data with this value."""
    support, mean = context.decoded_distribution.support, context.decoded_distribution.mean
    return support is not None and bool(support.check(torch.full_like(mean[:1], value)).all())


def _is_real(context: DiagnosticContext) -> bool:
    """Whether the likelihood is for real numbers."""
    return _is_in_support(context, -1e4 - 0.5) and _is_in_support(context, 1e4 + 0.5)


def _is_binary(context: DiagnosticContext) -> bool:
    """Whether the likelihood is for zeros and ones, with probabilities as its mean.

    The point value of a binary column of a table is its mode.
    """
    return (
        not isinstance(context.decoded_distribution, ColumnsDistribution)
        and _is_in_support(context, 1.0)
        and not _is_in_support(context, 0.5)
        and not _is_in_support(context, 2.0)
    )


@register(
    CheckRegistration(
        name="active_latents",
        title="Latent variables in use",
        order=110,
        causes=(*FAILED_TRAINING, *UNFINISHED),
    )
)
def _active_latents(context: DiagnosticContext) -> CheckResult | None:
    """Check that latent variables are in use."""
    active, kl, limits = context.active_units, context.kl_per_dimension, context.thresholds
    if active is None or not context.model.posterior.has_density:
        return None
    rate, size = context.rate_distortion.rate.mean, active.variance.numel()
    finding = None
    if not context.has_few_rows and (rate < limits.collapsed_rate or active.count == 0):
        constant = "" if active.count else ", and none of their means varies over the data"
        finding = Finding(
            "posterior_collapse",
            "The posterior has collapsed onto the prior",
            f"All {size} latent variables together carry {rate:.3f} nats about a row{constant}.",
            "The latent variables carry no information, and every row is decoded alike. This is "
            "the best possible fit only where columns have nothing in common.",
            message(
                "Begin with a small weight of the KL divergence, {beta}, or with free bits, "
                "{free_bits}.",
                beta=Argument("beta", Part("Linear", {"steps": 5000})),
                free_bits=Argument("free_bits", 0.1),
            ),
        )
    used = "" if kl is None else f", {int((kl >= 0.01).sum())} with 0.01 nats or more"
    numbers: dict[str, float | list[float]] = {"active": float(active.count), "rate": rate}
    if kl is not None:
        numbers["kl_per_dimension"] = kl.flatten().tolist()
    return CheckResult(
        "latent variables in use", f"{active.count} of {size}{used}", finding, numbers
    )


@register(
    CheckRegistration(
        name="codebook_use",
        title="Codebook entries in use",
        order=120,
        causes=(*LEARNING_RATE, *UNFINISHED),
    )
)
def _codebook_use(context: DiagnosticContext) -> CheckResult | None:
    """Check for codebook entries that no row uses."""
    if not isinstance(context.model.probe()[1], QuantisedDirac):
        return None
    usage = codebook_usage(context.model, context.fitted_rows)
    finding = None
    if usage.unused_entries > context.thresholds.unused_entry_share * usage.size:
        finding = Finding(
            "codebook_mostly_unused",
            "Most of the codebook is unused",
            f"None of {len(context.fitted_rows):,} rows uses {usage.unused_entries:,} of "
            f"{usage.size:,} entries.",
            "The codes carry less information than the codebook could hold.",
            message(
                "Use a smaller codebook, {size}, or fewer levels where the codes are levels.",
                size=Argument("size", 64),
            ),
        )
    return CheckResult(
        "codebook entries in use",
        f"{usage.size - usage.unused_entries:,} of {usage.size:,}",
        finding,
        {"unused_entries": float(usage.unused_entries)},
    )


@register(
    CheckRegistration(
        name="bound_tightness",
        title="log p(x) above the ELBO",
        order=140,
        causes=(*DRIFT, *FAILED_TRAINING, *UNFINISHED, *MEMORISED),
    )
)
def _bound_tightness(context: DiagnosticContext) -> CheckResult | None:
    """Check the gap between log p(x) and the ELBO, and the importance weights."""
    estimate, limits = context.log_likelihood, context.thresholds
    if estimate is None:
        return None
    gap, rate = estimate.mean - estimate.lower_bound.mean, context.rate_distortion.rate.mean
    effective, reliable = estimate.effective_sample_size, estimate.reliable_fraction
    finding = None
    if (
        gap > max(limits.loose_bound_share * rate, limits.loose_bound_nats)
        and rate > limits.collapsed_rate
        and _maximises_elbo(context)
    ):
        finding = _poor_posterior(context, gap, rate)
    elif effective < limits.min_effective_samples and reliable == 0 and not context.has_few_rows:
        finding = Finding(
            "log_likelihood_loose",
            "The estimate of log p(x) is loose",
            f"Of {estimate.samples} samples per row {effective:.1f} carry the weight.",
            "The true value is probably higher, by an unknown amount.",
            message(
                "Use more samples, {samples}, or annealing, {method}.",
                samples=Argument("samples", 5000),
                method=Argument("method", "annealing"),
            ),
        )
    share = "" if reliable is None else f", weights reliable for {reliable:.0%} of rows"
    return CheckResult(
        "log p(x) above the ELBO",
        f"{gap:.2f} nats{share}",
        finding,
        {"gap": gap, "effective_samples": effective},
    )


def _poor_posterior(context: DiagnosticContext, gap: float, rate: float) -> Finding:
    """The finding of a posterior that is far from the exact posterior."""
    plain = _is_factorised_gaussian(context.model.probe()[1]) and context.model.condition is None
    if plain:
        recommendation = message(
            "Use a wider encoder, a richer posterior, {full} or {flow}, or a bound of several "
            "draws, {iwae}.",
            full=Argument("preset", "full_covariance_vae"),
            flow=Argument("preset", "iaf_vae"),
            iwae=Argument("preset", "iwae"),
        )
    else:
        recommendation = message(
            "Use a wider encoder, or maximise a bound of several draws, {iwae}.",
            iwae=Argument("objective", "iwae"),
        )
    return Finding(
        "posterior_too_simple",
        "The posterior is too simple",
        f"log p(x) is at least {gap:.1f} nats above the ELBO, and the rate is {rate:.1f} nats.",
        "The family or the encoder misses the exact posterior, and the decoder is trained to "
        "compensate for that.",
        recommendation,
    )


def _maximises_elbo(context: DiagnosticContext) -> bool:
    """Whether training should have brought the ELBO near log p(x), judged by enough rows.

    A tighter bound, a larger beta and other targets lead to other posteriors.
    """
    if context.has_few_rows or not context.history:
        return not context.has_few_rows
    last = context.history[-1]
    tolerance = context.thresholds.elbo_target_tolerance * max(abs(last.bound), 1.0)
    near = abs(last.target - last.bound) <= tolerance
    return last.validation_name == "ELBO" and (last.beta is None or last.beta == 1) and near


def _is_factorised_gaussian(q: Distribution) -> bool:
    """Whether it is a Gaussian without correlations."""
    return isinstance(q, Independent) and isinstance(q.base_dist, Normal)


@register(
    CheckRegistration(
        name="saturated_outputs",
        title="Confident mistakes",
        order=150,
        causes=(*DRIFT, *LEARNING_RATE, *MEMORISED),
    )
)
def _saturated_outputs(context: DiagnosticContext) -> CheckResult | None:
    """Check for binary outputs that reject the observed value with confidence."""
    if context.has_few_rows or not _is_binary(context):
        return None
    mean, limits = context.decoded_distribution.mean, context.thresholds
    x, p = context.batch(len(mean)).x.cpu(), limits.confident_mistake_probability
    share = ((mean.cpu() - x).abs() > 1 - p).double().mean().item()
    finding = None
    if share > limits.confident_mistake_share:
        finding = Finding(
            "outputs_saturated",
            "Outputs are saturated",
            f"{share:.2%} of all values have a probability below {p:g}.",
            "The decoder is confident where it is wrong; each such value costs more than 9 nats.",
            "Lower the learning rate, or use a smaller network.",
        )
    return CheckResult(
        f"values with a probability below {p:g}", f"{share:.2%}", finding, {"share": share}
    )


@register(
    CheckRegistration(
        name="aggregate_posterior",
        title="Information in the latents",
        paper="Hoffman and Johnson (2016)",
        order=160,
        causes=(*DRIFT, *FAILED_TRAINING, *UNFINISHED),
    )
)
def _aggregate_posterior(context: DiagnosticContext) -> CheckResult | None:
    """Check how far the latents of all rows are from the prior."""
    known = context.mutual_information_and_marginal_kl
    if known is None:
        return None
    information, marginal = known
    moments, limits = _moment_kl(context), context.thresholds
    rate, n_rows = context.rate_distortion.rate.mean, len(context.rows)
    finding = None
    if (
        moments is not None
        and n_rows > limits.rows_per_latent * context.posterior_means.shape[1]
        and moments > max(limits.aggregate_kl_share * rate, limits.aggregate_kl_nats)
    ):
        finding = Finding(
            "latents_unlike_prior",
            "The latents do not look like the prior",
            f"A Gaussian with the moments of the latents is {moments:.1f} nats from the prior; "
            f"the rate is {rate:.1f} nats.",
            "Draws from the prior decode to data unlike the training data.",
            message(
                "Fit a prior to the latents, {fit_prior}, or use a learned prior, {vamp}.",
                fit_prior=Part("fit_prior"),
                vamp=Argument("preset", "vamp_vae"),
            ),
        )
    by_moments = "" if moments is None else f", {moments:.2f} by its moments"
    rows = min(limits.latent_rows, n_rows)
    most = math.log(rows)  # the information cannot exceed it: the rest is in the other number
    limit = "at most " if information.mean > most - 0.5 else ""
    numbers = {"information": information.mean, "aggregate": marginal.mean}
    return CheckResult(
        "information in latents; latents from prior",
        f"{information} nats (of {format_count(rows, 'row')} at most {most:.1f}); "
        f"{limit}{marginal.mean:.2f} nats{by_moments}",
        finding,
        numbers | ({} if moments is None else {"moments": moments}),
    )


def _moment_kl(context: DiagnosticContext) -> float | None:
    """``KL(N(m, s^2) || N(0, 1))`` summed over latent variables, by the moments of all latents.

    ``None`` where the prior is not a standard normal.
    """
    batch = context.batch(context.thresholds.latent_rows)
    with seeded_evaluation(context.model, context.seed):
        p, q = context.model.prior(None, batch.context), context.model.infer(batch)
        mean, variance = q.mean.flatten(1).double(), q.variance.flatten(1).double()
    standard = bool((p.mean == 0).all() and (p.variance == 1).all())
    if len(mean) < 2 or not standard:
        return None
    spread = mean.var(0) + variance.mean(0)
    return (0.5 * (spread + mean.mean(0).square() - 1 - spread.log())).sum().item()
