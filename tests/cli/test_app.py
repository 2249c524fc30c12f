"""Help, suggestions and exit codes; heavy libraries are imported on first use."""

import json
import subprocess
import sys

import pytest

from aevb.cli._app import COMMANDS, DATA_COMMANDS
from aevb.cli._style import STYLE
from aevb.errors import ArgumentError
from aevb.notes import Argument, Part, message


def test_help_does_not_import_torch():
    commands = "main(['--help']); main(['evaluate', '--help'])"
    script = f"import sys; from aevb.cli import main; {commands}; sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "interpolate" in done.stdout and "--defensive" in done.stdout


def test_help_of_fit_lists_the_registered_parts_in_alphabetical_order(aevb):
    from aevb.likelihoods import LikelihoodRegistration
    from aevb.posteriors import PosteriorRegistration
    from aevb.priors import PriorRegistration
    from aevb.runs._recipe import buildable_parts

    text = " ".join(aevb("fit", "--help").out.replace("-\n", "-").split())
    known = [*buildable_parts("objective"), *buildable_parts("gradient")]
    for role in (LikelihoodRegistration, PriorRegistration, PosteriorRegistration):
        known += role.buildable()
    assert all(name.replace("_", "-") in text for name in known)
    for role in ("likelihood", "prior", "posterior", "objective", "gradient"):
        listed = text.split(f" --{role}: ")[1].split(" --")[0].split(" Example")[0].split(", ")
        assert listed == sorted(listed)


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
def test_mistyped_arguments_are_refused_with_suggestions(refused, arguments, sentence):
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
            "(ZeroDivisionError: division by zero). Run it again with --debug",
        ),
    ],
)
def test_errors_end_in_a_single_sentence(aevb, monkeypatch, error, code, sentence):
    def fail():
        raise error

    monkeypatch.setattr("aevb.cli._info.environment_record", fail)
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


@pytest.mark.parametrize(
    "reference, text",
    [
        (Argument("batch_size", 64), "--batch-size 64"),
        (Argument("batch_size"), "--batch-size"),
        (Argument("overwrite", True), "--force"),
        (Argument("hidden", (400, 400)), "--hidden 400,400"),
        (Argument("label", "sex=f m"), "--label 'sex=f m'"),
        (Argument("alpha", 0.5), "--set alpha=0.5"),
        (Argument("beta", Part("Linear", {"steps": 5000})), "--set beta=Linear(steps=5000)"),
        (Argument("lr_schedule"), "`lr_schedule`"),
        (Part("objectives.IWAE", {"samples": 5}), "--objective iwae --samples 5"),
        (Part("gradients.LeaveOneOut"), "--gradient leave-one-out"),
        (
            Part("gradients.ReweightedWakeSleep", {"update": "sleep"}),
            "--gradient reweighted-wake-sleep --set update=sleep",
        ),
        (Part("networks.MLP", {"inputs": 2}), "`networks.MLP(inputs=2)`"),
    ],
)
def test_references_are_written_as_options(reference, text):
    error = ArgumentError(message("use {it}", it=reference))
    assert error.render(STYLE) == f"use {text}."


def test_an_error_names_the_option_and_its_value():
    error = ArgumentError("give at least 1", argument="batch_size", value=0)
    assert error.render(STYLE) == "--batch-size is 0; give at least 1."


def test_an_error_is_a_record_with_json(aevb):
    done = aevb("fit", "digits", "--set", "alpha", "--json", "--quiet")
    record = json.loads(done.out)
    assert done.code == 2 and (record["argument"], record["value"]) == ("set", "alpha")
    assert done.err.startswith("error: --set is ")
    assert set(record) == {"error", "argument", "value", "reason", "suggestions"}
    assert json.loads(aevb("evaluate", "--json").out)["error"] == "ArgumentError"


def test_files_of_an_unquoted_pattern_are_refused_with_the_pattern(refused, tmp_path):
    paths = [tmp_path / f"{part}.csv" for part in range(2)]
    for path in paths:
        path.write_text("a,b\n1,2\n")
    assert "'shards/*.parquet'" in refused("fit", *paths)
