"""The OutputParameters of Lambda and Callback steps: values of a JSON object, each of the type that it is declared as.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html#step-type-lambda
"""

import json
from typing import Any

from localaws.sagemaker.expressions import as_text
from localaws.sagemaker.failures import JobFailed
from localaws.store import Document

TYPES: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (int, float),
    "Boolean": (bool,),
}


def outputs(declared: list[Document], given: Document, source: str) -> Document:
    """Name -> value of the declared outputs; JobFailed for one that is missing or of another type.

    declared: the step's OutputParameters. source: where `given` comes from, for the message.
    """
    return {each["OutputName"]: _output(each["OutputName"], each["OutputType"], given, source) for each in declared}


def _output(name: str, kind: str, given: Document, source: str) -> Any:
    if name not in given:
        have = ", ".join(given)
        raise JobFailed(f"ClientError: the output parameter {name} is missing in {source} (have: {have})")
    value = _converted(given[name], kind)
    if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "Boolean"):
        raise JobFailed(f"ClientError: the output parameter {name} is {value!r}, not of type {kind}")
    return value


def _converted(value: Any, kind: str) -> Any:
    """A number as text where text is declared, and a text as the number or boolean that is; anything else as it is."""
    if kind == "String" and isinstance(value, int | float):
        return as_text(value)
    if not isinstance(value, str) or kind == "String":
        return value
    try:
        return json.loads(value.lower() if kind == "Boolean" else value)
    except ValueError:
        return value
