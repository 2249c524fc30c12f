"""What may be wrong with the data: rows on both sides of the split, rows that follow one another, rows of another distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.keys import copies, row_keys, stored_alike
from ...data.order import succession
from ...data.words import count, listing
from .diagnosis import Examined, Finding
from .patient import Patient

COPIES = 0.01  # of the rows that stand in the training rows, too, from which it matters
SUSPICIOUS = 1e-3  # p-value of a drift test
APART = 0.3  # distance of two distributions of the ELBO from which a difference matters
WIDE = 1024  # columns up to which each is tested


def duplicates(patient: Patient) -> Examined | None:
    """Rows that are training rows, too, more often than training rows are each other's copies."""
    rows, train = patient.whole
    if train is None:
        return None
    known = row_keys(train, stored_alike(rows, train))
    across = copies(rows, train).double().mean().item()
    _, repeats = known.unique(return_counts=True)
    within = (repeats[repeats > 1].sum() / len(known)).item()
    finding = None
    # of independent rows as many are among the others as repeat themselves there
    if across - within > max(COPIES, 4 * math.sqrt(within * (1 - within) / len(rows))):
        finding = Finding(
            "Rows on both sides of the split",
            f"{across:.1%} of the {len(rows):,} rows are training rows, too; {within:.1%} of the training rows are there more than once.",
            "Their numbers are those of rows that the model has seen, and too good.",
            "Keep all copies of a row on one side: remove them before the split, or from the rows that are measured.",
        )
    return Examined("rows that are training rows, too", f"{across:.1%}", finding, {"copies": across, "repeats": within})


def order(patient: Patient) -> Examined | None:
    """Whether rows that follow one another are alike, as the frames of a film are: when they were read, or as they are given."""
    rows = patient.whole[0]
    torn = None if patient.spec is None else patient.spec.succession
    if torn is not None:
        finding = Finding(
            "A film, split at random",
            f"As they were read, rows that follow one another differ {torn:.2f} times as much as any two.",
            "They are no independent draws, and held-out rows have near-copies among the training rows: their numbers are too good.",
            'Split by time, order="time".',
        )
        return Examined("difference of neighbours, as read", f"{torn:.2f} times that of any two", finding, {"succession": torn})
    found = succession(len(rows), lambda index: rows[index].cpu().numpy())
    if found is None:
        return None
    finding = None
    if found.timely:
        finding = Finding(
            "Rows in order of time",
            f"Rows that follow one another differ {found.near:.2f} times as much as any two rows, and the nearer the less.",
            "They are no independent draws: there are fewer of them than it seems, and standard errors are too small.",
            "Read error bars as lower ends, or measure every tenth row.",
        )
    return Examined("difference of neighbouring rows", f"{found.near:.2f} times that of any two", finding, {"succession": found.near})


def drift(patient: Patient) -> Examined | None:
    """Kolmogorov-Smirnov tests of training rows against these, of every latent variable and every column, each by Bonferroni.

    And of the ELBO of single rows against that of other held-out rows: training rows are better known than any, so that against those
    a distance would say no more than that.
    """
    train = patient.train
    if train is None or min(len(patient.rows), len(train)) < 20:
        return None
    sizes = len(patient.rows), len(train)
    codes = _furthest(_columns(patient.codes), _columns(patient.training_codes), sizes)
    cells = _furthest(_cells(patient), _cells(patient, training=True), sizes)
    signs, numbers = [], {}
    if cells is not None:
        numbers["columns_p"] = cells.p
    if cells is not None and cells.p < SUSPICIOUS:
        signs.append(f"values of {_column(patient, cells.places)} are not distributed as in the training rows, p = {cells.p:.1g}")
    if codes is not None:
        numbers["codes_p"] = codes.p
    if codes is not None and codes.p < SUSPICIOUS:
        signs.append(f"nor are codes, least in latent variable {codes.places[0] + 1}" if signs else _codes_said(codes))
    apart = _apart(patient)
    if apart is not None:
        numbers["elbo_distance"] = apart
        if apart > APART and kolmogorov_p(apart, len(patient.rows), len(patient.reference or ())) < SUSPICIOUS:
            signs.append(f"the distributions of their ELBO and of that of other held-out rows are {apart:.2f} apart, where 1 is the most")
    finding = None
    if signs:
        finding = Finding(
            "Drift",
            f"{count(len(patient.rows), 'row')}: {'; '.join(signs)}.",
            "The rows come from another distribution than the one that was learnt; no number of the model holds for them.",
            "Find out what changed between the two sets; train on rows like these, too, if they are to stay.",
        )
    said = [f"{name} p = {found.p:.2g}" for name, found in (("codes", codes), ("columns", cells)) if found is not None]
    said += [] if apart is None else [f"ELBO {apart:.2f} apart"]
    return Examined("drift from the training rows", ", ".join(said), finding, numbers) if said else None


@dataclass(frozen=True)
class Furthest:
    """The columns that are furthest apart."""

    p: float  # of the furthest, corrected for the number of columns
    places: list[int]  # those that are suspicious each by itself, the furthest first; at least one


def _furthest(here: Sequence[Tensor], there: Sequence[Tensor], sizes: tuple[int, int]) -> Furthest | None:
    if not here:
        return None
    distances = [kolmogorov(a, b) for a, b in zip(here, there, strict=True)]
    ranked = sorted(range(len(distances)), key=lambda place: -distances[place])
    p = [min(1.0, len(distances) * kolmogorov_p(distances[place], *sizes)) for place in ranked]
    return Furthest(p[0], [place for place, each in zip(ranked, p, strict=True) if each < SUSPICIOUS] or ranked[:1])


def _codes_said(codes: Furthest) -> str:
    return (
        f"p = {codes.p:.1g} that their codes are distributed as those of the training rows, least in latent variable {codes.places[0] + 1}"
    )


def _column(patient: Patient, places: Sequence[int]) -> str:
    """The columns by name."""
    names = None if patient.spec is None else patient.spec.columns
    return listing([names[place] if names else f"column {place + 1}" for place in places], limit=3)


def _columns(codes: Tensor | None) -> Sequence[Tensor]:
    """The values of each latent variable, ``[N]``."""
    return () if codes is None else codes.flatten(1).T.unbind()


def _cells(patient: Patient, training: bool = False) -> Sequence[Tensor]:
    """The values of each column of a table, ``[N]``; nothing of images, whose pixels are no columns, and of tables with empty cells."""
    shape = patient.model.event_shape
    if len(shape) != 1 or shape[0] > WIDE:
        return ()
    both = [patient.batch(len(part), part).x for part in (patient.rows, patient.known)]
    return () if any(bool(part.isnan().any()) for part in both) else both[training].cpu().T.unbind()


def _apart(patient: Patient) -> float | None:
    """The Kolmogorov-Smirnov distance of the ELBO of single rows; ``None`` where there is no ELBO, or nothing to hold it against."""
    here, there = patient.terms.per_datum, None if patient.reference_terms is None else patient.reference_terms.per_datum
    if here is None or there is None or not patient.model.posterior.density or there.shape[1] < 20:
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
