"""A model and its training in words, from the record in ``model.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .._persistence import count_parameters, to_config
from ..data._formatting import format_count
from ..models import VAE, first_member
from ..training._history import Epoch
from ._html import format_signed

MAX_LISTED_ITEMS = 6
"""Numbers of a list that are printed."""

TRAINING_SETTINGS = {
    "batch_size": "batch size",
    "clip_norm": "gradient clipping",
    "clip": "gradient clipping",
    "ema": "moving average of the weights",
    "average": "moving average of the weights",
    "seed": "seed",
}
"""Labels of the recorded settings; ``clip`` and ``average`` are names of format 1."""

NameValuePairs = list[tuple[str, str]]


def format_component(value: Any) -> str:
    """A recorded part as the call that builds it.

    >>> format_component(
    ...     {
    ...         "class": "networks.MLP",
    ...         "number": 0,
    ...         "arguments": {"inputs": 64, "hidden": [400, 400]},
    ...     }
    ... )
    'MLP(inputs=64, hidden=[400, 400])'
    """
    if isinstance(value, list):
        if value and all(_is_column(item) for item in value):
            return f"[{format_count(len(value), 'column')}]"  # of which the schema is a section
        items = ", ".join(format_component(item) for item in value[:MAX_LISTED_ITEMS])
        more = f", … {len(value):,} in all" if len(value) > MAX_LISTED_ITEMS else ""
        return f"[{items}{more}]"
    if isinstance(value, float):
        return f"{value:.4g}"
    if not isinstance(value, dict):
        return str(value)
    if "same" in value:
        return "the same part again"
    if "foreign" in value:
        return f"{value['foreign']} (user-defined)"
    arguments = ", ".join(
        f"{name}={format_component(argument)}"
        for name, argument in value.get("arguments", {}).items()
    )
    return f"{str(value.get('class', value)).rpartition('.')[2]}({arguments})"


def _is_column(value: Any) -> bool:
    """Whether a recorded part is a column of a table."""
    return isinstance(value, dict) and str(value.get("class")).rpartition(".")[2] == "Column"


def architecture_pairs(model: VAE) -> NameValuePairs:
    """Prior, posterior and likelihood with their networks, and the number of parameters."""
    members, model = model.capabilities.members, first_member(model)
    record = to_config(model)
    parts = [(name, format_component(part)) for name, part in record.get("arguments", {}).items()]
    counts = ", ".join(
        f"{count_parameters(part):,} in the {name}"
        for name, part in model.named_children()
        if count_parameters(part)
    )
    latent = " x ".join(map(str, model.latent_shape))
    several = f"{members} members of this architecture, of which latents are those of the first"
    return [
        *([("ensemble", several)] if members > 1 else []),
        *parts,
        ("latent", latent),
        ("parameters", f"{count_parameters(model):,}: {counts}"),
    ]


def training_pairs(record: Mapping[str, Any], history: Sequence[Epoch]) -> NameValuePairs:
    """The recorded settings of the training."""
    rows: NameValuePairs = [
        (name, format_component(record[name]))
        for name in ("objective", "gradient", "optimizer")
        if record.get(name) is not None
    ]
    if history:
        largest = max(epoch.learning_rate for epoch in history)
        rows.append(("learning rate", f"at most {largest:.3g} at the end of an epoch"))
        rows.append(("epochs", _epochs_phrase(record, history)))
    rows += [
        (label, format_component(record[name]))
        for name, label in TRAINING_SETTINGS.items()
        if record.get(name) is not None
    ]
    if record.get("precision") is not None:
        rows.append(("precision", precision_phrase(record["precision"])))
    if record.get("privacy") is not None:
        rows.append(("privacy", privacy_phrase(record["privacy"])))
    return rows


def privacy_phrase(plan: Mapping[str, Any]) -> str:
    """What a private training gave away at most, and what that does not cover.

    >>> plan = {"epsilon": 3.0, "delta": 1e-5, "noise_multiplier": 1.2, "not_covered": ["a", "b"]}
    >>> privacy_phrase(plan)
    'at most (3, 1e-05) for each training row, by noise of 1.2; not covered: a; b'
    """
    return (
        f"at most ({plan['epsilon']:.3g}, {plan['delta']:.3g}) for each training row, by noise of "
        f"{plan['noise_multiplier']:.3g}; not covered: {'; '.join(plan['not_covered'])}"
    )


def precision_phrase(name: str) -> str:
    """Which computations had which precision.

    >>> precision_phrase("bfloat16")
    'bfloat16 in the networks during training; float32 or better for densities and this report'
    """
    if name == "bfloat16":
        return (
            "bfloat16 in the networks during training; float32 or better for densities and this "
            "report"
        )
    return name


def best_epoch(history: Sequence[Epoch]) -> Epoch | None:
    """The epoch with the best validation, whose weights the model has."""
    scored = [
        (epoch.validation, epoch)
        for epoch in history
        if epoch.validation is not None and math.isfinite(epoch.validation)
    ]
    return max(scored, key=lambda pair: pair[0], default=(None, None))[1]


def _epochs_phrase(record: Mapping[str, Any], history: Sequence[Epoch]) -> str:
    """The number of epochs, and the one whose weights were kept."""
    last, best = history[-1], best_epoch(history)
    planned = f" of {record['epochs']:,}" if record.get("epochs") not in (None, last.epoch) else ""
    kept = (
        f"; the weights are from epoch {best.epoch}, with the best validation "
        f"({format_signed(best.validation or 0.0)} nats)"
        if best
        else ""
    )
    return f"{last.epoch:,}{planned}, {last.step:,} steps, {_format_seconds(last.seconds)}{kept}"


def _format_seconds(seconds: float) -> str:
    """A duration in seconds or minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
