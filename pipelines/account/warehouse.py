"""dbt on an environment's warehouse: what its profile reads from the stacks, and the process itself."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import botocore.exceptions

from localaws.errors import ENVIRONMENT, NOT_FOUND, ExpectedError
from pipelines.account.clients import aws_errors
from pipelines.account.stacks import Stacks
from pipelines.authoring.archives import ROOT
from pipelines.cli.output import Document

PROJECT = ROOT / "warehouse"
# An environment of its own, as dbt needs other versions of packages that are used here (constraints-dbt.txt).
DBT = ROOT / ".cache" / "dbt" / ".venv" / "bin" / "dbt"
# dbt's own switches: nothing is sent, nothing is written into the project.
SWITCHES = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
    "DBT_USE_COLORS": "false",
    "DBT_PARTIAL_PARSE": "false",
    "DBT_PROJECT_DIR": str(PROJECT),
    "DBT_PROFILES_DIR": str(PROJECT),
    "PYTHONDONTWRITEBYTECODE": "1",
}
# On a laptop the newest delivery may be of any age.
NEVER_STALE_HOURS = "876000"


def names(stacks: Stacks) -> dict[str, str]:
    """The variables of warehouse/profiles.yml."""
    target = "local" if stacks.clients.local else "aws"
    found = {
        "WAREHOUSE_TARGET": target,
        "WAREHOUSE_SOURCE": stacks.output("ingestion", "GlueDatabase"),
        "WAREHOUSE_DATABASE": stacks.output("warehouse", "GoldDatabase"),
        "WAREHOUSE_WORKGROUP": stacks.output("warehouse", "GoldWorkgroup"),
        "WAREHOUSE_LOCATION": stacks.output("warehouse", "GoldLocation"),
        "AWS_REGION": stacks.clients.region,
    }
    return found | ({"WAREHOUSE_STALE_HOURS": NEVER_STALE_HOURS} if target == "local" else {})


def has_predictions(stacks: Stacks) -> bool:
    """Whether the environment has the table of predictions."""
    database = stacks.output("ingestion", "GlueDatabase")
    with aws_errors("reading the table predictions"):
        try:
            stacks.clients.glue.get_table(DatabaseName=database, Name="predictions")
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "EntityNotFoundException":
                return False
            raise
    return True


def run(arguments: Sequence[str], environment: Mapping[str, str], output: Path, *, stdout: Any = None) -> int:
    """Run dbt; returns its exit code. output: a folder for what dbt writes. stdout: as subprocess takes it.

    Raises ExpectedError where dbt is not installed.
    """
    if not DBT.exists():
        raise ExpectedError("dbt is not installed", where=str(DBT), hint="make dbt", code=ENVIRONMENT)
    paths = {"DBT_TARGET_PATH": str(output / "target"), "DBT_LOG_PATH": str(output / "logs")}
    own = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    command = [str(DBT), *arguments]
    return subprocess.run(command, env={**own, **SWITCHES, **paths}, cwd=PROJECT, check=False, stdout=stdout).returncode


def results(output: Path) -> Document:
    """What dbt made and tested: {"models": [...], "tests": {"pass", "warn", "fail", ...}, "seconds"}."""
    path = output / "target" / "run_results.json"
    if not path.exists():
        raise ExpectedError("dbt wrote no results", where=str(path), hint="make warehouse", code=NOT_FOUND)
    content = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, int] = {}
    models = []
    for each in content["results"]:
        kind, name = each["unique_id"].split(".")[0], each["unique_id"].split(".")[2]
        if kind == "model":
            models.append({"name": name, "status": each["status"], "seconds": round(each["execution_time"], 3)})
        elif kind == "test":
            found[each["status"]] = found.get(each["status"], 0) + 1
    return {"models": models, "tests": found, "seconds": round(content["elapsed_time"], 3)}
