"""The pipeline definition: the same text from any place, its code named by content, its graph as it was meant."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localaws.sagemaker import graph
from pipelines.authoring import archives, committed, sdk
from pipelines.authoring.parameters import PARAMETERS
from pipelines.authoring.settings import Settings, assets
from pipelines.checks import retry_and_caching
from pipelines.checks.values import scope

ROOT = Path(__file__).parents[3]
SETTINGS = Settings()
NEEDED = ("cloudformation", "localaws", "pipelines", "processing", "training", "evaluation", "ingestion")

# Refuses every connection, even to this machine, in every process that has it on its path.
NO_SOCKETS = """
import socket

def refused(*arguments, **options):
    raise AssertionError(f"tried to reach {arguments}")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refused
"""


def copy_of_the_repository(folder: Path) -> Path:
    for name in NEEDED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".local"))
    return folder


def real() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(committed.definition(SETTINGS))
    return found


def code(document: dict[str, Any]) -> dict[str, str]:
    """Folder -> hash in the code's address."""
    return dict(re.findall(r"/code/(\w+)/([0-9a-f]{16})/", json.dumps(document)))


# --- The same text from any place -----------------------------------------------------------------


@pytest.mark.parametrize("place", ["here", "elsewhere with/a space"])
def test_a_copy_prints_the_same_bytes_without_credentials_and_without_a_network(tmp_path: Path, place: str) -> None:
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard/sitecustomize.py").write_text(NO_SOCKETS)
    copy = copy_of_the_repository(tmp_path / place)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_"))}
    environment |= {"PYTHONPATH": str(tmp_path / "guard"), "HOME": str(tmp_path / "home"), "TZ": "Asia/Tokyo"}

    command = [sys.executable, "-m", "pipelines.run", "--print"]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=120)

    assert (done.returncode, done.stdout) == (0, committed.definition(SETTINGS)), done.stderr
    assert not (tmp_path / "home").exists()


def test_the_guard_of_that_test_refuses_connections(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_SOCKETS)
    attempt = "import socket; socket.create_connection(('127.0.0.1', 9))"
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", attempt], env=environment, capture_output=True, text=True, timeout=60)
    assert "AssertionError: tried to reach ('127.0.0.1', 9" in done.stderr


@pytest.mark.parametrize(
    "planted",
    [
        "training/__pycache__/train.cpython-312.pyc",
        "processing/preprocess.pyc",
        "evaluation/.pytest_cache/README.md",
        "training/model.tar.gz",
        "evaluation/notes.txt",
        "processing/.preprocess.py.swp",
    ],
)
def test_what_is_generated_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str) -> None:
    before = committed.definition(SETTINGS)
    monkeypatch.setattr(archives, "ROOT", copy_of_the_repository(tmp_path))
    path = tmp_path / planted
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"generated")

    assert committed.definition(SETTINGS) == before
    assert [asset.key for asset in assets(SETTINGS) if not asset.key.endswith((".py", ".gz", "/no-champion"))] == []


# --- Code is named by its content -----------------------------------------------------------------


@pytest.mark.parametrize("folder", ["processing", "training", "evaluation"])
def test_a_changed_byte_changes_the_address_of_that_step_s_code_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    before = code(real())
    monkeypatch.setattr(archives, "ROOT", copy_of_the_repository(tmp_path))
    changed = next((tmp_path / folder).glob("*.py"))
    changed.write_bytes(changed.read_bytes() + b"\n")

    after = code(real())
    assert {name for name in after if after[name] != before[name]} == {folder}


def test_everything_that_the_definition_names_in_its_bucket_is_an_asset_or_an_output() -> None:
    keys = {f"s3://{SETTINGS.artifact_bucket}/{asset.key}" for asset in assets(SETTINGS)}
    named = set(re.findall(rf'"(s3://{SETTINGS.artifact_bucket}/[^"]*)"', json.dumps(real())))
    unknown = [name for name in named if name not in keys and not any(key.startswith(name) for key in keys)]
    assert unknown == [f"{SETTINGS.home}/executions"]


def test_the_script_that_a_step_runs_is_among_the_code_that_it_gets() -> None:
    keys = [asset.key for asset in assets(SETTINGS)]
    for step in graph.steps(real()):
        if step["Type"] == "Processing":
            script = step["Arguments"]["AppSpecification"]["ContainerEntrypoint"][1].rpartition("/")[2]
            (source,) = [each for each in step["Arguments"]["ProcessingInputs"] if each["InputName"] == "code"]
            prefix = source["S3Input"]["S3Uri"].removeprefix(f"s3://{SETTINGS.artifact_bucket}/")
            assert f"{prefix}{script}" in keys
            assert step["Arguments"]["AppSpecification"]["ContainerEntrypoint"][1] == (
                f"{source['S3Input']['LocalPath']}/{script}"
            )


