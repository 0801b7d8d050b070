"""The state machine score, deployed from the templates and run at the local endpoint."""

import datetime
import hashlib
import json
import time
import uuid
from typing import Any

import pytest

from benchmarks.support.accounts import Account
from benchmarks.support.definitions import IMAGE
from localaws.errors import ExpectedError
from pipelines.account import monitoring, queries, scoring
from pipelines.account.clients import Clients
from pipelines.authoring import archives, drift
from tests.support.beers import workbench


class Scored:
    """An environment with beers in its table and the scoring job's code in its bucket."""

    def __init__(self, clients: Clients) -> None:
        self.account = Account(clients, f"score{uuid.uuid4().hex[:8]}")
        self.clients, self.stacks = clients, self.account.stacks
        name = f"score-{self.account.name}"
        self.stacks.environment.parameters["deployment"] |= {
            "EndpointPrefix": name,
            "ModelPackageGroupName": self.account.pipeline,
            "PipelineName": self.account.pipeline,
            "Serving": "none",
        }
        self.stacks.deploy_one("deployment")
        self.bucket = self.stacks.output("artifacts", "ArtifactBucket")
        self.jobs = f"{name}-score-"
        for asset in archives.step_folder("evaluation"):
            clients.s3.put_object(Bucket=self.bucket, Key=f"{self.account.pipeline}/{asset.key}", Body=asset.content)

    def approve(self, content: bytes, sha256: str) -> None:
        """Register an approved package of an artifact."""
        home = f"{self.account.pipeline}/executions/{uuid.uuid4().hex}"
        self.clients.s3.put_object(Bucket=self.bucket, Key=f"{home}/model.tar.gz", Body=content)
        container = {"Image": IMAGE, "ModelDataUrl": f"s3://{self.bucket}/{home}/model.tar.gz"}
        self.clients.sagemaker.create_model_package(
            ModelPackageGroupName=self.account.pipeline,
            ModelApprovalStatus="Approved",
            CustomerMetadataProperties={"ArtifactSha256": sha256},
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        )

    def score(self) -> dict[str, Any]:
        return scoring.score(self.stacks, lambda text: None)

    def jobs_run(self) -> int:
        """How many scoring jobs there were."""
        listed = self.clients.sagemaker.list_processing_jobs(NameContains=self.jobs, MaxResults=100)
        return len(listed["ProcessingJobSummaries"])

    def predictions(self) -> list[list[str]]:
        """id, actual and model version of the table's rows."""
        text = "SELECT id, actual, model_version FROM predictions WHERE predicted BETWEEN low AND high ORDER BY id"
        rows: list[list[str]] = queries.run(self.stacks, text, 100)["rows"]
        return rows


@pytest.fixture(scope="module")
def scored(clients: Clients) -> Scored:
    return Scored(clients)


def test_the_newest_approved_model_answers_each_beer_once_and_the_table_is_of_one_run(scored: Scored) -> None:
    model = (workbench() / "packed" / "model.tar.gz").read_bytes()
    digest = hashlib.sha256(model).hexdigest()
    scored.account.deliver(1, 3)
    scored.account.deliver(3, 2, stamp="2026-11-21-12-00-00")  # Beer 3 again.
    scored.approve(model, digest)

    first = scored.score()
    assert (first["decision"], first["version"], first["beers"]) == ("scored", 1, 4)
    assert first["cut_off"] == "2026-11-21-12-00-00"
    assert [(each["beers"], each["without_label"]) for each in first["classes"]] == [(4, 0)]
    assert scored.predictions() == [[str(beer), "40.0", "1"] for beer in (1, 2, 3, 4)]
    assert first["drift"]["drifted"] == [] and monitoring.drift(scored.stacks)["alarm"]["state"] == "OK"


@pytest.mark.release
def test_equal_starts_score_once(scored: Scored) -> None:
    model = (workbench() / "packed" / "model.tar.gz").read_bytes()
    scored.account.deliver(1, 4)
    scored.approve(model, hashlib.sha256(model).hexdigest())
    scored.score()
    jobs, before = scored.jobs_run(), scored.predictions()
    machine = scored.stacks.output("deployment", "ScoreStateMachineArn")
    started = [scored.clients.stepfunctions.start_execution(stateMachineArn=machine)["executionArn"] for _ in range(4)]
    outputs = [scoring.follow(scored.stacks, each, lambda text: None) for each in started]
    assert {each["decision"] for each in outputs} == {"unchanged"}
    assert (scored.jobs_run(), scored.predictions()) == (jobs, before)


