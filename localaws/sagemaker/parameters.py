"""A pipeline's parameters for one execution: defaults, replaced by what was given, each of its declared type."""

import math
from collections.abc import Callable
from typing import Any

from localaws.sagemaker.service import validation_error
from localaws.store import Document


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


# The types a parameter's text may be turned into.
READERS: dict[str, Callable[[str], Any]] = {
    "String": str,
    "Integer": int,
    "Float": _finite,
    "Boolean": lambda text: {"true": True, "false": False}[text.lower()],
}


def bind(definition: Document, given: list[Document]) -> Document:
    """Parameter name -> value. Raises ApiError for one that is unknown, missing or not of its type."""
    declared = {parameter["Name"]: parameter for parameter in definition.get("Parameters", [])}
    values = {name: parameter.get("DefaultValue") for name, parameter in declared.items()}
    for parameter in given:
        name, text = parameter["Name"], parameter["Value"]
        if name not in declared:
            known = ", ".join(declared)
            raise validation_error(f"Parameter '{name}' is not in the pipeline definition (have: {known}).")
        values[name] = typed(declared[name], text)
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise validation_error(f"Parameters without a value: {', '.join(missing)}.")
    return values


def typed(parameter: Document, text: str) -> Any:
    """A parameter's text as the type its definition declares."""
    try:
        value = READERS[parameter["Type"]](text)
    except (ValueError, KeyError) as error:
        raise validation_error(
            f"Parameter '{parameter['Name']}' is of type {parameter['Type']}, but {text!r} was given."
        ) from error
    if parameter.get("EnumValues") and value not in parameter["EnumValues"]:
        allowed = ", ".join(map(str, parameter["EnumValues"]))
        raise validation_error(f"Parameter '{parameter['Name']}' is one of {allowed}, but {text!r} was given.")
    return value
