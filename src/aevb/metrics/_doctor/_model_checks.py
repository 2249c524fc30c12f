"""What may be wrong with the model: a scale that drowns the data, codes that say nothing, a posterior too poor, outputs too sure."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from ...data._formatting import format_count, format_list
from ...distributions import QuantisedDirac
from ...likelihoods._location_scale import LocationScale
from ...models import VAE
from .._blocks import seeded_evaluation
from .._codebook import codebook_usage
from ._context import INFORMATION_CHECK_ROWS, MIN_MODEL_CHECK_ROWS, DiagnosticContext
from ._diagnosis import CheckResult, Finding

COLLAPSED_RATE_NATS = 0.05  # nats: what all latent variables together say of a datum
LOOSE_BOUND_RATE_SHARE, LOOSE_BOUND_NATS = (
    0.5,
    2.0,
)  # of the rate, and nats: between the bound and the likelihood
BASELINE_GAP_NATS = 1.0  # nats
MIN_EFFECTIVE_SAMPLES = 2.0  # effective samples: one of them says all
TARGET_TOLERANCE = 1e-6  # relative: a target that is the bound
CONFIDENT_MISTAKE_PROBABILITY = 1e-4  # a probability below it is a mistake made with confidence


def finite_weights(model: VAE) -> CheckResult | None:
    """Weights that are not finite, of which nothing else can be asked."""
    broken = [
        name
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point() and not tensor.isfinite().all()
    ]
    if not broken:
        return None
    finding = Finding(
        "Weights are not finite",
        f"{format_list(broken, 3)} hold NaN or infinity.",
        "Every number of the model is one of these, too.",
        "Train again from new weights, with a lower learning rate.",
    )
    return CheckResult("weights that are not finite", f"{len(broken):,} tensors", finding)


def decoder_scale(diagnostics: DiagnosticContext) -> CheckResult | None:
    """The decoder's variance against the eigenvalues of the data's covariance.

    Latent variables pay where the data vary more than the decoder's noise: of a linear decoder with variance ``sigma^2`` those survive
    whose eigenvalue is above it. Lucas et al., Don't blame the ELBO! (2019).
    """
    if not _is_real(diagnostics):  # no scale to be too large
        return None
    noise = diagnostics.decoded_distribution.variance.flatten(1).double().cpu()
    x = diagnostics.batch(2000, diagnostics.fitted_rows).x.flatten(1).double().cpu()
    if len(x) < MIN_MODEL_CHECK_ROWS:
        return None
    eigenvalues = _covariance_eigenvalues(x, noise.mean(0).sqrt())
    # of noise alone the largest eigenvalue of n rows in d dimensions is about this many times the variance (Marchenko and Pastur 1967)
    above = int((eigenvalues > (1 + math.sqrt(x.shape[1] / len(x))) ** 2).sum())
    largest = eigenvalues[0].item()
    finding = None
    if largest <= 1:
        fixed = any(
            part.kind == "fixed"
            for part in diagnostics.model.likelihood.modules()
            if isinstance(part, LocationScale)
        )
        finding = Finding(
            "The decoder's scale is too large",
            f"The largest eigenvalue of the data's covariance is {largest:.2g} times the decoder's variance.",
            "All that the data vary passes for noise, so that no latent variable is worth its divergence.",
            'Lower the scale of the likelihood, or let it be learnt, scale="per_element".'
            if fixed
            else "It was learnt, and went astray: train again from new weights, with a lower learning rate.",
        )
    seen = f"{format_count(above, 'direction')} in which data vary more"
    return CheckResult(
        "decoder's noise",
        seen,
        finding,
        {"largest_eigenvalue": largest, "directions": float(above)},
    )


def _covariance_eigenvalues(x: Tensor, unit: Tensor) -> Tensor:
    """Those of the covariance of rows ``[N, D]`` in a unit for each column, the largest first; cells that are empty count for nothing."""
    there = ~x.isnan()
    mean = x.nan_to_num(0.0).sum(0) / there.sum(0).clamp(min=1)
    away = torch.where(there, x - mean, 0.0) / unit
    return torch.linalg.svdvals(
        away / there.double().mean(0).clamp(min=1 / len(x)).sqrt()
    ).square() / len(x)


def _is_in_support(diagnostics: DiagnosticContext, value: float) -> bool:
    """Whether the likelihood has a density for data that hold this value."""
    support, mean = diagnostics.decoded_distribution.support, diagnostics.decoded_distribution.mean
    return support is not None and bool(support.check(torch.full_like(mean[:1], value)).all())


def independent_columns_baseline(diagnostics: DiagnosticContext) -> CheckResult | None:
    """The ELBO against what columns taken one by one say: a Gaussian for each real number, a probability for each bit."""
    if (
        diagnostics.has_few_rows
        or not diagnostics.model.posterior.has_density
        or diagnostics.rate_distortion.per_datum is None
    ):
        return None
    own = _independent_columns_log_prob(diagnostics)
    if own is None:
        return None
    more = -diagnostics.rate_distortion.per_datum.sum(0).cpu() - own
    gap, error = more.mean().item(), (more.std() / math.sqrt(len(more))).item()
    finding = None
    if gap < min(-4 * error, -BASELINE_GAP_NATS):
        finding = Finding(
            "Columns one by one say more",
            f"The ELBO is {-gap:.1f} ± {error:.1f} nats below the log-density of columns that are taken for independent.",
            "Whatever the model learnt of what columns have in common, it lost more elsewhere.",
            "Train again with a lower learning rate, and for longer; let the scale of the likelihood be learnt where it is fixed.",
        )
    return CheckResult(
        "ELBO above columns one by one",
        f"{gap:.1f} ± {error:.1f} nats",
        finding,
        {"gap": gap, "error": error},
    )


def _independent_columns_log_prob(diagnostics: DiagnosticContext) -> Tensor | None:
    """The log-density of each row ``[N]`` by the moments of the columns of ``known`` rows; ``None`` for other numbers than these."""
    known, x = (
        diagnostics.batch(len(rows), rows).x.flatten(1).double().cpu()
        for rows in (diagnostics.fitted_rows, diagnostics.rows)
    )
    there = ~known.isnan()
    count = there.sum(0)
    mean = known.nan_to_num(0.0).sum(0) / count.clamp(min=1)
    if _is_real(diagnostics):
        deviation = (
            torch.where(there, known - mean, 0.0).square().sum(0) / count.clamp(min=1)
        ).sqrt()
        if (deviation == 0).any():
            return None
        each = Normal(mean, deviation, validate_args=False).log_prob(x)
    elif _is_binary(diagnostics):
        each = Bernoulli((mean * count + 1) / (count + 2), validate_args=False).log_prob(
            x.nan_to_num(0.0)
        )
    else:
        return None
    return torch.where(x.isnan(), 0.0, each).sum(1)


def _is_real(diagnostics: DiagnosticContext) -> bool:
    return _is_in_support(diagnostics, -1e4 - 0.5) and _is_in_support(diagnostics, 1e4 + 0.5)


def _is_binary(diagnostics: DiagnosticContext) -> bool:
    return (
        _is_in_support(diagnostics, 1.0)
        and not _is_in_support(diagnostics, 0.5)
        and not _is_in_support(diagnostics, 2.0)
    )


def active_latents(diagnostics: DiagnosticContext) -> CheckResult | None:
    """Latent variables in use."""
    active, kl = diagnostics.active_units, diagnostics.kl_per_dimension
    if active is None or not diagnostics.model.posterior.has_density:
        return None
    rate, size = diagnostics.rate_distortion.rate.mean, active.variance.numel()
    finding = None
    if not diagnostics.has_few_rows and (rate < COLLAPSED_RATE_NATS or active.count == 0):
        still = "" if active.count else ", and none of their means moves with the data"
        finding = Finding(
            "The posterior has collapsed onto the prior",
            f"All {size} latent variables together say {rate:.3f} nats of a datum{still}.",
            "Codes carry nothing, and every datum is decoded alike. Where columns have nothing in common, that is the best there is.",
            "Begin with a small weight of the divergence, beta=Linear(steps=5000), or with free bits, free_bits=0.1.",
        )
    each = "" if kl is None else f", {int((kl >= 0.01).sum())} with 0.01 nats or more"
    numbers = {"active": float(active.count), "rate": rate} | (
        {} if kl is None else {"kl_per_dimension": kl.flatten().tolist()}
    )
    return CheckResult(
        "latent variables in use", f"{active.count} of {size}{each}", finding, numbers
    )


def codebook_use(diagnostics: DiagnosticContext) -> CheckResult | None:
    """Entries of a codebook that no row uses."""
    if not isinstance(diagnostics.model.probe()[1], QuantisedDirac):
        return None
    usage = codebook_usage(diagnostics.model, diagnostics.fitted_rows)
    finding = None
    if usage.n_dead > 0.5 * usage.size:
        finding = Finding(
            "Most of the codebook is dead",
            f"{usage.n_dead:,} of {usage.size:,} entries are used by none of {len(diagnostics.fitted_rows):,} rows.",
            "The codes say less than the codebook could hold.",
            "Take a smaller codebook, size=64, or fewer levels where the codes are levels.",
        )
    return CheckResult(
        "entries of the codebook in use",
        f"{usage.size - usage.n_dead:,} of {usage.size:,}",
        finding,
        {"dead": float(usage.n_dead)},
    )


def bound_tightness(diagnostics: DiagnosticContext) -> CheckResult | None:
    """How far the bound is below the likelihood, and how well importance weights behave."""
    found = diagnostics.log_likelihood
    if found is None:
        return None
    gap, rate = found.mean - found.lower_bound.mean, diagnostics.rate_distortion.rate.mean
    finding = None
    if (
        gap > max(LOOSE_BOUND_RATE_SHARE * rate, LOOSE_BOUND_NATS)
        and rate > COLLAPSED_RATE_NATS
        and _maximises_elbo(diagnostics)
    ):
        plain = (
            _is_factorised_gaussian(diagnostics.model.probe()[1])
            and diagnostics.model.condition is None
        )
        finding = Finding(
            "The posterior is too poor",
            f"log p(x) is at least {gap:.1f} nats above the ELBO, and the codes say {rate:.1f} nats.",
            "The family or the encoder misses the true posterior, and the decoder is trained to suit what it misses.",
            "Take a wider encoder, a richer posterior, preset=full_covariance_vae or preset=iaf_vae, or a bound of several draws, "
            "preset=iwae."
            if plain
            else "Take a wider encoder, or climb a bound of several draws, objective=iwae.",
        )
    elif (
        found.effective_sample_size < MIN_EFFECTIVE_SAMPLES
        and found.reliable_share == 0
        and not diagnostics.has_few_rows
    ):
        finding = Finding(
            "The estimate of log p(x) is loose",
            f"Of {found.samples} samples per datum an effective {found.effective_sample_size:.1f} carry the weight.",
            "The truth is probably higher, by an unknown amount.",
            "Weigh more samples, samples=5000, or anneal, method=ais.",
        )
    reliable = (
        ""
        if found.reliable_share is None
        else f", weights reliable for {found.reliable_share:.0%} of rows"
    )
    numbers = {"gap": gap, "effective_samples": found.effective_sample_size}
    return CheckResult("log p(x) above the ELBO", f"{gap:.2f} nats{reliable}", finding, numbers)


def _maximises_elbo(diagnostics: DiagnosticContext) -> bool:
    """Whether the posterior was trained to bring the ELBO near to log p(x), by rows enough to see that it is not.

    A tighter bound wants no such posterior, a heavier divergence or other targets want another one.
    """
    if diagnostics.has_few_rows or not diagnostics.history:
        return not diagnostics.has_few_rows
    last = diagnostics.history[-1]
    near = abs(last.target - last.bound) <= TARGET_TOLERANCE * max(abs(last.bound), 1.0)
    return last.validation_name == "ELBO" and (last.beta is None or last.beta == 1) and near


def _is_factorised_gaussian(q: Distribution) -> bool:
    """Whether it is a Gaussian without correlations."""
    return isinstance(q, Independent) and isinstance(q.base_dist, Normal)


def saturated_outputs(diagnostics: DiagnosticContext) -> CheckResult | None:
    """Binary outputs that are sure of the wrong value."""
    if diagnostics.has_few_rows or not _is_binary(diagnostics):
        return None
    x = diagnostics.batch(len(diagnostics.decoded_distribution.mean)).x.cpu()
    wrong = (
        (
            (diagnostics.decoded_distribution.mean.cpu() - x).abs()
            > 1 - CONFIDENT_MISTAKE_PROBABILITY
        )
        .double()
        .mean()
        .item()
    )
    finding = None
    if wrong > 1e-3:
        finding = Finding(
            "Outputs are saturated",
            f"{wrong:.2%} of all values were given a probability below {CONFIDENT_MISTAKE_PROBABILITY:g}.",
            "The decoder is sure where it should not be; each such value costs more than 9 nats.",
            "Lower the learning rate, or take a smaller network.",
        )
    return CheckResult(
        f"values given a probability below {CONFIDENT_MISTAKE_PROBABILITY:g}",
        f"{wrong:.2%}",
        finding,
        {"share": wrong},
    )


def aggregate_posterior(diagnostics: DiagnosticContext) -> CheckResult | None:
    """What codes say of data, and how far the codes of all data are from the prior."""
    known = diagnostics.mutual_information_and_marginal_kl
    if known is None:
        return None
    information, apart = known
    moments = _moment_kl(diagnostics)
    finding = None
    if (
        moments is not None
        and len(diagnostics.rows) > 10 * len(diagnostics.posterior_means.T)
        and moments > max(0.25 * diagnostics.rate_distortion.rate.mean, 1.0)
    ):
        finding = Finding(
            "The codes do not look like the prior",
            f"A Gaussian with the moments of the codes is {moments:.1f} nats from the prior; codes say {diagnostics.rate_distortion.rate.mean:.1f} nats.",
            "What is drawn from the prior decodes to data that nobody has seen.",
            "Fit a prior to the codes (`aevb fit-prior`), or take a learned one, preset=vamp_vae.",
        )
    said = "" if moments is None else f", {moments:.2f} by its moments"
    rows = min(INFORMATION_CHECK_ROWS, len(diagnostics.rows))
    capped = (
        information.mean > math.log(rows) - 0.5
    )  # what it would be above that, the other number holds
    most = "at most " if capped else ""
    return CheckResult(
        "information in codes; codes from prior",
        f"{information} nats (of {format_count(rows, 'row')} at most {math.log(rows):.1f}); {most}{apart.mean:.2f} nats{said}",
        finding,
        {"information": information.mean, "aggregate": apart.mean}
        | ({} if moments is None else {"moments": moments}),
    )


def _moment_kl(diagnostics: DiagnosticContext) -> float | None:
    """``KL(N(m, s^2) || N(0, 1))`` summed over latent variables, with the moments of all codes; for that prior alone."""
    batch = diagnostics.batch(INFORMATION_CHECK_ROWS)
    with seeded_evaluation(diagnostics.model, diagnostics.seed):
        p, q = diagnostics.model.prior(None, batch.context), diagnostics.model.infer(batch)
        mean, variance = q.mean.flatten(1).double(), q.variance.flatten(1).double()
    if len(mean) < 2 or not _is_standard_normal(p.mean, p.variance):
        return None
    spread = mean.var(0) + variance.mean(0)
    return (0.5 * (spread + mean.mean(0).square() - 1 - spread.log())).sum().item()


def _is_standard_normal(mean: Tensor, variance: Tensor) -> bool:
    return bool((mean == 0).all() and (variance == 1).all())
