"""The CloudWatch metrics of endpoints in AWS/SageMaker, on which alarms roll a deployment back.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

import bisect
import threading
import time
from collections import Counter, defaultdict
from typing import Any

from localaws.ministack import patches
from localaws.sagemaker.service import scope
from localaws.sagemaker.serving.fleet import Fleet, Variant
from localaws.sagemaker.serving.periodic import Periodic

EVERY_SECONDS = 0.25
NAMESPACE = "AWS/SageMaker"
# CloudWatch holds a minute's values together, each with its number: the alarms of an hour of requests are cheap.
MINUTE = 60.0
Key = tuple[str, str, tuple[tuple[str, str], ...], str, str]


class Metrics:
    """Collects the metrics of invocations and stores them in the background, then evaluates the alarms."""

    def __init__(self) -> None:
        self._values: dict[Key, Counter[float]] = defaultdict(Counter)
        self._lock = threading.Lock()
        self.thread = Periodic("endpoint-metrics", EVERY_SECONDS, self.store)

    def add(self, endpoint: str, fleet: Fleet, variant: Variant, status: int, seconds: float) -> None:
        """Count one invocation. status: the container's HTTP status; 0 for a timeout."""
        failed = not 200 <= status < 300
        found = {
            ("Invocations", "Count"): 1.0,
            ("Invocation4XXErrors", "Count"): float(400 <= status < 500),
            ("Invocation5XXErrors", "Count"): float(failed and not 400 <= status < 500),
            ("InvocationModelErrors", "Count"): float(failed),
            # Three digits, so that values repeat.
            ("ModelLatency", "Microseconds"): float(f"{seconds * 1e6:.3g}"),
        }
        alone = (("EndpointName", endpoint), ("VariantName", variant.name))
        config = (*alone, ("EndpointConfigName", fleet.plan["EndpointConfigName"]))
        region, account = scope()
        with self._lock:
            for (name, unit), value in found.items():
                for dimensions in (alone, config):
                    self._values[region, account, dimensions, name, unit][value] += 1

    def store(self) -> None:
        """Store what is collected."""
        from ministack.core import responses

        cloudwatch: Any = patches.module("services.cloudwatch")
        with self._lock:
            collected, self._values = self._values, defaultdict(Counter)
        for (region, account, dimensions, name, unit), counts in collected.items():
            with responses.request_scope(account, region):
                named = dict(dimensions)
                points = cloudwatch._metric_bucket((NAMESPACE, name, cloudwatch._dims_key(named)))
                _add(points, counts, {"Timestamp": time.time(), "Unit": unit, "Dimensions": named})
        for region, account in {key[:2] for key in collected}:
            with responses.request_scope(account, region):
                cloudwatch._evaluate_all_alarms()


def _add(points: list[dict[str, Any]], counts: Counter[float], members: dict[str, Any]) -> None:
    """Add values to the points of the current minute, which get the newest value's time. members: of each point."""
    start = bisect.bisect_left(points, members["Timestamp"] // MINUTE * MINUTE, key=lambda point: point["Timestamp"])
    total = counts + Counter({point["Value"]: point["Count"] for point in points[start:]})
    points[start:] = [{**members, "Value": value, "Count": float(count)} for value, count in total.items()]
