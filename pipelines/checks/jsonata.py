"""JSONata expressions of state machines (`{% ... %}`), compiled by the library that also runs them locally.

https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# A reference to the state's own input: `$states.input.champion.uri`.
INPUT = re.compile(r"\$states\.input((?:\.\w+)+)")


def problems(value: Any, address: str) -> Iterator[str]:
    """Expressions anywhere in a field that do not compile."""
    from jsonata.jexception import JException

    for where, text in texts(value, address):
        if text.startswith("{%") and text.endswith("%}"):
            try:
                compiled(text)
            except JException as error:
                yield f"{where}: {error}"
        elif "{%" in text:
            yield f"{where}: {text!r} is a literal text; an expression spans the whole value, from {{% to %}}"


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
    """Compile `{% ... %}`; raises the library's JException."""
    from jsonata import Jsonata

    return Jsonata(text.removeprefix("{%").removesuffix("%}").strip())


def inputs(value: Any, address: str) -> Iterator[tuple[str, list[str]]]:
    """(address, names) of every `$states.input` path."""
    for where, text in texts(value, address):
        for found in INPUT.finditer(text):
            yield where, found[1].strip(".").split(".")


def output(text: str, before: Mapping[str, Any], **more: list[str]) -> dict[str, Any]:
    """The names that an Output produces from its input's names. more: `result` or `errorOutput` with their members."""
    from jsonata.jexception import JException

    states = {name: dict.fromkeys(members, 1) for name, members in more.items()}
    try:
        expression = compiled(text)
        expression.assign("states", {"input": {name: {} for name in before}, **states})
        found = expression.evaluate(None)
    except JException:
        # The check of expressions reports it.
        found = None
    return found if isinstance(found, dict) else {}
