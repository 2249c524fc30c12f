"""Registration of networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .._registry import Registration


@dataclass(frozen=True, kw_only=True)
class NetworkRegistration(Registration):
    """Description of a network.

    Args:
        kind: ``"encoder"`` from data to features, ``"decoder"`` from latents to features, ``"any"``
            for both, or ``"wrapper"`` around another network.
        events: The events that the network takes or makes.
    """

    role = "network"
    argument = "network"
    package = "networks"
    kind: Literal["encoder", "decoder", "any", "wrapper"] = "any"
    events: tuple[Literal["vector", "image", "sequence", "set", "tokens"], ...] = ("vector",)
