"""The report of a run: one HTML page that contains all its pictures and loads nothing else.

>>> from aevb import report
>>> report.write_report("runs/digits-1", data)  # doctest: +SKIP
"""

from ._write import write_report

__all__ = ["write_report"]
