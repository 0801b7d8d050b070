"""What the scripts of this folder share: start a pipeline, wait, print the status of every step as JSON."""

import contextlib
import json
from typing import Any

from botocore.exceptions import WaiterError


def run(pipeline: Any, role: str, **start: Any) -> Any:
    """Upsert and start a pipeline, wait for its end, print its steps; returns the execution."""
    pipeline.upsert(role_arn=role)
    execution = pipeline.start(**start)
    # The status and the reasons are printed below.
    with contextlib.suppress(WaiterError):
        execution.wait(delay=1, max_attempts=300)
    show(execution)
    return execution


def show(execution: Any) -> None:
    """Print one JSON object: the execution's status, and step name -> status or failure reason."""
    steps = {step["StepName"]: step.get("FailureReason", step["StepStatus"]) for step in execution.list_steps()}
    status = execution.describe()["PipelineExecutionStatus"]
    print(json.dumps({"status": status, "steps": dict(sorted(steps.items()))}))
