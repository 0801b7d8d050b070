"""The hints of expected errors, read from the source: every text that can stand behind `Try:`."""

import ast
import importlib
import itertools
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# Stands for what is known at run time only; a number is a version, a port and a run's id alike.
VALUE = "1"
# Functions that return a whole command.
THIS = {
    "this_command": "python -m pipelines.run",
    "deploy_command": "python -m pipelines.deploy",
    "python_command": "python",
    "quoted": VALUE,
    "shown": VALUE,
}


class Hints:
    """The hints of one module."""

    def __init__(self, path: Path) -> None:
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.functions = {each.name: each for each in ast.walk(self.tree) if isinstance(each, ast.FunctionDef)}

    def all(self) -> Iterator[tuple[str, str]]:
        """(place, hint) of every ExpectedError that the module makes."""
        for function in self.functions.values():
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and _called(node) == "ExpectedError":
                    for keyword in node.keywords:
                        if keyword.arg == "hint":
                            for text in self.texts(keyword.value, function):
                                yield f"{self.name}:{node.lineno}", text

    def texts(self, node: ast.expr, function: ast.FunctionDef) -> list[str]:
        """The texts that an expression can have."""
        if isinstance(node, ast.Constant):
            return [str(node.value)]
        if isinstance(node, ast.IfExp):
            return [*self.texts(node.body, function), *self.texts(node.orelse, function)]
        if isinstance(node, ast.JoinedStr):
            pieces = [
                [VALUE] if isinstance(each, ast.FormattedValue) else self.texts(each, function)
                for each in map(self._inner, node.values)
            ]
            return ["".join(combination) for combination in itertools.product(*pieces)]
        if isinstance(node, ast.Call):
            return self._call(node, function)
        if isinstance(node, ast.Name):
            return self._name(node.id, function)
        return [VALUE]

    @staticmethod
    def _inner(node: ast.expr) -> ast.expr:
        """The call in braces, if it is one; any other value is unknown here."""
        return node.value if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Call) else node

    def _call(self, node: ast.Call, function: ast.FunctionDef) -> list[str]:
        name = _called(node)
        if name in THIS:
            return [THIS[name]]
        if name in ("command", "command_line"):
            words = [self.texts(each, function) for each in node.args if not isinstance(each, ast.Starred)]
            # A module that is a parameter is one of the commands.
            words[0] = ["run"] if words[0] == [VALUE] else words[0]
            # The words after the module are quoted, as command_line does.
            return [
                f"python -m pipelines.{module} {shlex.join(rest)}".rstrip()
                for module, *rest in itertools.product(*words)
            ]
        if ast.unparse(node.func) == "shlex.join":
            return [shlex.join(each) for each in itertools.product(*self._items(node.args[0], function))]
        if name in self.functions:
            called = self.functions[name]
            returned = [each.value for each in ast.walk(called) if isinstance(each, ast.Return) and each.value]
            return [text for each in returned for text in self.texts(each, called)]
        imported = getattr(importlib.import_module(self.name), name, None)
        if imported is not None and getattr(imported, "__module__", "").startswith("pipelines."):
            return Hints(ROOT / f"{imported.__module__.replace('.', '/')}.py")._call(node, function)
        return [VALUE]

    def _items(self, node: ast.expr, function: ast.FunctionDef) -> list[list[str]]:
        """The possible texts of each item of a list."""
        if isinstance(node, ast.List):
            return [item for each in node.elts for item in self._items(each, function)]
        if isinstance(node, ast.Starred):
            return self._items(node.value, function)
        if isinstance(node, ast.Name):
            values = [self._items(each, function) for each in self._assigned(node.id, function)]
            return [item for items in values for item in items] or [[each] for each in self._constant(node.id)]
        return [self.texts(node, function)]

    def _name(self, name: str, function: ast.FunctionDef) -> list[str]:
        found = [text for each in self._assigned(name, function) for text in self.texts(each, function)]
        return found or self._constant(name)

    def _assigned(self, name: str, function: ast.FunctionDef) -> list[ast.expr]:
        nodes = [each for each in ast.walk(function) if isinstance(each, ast.Assign | ast.AugAssign)]
        return [
            each.value
            for each in nodes
            for target in (each.targets if isinstance(each, ast.Assign) else [each.target])
            if isinstance(target, ast.Name) and target.id == name
        ]

    def _constant(self, name: str) -> list[str]:
        value: Any = getattr(importlib.import_module(self.name), name, VALUE)
        return value if isinstance(value, list) else [str(value)]


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
