"""The fleet of an endpoint configuration: its variants' containers, and the choice between variants."""

import logging
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localaws.sagemaker.serving.container import INVOCATION_SECONDS, STARTUP_SECONDS, Container, Unhealthy
from localaws.sagemaker.serving.model_data import ModelDataError
from localaws.store import Document

logger = logging.getLogger("localaws.sagemaker")


class FleetFailed(Exception):
    """The fleet cannot serve; the text is the endpoint's FailureReason."""


class Variant:
    """One production variant: its definition, and its containers in the order in which they answer.

    However many instances are configured, one process per container runs here.
    """

    def __init__(self, definition: Document, containers: list[Container]) -> None:
        self.name: str = definition["VariantName"]
        self.definition = definition
        self.containers = containers
        self.weight: float = definition["InitialVariantWeight"]
        self.in_flight = 0

    @property
    def serverless(self) -> Document | None:
        """The ServerlessConfig, or None for a variant on instances."""
        settings: Document | None = self.definition.get("ServerlessConfig")
        return settings


class Fleet:
    """All variants of a deployment plan (see endpoint_configs.deployment_plan)."""

    def __init__(self, plan: Document, folder: Path, log_group: str, owner_arn: str) -> None:
        self.plan = plan
        self.variants: list[Variant] = []
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        root = folder / uuid.uuid4().hex[:12]
        for definition in plan["Variants"]:
            stream = (log_group, f"{definition['VariantName']}/{_instance_id()}")
            containers = [
                Container(container, root / definition["VariantName"] / str(number), stream, owner_arn)
                for number, container in enumerate(definition["Containers"])
            ]
            self.variants.append(Variant(definition, containers))

    def start(self) -> None:
        """Start every container. Raises FleetFailed."""
        try:
            for variant in self.variants:
                for container in variant.containers:
                    container.start()
        except ModelDataError as error:
            raise FleetFailed(str(error)) from error

    def wait_until_healthy(self) -> None:
        """Wait until every container answers /ping. Raises FleetFailed."""
        for variant in self.variants:
            seconds = variant.definition.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS)
            for container in variant.containers:
                try:
                    container.wait_until_healthy(float(seconds))
                except Unhealthy:
                    raise FleetFailed(
                        f"The primary container for production variant {variant.name} did not pass the ping health "
                        "check. Please check CloudWatch logs for this endpoint."
                    ) from None

    def adopt(self, plan: Document) -> None:
        """Use the weights and capacities of another plan for the same variants."""
        for variant, definition in zip(self.variants, plan["Variants"], strict=True):
            variant.definition, variant.weight = definition, definition["InitialVariantWeight"]

    def choose(self, target: str | None) -> Variant | None:
        """The variant that answers a request: the target if given, else one by weight; None for an unknown target."""
        if target is not None:
            return next((variant for variant in self.variants if variant.name == target), None)
        return random.choices(self.variants, [variant.weight for variant in self.variants])[0]

    @contextmanager
    def serving(self, variant: Variant) -> Iterator[None]:
        """Counts a request, so that `stop` waits for it."""
        with self._lock:
            variant.in_flight += 1
        try:
            yield
        finally:
            with self._idle:
                variant.in_flight -= 1
                self._idle.notify_all()

    def stop(self) -> None:
        """Wait for the requests under way, at most as long as one may take, then end the processes."""
        deadline = time.monotonic() + INVOCATION_SECONDS
        with self._idle:
            while any(variant.in_flight for variant in self.variants) and time.monotonic() < deadline:
                self._idle.wait(1.0)
        self.end()

    def end(self) -> None:
        """End the processes at once."""
        for variant in self.variants:
            for container in variant.containers:
                container.stop()


def _instance_id() -> str:
    return f"i-{uuid.uuid4().hex[:17]}"
