"""What may be wrong with the model: a scale that drowns the data, codes that say nothing, a posterior too poor, outputs too sure."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...distributions import Quantised
from ..codebook import codebook_usage
from ..sweep import evaluating
from .diagnosis import Examined, Finding
from .patient import PAIRS, Patient
from .training_checks import CLIMBING, climbs

COLLAPSED = 0.05  # nats: what all latent variables together say of a datum
LOOSE = 0.5  # of the rate: between the bound and the likelihood
SURE = 1e-4  # a probability below it is a mistake made with confidence


def scale(patient: Patient) -> Examined | None:
    """The decoder's variance against the eigenvalues of the data's covariance.

    Latent variables pay where the data vary more than the decoder's noise: of a linear decoder with variance ``sigma^2`` those survive
    whose eigenvalue is above it. Lucas et al., Don't blame the ELBO! (2019).
    """
    if not (_takes(patient, -1e4 - 0.5) and _takes(patient, 1e4 + 0.5)):  # no real numbers: no scale to be too large
        return None
    noise = patient.decoded.variance.flatten(1).double().cpu()
    x = patient.batch(2000).x.flatten(1).double().cpu()
    if len(x) < 3 or x.isnan().any():
        return None
    scaled = (x - x.mean(0)) / noise.mean(0).sqrt()
    largest = torch.linalg.svdvals(scaled).square() / len(x)
    above = int((largest > 1).sum())
    finding = None
    if above == 0:
        finding = Finding(
            "The decoder's scale is too large",
            f"The largest eigenvalue of the data's covariance is {largest[0].item():.2g} times the decoder's variance.",
            "All that the data vary passes for noise, so that no latent variable is worth its divergence.",
            'Lower the scale of the likelihood, or let it be learnt: scale="shared", "per_element" or "optimal".',
        )
    return Examined("directions in which data vary more than the decoder's noise", f"{above}", finding)


def _takes(patient: Patient, value: float) -> bool:
    """Whether the likelihood has a density for data that hold this value."""
    support, mean = patient.decoded.support, patient.decoded.mean
    return support is not None and bool(support.check(torch.full_like(mean[:1], value)).all())


def units(patient: Patient) -> Examined | None:
    """Latent variables in use."""
    active, kl = patient.active, patient.kl
    if active is None or not patient.model.posterior.density:
        return None
    rate, size = patient.terms.rate.mean, active.variance.numel()
    finding = None
    if rate < COLLAPSED:
        finding = Finding(
            "The posterior has collapsed onto the prior",
            f"All {size} latent variables together say {rate:.3f} nats of a datum.",
            "Codes carry nothing, and every datum is decoded alike.",
            "Begin with a small weight of the divergence, beta=Linear(steps=5000), or with free bits, free_bits=0.1.",
        )
    each = "" if kl is None else f", {int((kl >= 0.01).sum())} with 0.01 nats or more"
    return Examined("latent variables in use", f"{active.count} of {size}{each}", finding)


def codebook(patient: Patient) -> Examined | None:
    """Entries of a codebook that no row uses."""
    if not isinstance(patient.model.probe()[1], Quantised):
        return None
    usage = codebook_usage(patient.model, patient.rows)
    finding = None
    if usage.dead > 0.5 * usage.size:
        finding = Finding(
            "Most of the codebook is dead",
            f"{usage.dead:,} of {usage.size:,} entries are used by none of {len(patient.rows):,} rows.",
            "The codes say less than the codebook could hold.",
            "Take a smaller codebook, or restart dead entries sooner.",
        )
    return Examined("entries of the codebook in use", f"{usage.size - usage.dead:,} of {usage.size:,}", finding)


def weights(patient: Patient) -> Examined | None:
    """How far the bound is below the likelihood, and how well importance weights behave."""
    found = patient.weighed
    if found is None:
        return None
    gap, rate = found.mean - found.lower.mean, patient.terms.rate.mean
    finding = None
    if gap > max(LOOSE * rate, 1.0) and rate > COLLAPSED and (climbs(patient) or 0.0) <= CLIMBING:  # an encoder in motion lags
        finding = Finding(
            "The posterior is too poor",
            f"log p(x) is at least {gap:.1f} nats above the ELBO, and the codes say {rate:.1f} nats.",
            "The family or the encoder misses the true posterior, and the decoder is trained to suit what it misses.",
            "Take a richer posterior, preset=full_covariance_vae or preset=iaf_vae, a wider encoder, or IWAE, preset=iwae.",
        )
    reliable = "" if found.reliable is None else f", weights reliable for {found.reliable:.0%} of rows"
    return Examined("log p(x) above the ELBO", f"{gap:.2f} nats{reliable}", finding)


def outputs(patient: Patient) -> Examined | None:
    """Binary outputs that are sure of the wrong value."""
    if not _takes(patient, 1.0) or _takes(patient, 0.5) or _takes(patient, 2.0):
        return None
    x = patient.batch(len(patient.decoded.mean)).x.cpu()
    wrong = ((patient.decoded.mean.cpu() - x).abs() > 1 - SURE).double().mean().item()
    finding = None
    if wrong > 1e-3:
        finding = Finding(
            "Outputs are saturated",
            f"{wrong:.2%} of all values were given a probability below {SURE:g}.",
            "The decoder is sure where it should not be; each such value costs more than 9 nats.",
            "Stop earlier, as with patience=20, lower the learning rate, or clip the gradient, clip=100.",
        )
    return Examined(f"values given a probability below {SURE:g}", f"{wrong:.2%}", finding)


def aggregate(patient: Patient) -> Examined | None:
    """What codes say of data, and how far the codes of all data are from the prior."""
    known = patient.information
    if known is None:
        return None
    information, apart = known
    moments = _moments(patient)
    finding = None
    if moments is not None and moments > max(0.25 * patient.terms.rate.mean, 1.0):
        finding = Finding(
            "The codes do not look like the prior",
            f"A Gaussian with the moments of the codes is {moments:.1f} nats from the prior; codes say {patient.terms.rate.mean:.1f} nats.",
            "What is drawn from the prior decodes to data that nobody has seen.",
            "Fit a prior to the codes (aevb.fit_prior), take a learned one, preset=vamp_vae, or bring the divergence's weight up to 1.",
        )
    said = "" if moments is None else f", {moments:.2f} by its moments"
    return Examined(
        "information in codes; codes from prior",
        f"{information} nats (of {PAIRS} rows at most {math.log(PAIRS):.1f}); {apart.mean:.2f} nats{said}",
        finding,
    )


def _moments(patient: Patient) -> float | None:
    """``KL(N(m, s^2) || N(0, 1))`` summed over latent variables, with the moments of all codes; for that prior alone."""
    batch = patient.batch(PAIRS)
    with evaluating(patient.model, patient.seed):
        p, q = patient.model.prior(None, batch.context), patient.model.infer(batch)
        mean, variance = q.mean.flatten(1).double(), q.variance.flatten(1).double()
    if len(mean) < 2 or not _standard(p.mean, p.variance):
        return None
    spread = mean.var(0) + variance.mean(0)
    return (0.5 * (spread + mean.mean(0).square() - 1 - spread.log())).sum().item()


def _standard(mean: Tensor, variance: Tensor) -> bool:
    return bool((mean == 0).all() and (variance == 1).all())
