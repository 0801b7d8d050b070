"""What the local SageMaker adds to a script: `python -m benchmarks.executor`.

The same trivial script is run by itself and as a processing step at the local endpoint, in turn; the table shows the
medians. The limit is 0.3 s more per step; exit code 1 when it is exceeded.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.support.definitions import Project
from localaws import endpoint as endpoints
from localaws.sagemaker import isolation
from localaws.workspace import Workspace
from pipelines.account.clients import Clients

LIMIT_SECONDS = 0.3
ROUNDS = 15
SCRIPT = "print('hops')"


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace")
        with endpoints.running(workspace, keep=False) as endpoint:
            project = Project(Clients(endpoint))
            project.upsert([project.processing("Step", SCRIPT)])
            one_step(project)
            pairs = [(directly(), one_step(project)) for _ in range(ROUNDS)]
    alone, step = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{'script by itself':<28} {alone:>7.3f} s")
    print(f"{'as a step (' + isolation.level() + ')':<28} {step:>7.3f} s")
    print(f"{'added':<28} {step - alone:>7.3f} s   limit {LIMIT_SECONDS:g} s")
    return int(step - alone > LIMIT_SECONDS)


def directly() -> float:
    """Seconds of the script by itself."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True)
    return time.perf_counter() - began


def one_step(project: Project) -> float:
    """Seconds of the script as a step: from the step's beginning to its end, as SageMaker's API tells them."""
    step = project.start().wait().steps()["Step"]
    assert step["StepStatus"] == "Succeeded", step
    return float((step["EndTime"] - step["StartTime"]).total_seconds())


if __name__ == "__main__":
    sys.exit(main())
