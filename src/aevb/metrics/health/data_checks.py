"""What may be wrong with the data: rows on both sides of the split, rows that follow one another, rows of another distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...data.keys import copies, row_keys, stored_alike
from ...data.order import succession
from .diagnosis import Examined, Finding
from .patient import Patient

COPIES = 0.01  # of the rows that stand in the training rows, too, from which it matters
SUSPICIOUS = 1e-3  # p-value of a drift test
APART = 0.3  # distance of two distributions of the ELBO: training rows that are better known by half a deviation stay below


def duplicates(patient: Patient) -> Examined | None:
    """Rows that are training rows, too, where training rows do not repeat each other as often."""
    rows, train = patient.whole
    if train is None:
        return None
    known = row_keys(train, stored_alike(rows, train))
    across = copies(rows, train).double().mean().item()
    _, repeats = known.unique(return_counts=True)
    within = (repeats[repeats > 1].sum() / len(known)).item()
    finding = None
    if across > COPIES and across > 3 * within:
        finding = Finding(
            "Rows on both sides of the split",
            f"{across:.1%} of the {len(rows):,} rows are training rows, too; {within:.1%} of the training rows are there more than once.",
            "Held-out numbers are those of rows that the model has seen, and too good.",
            "Remove the copies before the split, or keep all copies of a row on one side.",
        )
    return Examined("rows that are training rows, too", f"{across:.1%}", finding)


def order(patient: Patient) -> Examined | None:
    """Whether rows that follow one another are alike, as the frames of a film are."""
    rows = patient.whole[0]
    found = succession(len(rows), lambda index: rows[index].cpu().numpy())
    if found is None:
        return None
    finding = None
    if found.timely:
        finding = Finding(
            "Rows in order of time",
            f"Rows that follow one another differ {found.near:.2f} times as much as any two rows, and the nearer the less.",
            "They are no independent draws: standard errors are too small, and a random split puts near-copies on both sides.",
            'Split by time, order="time", and read the error bars as lower ends.',
        )
    return Examined("difference of neighbours, by that of any two rows", f"{found.near:.2f}", finding)


def drift(patient: Patient) -> Examined | None:
    """Kolmogorov-Smirnov tests of training rows against these: of every latent variable, by Bonferroni, and of the ELBO of single rows.

    Training rows are a little better known than others, so that of the ELBO only a large difference of the distributions counts.
    """
    if patient.train is None or min(len(patient.rows), len(patient.train)) < 20:
        return None
    codes = [kolmogorov(here, there) for here, there in zip(_columns(patient.codes), _columns(patient.training_codes), strict=True)]
    worst = max(range(len(codes)), key=lambda column: codes[column])
    sizes = len(patient.rows), len(patient.train)
    p = min(1.0, len(codes) * kolmogorov_p(codes[worst], *sizes))
    apart = _apart(patient)
    signs = [f"p = {p:.1g} that their codes are distributed as those of the training rows, least in latent variable {worst + 1}"] * (
        p < SUSPICIOUS
    )
    if apart is not None and apart > APART and kolmogorov_p(apart, *sizes) < SUSPICIOUS:
        signs.append(f"the distributions of their ELBO and of that of the training rows are {apart:.2f} apart, where 1 is the most")
    finding = None
    if signs:
        finding = Finding(
            "Drift",
            f"{len(patient.rows):,} rows: {'; '.join(signs)}.",
            "The rows come from another distribution than the one that was learnt; no number of the model holds for them.",
            "Find out what changed between the two sets, and train on rows like these, too.",
        )
    said = "" if apart is None else f"; ELBO {apart:.2f} apart"
    return Examined("drift from the training rows", f"codes p = {p:.2g}{said}", finding)


def _columns(codes: Tensor | None) -> tuple[Tensor, ...]:
    """The values of each latent variable, ``[N]``."""
    return () if codes is None else codes.flatten(1).T.unbind()


def _apart(patient: Patient) -> float | None:
    """The Kolmogorov-Smirnov distance of the ELBO of single rows; ``None`` where there is no ELBO."""
    here, there = patient.terms.per_datum, None if patient.training_terms is None else patient.training_terms.per_datum
    if here is None or there is None or not patient.model.posterior.density:
        return None
    return kolmogorov(here.sum(0), there.sum(0))


def kolmogorov(a: Tensor, b: Tensor) -> float:
    """The largest difference between two empirical distribution functions, of ``[n]`` and ``[m]`` values.

    >>> kolmogorov(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0]))
    1.0
    """
    every = torch.cat([a, b]).sort().values
    share = [torch.searchsorted(part.sort().values, every, right=True).double() / len(part) for part in (a, b)]
    return (share[0] - share[1]).abs().max().item()


def kolmogorov_p(distance: float, n: int, m: int) -> float:
    """The probability of a distance at least as large where both samples are from one distribution; Kolmogorov (1933), asymptotic.

    >>> round(kolmogorov_p(0.1, 500, 500), 4)
    0.0135
    """
    t = distance * math.sqrt(n * m / (n + m))
    if t < 0.2:
        return 1.0
    return min(1.0, max(0.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * t * t) for k in range(1, 101))))
