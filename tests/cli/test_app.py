"""The frame: help, suggestions, exit codes, and that nothing heavy is imported before it is needed."""

import subprocess
import sys

import pytest

from aevb.cli._app import COMMANDS, DATA_COMMANDS
from aevb.cli._messages import to_command_line


def test_help_does_not_import_torch():
    script = "import sys; from aevb.cli import main; main(['--help']); main(['fit', '--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "interpolate" in done.stdout and "--free-bits" in done.stdout


@pytest.mark.parametrize("command", [*COMMANDS, *DATA_COMMANDS], ids=lambda command: command.name)
def test_every_command_has_help_with_an_example(aevb, command):
    done = aevb(*(["data"] if command in DATA_COMMANDS else []), command.name, "--help")
    assert done.code == 0
    assert f"Example: {command.example}" in done.out
    assert all(option in done.out for option in ("--seed", "--device", "--quiet", "--debug"))


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["fti"], 'Did you mean "fit"?'),
        (["fit", "digits", "--latnet", "3"], "Did you mean --latent?"),
        (
            ["fit", "digits", "--latent", "three"],
            'Invalid value for --latent: "three" is not a number',
        ),
        (
            ["fit", "digits", "--batch-size", "1.5"],
            'Invalid value for --batch-size: "1.5" is not a whole number',
        ),
        (["fit", "digits", "--hidden", "4,x"], 'Invalid value for --hidden: "x" is not a number'),
        (["fit", "digits", "--precision", "float16"], 'Choose from: "float32", "bfloat16"'),
        (["fit"], "SOURCE is missing"),
        (["evaluate"], "RUN"),
    ],
)
def test_what_is_mistyped_is_refused(refused, arguments, sentence):
    assert sentence in refused(*arguments)


@pytest.mark.parametrize(
    "error, code, sentence",
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 2, "Choose a smaller --batch-size"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            2,
            "memory ran out",
        ),
        (
            ZeroDivisionError("division by zero"),
            1,
            "a bug of aevb, not of your data (ZeroDivisionError: division by zero). Run it again with --debug",
        ),
    ],
)
def test_what_goes_wrong_ends_in_one_sentence(aevb, monkeypatch, error, code, sentence):
    def fail():
        raise error

    monkeypatch.setattr("aevb.cli._info.facts", fail)
    done = aevb("info")
    assert done.code == code
    assert sentence in done.err and done.err.count("\n") == 1
    assert "Traceback" in aevb("info", "--debug").err


def test_a_closed_pipe_is_silent():
    script = "import sys; from aevb.cli import main; sys.exit(main(['data', 'list']))"
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait(timeout=60) == 141


def test_code_between_backticks_stays_as_it_is():
    message = 'got samples=1: use `likelihoods.Normal(network, scale="shared")`, or `objectives.IWAE(samples=5)`'
    assert (
        to_command_line(message)
        == 'got --samples 1: use `likelihoods.Normal(network, scale="shared")`, or --objective iwae --samples 5'
    )
