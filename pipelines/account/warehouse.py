"""dbt on an environment's warehouse: what its profile reads from the stacks, and the process itself."""

import json
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import botocore.exceptions

from localaws.errors import ENVIRONMENT, RUN_FAILED, ExpectedError
from pipelines.account.clients import aws_errors
from pipelines.account.stacks import Stacks
from pipelines.authoring.archives import ROOT
from pipelines.cli.arguments import this_command
from pipelines.cli.output import Document

PROJECT = ROOT / "warehouse"
# An environment of its own, as dbt needs other versions of packages that are used here (constraints-dbt.txt).
DBT = ROOT / ".cache" / "dbt" / ".venv" / "bin" / "dbt"
# What dbt writes for an account: its log, the compiled text, the results.
RESULTS = ROOT / ".cache" / "dbt"
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


def forget(output: Path) -> None:
    """Delete the results of an earlier run, which a run that fails at once would leave."""
    (output / "target" / "run_results.json").unlink(missing_ok=True)


def results(output: Path) -> Document:
    """What dbt made and tested: models, tests by status, the names of what did not succeed, seconds."""
    path = output / "target" / "run_results.json"
    if not path.exists():
        log = str(output / "logs" / "dbt.log")
        raise ExpectedError("dbt ended before it made anything", where=log, hint=this_command(), code=RUN_FAILED)
    content = json.loads(path.read_text(encoding="utf-8"))
    models, tests, failed = [], Counter[str](), []
    for each in content["results"]:
        kind, _, name = each["unique_id"].split(".")[:3]
        if kind == "model":
            models.append({"name": name, "status": each["status"], "seconds": round(each["execution_time"], 3)})
        else:
            tests[each["status"]] += 1
        if each["status"] not in ("success", "pass", "warn"):
            failed.append(name)
    return {"models": models, "tests": dict(tests), "failed": failed, "seconds": round(content["elapsed_time"], 3)}
