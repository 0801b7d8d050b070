"""What a condition step compares."""

import operator
from collections.abc import Callable
from typing import Any

from pipelines.local.expressions import UnknownReference
from pipelines.local.store import Document

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}


def holds(condition: Document) -> bool:
    """Whether a condition, its references already resolved, is true; a comparison of unlike types is an error."""
    kind = condition["Type"]
    if kind == "Or":
        return any(holds(each) for each in condition["Conditions"])
    if kind == "Not":
        return not holds(condition["Expression"])
    if kind == "In":
        return condition["QueryValue"] in condition["Values"]
    if kind not in COMPARISONS:
        raise UnknownReference(
            f"Conditions: the type {kind!r} is unknown (have: {', '.join(COMPARISONS)}, In, Not, Or)"
        )
    left, right = condition["LeftValue"], condition["RightValue"]
    try:
        return COMPARISONS[kind](left, right)
    except TypeError as error:
        raise UnknownReference(f"Conditions: {left!r} {kind} {right!r} cannot be compared") from error
