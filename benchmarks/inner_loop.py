"""How long new figures take after an edit, against the scripts by hand: `python -m benchmarks.inner_loop`.

In turn, in one run, from a copy of the project: the project's three scripts by hand, one interpreter each; the whole
chain in an empty workspace; and, with the endpoint up, an edit of training/train.py until its figures are there
(`pipelines.run`, then `pipelines.run --start --wait`). The table shows medians and three limits:

- the three steps take no longer than the three scripts by hand
- the chain adds at most 3 s to its steps (endpoint, stacks, ingestion, workflow)
- an edit takes at most 1.5 s more than Train and Evaluate by hand

Exit code 1 when one of them is exceeded.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from localaws import endpoint as endpoints
from localaws import programs
from localaws.workspace import Workspace
from pipelines.account.clients import Clients
from pipelines.account.s3 import split
from pipelines.authoring.archives import ROOT

ROUNDS = 5
CHAIN_ADDS_SECONDS, EDIT_ADDS_SECONDS = 3.0, 1.5
JOBS = ("Preprocess", "Train", "Evaluate")
INPUTS = ("model", "champion", "train", "validation", "test", "quality")


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        project = copy_of_project(root / "project")
        workspace = Workspace(root / "workspace")
        try:
            started = chain(project, workspace, "--keep")
            rows = snapshot(workspace, str(started["execution"]["arn"]), root / "rows")
            rounds = [one_round(project, workspace, rows, root / "hand") for _ in range(ROUNDS)]
        finally:
            endpoints.stop(workspace)
    return report({name: statistics.median(each[name] for each in rounds) for name in rounds[0]})


def report(median: dict[str, float]) -> int:
    """Print the medians and the limits; 1 when one of them is exceeded."""
    for name, seconds in median.items():
        print(f"{name:<28} {seconds:>7.2f} s")
    hand = sum(median[f"{job} by hand"] for job in JOBS)
    edited = median["Train by hand"] + median["Evaluate by hand"]
    limits = (
        ("three steps / by hand", median["three steps"] / hand, 1.0),
        ("chain - its steps, s", median["chain"] - median["three steps"], CHAIN_ADDS_SECONDS),
        ("edit - by hand, s", median["edit to figures"] - edited, EDIT_ADDS_SECONDS),
    )
    for name, value, limit in limits:
        print(f"{name:<28} {value:>7.2f}   limit {limit:g}")
    return int(any(value > limit for _, value, limit in limits))


def one_round(project: Path, workspace: Workspace, rows: Path, folder: Path) -> dict[str, float]:
    """Seconds of each thing, once."""
    seconds = {f"{job} by hand": each for job, each in by_hand(project, rows, folder).items()}
    with tempfile.TemporaryDirectory() as empty:
        result = chain(project, Workspace(Path(empty) / "workspace"))
    steps = {each["name"]: each["seconds"] for each in result["execution"]["steps"]}
    seconds |= {"three steps": sum(steps[job] for job in JOBS), "chain": result["wall"]}
    with (project / "training" / "train.py").open("a") as script:
        script.write(f"# {time.time()}\n")
    seconds["edit to figures"] = new_figures(project, workspace)
    return seconds


def copy_of_project(target: Path) -> Path:
    """The project's files without those that are not committed, and without the history."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], check=True, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    return target


def chain(project: Path, workspace: Workspace, *flags: str) -> dict[str, Any]:
    """The whole chain; its JSON, with the seconds of the command as `wall`."""
    began = time.monotonic()
    command = ["-m", "pipelines.run", "--local", "--json", "--workspace", str(workspace.root), *flags]
    done = python(project, command)
    return {**json.loads(done), "wall": time.monotonic() - began}


def new_figures(project: Path, workspace: Workspace) -> float:
    """Seconds of an upsert and a run."""
    endpoint = endpoints.require(workspace)
    began = time.monotonic()
    python(project, ["-m", "pipelines.run"], programs.variables(endpoint))
    python(project, ["-m", "pipelines.run", "--start", "--wait"], programs.variables(endpoint))
    return time.monotonic() - began


def by_hand(project: Path, rows: Path, folder: Path) -> dict[str, float]:
    """Seconds of each script, whose outputs are the next one's inputs; every other argument has its default."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in (*INPUTS, "evaluation"):
        (folder / name).mkdir(parents=True)
    place = {name: str(folder / name) for name in (*INPUTS, "evaluation")}
    sides = [each for name in ("train", "validation", "test", "quality") for each in (f"--{name}", place[name])]
    message = ["--message", str(folder / "message")]
    commands = {
        "Preprocess": ["processing/preprocess.py", "--input", str(rows), *sides, *message],
        "Train": ["training/train.py", *sides[:4], "--model-dir", place["model"], "--output-data-dir", str(folder)],
        "Evaluate": ["evaluation/evaluate.py", "--output", place["evaluation"], *message]
        + [each for name in INPUTS for each in (f"--{name}", place[name])],
    }
    seconds = {}
    for job, command in commands.items():
        if job == "Evaluate":
            shutil.make_archive(str(folder / "archive"), "gztar", folder / "model")
            shutil.rmtree(folder / "model")
            (folder / "model").mkdir()
            shutil.move(folder / "archive.tar.gz", folder / "model" / "model.tar.gz")
        began = time.monotonic()
        python(project, command)
        seconds[job] = time.monotonic() - began
    return seconds


def snapshot(workspace: Workspace, execution_arn: str, folder: Path) -> Path:
    """The input of a run, downloaded."""
    clients = Clients(endpoints.require(workspace))
    pages = clients.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=execution_arn)
    uri = next(each["Value"] for each in pages["PipelineParameters"] if each["Name"] == "InputData")
    bucket, prefix = split(uri)
    folder.mkdir()
    for each in clients.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
        clients.s3.download_file(bucket, each["Key"], str(folder / each["Key"].rpartition("/")[2]))
    return folder


def python(project: Path, command: list[str], variables: dict[str, str] | None = None) -> str:
    """Standard output of a command of the project; ends this program when it fails."""
    environment = {**os.environ, **(variables or {})}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [environment.get("PYTHONPATH"), str(project)]))
    done = subprocess.run([sys.executable, *command], cwd=project, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
