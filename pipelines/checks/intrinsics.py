"""A parser for the expressions of ASL in its query language JSONPath: paths and intrinsic functions.

$.runs.arns[0]                                        a path into the state's input
$$.Execution.Id                                       a path into the context object
$.Steps[?(@.Status=='Failed' || @.Status=='Stopped')].Name
States.Format('{} of {}', $.a, States.ArrayLength($.b))
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

# Name -> fewest and most arguments.
# https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html
FUNCTIONS = {
    "States.Array": (0, 1000),
    "States.ArrayContains": (2, 2),
    "States.ArrayGetItem": (2, 2),
    "States.ArrayLength": (1, 1),
    "States.ArrayPartition": (2, 2),
    "States.ArrayRange": (3, 3),
    "States.ArrayUnique": (1, 1),
    "States.Base64Decode": (1, 1),
    "States.Base64Encode": (1, 1),
    "States.Format": (1, 1000),
    "States.Hash": (2, 2),
    "States.JsonMerge": (3, 3),
    "States.JsonToString": (1, 1),
    "States.MathAdd": (2, 2),
    "States.MathRandom": (2, 3),
    "States.StringSplit": (2, 2),
    "States.StringToJson": (1, 1),
    "States.UUID": (0, 0),
}
HASHES = ("MD5", "SHA-1", "SHA-256", "SHA-384", "SHA-512")
MOST_NESTED = 10

# https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html
CONTEXT = {
    "Execution": ("Id", "Input", "Name", "RedriveCount", "RedriveTime", "RoleArn", "StartTime"),
    "Map": ("Item",),
    "State": ("EnteredTime", "Name", "RetryCount"),
    "StateMachine": ("Id", "Name"),
    "Task": ("Token",),
}

PART = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]|\[(\*)\]|\['([^']+)'\]|\[\?\((.*?)\)\]")
COMPARISON = re.compile(r"\s*@\.(\w+)\s*(==|!=|<=|>=|<|>)\s*(?:'([^']*)'|-?\d+(?:\.\d+)?|true|false)\s*")
LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'|-?\d+(?:\.\d+)?|true|false|null")


class BadExpression(ValueError):
    """An expression that Step Functions refuses; the message has the reason."""


class Filter(NamedTuple):
    """`[?(@.name == 'literal' || ...)]`: the members it reads, each with the text it is compared with."""

    members: tuple[tuple[str, str | None], ...]


class Path(NamedTuple):
    """root: `$` or `$$`. parts: names, indexes, "*" within a Filter() of nothing, or filters."""

    root: str
    parts: tuple[str | int | Filter, ...]


class Call(NamedTuple):
    """An intrinsic function and its arguments: calls, paths, or literals as they stand."""

    name: str
    arguments: tuple[Any, ...]


def parse(text: str) -> Path | Call:
    """Parse the value of a field whose name ends in `.$`; raises BadExpression."""
    if text.startswith("$"):
        return path(text)
    found, end = _call(text, 0, 1)
    if text[end:].strip():
        raise BadExpression(f"{text[end:]!r} follows the function's end")
    return found


def path(text: str) -> Path:
    """Parse a JSONPath; raises BadExpression."""
    root = "$$" if text.startswith("$$") else "$"
    if not text.startswith("$"):
        raise BadExpression(f"{text!r} does not begin with $")
    position = len(root)
    parts: list[str | int | Filter] = []
    while position < len(text):
        match = PART.match(text, position)
        if match is None:
            raise BadExpression(f"{text!r} is not a path (at {text[position:]!r})")
        name, index, star, quoted, condition = match.groups()
        if index is not None:
            parts.append(int(index))
        elif star or condition is not None:
            parts.append(Filter(() if star else tuple(_conditions(condition))))
        else:
            parts.append(name or quoted)
        position = match.end()
    found = Path(root, tuple(parts))
    _check_context(found, text)
    return found


def reference(text: str) -> Path:
    """Parse a reference path (names only), as ResultPath requires; raises BadExpression."""
    found = path(text)
    if found.root != "$" or any(not isinstance(part, str) for part in found.parts):
        raise BadExpression(f"{text!r} is no reference path: names only, from $")
    return found


def paths(expression: Any) -> Iterator[Path]:
    """Every path in a parsed expression."""
    if isinstance(expression, Path):
        yield expression
    elif isinstance(expression, Call):
        for argument in expression.arguments:
            yield from paths(argument)


def _conditions(text: str) -> Iterator[tuple[str, str | None]]:
    for part in re.split(r"\|\||&&", text):
        match = COMPARISON.fullmatch(part)
        if match is None:
            raise BadExpression(f"{part.strip()!r} is no comparison of a member with a literal")
        yield match[1], match[3]


def _check_context(found: Path, text: str) -> None:
    if found.root == "$$" and found.parts:
        first, *rest = found.parts
        if first not in CONTEXT or (rest and rest[0] not in CONTEXT[str(first)]):
            raise BadExpression(f"{text!r} is not in the context object")


def _call(text: str, position: int, depth: int) -> tuple[Call, int]:
    match = re.compile(r"\s*([\w.]+)\(").match(text, position)
    if match is None:
        raise BadExpression(f"{text[position:]!r} is neither a path nor a function")
    name = match[1]
    if name not in FUNCTIONS:
        raise BadExpression(f"no intrinsic function {name}")
    if depth > MOST_NESTED:
        raise BadExpression(f"functions nested more than {MOST_NESTED} deep")
    arguments, end = _arguments(text, match.end(), depth)
    _check_arguments(name, arguments)
    return Call(name, tuple(arguments)), end


def _arguments(text: str, position: int, depth: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while True:
        position += len(text[position:]) - len(text[position:].lstrip())
        if text[position : position + 1] == ")":
            return found, position + 1
        argument, position = _argument(text, position, depth)
        found.append(argument)
        position += len(text[position:]) - len(text[position:].lstrip())
        if text[position : position + 1] == ",":
            position += 1
        elif text[position : position + 1] != ")":
            raise BadExpression(f"expected , or ) at {text[position:]!r}")


def _argument(text: str, position: int, depth: int) -> tuple[Any, int]:
    literal = LITERAL.match(text, position)
    if literal:
        return literal[0], literal.end()
    if text[position : position + 1] == "$":
        end = position + 2 if text.startswith("$$", position) else position + 1
        while match := PART.match(text, end):
            end = match.end()
        return path(text[position:end]), end
    return _call(text, position, depth + 1)


def _check_arguments(name: str, arguments: list[Any]) -> None:
    fewest, most = FUNCTIONS[name]
    if not fewest <= len(arguments) <= most:
        raise BadExpression(f"{name} takes {fewest if fewest == most else f'{fewest} to {most}'}, not {len(arguments)}")
    if name == "States.Format" and isinstance(arguments[0], str):
        places = re.sub(r"\\.", "", arguments[0]).count("{}")
        if places != len(arguments) - 1:
            raise BadExpression(f"States.Format has {places} places for {len(arguments) - 1} values")
    if name == "States.Hash" and isinstance(arguments[1], str) and arguments[1].strip("'") not in HASHES:
        raise BadExpression(f"States.Hash knows no {arguments[1]} (have: {', '.join(HASHES)})")
