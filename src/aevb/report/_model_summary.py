"""A model in words, from the record that `aevb._persistence.describe` makes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._persistence import count_parameters, to_config
from ..models import VAE
from ..training._history import Epoch
from ._html import format_signed

MAX_LISTED_ITEMS = 6  # numbers of a list that are printed
NameValuePairs = list[tuple[str, str]]


def format_component(value: Any) -> str:
    """A recorded part as the call that builds it.

    >>> said(
    ...     {
    ...         "class": "networks.MLP",
    ...         "number": 0,
    ...         "arguments": {"inputs": 64, "hidden": [400, 400]},
    ...     }
    ... )
    'MLP(inputs=64, hidden=[400, 400])'
    """
    if isinstance(value, list):
        inside = ", ".join(format_component(item) for item in value[:MAX_LISTED_ITEMS])
        return (
            f"[{inside}, … {len(value):,} in all]"
            if len(value) > MAX_LISTED_ITEMS
            else f"[{inside}]"
        )
    if isinstance(value, float):
        return f"{value:.4g}"
    if not isinstance(value, dict):
        return str(value)
    if "same" in value:
        return "the same part again"
    if "foreign" in value:
        return f"{value['foreign']} (of the caller's own)"
    inside = ", ".join(
        f"{name}={format_component(argument)}"
        for name, argument in value.get("arguments", {}).items()
    )
    return f"{str(value.get('class', value)).rpartition('.')[2]}({inside})"


def architecture_pairs(model: VAE) -> NameValuePairs:
    """Prior, posterior and likelihood with their networks, and the number of parameters."""
    record = to_config(model)
    slots = [(name, format_component(part)) for name, part in record.get("arguments", {}).items()]
    counts = ", ".join(
        f"{count_parameters(part):,} in the {name}"
        for name, part in model.named_children()
        if count_parameters(part)
    )
    latent = " x ".join(map(str, model.latent_shape))
    return [*slots, ("latent", latent), ("parameters", f"{count_parameters(model):,}: {counts}")]


def training_pairs(record: dict[str, Any], history: Sequence[Epoch]) -> NameValuePairs:
    """How the model was trained, as far as the run remembers."""
    rows: NameValuePairs = [
        (name, format_component(record[name]))
        for name in ("objective", "gradient", "optimizer")
        if record.get(name) is not None
    ]
    if history:
        rows.append(
            (
                "learning rate",
                f"at most {max(epoch.learning_rate for epoch in history):.3g} at the end of an epoch",
            )
        )
        rows.append(("epochs", _epochs_phrase(record, history)))
    for name in ("batch_size", "clip", "average", "seed"):
        if record.get(name) is not None:
            rows.append((name.replace("_", " "), format_component(record[name])))
    if record.get("precision") is not None:
        rows.append(("precision", precision_phrase(record["precision"])))
    return rows


def precision_phrase(name: str) -> str:
    """What was computed in which precision.

    >>> precision("bfloat16")
    'bfloat16 in the networks while training; densities, and all numbers of this report, in float32 or better'
    """
    if name == "bfloat16":
        return "bfloat16 in the networks while training; densities, and all numbers of this report, in float32 or better"
    return name


def best_epoch(history: Sequence[Epoch]) -> Epoch | None:
    """The epoch with the best validation, whose weights were kept."""
    scored = [
        (epoch.validation, epoch)
        for epoch in history
        if epoch.validation is not None and math.isfinite(epoch.validation)
    ]
    return max(scored, key=lambda pair: pair[0], default=(None, None))[1]


def _epochs_phrase(record: dict[str, Any], history: Sequence[Epoch]) -> str:
    last, best = history[-1], best_epoch(history)
    of = f" of {record['epochs']:,}" if record.get("epochs") not in (None, last.epoch) else ""
    kept = (
        f"; the weights are those of epoch {best.epoch}, best in validation ({format_signed(best.validation or 0.0)} nats)"
        if best
        else ""
    )
    return f"{last.epoch:,}{of}, {last.step:,} steps, {_format_seconds(last.seconds)}{kept}"


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
