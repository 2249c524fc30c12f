"""What may be wrong with the data: rows on both sides of the split, rows that follow one another, rows of another distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...data import Rows
from ...data.order import ALIKE, succession
from ...data.rows import read_stored
from .diagnosis import Examined, Finding
from .patient import Patient

COPIES = 0.01  # of the rows that stand in the training rows, too, from which it matters
SUSPICIOUS = 1e-3  # p-value of the drift tests, all taken together


def duplicates(patient: Patient) -> Examined | None:
    """Rows that are training rows, too, where training rows do not repeat each other as often."""
    rows, train = patient.whole
    if train is None:
        return None
    same = rows.stored.dtype == train.stored.dtype and rows.stored.shape[1:] == train.stored.shape[1:]
    keys, known = _keys(rows, same), _keys(train, same)
    across = torch.isin(keys, known).double().mean().item()
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


def _keys(rows: Rows, stored: bool) -> Tensor:
    """One number for each row, int64 ``[N]``: equal for equal rows, and for others by chance once in ``2^64``.

    Of rows as stored, where both sets are stored alike: what is drawn afresh at each reading would hide a copy.
    """
    places = [slice(start, start + 4096) for start in range(0, len(rows), 4096)]
    pieces = (_whole((read_stored(rows.stored[place]) if stored else rows[place]).flatten(1).cpu()) for place in places)
    size = math.prod(rows.stored.shape[1:] if stored else rows.event_shape)
    factors = torch.randint(-(2**63), 2**63 - 1, (size,), generator=torch.Generator().manual_seed(0))
    return torch.cat([(piece * factors).sum(1) for piece in pieces])  # modulo 2^64, so in any order of summing


def _whole(values: Tensor) -> Tensor:
    """The values as int64, equal where they are."""
    return (values.float() + 0.0).view(torch.int32).long() if values.is_floating_point() else values.long()


def order(patient: Patient) -> Examined | None:
    """Whether rows that follow one another are alike, as the frames of a film are."""
    rows = patient.whole[0]
    ratio = succession(len(rows), lambda index: rows[index].cpu().numpy())
    if ratio is None:
        return None
    finding = None
    if ratio < ALIKE:
        finding = Finding(
            "Rows in order of time",
            f"Rows that follow one another differ {ratio:.2f} times as much as any two rows.",
            "They are no independent draws: standard errors are too small, and a random split puts near-copies on both sides.",
            'Split by time, order="time", and read the error bars as lower ends.',
        )
    return Examined("difference of neighbours, by that of any two rows", f"{ratio:.2f}", finding)


def drift(patient: Patient) -> Examined | None:
    """Kolmogorov-Smirnov tests of every latent variable and of the ELBO of single rows, training rows against these, by Bonferroni."""
    codes, trained = patient.codes.flatten(1), patient.training_codes
    if trained is None or min(len(codes), len(trained)) < 20:
        return None
    distances = torch.stack([kolmogorov(a, b) for a, b in zip(codes.T, trained.flatten(1).T, strict=True)])
    worst = int(distances.argmax())
    p = min(1.0, len(distances) * kolmogorov_p(distances[worst].item(), len(codes), len(trained)))
    finding = None
    if p < SUSPICIOUS:
        finding = Finding(
            "Drift",
            f"The codes of these rows are not distributed as those of the training rows: p = {p:.1g}, most in latent variable {worst + 1}.",
            "The rows come from another distribution than the one that was learnt; no number of the model holds for them.",
            "Find out what changed between the two sets, and train on rows like these, too.",
        )
    return Examined("drift from the training rows, p", f"{p:.2g}", finding)


def kolmogorov(a: Tensor, b: Tensor) -> Tensor:
    """The largest difference between two empirical distribution functions, of ``[n]`` and ``[m]`` values.

    >>> kolmogorov(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0])).item()
    1.0
    """
    every = torch.cat([a, b]).sort().values
    share = [torch.searchsorted(part.sort().values, every, right=True).double() / len(part) for part in (a, b)]
    return (share[0] - share[1]).abs().max()


def kolmogorov_p(distance: float, n: int, m: int) -> float:
    """The probability of a distance at least as large where both samples are from one distribution; Kolmogorov (1933), asymptotic.

    >>> round(kolmogorov_p(0.1, 500, 500), 4)
    0.0135
    """
    t = distance * math.sqrt(n * m / (n + m))
    if t < 0.2:
        return 1.0
    return min(1.0, max(0.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * t * t) for k in range(1, 101))))
