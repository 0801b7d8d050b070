"""JSONata expressions of state machines (`{% ... %}`), compiled by the library that also runs them locally.

https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

# A reference to the state's own input: `$states.input.champion.uri`.
INPUT = re.compile(r"\$states\.input((?:\.\w+)+)")
EXISTS = re.compile(r"\$exists\(\$states\.input((?:\.\w+)+)\)")
# A reference to the response: `$states.result.Items[0].Name`.
RESULT = re.compile(r"\$states\.result((?:\.\w+|\[\d+\])+)")


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
    """(address, names) of every `$states.input` path; without those that the expression tests with $exists."""
    for where, text in texts(value, address):
        tested = {found[1] for found in EXISTS.finditer(text)}
        for found in INPUT.finditer(text):
            if found[1] not in tested:
                yield where, found[1].strip(".").split(".")


def results(text: str) -> Iterator[list[str]]:
    """The names of every `$states.result` path; indexes are left out, as a path maps over lists."""
    for found in RESULT.finditer(text):
        yield re.findall(r"\.(\w+)", found[1])


class Output(NamedTuple):
    """What an Output produces. keeps_input: the input's members too. members: name -> its members (None: unknown)."""

    keeps_input: bool
    members: dict[str, list[str] | None]


def output(text: str) -> Output:
    """What an Output of the form `$merge([$states.input, {...}])` produces; nothing for any other expression."""
    from jsonata.jexception import JException

    try:
        parts = _merged(compiled(text).ast)
    except JException:
        # The check of expressions reports it.
        return Output(False, {})
    members = {name: _members(value) for part in parts for name, value in _pairs(part)}
    return Output(any(_path(part) == ["states", "input"] for part in parts), members)


def _merged(node: Any) -> list[Any]:
    """The arguments of `$merge([...])`; otherwise the node itself."""
    if node.type == "function" and node.procedure.value == "merge" and node.arguments[0].type == "unary":
        return list(node.arguments[0].expressions)
    return [node]


def _pairs(node: Any) -> list[tuple[str, Any]]:
    if node.type == "unary" and node.value == "{":
        return [(str(key.value), value) for key, value in node.lhs_object]
    return []


def _members(node: Any) -> list[str] | None:
    if _path(node) == ["states", "errorOutput"]:
        return ["Error", "Cause"]
    pairs = _pairs(node)
    return [name for name, _ in pairs] if pairs else None


def _path(node: Any) -> list[str]:
    return [str(step.value) for step in node.steps] if node.type == "path" else []