def captured(count: int, abv: float) -> bytes:
    """Captured requests for one beer each."""
    sides = {
        "endpointInput": {"instances": [{"abv": abv, "ph": 4.4}]},
        "endpointOutput": {"predictions": [{"ibu": 40.0}]},
    }
    data = {
        name: {"observedContentType": "application/json", "encoding": "JSON", "data": json.dumps(side)}
        for name, side in sides.items()
    }
    return (json.dumps({"captureData": data, "eventMetadata": {}, "eventVersion": "0"}) + "\n").encode() * count


@pytest.mark.release
def test_shifted_requests_name_their_columns_in_the_alarm_and_its_message_and_start_retrain(clients: Clients) -> None:
    scored = Scored(clients)
    model = (workbench() / "packed" / "model.tar.gz").read_bytes()
    scored.account.deliver(1, 3)
    # Before anything listens to approvals.
    scored.approve(model, hashlib.sha256(model).hexdigest())
    scored.stacks.environment.parameters["deployment"] |= {"Serving": "instance", "DriftStartsRetrain": "true"}
    scored.stacks.deploy_one("deployment")
    scored.stacks._outputs.clear()
    day = f"captures/score-{scored.account.name}-instance/AllTraffic/{datetime.datetime.now(datetime.UTC):%Y/%m/%d}"

    def ask(count: int, abv: float) -> dict[str, Any]:
        body = captured(count, abv)
        clients.s3.put_object(Bucket=scored.bucket, Key=f"{day}/11/{uuid.uuid4()}.jsonl", Body=body)
        return dict(scored.score()["drift"])

    assert ask(19, 30.0)["drifted"] == []
    assert monitoring.drift(scored.stacks)["alarm"]["state"] == "OK"
    scored.account.notifications()

    assert "abv (requests)" in ask(40, 30.0)["drifted"]
    found = monitoring.drift(scored.stacks)
    assert found["alarm"]["state"] == "ALARM" and "abv (requests)" in found["alarm"]["reason"]
    assert any("abv (requests)" in message for _, message in scored.account.notifications())
    listed = clients.cloudwatch.list_metrics(Namespace=drift.NAMESPACE, MetricName="Drift")["Metrics"]
    assert {"abv", "predicted"} <= {each["Value"] for metric in listed for each in metric["Dimensions"]}
    started = clients.stepfunctions.list_executions(stateMachineArn=scored.account.machine)["executions"]
    inputs = [clients.stepfunctions.describe_execution(executionArn=each["executionArn"])["input"] for each in started]
    assert '{"source": "drift"}' in inputs


@pytest.mark.release
def test_a_version_whose_artifact_was_changed_is_refused_and_the_table_has_the_run_before(scored: Scored) -> None:
    model = (workbench() / "packed" / "model.tar.gz").read_bytes()
    digest = hashlib.sha256(model).hexdigest()
    scored.account.deliver(1, 4)
    scored.approve(model, digest)
    scored.score()
    scored.approve(model + b"\0", digest)
    before = scored.predictions()
    with pytest.raises(ExpectedError, match="the artifact is not the one that was evaluated"):
        scored.score()
    assert scored.predictions() == before != []


@pytest.mark.release
def test_the_schedule_starts_a_scoring(clients: Clients) -> None:
    scored = Scored(clients)
    machine = scored.stacks.output("deployment", "ScoreStateMachineArn")
    scored.stacks.environment.parameters["deployment"] |= {
        "ScoringState": "ENABLED",
        "ScoringExpression": "rate(1 minute)",
    }
    scored.stacks.deploy_one("deployment")
    deadline = time.monotonic() + 120
    while not (listed := clients.stepfunctions.list_executions(stateMachineArn=machine)["executions"]):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    status, output = scored.account.result(listed[-1]["executionArn"])
    described = clients.stepfunctions.describe_execution(executionArn=listed[-1]["executionArn"])
    assert (status, output["decision"], json.loads(described["input"])) == ("SUCCEEDED", "skipped", {"source": "daily"})
    scored.stacks.environment.parameters["deployment"]["ScoringState"] = "DISABLED"
    scored.stacks.deploy_one("deployment")
