"""The whole chain on this machine, as a person runs it: one process per run, one workspace."""

import importlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.support.definitions import until
from localaws import endpoint as endpoints
from localaws.errors import ExpectedError
from localaws.sagemaker import isolation
from localaws.workspace import Workspace
from pipelines.account import s3
from pipelines.account.clients import Clients
from pipelines.authoring import step_outputs
from pipelines.authoring.archives import ROOT
from pipelines.local.punk_api import BUNDLED

AUDIT = Path(__file__).parents[2] / "support" / "audit"
# No test here depends on how good the model is.
FEW_TREES = ("--n-estimators", "25")


def run(*arguments: str, audit: Path | None = None, env: dict[str, str] | None = None) -> Any:
    """`python -m pipelines.run ...` as a process of its own, to its end."""
    extra = {"LOCALAWS_AUDIT_LOG": str(audit), "PYTHONPATH": f"{AUDIT}{os.pathsep}{ROOT}"} if audit else {}
    return subprocess.run(
        [sys.executable, "-m", "pipelines.run", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **extra, **(env or {})},
        timeout=180,
    )


class Twice:
    """Two runs in one workspace, the endpoint stays up after the second."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder / "workspace")
        self.audit = folder / "connections"
        flags = ("--local", "--workspace", str(self.workspace.root), "--json", *FEW_TREES)
        self.first = run(*flags, audit=self.audit)
        self.second = run(*flags, "--keep", audit=self.audit)


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twice]:
    """The chain, run twice; its endpoint stays up for the tests."""
    runs = Twice(tmp_path_factory.mktemp("chain"))
    yield runs
    endpoints.stop(runs.workspace)


def test_real_beers_become_a_registered_model_that_waits_for_approval(twice: Twice) -> None:
    assert (twice.first.returncode, twice.first.stdout.count("\n")) == (0, 1), twice.first.stderr
    result = json.loads(twice.first.stdout)
    assert list(result) == ["records", "execution", "model_package", "metrics", "endpoint_url", "seconds"]
    # Two bundled beers have a bitterness over 1,000 IBU: the original gravity, typed into the wrong field.
    assert result["records"] == {"accepted": 325, "clean": 323, "dropped": 0, "failed": 2}
    assert result["execution"]["status"] == "Succeeded"
    assert [(step["name"], step["status"]) for step in result["execution"]["steps"]] == [
        ("Preprocess", "Succeeded"),
        ("Train", "Succeeded"),
        ("Evaluate", "Succeeded"),
        ("CheckQuality", "Succeeded"),
        ("Register", "Succeeded"),
    ]
    assert result["model_package"]["version"] == 1
    assert result["model_package"]["approval_status"] == "PendingManualApproval"
    assert sorted(result["metrics"]) == ["accuracy", "baseline_mae", "macro_f1", "mae", "r2", "rmse"]
    assert result["metrics"]["mae"] < 0.9 * result["metrics"]["baseline_mae"]
    assert result["endpoint_url"] is None


def test_standard_error_has_a_line_for_each_step_the_result_and_the_next_command(twice: Twice) -> None:
    stages = [line.split()[1] for line in twice.first.stderr.splitlines() if line.startswith("✓")]
    assert stages == ["endpoint", "stacks", "pipeline", "collect", "deliver", "retrain", "train"]
    *_, result, approval, prediction = twice.first.stderr.strip().splitlines()
    command = r"\S*python -m pipelines\.registry"
    assert "registered version 1, waiting for approval" in result
    assert re.fullmatch(rf"Approve and deploy it: {command} approve 1 --local --workspace \S+", approval)
    assert re.fullmatch(
        rf"Then ask it: {command} predict --abv 6\.7 --target-og 1060 --local --workspace \S+", prediction
    )


def test_a_second_run_adds_version_2_and_changes_no_stack(twice: Twice) -> None:
    assert twice.second.returncode == 0, twice.second.stderr
    assert json.loads(twice.second.stdout)["model_package"]["version"] == 2
    assert "artifacts unchanged, ingestion unchanged, pipelines unchanged" in twice.second.stderr
    assert "tapline-ibu-dev unchanged" in twice.second.stderr


def test_no_process_of_a_run_connects_to_anything_but_this_machine(twice: Twice) -> None:
    addresses = set(twice.audit.read_text().split())
    assert "127.0.0.1" in addresses
    assert {each for each in addresses if not each.startswith("/")} <= {"127.0.0.1", "localhost", "::1", "None"}


# Brings the loopback device of a new network namespace up, and runs what follows in it.
LOOPBACK = """
import fcntl, runpy, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
sys.argv[0] = "pipelines.run"
runpy.run_module("pipelines.run", run_name="__main__", alter_sys=True)
"""


@pytest.mark.release
@pytest.mark.skipif(bool(isolation.plain_because()), reason="makes a network namespace, which this machine forbids")
def test_the_chain_runs_where_there_is_no_network_but_loopback(tmp_path: Path) -> None:
    flags = ("--local", "--json", "--workspace", str(tmp_path / "workspace"), *FEW_TREES)
    alone = ["unshare", "--map-root-user", "--net", sys.executable, "-c", LOOPBACK, *flags]
    done = subprocess.run(alone, capture_output=True, text=True, cwd=ROOT, timeout=180)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model_package"]["version"] == 1


def test_the_endpoint_that_stays_up_answers_plain_aws_calls(twice: Twice) -> None:
    endpoint = endpoints.require(twice.workspace)
    clients = Clients(endpoint)
    assert json.loads(twice.second.stdout)["endpoint_url"] == endpoint.url
    runs = clients.sagemaker.list_pipeline_executions(PipelineName="tapline-ibu-dev")["PipelineExecutionSummaries"]
    statuses = {each["PipelineExecutionArn"]: each["PipelineExecutionStatus"] for each in runs}
    arns = [json.loads(each.stdout)["execution"]["arn"] for each in (twice.first, twice.second)]
    assert [statuses[each] for each in arns] == ["Succeeded", "Succeeded"]
    packages = clients.sagemaker.list_model_packages(ModelPackageGroupName="tapline-ibu-dev")
    assert {1, 2} <= {each["ModelPackageVersion"] for each in packages["ModelPackageSummaryList"]}
    stacks = {each["StackName"]: each["StackStatus"] for each in clients.cloudformation.describe_stacks()["Stacks"]}
    names = ("artifacts", "ingestion", "pipelines", "deployment", "warehouse")
    assert set(stacks) == {f"tapline-dev-{name}" for name in names}
    assert all(status.endswith("_COMPLETE") for status in stacks.values())
    machines = {
        each["name"]: each["stateMachineArn"] for each in clients.stepfunctions.list_state_machines()["stateMachines"]
    }
    retrain = machines["tapline-dev-pipelines-retrain"]
    executions = clients.stepfunctions.list_executions(stateMachineArn=retrain)["executions"]
    assert {each["status"] for each in executions} == {"SUCCEEDED"}


def test_athena_counts_each_delivered_row(twice: Twice) -> None:
    clients = Clients(endpoints.require(twice.workspace))
    outputs = clients.cloudformation.describe_stacks(StackName="tapline-dev-ingestion")["Stacks"][0]["Outputs"]
    named = {each["OutputKey"]: each["OutputValue"] for each in outputs}
    query = clients.athena.start_query_execution(
        QueryString=f'SELECT count(*), count(DISTINCT id) FROM "{named["GlueDatabase"]}"."{named["GlueTable"]}"',
        WorkGroup=named["Workgroup"],
    )["QueryExecutionId"]
    while (state := clients.athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"])[
        "State"
    ] in ("QUEUED", "RUNNING"):
        time.sleep(0.05)
    assert state["State"] == "SUCCEEDED", state
    rows = clients.athena.get_query_results(QueryExecutionId=query)["ResultSet"]["Rows"]
    assert [[cell["VarCharValue"] for cell in row["Data"]] for row in rows] == [["_col0", "_col1"], ["646", "323"]]
    location = clients.athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["ResultConfiguration"]
    bucket, _, key = location["OutputLocation"].removeprefix("s3://").partition("/")
    assert clients.s3.get_object(Bucket=bucket, Key=key)["Body"].read().split() == [b"_col0,_col1", b"646,323"]


def test_a_run_by_hand_on_unchanged_data_reuses_every_job_and_prints_it(twice: Twice) -> None:
    endpoint = endpoints.require(twice.workspace)
    clients = Clients(endpoint)
    before = json.loads(twice.second.stdout)
    done = run("--start", "--wait", "--json", *FEW_TREES, env=endpoint.variables())
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"Preprocess reused, Train reused, Evaluate reused, CheckQuality \S+ s, Register \S+ s", done.stderr
    )
    result = json.loads(done.stdout)
    packages = [
        clients.sagemaker.describe_model_package(ModelPackageName=arn)
        for arn in (before["model_package"]["arn"], result["model_package"])
    ]
    old, new = ({**each["CustomerMetadataProperties"], **each["InferenceSpecification"]} for each in packages)
    assert new == old
    assert [each["ModelPackageVersion"] for each in packages] == [2, 3]


def test_the_package_itself_has_the_reason_why_it_passed_the_gate_and_what_it_is_worth(twice: Twice) -> None:
    clients = Clients(endpoints.require(twice.workspace))
    result = json.loads(twice.second.stdout)
    package = clients.sagemaker.describe_model_package(ModelPackageName=result["model_package"]["arn"])
    assert json.loads(package["ModelCard"]["ModelCardContent"]) == step_outputs.MODEL_CARD
    metadata = package["CustomerMetadataProperties"]
    evaluation = s3.read_json(clients, metadata["Evaluation"])
    assert package["ModelPackageDescription"] == f"{step_outputs.PURPOSE} {evaluation['gate']['reason']}"
    assert metadata["MAE"] == f"{result['metrics']['mae']:.2f}"
    assert (metadata["Rows"], metadata["DistinctBeers"], metadata["UsedBeers"], metadata["Seed"]) == (
        "323",
        "323",
        "318",
        "0",
    )
    assert {name: metadata[name] for name in step_outputs.SUMMARY} == {
        name: evaluation["summary"][member] for name, member in step_outputs.SUMMARY.items()
    }


def three_lines(done: Any) -> tuple[str, str, str]:
    """The last three lines of standard error; none of it may be a traceback."""
    assert "Traceback" not in done.stderr
    what, where, hint = done.stderr.strip().splitlines()[-3:]
    assert what.startswith("Error: ") and where.startswith("Where: ") and hint.startswith("Try: ")
    return what, where, hint


def test_a_missing_catalogue_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    done = run("--local", "--workspace", str(workspace), "--catalog", str(tmp_path / "none.json"))
    assert done.returncode == 3
    assert three_lines(done)[0] == "Error: there is no such catalogue"
    assert not workspace.exists()


class Troubled:
    """Three runs in one workspace: its endpoint is killed; too few beers; all beers and some broken ones."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder / "workspace")
        beers = json.loads(BUNDLED.read_text())
        broken = [{**beers[0], "id": None}, {**beers[1], "id": 2001, "ibu": "bitter"}, "no beer", {"id": 7, "name": ""}]
        few, mixed = folder / "few.json", folder / "mixed.json"
        few.write_text(json.dumps(beers[:7]))
        mixed.write_text(json.dumps(beers + broken))
        flags = ["--local", "--workspace", str(self.workspace.root), "--json", *FEW_TREES]
        self.killed = self._kill_while_it_runs(flags)
        self.few = run(*flags, "--catalog", str(few), "--min-beers", "8", "--keep")
        registered = Clients(endpoints.require(self.workspace)).sagemaker.list_model_packages(
            ModelPackageGroupName="tapline-ibu-dev"
        )
        self.registered_by_few = registered["ModelPackageSummaryList"]
        # The endpoint stays up for the commands that read what the runs have left.
        self.mixed = run(*flags, "--catalog", str(mixed), "--keep")

    def _kill_while_it_runs(self, flags: list[str]) -> Any:
        command = [sys.executable, "-m", "pipelines.run", *flags]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        os.kill(until(self.workspace.read_endpoint, "the endpoint")["pid"], signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=120)
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troubled]:
    """The three runs."""
    runs = Troubled(tmp_path_factory.mktemp("troubled"))
    yield runs
    endpoints.stop(runs.workspace)


