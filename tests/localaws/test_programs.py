"""`python -m localaws exec`, `env` and `run`: a person's own programs on the local endpoint, unchanged."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.support.definitions import Project, fail
from localaws import endpoint as endpoints
from localaws.__main__ import main
from localaws.endpoint import Endpoint
from localaws.errors import ExpectedError
from localaws.progress import Executions
from localaws.workspace import Workspace
from pipelines.authoring.archives import ROOT
from tests.support.foreign import PROXIES

FOREIGN = {"AWS_PROFILE": "prod", "AWS_REGION": "eu-west-3", "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9", **PROXIES}
# What the SageMaker SDK does at its start (sagemaker/session.py), and a client of the program's own.
CALLER = """
    import json, os, sys
    import boto3

    session = boto3.Session(region_name=os.environ["AWS_REGION"])
    sts = session.client("sts", region_name="eu-west-1", endpoint_url="https://sts.eu-west-1.amazonaws.com")
    arn = sts.get_caller_identity()["Arn"]
    role = session.client("iam").get_role(RoleName=arn.split("/")[1])["Role"]["Arn"]
    print(json.dumps([arn, role, session.region_name, sys.argv[1:]]))
    sys.exit(7)
"""


def localaws(folder: Path, *arguments: str) -> Any:
    """`python -m localaws ...` in a folder, as a person with an AWS configuration and a proxy runs it."""
    return subprocess.run(
        [sys.executable, "-m", "localaws", *arguments],
        cwd=folder,
        env={**os.environ, **FOREIGN, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A person's folder with a space in its name, and an endpoint up in its .local."""
    folder = tmp_path_factory.mktemp("my project")
    (folder / "caller.py").write_text(textwrap.dedent(CALLER), encoding="utf-8")
    assert localaws(folder, "up").returncode == 0
    yield folder
    assert localaws(folder, "down", "--delete").returncode == 0
    assert not (folder / ".local").exists()


def test_exec_runs_a_program_as_a_role_whatever_address_its_clients_have(folder: Path) -> None:
    done = localaws(folder, "exec", sys.executable, "caller.py", "--json", "two words")
    assert (done.returncode, json.loads(done.stdout)) == (
        7,
        [
            "arn:aws:sts::000000000000:assumed-role/LocalDeveloper/localaws",
            "arn:aws:iam::000000000000:role/LocalDeveloper",
            "us-east-1",
            ["--json", "two words"],
        ],
    ), done.stderr


@pytest.mark.parametrize(
    "flags", [["--port", "9"], ["--cold"], ["--extension", "a:B"], ["--port", "9", "--cold"]], ids=" ".join
)
@pytest.mark.parametrize("command", [["up"], ["exec"], ["run"]], ids=" ".join)
def test_a_flag_of_a_start_is_refused_while_the_endpoint_is_up(
    folder: Path, command: list[str], flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Set here, so that what --cold sets is taken back.
    monkeypatch.setenv("LOCALAWS_COLD", "")
    program = [] if command == ["up"] else [str(folder / "caller.py")]
    with pytest.raises(ExpectedError, match="would have no effect: the endpoint is up at") as refused:
        main([*command, "--workspace", str(folder / ".local"), *flags, *program])
    assert refused.value.what.split(" would")[0] == ", ".join(each for each in flags if each.startswith("--"))
    assert (refused.value.code, refused.value.hint.split()[:4]) == (4, ["python", "-m", "localaws", "down"])


def test_the_lines_of_env_do_the_same_in_a_shell(folder: Path) -> None:
    lines = localaws(folder, "env").stdout
    script = (
        f"{lines}\n{sys.executable} caller.py pasted\n{Path(sys.executable).parent / 'aws'} s3 mb s3://from-a-shell"
    )
    foreign = {**os.environ, **FOREIGN}
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=foreign, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[0])[1:] == [
        "arn:aws:iam::000000000000:role/LocalDeveloper",
        "us-east-1",
        ["pasted"],
    ]
    assert done.stdout.splitlines()[1:] == ["make_bucket: from-a-shell"]


def test_a_program_that_is_missing_is_three_lines(folder: Path) -> None:
    done = localaws(folder, "exec", "no-such-program")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        3,
        "Error: no-such-program cannot be run: No such file or directory",
    )
    missing = localaws(folder, "run", "gone.py")
    assert (missing.returncode, missing.stderr.splitlines()[0]) == (3, "Error: there is no such script")


