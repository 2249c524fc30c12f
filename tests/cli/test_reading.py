"""The file of a run is accepted by every command, which reads it in the same way."""

import numpy as np
import polars
import pytest

from aevb.cli import main


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A run on a file with a decimal comma, text, an index, empty cells and codes for them."""
    folder = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    lines = [
        f"{i};{'-200' if i % 10 == 3 else age};{'' if i % 10 == 7 else fare};Zoë"
        for i, (age, fare) in enumerate(
            (f"{a:.1f}".replace(".", ","), f"{b:.2f}".replace(".", ","))
            for a, b in rng.normal([40, 9], [9, 2], (60, 2))
        )
    ]
    path = folder / "people.txt"
    path.write_bytes("\r\n".join(["# ages", ";age;fare;name", *lines]).encode("cp1252"))
    options = ["--latent", "1", "--hidden", "4", "--epochs", "1", "--no-report", "--quiet"]
    run = folder / "run"
    assert main(["fit", str(path), "--out", str(run), "--missing", "-200", *options]) == 0
    return run, path


@pytest.mark.parametrize(
    "command",
    [
        ("encode", "--out", "z.csv"),
        ("reconstruct", "--out", "x.csv"),
        ("interpolate", "--from", 0, "--to", 1, "--out", "path.csv"),
        ("evaluate", "--samples", 2),
        ("quality",),
        ("doctor",),
        ("report", "--samples", 2),
    ],
    ids=lambda command: command[0],
)
def test_a_command_accepts_the_file_of_the_run(aevb, people, command):
    run, path = people
    done = aevb(command[0], run, path, *command[1:])
    assert done.code == 0, done.err
    assert "Dropped" not in done.err and "has changed" not in done.err


def test_other_commands_accept_the_run(aevb, people):
    run, path = people
    done = aevb("compare", run, "--source", path, "--samples", 2)
    assert done.code == 0, done.err
    assert aevb("sample", run, "-n", 3, "--out", "s.csv").code == 0
    assert polars.read_csv("s.csv").columns[1:] == ["age", "fare", "name"]


def test_rows_with_empty_cells_are_kept(aevb, people):
    run, path = people
    aevb("encode", run, path, "--out", "z.csv")
    assert len(polars.read_csv("z.csv")) == 60
    aevb("reconstruct", run, path, "--out", "x.csv")
    assert not polars.read_csv("x.csv")["age"].has_nulls()


def test_a_setting_of_the_command_wins(aevb, people, refused):
    run, path = people
    assert "--delimiter" in refused("encode", run, path, "--delimiter", "::", "--out", "z.csv")
    assert aevb("encode", run, path, "--encoding", "latin-1", "--out", "z.csv").code == 0
