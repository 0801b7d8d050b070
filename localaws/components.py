"""What the endpoint is made of: MiniStack, and our SageMaker, delivery, Athena and beer API around it."""

import os
from pathlib import Path
from typing import Any

from localaws.athena.engine import Athena
from localaws.control import Command, Control
from localaws.firehose.delivery import Delivery
from localaws.ministack import metrics, patches
from localaws.ministack.faults import Faults
from localaws.sagemaker.component import SageMaker
from localaws.workspace import Workspace
from pipelines.local.punk_api import CatalogueServer, load_catalogue

# Lambda workers and queries at once; MiniStack's own default of 64 threads is more than two cores can use.
os.environ.setdefault("MINISTACK_WORKER_THREADS", "16")


class Parts:
    """The parts, installed into MiniStack. app: the ASGI application."""

    def __init__(self, workspace: Workspace, time_scale: float) -> None:
        patches.check()
        patches.accept_default_kms_key()
        patches.add_jsonpath_filters()
        patches.type_xml_answers()
        patches.publish_attributes()
        patches.end_overdue_executions()
        patches.name_sagemaker_resources()
        faults = Faults()
        commands: dict[str, Command] = {
            "drain": self._drain,
            "status": self._status,
            "catalogue": self._catalogue,
            "faults": faults.order,
        }
        self.app = Control(patches.module("app").app, commands)
        self._delivery = Delivery(workspace, time_scale)
        self._parts: list[Any] = [self._delivery, SageMaker(workspace, time_scale), Athena()]
        for part in self._parts:
            part.install()
        faults.install()
        metrics.install()
        self._beers = CatalogueServer(load_catalogue(), port=workspace.last_port("beers"))
        self.beers_url = ""

    def start(self) -> None:
        """Begin background work; the endpoint answers by now."""
        try:
            self.beers_url = self._beers.start()
        except OSError:
            # The last port is taken by now; the collector's stack will be told another.
            self._beers = CatalogueServer(self._beers.beers)
            self.beers_url = self._beers.start()
        for part in self._parts:
            part.start()

    def close(self) -> None:
        """End background work, the newest part first."""
        self._beers.stop()
        for part in reversed(self._parts):
            part.close()

    def _drain(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Deliver what is buffered now, without waiting for size or time."""
        return {"drained": self._delivery.drain(float(arguments.get("seconds", 60)))}

    def _status(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What waits for delivery, and how many beers the local API offers."""
        return {"waiting": self._delivery.waiting(), "beers": len(self._beers.beers)}

    def _catalogue(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Serve another catalogue; without a path, the bundled one."""
        path = arguments.get("path")
        self._beers.beers = load_catalogue(Path(path)) if path else load_catalogue()
        return {"beers": len(self._beers.beers)}