# --- The graph ------------------------------------------------------------------------------------


def test_the_steps_are_these() -> None:
    document = real()
    waits = graph.dependencies(document)
    found = [(s["Name"], s["Type"], s["DisplayName"], sorted(waits[s["Name"]])) for s in graph.steps(document)]
    assert found == [
        ("Preprocess", "Processing", "Clean and split", []),
        ("Train", "Training", "Train", ["Preprocess"]),
        ("Evaluate", "Processing", "Evaluate", ["Preprocess", "Train"]),
        ("CheckQuality", "Condition", "Check quality", ["Evaluate"]),
        ("Register-RegisterModel", "RegisterModel", "Register", ["CheckQuality", "Evaluate", "Train"]),
        ("Reject", "Fail", "Reject", ["CheckQuality", "Evaluate"]),
    ]
    assert graph.branches(document) == {
        "Register-RegisterModel": ("CheckQuality", "IfSteps"),
        "Reject": ("CheckQuality", "ElseSteps"),
    }
    assert [step["Name"] for step in graph.steps(document) if not step.get("Description")] == []


def test_the_parameters_are_those_of_the_table() -> None:
    def filled_in(default: Any) -> Any:
        return default.format(**vars(SETTINGS)) if isinstance(default, str) else default

    assert real()["Parameters"] == [
        {"Name": each.name, "Type": each.type}
        | ({} if each.default is None else {"DefaultValue": filled_in(each.default)})
        for each in PARAMETERS
    ]
    assert [each.name for each in PARAMETERS if each.default is None] == ["InputData"]


def test_the_commit_of_the_settings_is_the_default_of_its_parameter() -> None:
    document = json.loads(committed.definition(Settings(git_commit="abc")))
    (commit,) = [each["DefaultValue"] for each in document["Parameters"] if each["Name"] == "GitCommit"]
    assert commit == "abc"


def test_all_outputs_lie_under_the_execution_so_no_run_overwrites_another() -> None:
    beginnings = set()
    for step in graph.steps(real()):
        arguments = step["Arguments"]
        targets = [each["S3Output"]["S3Uri"] for each in arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])]
        targets += [arguments["OutputDataConfig"]["S3OutputPath"]] if "OutputDataConfig" in arguments else []
        beginnings |= {json.dumps(target["Std:Join"]["Values"][:2]) for target in targets}
    assert beginnings == {json.dumps([f"{SETTINGS.home}/executions", {"Get": "Execution.PipelineExecutionId"}])}


def test_every_job_is_cached_and_none_reads_an_address_that_may_grow() -> None:
    cached = {step["Name"]: step["CacheConfig"] for step in graph.steps(real()) if "CacheConfig" in step}
    assert cached == {name: {"Enabled": True, "ExpireAfter": "30d"} for name in ("Preprocess", "Train", "Evaluate")}
    assert [finding for each in retry_and_caching.caching(real(), scope(real(), {})) for finding in each] == []


def test_no_job_has_a_network_and_the_training_code_arrives_as_a_channel() -> None:
    kinds = ("Processing", "Training")
    jobs = {step["Name"]: step["Arguments"] for step in graph.steps(real()) if step["Type"] in kinds}
    isolated = {name: job.get("NetworkConfig", job)["EnableNetworkIsolation"] for name, job in jobs.items()}
    assert isolated == {"Preprocess": True, "Train": True, "Evaluate": True}
    code = next(each for each in jobs["Train"]["InputDataConfig"] if each["ChannelName"] == "code")
    archive = code["DataSource"]["S3DataSource"]["S3Uri"].rpartition("/")[2]
    assert jobs["Train"]["HyperParameters"]["sagemaker_submit_directory"] == f"/opt/ml/input/data/code/{archive}"


def test_every_region_that_has_the_image_gets_its_own_account_s() -> None:
    images = [sdk.image_uri(region) for region in ("us-east-1", "eu-west-1", "us-west-2")]
    assert images == [
        "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-1.0.0.0",
        "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-1.0.0.0",
        "246618743249.dkr.ecr.us-west-2.amazonaws.com/sagemaker-scikit-learn:1.9-0-1.0.0.0",
    ]


def test_the_compact_text_is_taken_by_the_service_inline() -> None:
    # Above 100 KB the SDK would put it in S3, and the API takes 1 MB at most.
    assert len(graph.canonical(real())) < 100_000
