"""`pipelines.deploy --verify` against the local endpoint: pass or fail of each part, and nothing left behind."""

import argparse
import json
from collections.abc import Iterator

import pytest

from localaws.errors import ExpectedError
from localaws.workspace import Workspace
from pipelines import deploy
from pipelines.account import retraining, verification
from pipelines.account.clients import Clients
from pipelines.account.model_packages import Registry
from pipelines.account.stacks import Stacks, environment
from pipelines.authoring import committed
from pipelines.local import endpoint

pytestmark = pytest.mark.endpoint
GIVEN = argparse.Namespace(json=True, unprotect=False)


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    """The environment dev, deployed, and AWS's image in the local ECR."""
    with endpoint.running(Workspace(tmp_path_factory.mktemp("verify")), keep=False) as running:
        clients = Clients(running)
        given = {"ingestion": {"ApiUrl": endpoint.api_url(running)}, "pipelines": {"NewDataState": "DISABLED"}}
        made = Stacks(clients, environment("dev", given))
        deploy.deploy(made, lambda name, outcome: None)
        images = json.loads(committed.IMAGES.read_text())
        repository, _, tag = images["us-east-1"].partition("/")[2].partition(":")
        clients.ecr.create_repository(repositoryName=repository)
        clients.ecr.put_image(repositoryName=repository, imageManifest="{}", imageTag=tag)
        yield made


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forest of few trees, and polls as close as the local endpoint answers."""
    start = retraining.start
    monkeypatch.setattr(retraining, "start", lambda stacks, given: start(stacks, {**given, "NEstimators": "25"}))
    monkeypatch.setattr(verification, "POLL_SECONDS", 0.2)


def verified(stacks: Stacks, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, bool], str]:
    """(exit code, check -> passed, what is printed for people)."""
    code = deploy.verify(stacks, GIVEN)
    printed = capsys.readouterr()
    return code, {each["name"]: each["passed"] for each in json.loads(printed.out)["checks"]}, printed.err


@pytest.mark.release
def test_a_deployed_environment_passes_and_no_model_is_left(stacks: Stacks, capsys: pytest.CaptureFixture[str]) -> None:
    code, checks, text = verified(stacks, capsys)
    names = ["stacks", "second deployment", "image", "records", "run", "approval", "answer", "clean-up"]
    assert (code, checks) == (0, dict.fromkeys(names, True)), text
    assert "325 beers collected, every record accounted for" in text
    assert Registry(stacks.clients, stacks.output("pipelines", "ModelPackageGroupName")).summaries() == []


def test_what_fails_is_named_with_the_next_command_and_what_needs_it_is_not_tried(
    stacks: Stacks, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = stacks.environment.parameters["ingestion"]
    stacks.deploy_one("ingestion", {"ApiUrl": "http://127.0.0.1:9"})
    stacks.environment.parameters["ingestion"] = {**parameters, "ApiUrl": "http://127.0.0.1:9"}
    repository = stacks.clients.ecr.describe_repositories()["repositories"][0]["repositoryName"]
    stacks.clients.ecr.delete_repository(repositoryName=repository, force=True)
    code, checks, text = verified(stacks, capsys)
    assert code == 1
    assert [name for name, passed in checks.items() if not passed] == [
        "image",
        "records",
        "run",
        "approval",
        "answer",
        "clean-up",
    ]
    lines = text.splitlines()
    failed = next(number for number, line in enumerate(lines) if line.startswith("fail  records"))
    assert "the collector failed" in lines[failed]
    assert lines[failed + 1].startswith("      next: aws logs filter-log-events --log-group-name ")
    assert "not tried: records failed" in text


def test_a_protected_environment_is_not_verified_without_unprotect(clients: Clients) -> None:
    with pytest.raises(ExpectedError, match="prod is protected") as refused:
        deploy.verify(Stacks(clients, environment("prod")), GIVEN)
    assert (refused.value.code, refused.value.hint.split(" -m ")[1]) == (4, "pipelines.deploy --verify --unprotect")