def test_a_killed_endpoint_is_an_error_of_three_lines(troubled: Troubled) -> None:
    assert troubled.killed.returncode == 5
    assert three_lines(troubled.killed)[0].startswith("Error: the ")


def test_too_few_beers_fail_in_words_and_register_nothing(troubled: Troubled) -> None:
    workspace = re.escape(str(troubled.workspace.root))
    assert troubled.few.returncode == 1
    what, where, hint = three_lines(troubled.few)
    assert what.startswith("Error: step Preprocess failed: too few beers (7 < 8)")
    assert where.startswith("Where: run ")
    assert re.fullmatch(rf"Try: \S*python -m pipelines.runs logs \w+ Preprocess --local --workspace {workspace}", hint)
    assert troubled.registered_by_few == []


def test_the_next_run_works_and_counts_broken_records_by_reason(troubled: Troubled) -> None:
    assert troubled.mixed.returncode == 0, troubled.mixed.stderr
    result = json.loads(troubled.mixed.stdout)
    assert result["model_package"]["version"] == 1
    # The collector itself refuses what is no object; the other three fail in the transform.
    assert result["records"] == {"accepted": 328, "clean": 323, "dropped": 0, "failed": 5}
    assert "328 beers on the stream; refused: 1 not_an_object" in troubled.mixed.stderr


