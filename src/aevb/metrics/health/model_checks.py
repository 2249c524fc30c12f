"""What may be wrong with the model: a scale that drowns the data, codes that say nothing, a posterior too poor, outputs too sure."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from ...data.words import count, listing
from ...distributions import Quantised
from ...likelihoods.noise import LocationScale
from ...models import VAE
from ..codebook import codebook_usage
from ..sweep import evaluating
from .diagnosis import Examined, Finding
from .patient import FEW, PAIRS, Patient

COLLAPSED = 0.05  # nats: what all latent variables together say of a datum
LOOSE, WIDE = 0.5, 2.0  # of the rate, and nats: between the bound and the likelihood
LITTLE = 1.0  # nats
ALONE = 2.0  # effective samples: one of them says all
NEAR = 1e-6  # relative: a target that is the bound
SURE = 1e-4  # a probability below it is a mistake made with confidence


def sound(model: VAE) -> Examined | None:
    """Weights that are not finite, of which nothing else can be asked."""
    broken = [name for name, tensor in model.state_dict().items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if not broken:
        return None
    finding = Finding(
        "Weights are not finite",
        f"{listing(broken, 3)} hold NaN or infinity.",
        "Every number of the model is one of these, too.",
        "Train again from new weights, with a lower learning rate.",
    )
    return Examined("weights that are not finite", f"{len(broken):,} tensors", finding)


def scale(patient: Patient) -> Examined | None:
    """The decoder's variance against the eigenvalues of the data's covariance.

    Latent variables pay where the data vary more than the decoder's noise: of a linear decoder with variance ``sigma^2`` those survive
    whose eigenvalue is above it. Lucas et al., Don't blame the ELBO! (2019).
    """
    if not _real(patient):  # no scale to be too large
        return None
    noise = patient.decoded.variance.flatten(1).double().cpu()
    x = patient.batch(2000, patient.known).x.flatten(1).double().cpu()
    if len(x) < FEW:
        return None
    eigenvalues = _eigenvalues(x, noise.mean(0).sqrt())
    # of noise alone the largest eigenvalue of n rows in d dimensions is about this many times the variance (Marchenko and Pastur 1967)
    above = int((eigenvalues > (1 + math.sqrt(x.shape[1] / len(x))) ** 2).sum())
    largest = eigenvalues[0].item()
    finding = None
    if largest <= 1:
        fixed = any(part.kind == "fixed" for part in patient.model.likelihood.modules() if isinstance(part, LocationScale))
        finding = Finding(
            "The decoder's scale is too large",
            f"The largest eigenvalue of the data's covariance is {largest:.2g} times the decoder's variance.",
            "All that the data vary passes for noise, so that no latent variable is worth its divergence.",
            'Lower the scale of the likelihood, or let it be learnt, scale="per_element".'
            if fixed
            else "It was learnt, and went astray: train again from new weights, with a lower learning rate.",
        )
    seen = f"{count(above, 'direction')} in which data vary more"
    return Examined("decoder's noise", seen, finding, {"largest_eigenvalue": largest, "directions": float(above)})


def _eigenvalues(x: Tensor, unit: Tensor) -> Tensor:
    """Those of the covariance of rows ``[N, D]`` in a unit for each column, the largest first; cells that are empty count for nothing."""
    there = ~x.isnan()
    mean = x.nan_to_num(0.0).sum(0) / there.sum(0).clamp(min=1)
    away = torch.where(there, x - mean, 0.0) / unit
    return torch.linalg.svdvals(away / there.double().mean(0).clamp(min=1 / len(x)).sqrt()).square() / len(x)


def _takes(patient: Patient, value: float) -> bool:
    """Whether the likelihood has a density for data that hold this value."""
    support, mean = patient.decoded.support, patient.decoded.mean
    return support is not None and bool(support.check(torch.full_like(mean[:1], value)).all())


def alone(patient: Patient) -> Examined | None:
    """The ELBO against what columns taken one by one say: a Gaussian for each real number, a probability for each bit."""
    if patient.few or not patient.model.posterior.density or patient.terms.per_datum is None:
        return None
    own = _one_by_one(patient)
    if own is None:
        return None
    more = -patient.terms.per_datum.sum(0).cpu() - own
    gap, error = more.mean().item(), (more.std() / math.sqrt(len(more))).item()
    finding = None
    if gap < min(-4 * error, -LITTLE):
        finding = Finding(
            "Columns one by one say more",
            f"The ELBO is {-gap:.1f} ± {error:.1f} nats below the log-density of columns that are taken for independent.",
            "Whatever the model learnt of what columns have in common, it lost more elsewhere.",
            "Train again with a lower learning rate, and for longer; let the scale of the likelihood be learnt where it is fixed.",
        )
    return Examined("ELBO above columns one by one", f"{gap:.1f} ± {error:.1f} nats", finding, {"gap": gap, "error": error})


def _one_by_one(patient: Patient) -> Tensor | None:
    """The log-density of each row ``[N]`` by the moments of the columns of ``known`` rows; ``None`` for other numbers than these."""
    known, x = (patient.batch(len(rows), rows).x.flatten(1).double().cpu() for rows in (patient.known, patient.rows))
    there = ~known.isnan()
    count = there.sum(0)
    mean = known.nan_to_num(0.0).sum(0) / count.clamp(min=1)
    if _real(patient):
        deviation = (torch.where(there, known - mean, 0.0).square().sum(0) / count.clamp(min=1)).sqrt()
        if (deviation == 0).any():
            return None
        each = Normal(mean, deviation, validate_args=False).log_prob(x)
    elif _binary(patient):
        each = Bernoulli((mean * count + 1) / (count + 2), validate_args=False).log_prob(x.nan_to_num(0.0))
    else:
        return None
    return torch.where(x.isnan(), 0.0, each).sum(1)


def _real(patient: Patient) -> bool:
    return _takes(patient, -1e4 - 0.5) and _takes(patient, 1e4 + 0.5)


def _binary(patient: Patient) -> bool:
    return _takes(patient, 1.0) and not _takes(patient, 0.5) and not _takes(patient, 2.0)


def units(patient: Patient) -> Examined | None:
    """Latent variables in use."""
    active, kl = patient.active, patient.kl
    if active is None or not patient.model.posterior.density:
        return None
    rate, size = patient.terms.rate.mean, active.variance.numel()
    finding = None
    if not patient.few and (rate < COLLAPSED or active.count == 0):
        still = "" if active.count else ", and none of their means moves with the data"
        finding = Finding(
            "The posterior has collapsed onto the prior",
            f"All {size} latent variables together say {rate:.3f} nats of a datum{still}.",
            "Codes carry nothing, and every datum is decoded alike. Where columns have nothing in common, that is the best there is.",
            "Begin with a small weight of the divergence, beta=Linear(steps=5000), or with free bits, free_bits=0.1.",
        )
    each = "" if kl is None else f", {int((kl >= 0.01).sum())} with 0.01 nats or more"
    numbers = {"active": float(active.count), "rate": rate} | ({} if kl is None else {"kl_per_dimension": kl.flatten().tolist()})
    return Examined("latent variables in use", f"{active.count} of {size}{each}", finding, numbers)


def codebook(patient: Patient) -> Examined | None:
    """Entries of a codebook that no row uses."""
    if not isinstance(patient.model.probe()[1], Quantised):
        return None
    usage = codebook_usage(patient.model, patient.known)
    finding = None
    if usage.dead > 0.5 * usage.size:
        finding = Finding(
            "Most of the codebook is dead",
            f"{usage.dead:,} of {usage.size:,} entries are used by none of {len(patient.known):,} rows.",
            "The codes say less than the codebook could hold.",
            "Take a smaller codebook, size=64, or fewer levels where the codes are levels.",
        )
    return Examined(
        "entries of the codebook in use", f"{usage.size - usage.dead:,} of {usage.size:,}", finding, {"dead": float(usage.dead)}
    )


def weights(patient: Patient) -> Examined | None:
    """How far the bound is below the likelihood, and how well importance weights behave."""
    found = patient.weighed
    if found is None:
        return None
    gap, rate = found.mean - found.lower.mean, patient.terms.rate.mean
    finding = None
    if gap > max(LOOSE * rate, WIDE) and rate > COLLAPSED and _climbs_its_elbo(patient):
        plain = _factorised(patient.model.probe()[1]) and patient.model.condition is None
        finding = Finding(
            "The posterior is too poor",
            f"log p(x) is at least {gap:.1f} nats above the ELBO, and the codes say {rate:.1f} nats.",
            "The family or the encoder misses the true posterior, and the decoder is trained to suit what it misses.",
            "Take a wider encoder, a richer posterior, preset=full_covariance_vae or preset=iaf_vae, or a bound of several draws, "
            "preset=iwae."
            if plain
            else "Take a wider encoder, or climb a bound of several draws, objective=iwae.",
        )
    elif found.effective_sample_size < ALONE and found.reliable == 0 and not patient.few:
        finding = Finding(
            "The estimate of log p(x) is loose",
            f"Of {found.samples} samples per datum an effective {found.effective_sample_size:.1f} carry the weight.",
            "The truth is probably higher, by an unknown amount.",
            "Weigh more samples, samples=5000, or anneal, method=ais.",
        )
    reliable = "" if found.reliable is None else f", weights reliable for {found.reliable:.0%} of rows"
    numbers = {"gap": gap, "effective_samples": found.effective_sample_size}
    return Examined("log p(x) above the ELBO", f"{gap:.2f} nats{reliable}", finding, numbers)


def _climbs_its_elbo(patient: Patient) -> bool:
    """Whether the posterior was trained to bring the ELBO near to log p(x), by rows enough to see that it is not.

    A tighter bound wants no such posterior, a heavier divergence or other targets want another one.
    """
    if patient.few or not patient.history:
        return not patient.few
    last = patient.history[-1]
    near = abs(last.target - last.bound) <= NEAR * max(abs(last.bound), 1.0)
    return last.validation_name == "ELBO" and (last.beta is None or last.beta == 1) and near


def _factorised(q: Distribution) -> bool:
    """Whether it is a Gaussian without correlations."""
    return isinstance(q, Independent) and isinstance(q.base_dist, Normal)


def outputs(patient: Patient) -> Examined | None:
    """Binary outputs that are sure of the wrong value."""
    if patient.few or not _binary(patient):
        return None
    x = patient.batch(len(patient.decoded.mean)).x.cpu()
    wrong = ((patient.decoded.mean.cpu() - x).abs() > 1 - SURE).double().mean().item()
    finding = None
    if wrong > 1e-3:
        finding = Finding(
            "Outputs are saturated",
            f"{wrong:.2%} of all values were given a probability below {SURE:g}.",
            "The decoder is sure where it should not be; each such value costs more than 9 nats.",
            "Lower the learning rate, or take a smaller network.",
        )
    return Examined(f"values given a probability below {SURE:g}", f"{wrong:.2%}", finding, {"share": wrong})


def aggregate(patient: Patient) -> Examined | None:
    """What codes say of data, and how far the codes of all data are from the prior."""
    known = patient.information
    if known is None:
        return None
    information, apart = known
    moments = _moments(patient)
    finding = None
    if moments is not None and len(patient.rows) > 10 * len(patient.codes.T) and moments > max(0.25 * patient.terms.rate.mean, 1.0):
        finding = Finding(
            "The codes do not look like the prior",
            f"A Gaussian with the moments of the codes is {moments:.1f} nats from the prior; codes say {patient.terms.rate.mean:.1f} nats.",
            "What is drawn from the prior decodes to data that nobody has seen.",
            "Fit a prior to the codes (`aevb fit-prior`), or take a learned one, preset=vamp_vae.",
        )
    said = "" if moments is None else f", {moments:.2f} by its moments"
    rows = min(PAIRS, len(patient.rows))
    capped = information.mean > math.log(rows) - 0.5  # what it would be above that, the other number holds
    most = "at most " if capped else ""
    return Examined(
        "information in codes; codes from prior",
        f"{information} nats (of {count(rows, 'row')} at most {math.log(rows):.1f}); {most}{apart.mean:.2f} nats{said}",
        finding,
        {"information": information.mean, "aggregate": apart.mean} | ({} if moments is None else {"moments": moments}),
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
