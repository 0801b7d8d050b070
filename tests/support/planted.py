"""Faults planted in JSON: a copy with something put in a place, or taken out of it (check_faults.yaml)."""

import copy
from pathlib import Path
from typing import Any

from localaws.sagemaker import graph
from tests.support import cfn

Fault = dict[str, Any]
MACHINE = Path(__file__).with_name("machine.asl.json")
FAULTS: dict[str, list[Fault]] = cfn.parse(Path(__file__).with_name("check_faults.yaml").read_text())


def plant(document: Any, at: str, **put: Any) -> Any:
    """A copy of `document` with `put` at a place such as `States/Query/Retry/0/MaxAttempts`, or nothing there.

    In a list a place is a number, or the `Name` of an element; after `Steps` it is a step, in whatever branch it is.
    """
    spoilt = node = copy.deepcopy(document)
    *path, last = at.split("/")
    for key in path:
        if key == "Steps":
            node = {step["Name"]: step for step in graph.steps(node)}
        elif isinstance(node, list):
            node = node[int(key)] if key.isdecimal() else next(each for each in node if each["Name"] == key)
        else:
            node = node[key]
    place: Any = int(last) if isinstance(node, list) else last
    if put:
        if isinstance(node, list):
            node[place : place + 1] = [put["put"]]
        else:
            node[place] = put["put"]
    else:
        del node[place]
    return spoilt


def spoil(document: Any, fault: Fault) -> Any:
    """A copy of `document` with a fault of check_faults.yaml in it."""
    return plant(document, fault["at"], **{key: value for key, value in fault.items() if key == "put"})


def name(fault: Fault) -> str:
    """What a test of this fault is called."""
    return f"{fault['at']}={str(fault.get('put', 'nothing'))[:40]}"


def wanted(fault: Fault) -> list[str]:
    """How the findings begin."""
    return fault["found"] if isinstance(fault["found"], list) else [fault["found"]]


def cut(found: list[str], to: list[str]) -> list[str]:
    """What was found, each cut to the length of what is wanted in its place: lists of names need not be repeated."""
    return [each[: len(to[index])] if index < len(to) else each for index, each in enumerate(found)]
