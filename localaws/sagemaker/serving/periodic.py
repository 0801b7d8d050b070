"""Work that is done every so many seconds while an endpoint serves."""

import logging
import threading
from collections.abc import Callable

CLOSE_SECONDS = 5
logger = logging.getLogger("localaws.sagemaker")


class Periodic(threading.Thread):
    """A thread that calls `work` every `seconds`, and once more when it is closed; errors are logged."""

    def __init__(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._seconds = seconds
        self._work = work
        self._closing = threading.Event()

    def run(self) -> None:
        """Work until `close`."""
        closing = False
        while not closing:
            closing = self._closing.wait(self._seconds)
            try:
                self._work()
            except Exception:
                logger.exception("%s", self.name)

    def close(self) -> None:
        """Do what is left, and end."""
        self._closing.set()
        if self.is_alive():
            self.join(timeout=CLOSE_SECONDS)
