"""The other language of state machines, JSONata: `{% ... %}` texts, judged by the library that also runs them here."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# A reference to the state's own input: `$states.input.champion.uri`.
INPUT = re.compile(r"\$states\.input((?:\.\w+)+)")


def problems(value: Any, address: str) -> Iterator[str]:
    """What cannot be read in the expressions of a field, inside whatever it holds."""
    from jsonata.jexception import JException

    for where, text in texts(value, address):
        if text.startswith("{%") and text.endswith("%}"):
            try:
                compiled(text)
            except JException as error:
                yield f"{where}: {error}"
        elif "{%" in text:
            yield f"{where}: {text!r} is taken for a text; an expression fills it from {{% to %}}"


def texts(value: Any, address: str) -> Iterator[tuple[str, str]]:
    """(address, text) of every text in a field."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from texts(item, f"{address}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, f"{address}[{index}]")
    elif isinstance(value, str):
        yield address, value


def compiled(text: str) -> Any:
    """The library's form of `{% ... %}`; raises its JException."""
    from jsonata import Jsonata

    return Jsonata(text.removeprefix("{%").removesuffix("%}").strip())


def inputs(value: Any, address: str) -> Iterator[tuple[str, list[str]]]:
    """(address, names) of every path into the state's input."""
    for where, text in texts(value, address):
        for found in INPUT.finditer(text):
            yield where, found[1].strip(".").split(".")


def output(text: str, before: Mapping[str, Any], **more: list[str]) -> dict[str, Any]:
    """What an Output makes of its input's names. more: `result` or `errorOutput` with the names of their members."""
    from jsonata.jexception import JException

    states = {name: dict.fromkeys(members, 1) for name, members in more.items()}
    try:
        expression = compiled(text)
        expression.assign("states", {"input": {name: {} for name in before}, **states})
        found = expression.evaluate(None)
    except JException:
        # Told by the check of expressions.
        found = None
    return found if isinstance(found, dict) else {}
