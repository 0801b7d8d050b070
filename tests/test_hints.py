"""What stands behind `Try:` can be pasted."""

import shlex
from pathlib import Path

import awscli.clidriver
import pytest

from tests.support.hints import Hints
from tests.support.typed import refused

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipelines/account", "pipelines/cli")
FILES = sorted(
    [
        *(path for package in PACKAGES for path in (ROOT / package).glob("*.py")),
        *(ROOT / "pipelines" / f"{name}.py" for name in ("run", "deploy", "registry", "runs")),
        ROOT / "pipelines/local/connection.py",
    ]
)
ALL = sorted({hint for path in FILES for hint in Hints(path).all()})
PROGRAMS = {"aws", "cat", "eval", "export", "kill", "make", "pip", "python", "rm", "unset"}


def test_hints_are_found() -> None:
    assert len(ALL) > 20
    assert any("runs logs" in text for _, text in ALL)
    assert any(text.startswith("aws stepfunctions") for _, text in ALL)


@pytest.mark.parametrize("hint", sorted({text for _, text in ALL if text.startswith("aws ")}))
def test_the_aws_cli_parses_the_hints_for_an_account(hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(hint)[1:]
    if words[0] in ("configure", "sso"):
        # These ask questions; they have no request.
        return
    # Prints an empty request instead of sending one, after the arguments were parsed.
    code = awscli.clidriver.create_clidriver().main([*words, "--generate-cli-skeleton"])
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize(("place", "hint"), ALL)
def test_a_hint_is_a_command_that_our_parsers_or_those_of_aws_accept(place: str, hint: str) -> None:
    commands = [part.strip() for part in hint.split(" | ")]
    assert [refused(each) for each in commands] == [""] * len(commands), hint


def test_a_hint_that_begins_like_a_command_can_be_pasted_whole() -> None:
    # Elsewhere a hint may be a sentence; one that begins like a command is nothing but a command.
    paths = [path for folder in ("console", "localaws", "pipelines") for path in (ROOT / folder).rglob("*.py")]
    every = sorted({hint for path in paths for hint in Hints(path).all()})
    commands = [(place, text) for place, text in every if text.split(maxsplit=1)[0] in PROGRAMS]
    assert len(commands) > len(ALL) / 2
    assert [
        (place, text, why) for place, text in commands for part in text.split(" | ") if (why := refused(part.strip()))
    ] == []
