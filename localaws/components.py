"""What runs in the endpoint's process: MiniStack, our SageMaker, Firehose delivery and Athena, and extensions."""

import contextlib
import importlib
import os
import threading
from typing import Any

from localaws import garbage
from localaws.athena.engine import Athena
from localaws.bodies import Bodies
from localaws.clients import load_ahead
from localaws.control import Command, Control
from localaws.extensions import Extension, load
from localaws.firehose.delivery import Delivery
from localaws.ministack import (
    disk,
    execution_logs,
    history,
    lambdas,
    log_pages,
    metrics,
    patches,
    s3,
    schedules,
    service_models,
    stacks,
    step_functions,
)
from localaws.ministack.faults import Faults
from localaws.ministack.objects import Objects
from localaws.ministack.state import State
from localaws.sagemaker import isolation
from localaws.sagemaker.component import SageMaker
from localaws.sagemaker.launch import COLD
from localaws.security.keys import give_lambdas_sessions
from localaws.workspace import Workspace

# Lambda workers and queries at once; MiniStack's own default of 64 threads is more than two cores can use.
os.environ.setdefault("MINISTACK_WORKER_THREADS", "16")
# What the first stack, execution and query of an endpoint import.
IMPORTED_AHEAD = (
    *("ministack.services.cloudformation.handlers", "boto3", "jsonpath", "duckdb"),
    *("sqlglot.dialects.athena", "sqlglot.generators.duckdb", "pyarrow.compute"),
)


class Components:
    """The components, installed into MiniStack. app: the ASGI application. extensions: see localaws.extensions."""

    def __init__(self, workspace: Workspace, time_scale: float, extensions: tuple[str, ...] = ()) -> None:
        patches.check()
        service_models.install()
        s3.install()
        step_functions.install()
        execution_logs.install()
        log_pages.install()
        history.bound_executions()
        history.record_branches()
        history.bound_logs()
        give_lambdas_sessions()
        lambdas.import_botocore_late()
        faults = Faults()
        self._extensions: dict[str, Extension] = {}
        for name in extensions:
            extension = load(name)
            self._extensions[extension.name] = extension
        sagemaker = SageMaker(workspace, time_scale)
        commands: dict[str, Command] = {"drain": self._drain, "status": self._status, "faults": faults.inject}
        commands["warm"] = lambdas.warm
        commands |= sagemaker.commands
        for extension in self._extensions.values():
            commands |= extension.commands
        bodies = Bodies(patches.module("app").app)
        bodies.install()
        self.app = Control(bodies, commands)
        self._workspace = workspace
        self._delivery = Delivery(workspace, time_scale)
        self._components: list[Any] = [self._delivery, sagemaker, Athena()]
        for component in self._components:
            component.install()
        disk.install()
        faults.install()
        metrics.install()
        schedules.install()
        self._objects = Objects(workspace.root / "objects.db", workspace.objects)
        self._objects.install()
        self._state = State(workspace.services)
        self._state.install()
        self._state.restore()
        stacks.install(self._state.save)
        self.addresses: dict[str, str] = {}

    async def start(self) -> None:
        """Begin background work; the endpoint answers by now."""
        for name, extension in self._extensions.items():
            try:
                self.addresses[name] = extension.start(self._workspace.last_port(name))
            except OSError:
                # The last port is taken by another program.
                self.addresses[name] = extension.start(0)
        for component in self._components:
            component.start()
        await stacks.recover()
        self._state.start()
        history.start()

    def import_ahead(self) -> None:
        """Import in the background what the first requests need; with `LOCALAWS_COLD=1` they import it themselves."""
        threading.Thread(target=_import_ahead, name="imports", daemon=True).start()

    def close(self) -> None:
        """End background work, the newest component first."""
        for extension in self._extensions.values():
            extension.stop()
        for component in reversed(self._components):
            component.close()
        self._state.close()
        self._objects.close()

    def _drain(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Deliver what is buffered now, without waiting for size or time."""
        return {"drained": self._delivery.drain(float(arguments.get("seconds", 60)))}

    def _status(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Records that wait for delivery, by stream; extensions' addresses; unsaved entries; isolation of steps."""
        waiting, unsaved = self._delivery.waiting(), self._state.unsaved
        return {
            "waiting": waiting,
            "extensions": self.addresses,
            "unsaved": unsaved,
            "isolation": isolation.describe(),
        }


def _import_ahead() -> None:
    for name in IMPORTED_AHEAD if os.environ.get(COLD) != "1" else ():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # What jobs and queries read and write.
    load_ahead("s3")
    garbage.collect_repeatedly()
