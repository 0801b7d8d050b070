"""The CloudWatch metrics of endpoints in AWS/SageMaker, on which alarms roll a deployment back.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

import logging
import threading
import time
from collections import defaultdict
from typing import Any

from localaws.ministack import patches
from localaws.sagemaker.service import scope
from localaws.sagemaker.serving.fleet import Fleet, Variant

EVERY_SECONDS = 0.25
NAMESPACE = "AWS/SageMaker"
Key = tuple[str, str, tuple[tuple[str, str], ...], str, str]
logger = logging.getLogger("localaws.sagemaker")


class Metrics:
    """Collects the metrics of invocations and stores them in the background, then evaluates the alarms."""

    def __init__(self) -> None:
        self._values: dict[Key, list[float]] = defaultdict(list)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._store_now_and_then, name="endpoint-metrics", daemon=True)

    def start(self) -> None:
        """Start storing."""
        self._thread.start()

    def close(self) -> None:
        """Stop storing."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def add(self, endpoint: str, fleet: Fleet, variant: Variant, status: int, seconds: float) -> None:
        """Count one invocation. status: the container's HTTP status; 0 for a timeout."""
        failed = not 200 <= status < 300
        found = {
            ("Invocations", "Count"): 1.0,
            ("Invocation4XXErrors", "Count"): float(400 <= status < 500),
            ("Invocation5XXErrors", "Count"): float(failed and not 400 <= status < 500),
            ("InvocationModelErrors", "Count"): float(failed),
            ("ModelLatency", "Microseconds"): seconds * 1e6,
        }
        alone = (("EndpointName", endpoint), ("VariantName", variant.name))
        config = (*alone, ("EndpointConfigName", fleet.plan["EndpointConfigName"]))
        region, account = scope()
        with self._lock:
            for (name, unit), value in found.items():
                for dimensions in (alone, config):
                    self._values[region, account, dimensions, name, unit].append(value)

    def store(self) -> None:
        """Store what is collected."""
        from ministack.core import responses

        cloudwatch: Any = patches.module("services.cloudwatch")
        with self._lock:
            collected, self._values = self._values, defaultdict(list)
        for (region, account, dimensions, name, unit), values in collected.items():
            with responses.request_scope(account, region):
                moment = time.time()
                cloudwatch._store_datum(NAMESPACE, name, dict(dimensions), moment, unit, None, values, None, None)
        for region, account in {key[:2] for key in collected}:
            with responses.request_scope(account, region):
                cloudwatch._evaluate_all_alarms()

    def _store_now_and_then(self) -> None:
        while not self._closing.wait(EVERY_SECONDS):
            try:
                self.store()
            except Exception:
                logger.exception("the metrics of endpoints could not be stored")
