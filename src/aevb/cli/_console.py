"""Terminal output: wrapped and bold on a terminal, plain lines elsewhere; results on stdout."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..notes import Note, Text, visible_text
from ._style import encodable, text_of

if TYPE_CHECKING:
    from ..runs import Run
    from ._options import CommonOptions

LABEL_WIDTH = 9  # columns for the label of a paragraph


def open_run(
    path: Path, common: CommonOptions, console: ConsoleOutput, trust_source: bool = False
) -> Run:
    """Open a run folder, and print a note if its training is not finished."""
    from ..runs import Run

    opened = Run.open(path, device=common.device, trust_source=trust_source)
    for note in opened.status_notes():
        console.print_note(note)
    return opened


class ConsoleOutput:
    """Output of one command.

    Args:
        quiet: Leave the narrative out, without its warnings.
        json: Print the narrative on stderr, so that stdout is one object.
    """

    def __init__(self, quiet: bool = False, json: bool = False) -> None:
        self.quiet, self.json = quiet, json

    def print_paragraph(self, label: str, *sentences: Text | Note) -> None:
        """A label at the left, and a sentence per line; of these, ``quiet`` leaves warnings."""
        if self.quiet:
            for sentence in sentences:
                if isinstance(sentence, Note) and sentence.level == "warning":
                    self.print_note(sentence)
            return
        stream = sys.stderr if self.json else sys.stdout
        for number, sentence in enumerate(sentences):
            head = "" if number else label
            line = (head.ljust(LABEL_WIDTH) + text_of(sentence)).rstrip()
            _print(line, stream, " " * LABEL_WIDTH, bold=len(head))

    def print_note(self, note: Text | Note) -> None:
        """Something that the user should know, on stderr, ``quiet`` or not."""
        _print(f"note: {text_of(note)}", sys.stderr, " " * 6)

    def print_result(self, text: str) -> None:
        """The result."""
        _print(visible_text(text), sys.stdout, "")

    def print_json(self, value: Any) -> None:
        """The result as JSON; numbers that are not finite are null."""
        from .._files import finite_or_none

        print(json.dumps(finite_or_none(value), indent=2, allow_nan=False))

    def print_table(
        self,
        rows: Sequence[Sequence[str]],
        header: Sequence[str] = (),
        right_aligned: Iterable[int] = (),
    ) -> None:
        """Columns side by side; the last one is wrapped on a terminal."""
        cells = [list(map(visible_text, row)) for row in ([header] if header else []) + list(rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        indent = " " * (sum(widths[:-1]) + 2 * (len(widths) - 1))
        right = set(right_aligned)
        for number, row in enumerate(cells):
            fitted = [
                cell.rjust(width) if column in right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            line = "  ".join(fitted).rstrip()
            _print(line, sys.stdout, indent, bold=len(line) if header and number == 0 else 0)

    @contextmanager
    def progress_bar(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A bar on a terminal's stderr; gives the function to call with the work done."""
        with self._bar() as bar:
            if bar is None:
                yield lambda done: None
                return
            task = bar.add_task(title, total=total)
            yield lambda done: bar.advance(task, done)

    @contextmanager
    def download_bar(self) -> Iterator[Callable[[str, int, int | None], None]]:
        """A bar of bytes; gives the function to call with the file, its bytes so far, and all."""
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            DownloadColumn(),
            TimeRemainingColumn(),
        )
        with self._bar(*columns) as bar:
            if bar is None:
                yield lambda name, done, total: None
                return
            task = bar.add_task("", total=None)
            yield lambda name, done, total: bar.update(
                task, description=visible_text(name), completed=done, total=total
            )

    @contextmanager
    def _bar(self, *columns: Any) -> Iterator[Any]:
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            yield bar


def _print(line: str, stream: TextIO, indent: str, bold: int = 0) -> None:
    """Print a line, wrapped and with the first ``bold`` characters in bold on a terminal."""
    line = encodable(line, stream)
    width = shutil.get_terminal_size().columns if stream.isatty() else 0
    if width >= len(indent) + 20 and len(line) > width:
        line = textwrap.fill(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    if not bold or not stream.isatty():
        print(line, file=stream)
        return
    from rich.console import Console
    from rich.text import Text

    styled = Text(line)
    styled.stylize("bold", 0, bold)
    Console(file=stream, highlight=False).print(styled, soft_wrap=True)
