"""What is printed: wrapped and in bold on a terminal, plain lines elsewhere; numbers on stdout, what is on the way on stderr."""

from __future__ import annotations

import json
import math
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ._messages import to_command_line

LABEL_WIDTH = 9  # columns for the name of a paragraph


class ConsoleOutput:
    """Prints for one command. ``quiet`` drops the narrative; ``json`` sends it to stderr, so that stdout is one object."""

    def __init__(self, quiet: bool = False, json: bool = False) -> None:
        self.quiet, self.json = quiet, json

    def print_paragraph(self, label: str, *sentences: str) -> None:
        """A paragraph of the narrative: a name at the left, a sentence per line."""
        if not self.quiet:
            self._print_sentences(
                label,
                [to_command_line(sentence) for sentence in sentences],
                sys.stderr if self.json else sys.stdout,
            )

    def print_note(self, sentence: str) -> None:
        """Something that the user should know beside the result: on stderr, ``quiet`` or not."""
        print(_wrap(f"note: {to_command_line(sentence)}", " " * 6, sys.stderr), file=sys.stderr)

    def print_result(self, text: str) -> None:
        """What was asked for."""
        print(text)

    def print_json(self, value: Any) -> None:
        """What was asked for as JSON; numbers that are not finite are null."""
        print(json.dumps(replace_non_finite(value), indent=2, allow_nan=False))

    def print_table(
        self,
        rows: Sequence[Sequence[str]],
        header: Sequence[str] = (),
        right_aligned: Iterable[int] = (),
    ) -> None:
        """Columns side by side, those of ``right`` flush right; the last one is wrapped on a terminal."""
        cells = [list(header), *map(list, rows)] if header else [list(row) for row in rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        for number, row in enumerate(cells):
            fitted = [
                cell.rjust(width) if column in right_aligned else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            line = "  ".join(fitted).rstrip()
            indent = " " * (sum(widths[:-1]) + 2 * (len(widths) - 1))
            self._print(
                _wrap(line, indent, sys.stdout),
                sys.stdout,
                bold=len(line) if header and number == 0 else 0,
            )

    @contextmanager
    def progress_bar(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A bar on stderr, where that is a terminal; gives the function to call with what has been done."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda done: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda done: bar.advance(task, done)

    @contextmanager
    def download_bar(self) -> Iterator[Callable[[str, int, int | None], None]]:
        """A bar of bytes on stderr, where that is a terminal; gives the function to call with file, bytes so far, bytes in all."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda name, done, total: None
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            DownloadColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda name, done, total: bar.update(
                task, description=name, completed=done, total=total
            )

    def _print_sentences(self, label: str, sentences: Sequence[str], stream: Any) -> None:
        for number, sentence in enumerate(sentences):
            head = (label if number == 0 else "").ljust(LABEL_WIDTH)
            self._print(
                _wrap((head + sentence).rstrip(), " " * LABEL_WIDTH, stream),
                stream,
                bold=len(label) if number == 0 else 0,
            )

    def _print(self, text: str, stream: Any, bold: int = 0) -> None:
        """Print, with the first ``bold`` characters in bold where the stream shows it."""
        if not bold or not stream.isatty():
            print(text, file=stream)
            return
        from rich.console import Console
        from rich.text import Text

        styled = Text(text)
        styled.stylize("bold", 0, bold)
        Console(file=stream, highlight=False).print(styled, soft_wrap=True)


def replace_non_finite(value: Any) -> Any:
    """The same with None for every number that JSON cannot hold.

    >>> finite({"mean": float("nan"), "n": [1, float("inf")]})
    {'mean': None, 'n': [1, None]}
    """
    if isinstance(value, dict):
        return {name: replace_non_finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_non_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _wrap(line: str, indent: str, stream: Any) -> str:
    if not stream.isatty():
        return line
    width = shutil.get_terminal_size().columns
    if len(line) <= width or width < len(indent) + 20:
        return line
    options: dict[str, Any] = {
        "break_long_words": False,
        "break_on_hyphens": False,
        "drop_whitespace": True,
    }
    return textwrap.fill(line, width, subsequent_indent=indent, **options)
