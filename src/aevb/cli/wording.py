"""The library's sentences as a person at a command line would write them."""

from __future__ import annotations

import re

OPTIONS = frozenset(
    {
        "average", "batch_size", "beta", "binarise", "clip", "device", "end", "epochs", "free_bits", "gradient", "hidden", "key", "labels",
        "latent", "likelihood", "lr", "minutes", "network", "objective", "order", "path", "patience", "precision", "preset", "resume",
        "samples", "seed", "split", "start", "steps",
    }
)  # fmt: skip
_QUOTED = re.compile(r'\b([a-z_]+)=("[^"]*"|\'[^\']*\'|\([^)]*\)|\[[^\]]*\]|[\w.+-]*\w)')
_TICKED = re.compile(r"`([a-z_]+)`(?= is )")


def as_typed(message: str) -> str:
    """``name=value`` of the library as ``--name value`` of the command line, on one line.

    >>> as_typed('network="mpl" is not known: write network="mlp" or network="conv".')
    '--network mpl is not known: write --network mlp or --network conv.'
    >>> as_typed("`batch_size` is 0; give at least 1.")
    '--batch-size is 0; give at least 1.'
    """
    line = " ".join(message.split())
    return _TICKED.sub(_ticked, _QUOTED.sub(_quoted, line))


def option(name: str) -> str:
    """The option of this name.

    >>> option("batch_size")
    '--batch-size'
    """
    return "--" + name.replace("_", "-")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, on the host or on an accelerator."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _quoted(match: re.Match[str]) -> str:
    name, value = match.groups()
    if name not in OPTIONS:
        return match.group()
    bare = value.strip("\"'()[]").replace(", ", ",")
    return f"{option(name)} {bare}" if " " not in bare else f"{option(name)} {value}"


def _ticked(match: re.Match[str]) -> str:
    return option(match.group(1)) if match.group(1) in OPTIONS else match.group()