RUN = """
    import sys
    import boto3

    sagemaker = boto3.client("sagemaker")
    sagemaker.start_pipeline_execution(PipelineName=sys.argv[1], ClientRequestToken="t" * 32)
    print("started")
"""


def test_run_follows_what_a_script_starts_and_shows_the_log_of_a_failing_step(
    endpoint: Endpoint, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "start.py").write_text(textwrap.dedent(RUN), encoding="utf-8")
    failing = "print('malt'); raise ValueError('the mash is too hot')"
    project.upsert([project.processing("Good"), {**project.processing("Bad", failing), "DependsOn": ["Good"]}])
    # The endpoint of all tests is not detached, so `run` would start another one in its workspace.
    done = run_against(endpoint, tmp_path, project.name)
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done.stderr
    assert [line.split()[1:3] for line in lines if line.split()[1:2] in (["Good"], ["Bad"])][-1] == ["Bad", "Failed"]
    assert "    | malt" in lines
    assert "    | ValueError: the mash is too hot" in lines
    assert done.stdout.splitlines()[0] == "started"
    assert done.stdout.splitlines()[1].startswith("Failed  arn:aws:sagemaker:us-east-1:000000000000:pipeline/")


def test_an_execution_is_followed_although_its_pipeline_is_deleted(endpoint: Endpoint, project: Project) -> None:
    lines: list[str] = []
    project.upsert([fail("Stop", "no malt")])
    executions = Executions(endpoint, lines.append)
    execution = project.start()
    execution.wait()
    program = iter([True, False])

    def running() -> bool:
        alive = next(program)
        if not alive:
            project.clients.sagemaker.delete_pipeline(PipelineName=project.name, ClientRequestToken="t" * 32)
        return alive

    followed = [each for each in executions.show_while(running) if each["arn"] == execution.arn]
    assert [(each["status"], [step["name"] for step in each["steps"]]) for each in followed] == [("Failed", ["Stop"])]
    assert lines[-1] == f"{project.name}  Failed  {execution.arn}"


def run_against(endpoint: Endpoint, folder: Path, name: str) -> Any:
    """`python -m localaws run start.py NAME` on the endpoint of all tests, which counts as detached meanwhile."""
    workspace = endpoint.workspace
    described = workspace.read_endpoint()
    assert described is not None
    workspace.endpoint.write_text(json.dumps({**described, "detached": True}), encoding="utf-8")
    try:
        return localaws(folder, "run", "--workspace", str(workspace.root), "start.py", name)
    finally:
        workspace.endpoint.write_text(json.dumps(described), encoding="utf-8")


SDK = """
    import json, sys
    import sagemaker
    from sagemaker.processing import ProcessingOutput
    from sagemaker.sklearn.processing import SKLearnProcessor
    from sagemaker.workflow.pipeline import Pipeline
    from sagemaker.workflow.pipeline_context import PipelineSession
    from sagemaker.workflow.steps import ProcessingStep

    role, session = sagemaker.get_execution_role(), PipelineSession()
    processor = SKLearnProcessor(
        framework_version="1.2-1", role=role, instance_type="ml.m5.large", instance_count=1, sagemaker_session=session
    )
    outputs = [ProcessingOutput(source="/opt/ml/processing/out", output_name="out")]
    step = ProcessingStep("Prepare", step_args=processor.run(code="step.py", outputs=outputs))
    pipeline = Pipeline("own", steps=[step], sagemaker_session=session)
    pipeline.upsert(role)
    pipeline.start()
    print(session.default_bucket())
"""


@pytest.mark.release
def test_a_script_of_the_sagemaker_sdk_runs_unchanged_from_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text(textwrap.dedent(SDK), encoding="utf-8")
    (tmp_path / "step.py").write_text("open('/opt/ml/processing/out/x', 'w').write('hops')", encoding="utf-8")
    done = localaws(tmp_path, "run", "--json", "pipeline.py")
    assert done.returncode == 0, done.stderr
    bucket, result = done.stdout.splitlines()
    assert bucket == "sagemaker-us-east-1-000000000000"
    assert [
        (each["status"], [step["name"] for step in each["steps"]]) for each in json.loads(result)["executions"]
    ] == [("Succeeded", ["Prepare"])]
    assert endpoints.find(Workspace(tmp_path / ".local")) is None
