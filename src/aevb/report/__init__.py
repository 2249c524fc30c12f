"""One page that tells the story of a run, with everything in it, to be sent to somebody.

>>> from aevb import report
>>> report.write("runs/digits-1", data)  # doctest: +SKIP
"""

from ._write import write_report

__all__ = ["write_report"]
