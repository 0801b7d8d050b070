"""The commands beside the console's pages about the beers' records."""

import importlib

import pytest

from console.plugin import COMMANDS as AWS_COMMANDS
from pipelines.records.console import COMMANDS

VALUES = {
    "run": "abc",
    "step": "Train",
    "arn": "arn:aws:x/1",
    "other": "2",
    "version": "1",
}


@pytest.mark.parametrize("action", COMMANDS)
def test_a_pages_command_is_one_that_its_parser_takes(action: str) -> None:
    module, *words = (word.format(**VALUES) for word in COMMANDS[action])
    name = f"pipelines.{module}"
    package = getattr(importlib.import_module(name), "__path__", None)
    parser = importlib.import_module(f"{name}.__main__" if package else name).arguments()
    parser.parse_args([*words, "--env", "dev"])


def test_every_action_of_the_console_has_a_command_of_this_project() -> None:
    assert set(AWS_COMMANDS) - set(COMMANDS) == set()
