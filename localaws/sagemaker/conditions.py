"""What a condition step compares. A comparison that cannot be made fails the step; it never counts as passed."""

import math
import operator
from collections.abc import Callable
from typing import Any

from localaws.sagemaker.expressions import UnknownReference
from localaws.store import Document

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}


def holds(condition: Document, address: str) -> bool:
    """Whether a condition, its references already resolved, is true.

    Raises UnknownReference, with the condition's address, for an unknown type, for values of unlike types, and for
    a number that is not finite: NaN would pass the negation of any comparison.
    """
    kind = condition["Type"]
    if kind == "Or":
        return any(holds(each, f"{address}.Conditions[{index}]") for index, each in enumerate(condition["Conditions"]))
    if kind == "Not":
        # The SDK has written both names in its time.
        member = "Condition" if "Condition" in condition else "Expression"
        return not holds(condition[member], f"{address}.{member}")
    if kind == "In":
        wanted = condition["QueryValue"]
        return any(_compare("Equals", wanted, each, address) for each in condition["Values"])
    if kind not in COMPARISONS:
        have = ", ".join([*COMPARISONS, "In", "Not", "Or"])
        raise UnknownReference(f"{address}.Type: {kind!r} is not a condition (have: {have})")
    return _compare(kind, condition["LeftValue"], condition["RightValue"], address)


def _compare(kind: str, left: Any, right: Any, address: str) -> bool:
    for value in (left, right):
        if isinstance(value, float) and not math.isfinite(value):
            raise UnknownReference(f"{address}: {value} cannot be compared ({left!r} {kind} {right!r})")
    if _sort(left) is not _sort(right):
        raise UnknownReference(f"{address}: {left!r} {kind} {right!r} compares unlike types")
    try:
        return COMPARISONS[kind](left, right)
    except TypeError as error:
        raise UnknownReference(f"{address}: {left!r} {kind} {right!r} cannot be compared") from error


def _sort(value: Any) -> type:
    """Integers and floats are one sort of value; a boolean is not a number."""
    return float if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value)
