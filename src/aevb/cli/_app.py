"""The commands, each an import string with its help; errors become sentences and exit codes."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError, UnusedCliTokensError

from .. import __version__
from .._memory import is_out_of_memory
from ..errors import AevbError
from ._config import load_config_defaults

OUTPUT_ERRORS = (errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC)
EXIT_REFUSED, EXIT_BUG, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 2, 1, 130, 141


@dataclass(frozen=True)
class Command:
    """A command: its name, the place of its function, its help and an example."""

    name: str
    function: str
    help: str
    example: str
    lists_choices: bool = False


COMMANDS = (
    Command(
        "demo",
        "_demo:demo",
        "Train on handwritten digits, evaluate, and write the report: one minute.",
        "aevb demo",
    ),
    Command(
        "fit",
        "_fit:fit",
        "Train a model on a file, a folder of images, or a named data set.",
        "aevb fit measurements.csv --latent 4 --out runs/first",
        lists_choices=True,
    ),
    Command(
        "evaluate",
        "_evaluate:evaluate",
        "Likelihood, bound, rate and distortion of held-out data.",
        "aevb evaluate runs/first --samples 500",
    ),
    Command(
        "quality",
        "_quality:quality",
        "Samples, reconstructions and encodings against held-out data.",
        "aevb quality runs/digits-1",
    ),
    Command(
        "fit-prior",
        "_fit_prior:fit_prior",
        "Fit a prior to the encodings of a trained model, to sample from.",
        "aevb fit-prior runs/digits-1 --family mixture",
    ),
    Command(
        "doctor",
        "_doctor:doctor",
        "What is wrong with a run or its data, and which setting to change.",
        "aevb doctor runs/first",
    ),
    Command(
        "sample",
        "_generate:sample",
        "Draw new data from a model.",
        "aevb sample runs/first -n 64 --out samples.png",
    ),
    Command(
        "impute",
        "_tables:impute",
        "Fill the missing cells of a table, with intervals.",
        "aevb impute runs/people people.csv --out completed.csv",
    ),
    Command(
        "score",
        "_tables:score",
        "Unlikely rows of a table, and the columns that make them so.",
        "aevb score runs/people people.csv --out scores.csv",
    ),
    Command(
        "encode",
        "_generate:encode",
        "Encode data.",
        "aevb encode runs/first measurements.csv --out codes.csv",
    ),
    Command(
        "predict",
        "_generate:predict",
        "The label of each row, by a model that infers labels.",
        "aevb predict runs/digits-1 measurements.csv --out labels.csv",
    ),
    Command(
        "decode",
        "_generate:decode",
        "Decode encodings.",
        "aevb decode runs/first codes.csv --out decoded.csv",
    ),
    Command(
        "reconstruct",
        "_generate:reconstruct",
        "Encode data and decode them again.",
        "aevb reconstruct runs/digits-1 digits --out pairs.png",
    ),
    Command(
        "interpolate",
        "_generate:interpolate",
        "A path between the encodings of two rows.",
        "aevb interpolate runs/digits-1 digits --from 0 --to 1 --out walk.png",
    ),
    Command(
        "report",
        "_report:report",
        "Write the report of a run: one HTML file.",
        "aevb report runs/first",
    ),
    Command(
        "compare",
        "_compare:compare",
        "Runs side by side, and which differences are noise.",
        "aevb compare runs/digits-1 runs/digits-2",
    ),
    Command(
        "sweep",
        "_sweep:sweep",
        "Train every combination of latent sizes, betas and seeds, and compare them.",
        "aevb sweep digits --latent 2,4,8 --beta 0.5,1,4 --out runs/sweep",
        lists_choices=True,
    ),
    Command(
        "presets",
        "_presets:presets",
        "The published models, their parts, and when to use each.",
        "aevb presets piwae",
    ),
    Command(
        "info", "_info:info", "Versions, devices, and which extras are installed.", "aevb info"
    ),
)
DATA_COMMANDS = (
    Command(
        "list", "_data_sets:list_sets", "The named data sets, and where they are.", "aevb data list"
    ),
    Command(
        "get",
        "_data_sets:download_set",
        "Download a data set from its publisher, with its checksum verified.",
        "aevb data get mnist",
    ),
)


def build_app(help_of: str | None = None) -> App:
    """The application.

    Args:
        help_of: The command whose help is printed, which lists the registered parts it takes.
    """
    app = App(
        name="aevb",
        help="From data to a generative model, by auto-encoding variational Bayes.",
        version=__version__,
        help_format="plaintext",
        help_epilogue="Start with: aevb demo",
        suppress_keyboard_interrupt=False,
        config=load_config_defaults,
    )
    data = App(
        name="data",
        help="Named data sets: list them, download them.",
        help_epilogue="Example: aevb data get mnist",
        sort_key=len(COMMANDS),
    )
    for parent, commands in ((app, COMMANDS), (data, DATA_COMMANDS)):
        for place, command in enumerate(commands):
            listed = command.lists_choices and command.name == help_of
            choices = list_choices() if listed else ""
            parent.command(
                f"aevb.cli.{command.function}",
                name=command.name,
                help=command.help,
                help_epilogue=f"{choices}Example: {command.example}",
                sort_key=place,
            )
    app.command(data)
    return app


def list_choices() -> str:
    """The names that options of parts take, a paragraph for each option."""
    from ._style import choosable_names

    return "".join(
        f"--{argument}: {', '.join(name.replace('_', '-') for name in sorted(known))}\n\n"
        for argument, known in choosable_names().items()
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0, 2 for an error that the user can correct, 1 for a bug, and 128 with the
        number of the signal that ended the command (130 for Ctrl-C).
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    _open_closed_streams()
    try:
        app = build_app(help_of=tokens[0] if {"-h", "--help"} & set(tokens[1:]) else None)
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except BaseException as error:
        if "--debug" in tokens and not isinstance(error, SystemExit):
            traceback.print_exc()
        return _report_error(error, tokens)
    return code if isinstance(code, int) else 0


def _report_error(error: BaseException, tokens: list[str]) -> int:
    """Print an error as one sentence, and return the exit code."""
    from ._style import STYLE

    if isinstance(error, AevbError):
        return _print_error(error.render(STYLE), tokens, record=error.to_dict())
    further = (error.unused_tokens or []) if isinstance(error, UnusedCliTokensError) else []
    if _are_files(further):
        sentence = (
            f"the command takes one source, and `{further[0]}` is another one. Write a "
            "pattern of several files in quotes: 'shards/*.parquet'."
        )
        return _print_error(sentence, tokens, name="ArgumentError")
    if isinstance(error, CycloptsError):
        return _print_error(" ".join(str(error).split()), tokens, name="ArgumentError")
    if isinstance(error, KeyboardInterrupt):
        return _print_error("interrupted.", tokens, EXIT_INTERRUPTED, "KeyboardInterrupt")
    if isinstance(error, BrokenPipeError):
        _discard_output()
        return EXIT_BROKEN_PIPE
    if isinstance(error, OSError) and error.errno in OUTPUT_ERRORS:
        _discard_output()
        return _print_error(
            f"the output could not be written ({error.strerror}). Free the disk that it goes to, "
            "or send it elsewhere.",
            tokens,
            name="OSError",
        )
    if isinstance(error, OSError) and error.filename is not None:
        return _print_error(
            f"`{error.filename}` cannot be used ({error.strerror}).", tokens, name="OSError"
        )
    if is_out_of_memory(error):
        return _print_error(
            "memory ran out. Choose a smaller --batch-size or fewer --samples, or narrower layers "
            "(--hidden), or another --device.",
            tokens,
            name="OutOfMemoryError",
        )
    if not isinstance(error, Exception):
        raise error
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    rerun = "The traceback is above; report it"
    if "--debug" not in tokens:
        rerun = "Run it again with --debug for the traceback, and report it"
    sentence = f"this is a bug of aevb, not of your data ({reason}). {rerun}."
    return _print_error(sentence, tokens, EXIT_BUG, type(error).__name__)


def _are_files(words: Sequence[str]) -> bool:
    """Whether all words name files, as those of a pattern that the shell has resolved."""
    return bool(words) and all(Path(word).exists() for word in words)


def _shortened(text: str) -> str:
    """The text with the middle of very long words left out: a path can fill a screen."""
    return re.sub(r"\S{300,}", lambda word: f"{word[0][:100]}...{word[0][-50:]}", text)


def _open_closed_streams() -> None:
    """Give the command streams where it was started without (``>&-``)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


def _discard_output() -> None:
    """Drop the rest of the output: its reader has gone, or its disk is full."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_error(
    sentence: str,
    tokens: list[str],
    exit_code: int = EXIT_REFUSED,
    name: str = "",
    record: dict[str, Any] | None = None,
) -> int:
    """Print the sentence on stderr, and with ``--json`` its record on stdout."""
    from ..notes import visible_text
    from ._style import encodable

    empty = {"argument": None, "value": None, "suggestions": []}
    with suppress(OSError):
        shown = _shortened(visible_text(sentence))
        print(encodable(f"error: {shown}", sys.stderr), file=sys.stderr)
    try:
        if "--json" in tokens:
            print(json.dumps(record or {"error": name, "reason": sentence} | empty, indent=2))
        sys.stdout.flush()
    except OSError:
        _discard_output()
    return exit_code