def test_a_workspace_in_use_by_another_run_is_a_conflict(endpoint: endpoints.Endpoint) -> None:
    done = run("--local", "--workspace", str(endpoint.workspace.root))
    assert done.returncode == 4
    assert three_lines(done)[0] == "Error: the workspace is in use by another endpoint"


@pytest.mark.parametrize(
    "words",
    [
        "registry show 99",
        "registry compare 1 99",
        "registry report 1 --output /nowhere/report.html",
        "registry list --region eu-west-1",
        "runs show nothing",
        "runs logs latest CheckQuality",
        "runs logs latest Nothing",
        "runs stop latest",
        "runs retry latest",
    ],
)
def test_the_hint_of_an_error_works_when_it_is_pasted(troubled: Troubled, words: str) -> None:
    assert troubled.mixed.returncode == 0
    module, *rest = [*shlex.split(words), "--local", "--workspace", str(troubled.workspace.root)]
    with pytest.raises(ExpectedError) as refused:
        command_of(module).main(rest)
    _, _, name, *pasted = shlex.split(refused.value.hint)
    try:
        assert command_of(name.removeprefix("pipelines.")).main(pasted) == 0
    except SystemExit as end:
        # --help.
        assert end.code == 0


def command_of(module: str) -> Any:
    return importlib.import_module(f"pipelines.{module}")


def test_the_hint_of_a_failed_run_shows_the_steps_log_while_the_endpoint_is_down(
    troubled: Troubled, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoints.stop(troubled.workspace)
    _, _, name, *words = shlex.split(three_lines(troubled.few)[2].removeprefix("Try: "))
    assert command_of(name.removeprefix("pipelines.")).main(words) == 0
    assert "Error: too few beers (7 < 8)\n" in capsys.readouterr().out
    assert endpoints.find(troubled.workspace) is None


def test_the_registry_is_read_also_when_the_endpoint_is_down(
    troubled: Troubled, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoints.stop(troubled.workspace)
    where = str(troubled.workspace.root)
    assert command_of("registry").main(["show", "1", "--json", "--local", "--workspace", where]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == ["model_package", "metrics", "deployment", "gate", "data", "code", "card"]
    assert shown["model_package"]["approval_status"] == "PendingManualApproval"
    assert shown["data"]["rows"] == "323 read, 323 beers, 318 used"
