"""What the local SageMaker adds to scripts, and what forking takes away: `python -m benchmarks.executor`.

Three scripts (prepare rows with pandas, fit a forest, evaluate it) run by hand, one interpreter each; then as the
steps of a pipeline, forked from the preloaded server; then as steps that are new interpreters (`up --cold`). All in
turn, in one run: the table shows medians and their ratio to the scripts by hand. The limit is a ratio of 1 for forked
steps, from the beginning of the first step to the end of the last; exit code 1 when it is exceeded.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.support.definitions import PATHS, UNFINISHED, Project, output
from localaws import endpoint as endpoints
from localaws.sagemaker import isolation
from localaws.sagemaker.launch import COLD
from localaws.workspace import Workspace
from pipelines.account.clients import Clients

LIMIT_RATIO = 1.0
ROUNDS = 7
# A script is given its inputs and outputs as folders, by hand as in a step.
PREPARE = """
    import numpy as np, pandas as pd
    random = np.random.default_rng(1)
    table = pd.DataFrame(random.normal(size=(2000, 8)), columns=[f"x{n}" for n in range(8)])
    table["y"] = table.sum(axis=1) + random.normal(size=len(table))
    (OUTPUT / "rows").mkdir(parents=True, exist_ok=True)
    table.to_csv(OUTPUT / "rows" / "rows.csv", index=False)
"""
FIT = """
    import joblib, pandas as pd
    from sklearn.ensemble import RandomForestRegressor
    table = pd.read_csv(INPUT / "rows" / "rows.csv")
    (OUTPUT / "model").mkdir(parents=True, exist_ok=True)
    model = RandomForestRegressor(20, random_state=1).fit(table.drop(columns="y"), table["y"])
    joblib.dump(model, OUTPUT / "model" / "model.joblib")
"""
EVALUATE = """
    import joblib, json, pandas as pd
    from sklearn.metrics import mean_absolute_error
    table = pd.read_csv(INPUT / "rows" / "rows.csv")
    model = joblib.load(INPUT / "model" / "model.joblib")
    mae = mean_absolute_error(table["y"], model.predict(table.drop(columns="y")))
    (OUTPUT / "report").mkdir(parents=True, exist_ok=True)
    (OUTPUT / "report" / "report.json").write_text(json.dumps({"mae": mae}))
"""


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        root = Path(folder)
        projects = {
            "steps, forked": stack.enter_context(_project(root / "forked", cold=False)),
            "steps, cold": stack.enter_context(_project(root / "cold", cold=True)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ("scripts by hand", *projects)}
        for _ in range(ROUNDS):
            seconds["scripts by hand"].append(_by_hand(root / "hand"))
            for name, project in projects.items():
                seconds[name].append(_as_steps(project))
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    print(f"isolation: {isolation.describe()}")
    for name, median in medians.items():
        ratio = median / medians["scripts by hand"]
        print(f"{name:<18} {median:>7.3f} s {ratio:>6.2f}   least {min(seconds[name]):.3f} s")
    return int(medians["steps, forked"] > LIMIT_RATIO * medians["scripts by hand"])


@contextlib.contextmanager
def _project(root: Path, *, cold: bool) -> Iterator[Project]:
    """A pipeline of the three steps at an endpoint of its own, run once without being counted."""
    os.environ[COLD] = str(int(cold))
    with endpoints.running(Workspace(root), keep=False) as endpoint:
        project = Project(Clients(endpoint))
        rows, model = output("Prepare", "rows"), output("Fit", "model")
        steps: list[dict[str, Any]] = [
            project.processing("Prepare", PREPARE, outputs=("rows",)),
            project.processing("Fit", FIT, inputs={"rows": rows}, outputs=("model",)),
            project.processing("Evaluate", EVALUATE, inputs={"rows": rows, "model": model}, outputs=("report",)),
        ]
        project.upsert(steps)
        _as_steps(project)
        yield project


def _as_steps(project: Project) -> float:
    """Seconds from the beginning of the first step to the end of the last, as SageMaker's API gives them."""
    execution = project.start()
    while execution.status in UNFINISHED:
        time.sleep(0.05)
    steps = execution.steps()
    assert {each["StepStatus"] for each in steps.values()} == {"Succeeded"}, steps
    return float((steps["Evaluate"]["EndTime"] - steps["Prepare"]["StartTime"]).total_seconds())


def _by_hand(folder: Path) -> float:
    """Seconds of the three scripts, one after the other, in a folder in which outputs are inputs."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "INPUT": str(folder), "OUTPUT": str(folder)}
    seconds = 0.0
    for script in (PREPARE, FIT, EVALUATE):
        code = folder / "script.py"
        code.write_text(PATHS + "\n".join(line.removeprefix("    ") for line in script.splitlines()))
        began = time.perf_counter()
        subprocess.run([sys.executable, code], check=True, capture_output=True, env=environment)
        seconds += time.perf_counter() - began
    return seconds


if __name__ == "__main__":
    sys.exit(main())
