"""The commands, each an import string with its help, and the one place where errors become sentences and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from cyclopts import App, CycloptsError

from .. import __version__
from .._memory import is_out_of_memory
from ..errors import AevbError
from . import _config_file as config
from ._messages import to_command_line

EXIT_REFUSED, EXIT_BUG, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 2, 1, 130, 141


@dataclass(frozen=True)
class Command:
    """A command: its name, where its function is, what it does, and an example."""

    name: str
    function: str
    help: str
    example: str


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
        "Train a model on a file, a folder of images, or a set with a name.",
        "aevb fit measurements.csv --latent 4 --out runs/first",
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
        "Samples, reconstructions and codes against held-out data.",
        "aevb quality runs/digits-1",
    ),
    Command(
        "fit-prior",
        "_fit_prior:fit_prior",
        "Fit a prior to the codes of a trained model, to sample from.",
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
        "encode",
        "_generate:encode",
        "Turn data into codes.",
        "aevb encode runs/first measurements.csv --out codes.csv",
    ),
    Command(
        "predict",
        "_predict:predict",
        "The label of each row, by a model that infers labels.",
        "aevb predict runs/digits-1 measurements.csv --out labels.csv",
    ),
    Command(
        "decode",
        "_generate:decode",
        "Turn codes into data.",
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
        "Walk from one row to another between their codes.",
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
        "Put runs side by side, and say which differences are noise.",
        "aevb compare runs/digits-1 runs/digits-2",
    ),
    Command(
        "sweep",
        "_sweep:sweep",
        "Train every combination of latent sizes, betas and seeds, and compare them.",
        "aevb sweep digits --latent 2,4,8 --beta 0.5,1,4 --out runs/sweep",
    ),
    Command(
        "presets",
        "_presets:presets",
        "The published models, what each is made of, and when to take it.",
        "aevb presets piwae",
    ),
    Command(
        "info", "_info:info", "Versions, devices, and which extras are installed.", "aevb info"
    ),
)
DATA_COMMANDS = (
    Command(
        "list", "_data_sets:list_sets", "The sets with names, and where they are.", "aevb data list"
    ),
    Command(
        "get",
        "_data_sets:download_set",
        "Download a set from its publisher, checked.",
        "aevb data get mnist",
    ),
)


def build_app() -> App:
    """The application."""
    app = App(
        name="aevb",
        help="From data to a generative model, by auto-encoding variational Bayes.",
        version=__version__,
        help_format="plaintext",
        help_epilogue="Start with: aevb demo",
        suppress_keyboard_interrupt=False,
        config=config.load_config_defaults,
    )
    data = App(
        name="data",
        help="Data sets with names: list them, get them.",
        help_epilogue="Example: aevb data get mnist",
        sort_key=len(COMMANDS),
    )
    for parent, commands in ((app, COMMANDS), (data, DATA_COMMANDS)):
        for place, command in enumerate(commands):
            example = f"Example: {command.example}"
            function = f"aevb.cli.{command.function}"
            parent.command(
                function,
                name=command.name,
                help=command.help,
                help_epilogue=example,
                sort_key=place,
            )
    app.command(data)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for what the user can put right, 130 for Ctrl-C, 1 for a bug of ours."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = build_app()(
            tokens, exit_on_error=False, print_error=False, result_action="return_value"
        )
        sys.stdout.flush()
    except BaseException as error:
        if "--debug" in tokens and not isinstance(error, SystemExit):
            traceback.print_exc()
        return _exit_code(error, tokens)
    return code if isinstance(code, int) else 0


def _exit_code(error: BaseException, tokens: list[str]) -> int:
    """Say what went wrong in one sentence; how a program should end."""
    if isinstance(error, (AevbError, CycloptsError)):
        return _print_error(to_command_line(str(error)))
    if isinstance(error, KeyboardInterrupt):
        return _print_error("interrupted.", EXIT_INTERRUPTED)
    if isinstance(error, BrokenPipeError):
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the reader has gone: what is still buffered goes nowhere
        return EXIT_BROKEN_PIPE
    if is_out_of_memory(error):
        return _print_error(
            "memory ran out. Choose a smaller --batch-size or fewer --samples, or narrower layers (--hidden), or another --device."
        )
    if not isinstance(error, Exception):
        raise error
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    rerun = (
        "Run it again with --debug for the place"
        if "--debug" not in tokens
        else "The place is above"
    )
    return _print_error(
        f"this is a bug of aevb, not of your data ({reason}). {rerun}, and report it.", EXIT_BUG
    )


def _print_error(sentence: str, exit_code: int = EXIT_REFUSED) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return exit_code
