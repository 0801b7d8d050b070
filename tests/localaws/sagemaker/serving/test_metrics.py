"""The metrics of endpoints as CloudWatch holds them."""

from collections import Counter
from typing import Any

from localaws.sagemaker.serving.metrics import _add


def test_the_points_of_a_minute_are_its_values_with_their_numbers() -> None:
    points: list[dict[str, Any]] = []
    for moment, counts in ((30.0, {1.0: 2}), (61.0, {1.0: 1, 2.0: 1}), (119.0, {1.0: 3})):
        _add(points, Counter(counts), {"Timestamp": moment, "Unit": "Count"})
    assert [(point["Timestamp"], point["Value"], point["Count"]) for point in points] == [
        (30.0, 1.0, 2.0),
        (119.0, 1.0, 4.0),
        (119.0, 2.0, 1.0),
    ]
