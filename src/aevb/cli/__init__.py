"""The command ``aevb``: parse, call the library, print.

Nothing here imports torch before a command needs it: ``aevb --help`` answers at once.
"""

from ._app import main

__all__ = ["main"]
