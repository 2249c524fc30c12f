"""Every `aevb` command in the pages and in the help texts is accepted by the program."""

import re
import shlex
from contextlib import suppress
from pathlib import Path

import pytest
from cyclopts import MissingArgumentError, UnknownOptionError

from aevb.cli._app import COMMANDS, DATA_COMMANDS, build_app

ROOT = Path(__file__).resolve().parents[1]
PAGES = "\n".join(
    page.read_text(encoding="utf-8")
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
)
FENCE = re.compile(r"^```\w*\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
LINE = re.compile(r"^(?:\$ )?(aevb .+?)(?: +#.*)?$", re.MULTILINE)
SPAN = re.compile(r"`(aevb [^`]+)`")
STAND_IN = {
    "RUN": "runs/a",
    "SOURCE": "digits",
    "NEW": "new.csv",
    "NAME": "piwae",
    "COLUMN": "site",
}

WHOLE = {command for block in FENCE.finditer(PAGES) for command in LINE.findall(block["text"])} | {
    own.example for own in (*COMMANDS, *DATA_COMMANDS)
}
SPOKEN_OF = set(SPAN.findall(FENCE.sub("", PAGES))) - WHOLE


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def parse(command: str) -> None:
    tokens = [STAND_IN.get(token, token) for token in shlex.split(command)[1:]]
    build_app().parse_args(tokens, exit_on_error=False, print_error=False)


def test_pages_show_commands():
    assert len(WHOLE) > 20 and len(SPOKEN_OF) > 10


@pytest.mark.parametrize("command", sorted(WHOLE))
def test_command_can_be_typed(command):
    parse(command)


@pytest.mark.parametrize("command", sorted(SPOKEN_OF))
def test_mentioned_command_exists(command):
    with suppress(
        MissingArgumentError
    ):  # a sentence names the option it is about, and not all that the command needs
        parse(command)


@pytest.mark.parametrize(
    "command", ["aevb sample --colour red", "aevb sample runs/a --out x.png --colour red"]
)
def test_unknown_option_is_detected(command):
    with pytest.raises(UnknownOptionError, match="colour"):
        parse(command)
