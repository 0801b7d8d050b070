"""The fleets that an endpoint serves with, and the share of requests that each gets."""

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from localaws.sagemaker.serving.fleet import Fleet, Variant


class Traffic:
    """Requests of one endpoint, routed to its fleets by share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shares: list[tuple[Fleet, float]] = []

    def route(self, *shares: tuple[Fleet, float]) -> None:
        """Send new requests to these fleets, each with its share; requests under way stay where they are."""
        with self._lock:
            self._shares = [(fleet, share) for fleet, share in shares if share > 0]

    @property
    def fleets(self) -> list[Fleet]:
        """The fleets that requests are sent to."""
        with self._lock:
            return [fleet for fleet, _ in self._shares]

    @contextmanager
    def request(self, target: str | None) -> Iterator[tuple[Fleet, Variant] | None]:
        """The fleet and variant for one request; None when there is none (of the target's name).

        The request is counted while inside, so that its fleet is not ended.
        """
        with ExitStack() as stack:
            chosen = None
            with self._lock:
                if self._shares:
                    fleets, shares = zip(*self._shares, strict=True)
                    fleet = random.choices(fleets, shares)[0]
                    variant = fleet.choose(target)
                    if variant:
                        stack.enter_context(fleet.serving(variant))
                        chosen = (fleet, variant)
            yield chosen
