"""OutputParameters: which values fit which declared types."""

from typing import Any

import pytest

from localaws.sagemaker.failures import JobFailed
from localaws.sagemaker.step_outputs import outputs


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("String", "hops", "hops"),
        ("String", 200, "200"),
        ("String", True, "true"),
        ("Integer", 3, 3),
        ("Integer", "3", 3),
        ("Float", 3, 3),
        ("Float", "0.5", 0.5),
        ("Boolean", "True", True),
    ],
)
def test_a_value_becomes_the_type_that_is_declared(kind: str, given: Any, expected: Any) -> None:
    found = outputs([{"OutputName": "x", "OutputType": kind}], {"x": given, "more": 1}, "the answer")
    assert (found, type(found["x"])) == ({"x": expected}, type(expected))


@pytest.mark.parametrize(
    ("kind", "given", "reason"),
    [
        ("String", {"x": {"a": 1}}, "the output parameter x is {'a': 1}, not of type String"),
        ("Integer", {"x": "malt"}, "the output parameter x is 'malt', not of type Integer"),
        ("Integer", {"x": True}, "the output parameter x is True, not of type Integer"),
        ("String", {"y": 1}, r"the output parameter x is missing in the answer \(have: y\)"),
    ],
)
def test_any_other_value_fails_the_step(kind: str, given: Any, reason: str) -> None:
    with pytest.raises(JobFailed, match=reason):
        outputs([{"OutputName": "x", "OutputType": kind}], given, "the answer")
