"""The commands beside the console's pages about the beers' records and models."""

import importlib
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from console import web
from console.plugin import COMMANDS as AWS_COMMANDS
from pipelines.account.clients import Clients
from pipelines.records.console import COMMANDS, BeerPages

VALUES = {
    "run": "abc",
    "step": "Train",
    "arn": "arn:aws:x/1",
    "other": "2",
    "version": "1",
}
# A changing form of any page -> its command.
FORMS = {"start", "stop", "retry", "approve", "reject", "replay", "rollback"}


def pages(monkeypatch: pytest.MonkeyPatch, *, local: bool) -> BeerPages:
    """The pages of an environment that is never asked."""
    monkeypatch.setattr("pipelines.records.console.Serving", lambda stacks: None)
    clients = Clients()
    clients.flags = "--local --workspace '/tmp/a b'" if local else "--env prod"
    stacks: Any = SimpleNamespace(clients=clients)
    return BeerPages(stacks)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("action", COMMANDS)
def test_a_pages_command_is_one_that_its_parser_takes(
    action: str, local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = pages(monkeypatch, local=local).command(action, **VALUES)
    _, _, name, *words = shlex.split(line)
    package = getattr(importlib.import_module(name), "__path__", None)
    given = importlib.import_module(f"{name}.__main__" if package else name).arguments().parse_args(words)
    assert (given.workspace == Path("/tmp/a b")) if local else (given.env == "prod")


def test_every_action_of_the_console_has_a_command_of_this_project() -> None:
    assert set(AWS_COMMANDS) - set(COMMANDS) == set()


def test_every_form_that_changes_something_has_a_command_and_every_changing_command_a_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = [*web.CHANGES, *pages(monkeypatch, local=True).changes()]
    assert {path.rpartition("/")[2] for path in paths} == FORMS | {"try"}
    assert set(COMMANDS) >= FORMS | {"predict"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"instances": [{"abv": 6.7, "name": "--x"}]}', "--name=--x --abv=6.7"),
        ('{"instances": [{"abv": 6.7}, {"abv": 5}]}', "--abv=6.7 --target-og=1060"),
        ("not JSON", "--abv=6.7 --target-og=1060"),
        ('{"instances": [{"id": 1}]}', "--abv=6.7 --target-og=1060"),
        ("[1]", "--abv=6.7 --target-og=1060"),
    ],
)
def test_the_command_of_a_prediction_is_about_the_beer_of_the_form(
    body: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"registry predict {words} --local" in pages(monkeypatch, local=True).command("predict", body=body)
