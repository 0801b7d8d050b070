"""The gate, by runs of the real pipeline at the local endpoint: what is registered, what is rejected, and why."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ingestion import record
from pipelines import definition, deploy, follow, upsert
from pipelines.aws import Clients
from pipelines.local.api import BUNDLED
from pipelines.stacks import Environment, Stacks, environment

Document = dict[str, Any]
# A forest that can hardly tell one beer from another, and so is hardly better than the median.
BLUNT = {"NEstimators": "3", "MinSamplesLeaf": "80", "MaxFeatures": "0.1"}


class Gate:
    """The real pipeline, upserted into an environment of its own, and runs of it on the bundled beers."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        name = f"gate{uuid.uuid4().hex[:8]}"
        dev = environment("dev")
        names = {"PipelineName": name, "ModelPackageGroupName": name, "NewDataState": "DISABLED"}
        parts = {**dev.parameters, "pipelines": {**dev.parameters["pipelines"], **names}}
        self.stacks = Stacks(clients, Environment(name, parts, dev.tags))
        self.stacks.deploy()
        settings = upsert.settings(clients, self.stacks)
        upsert.upsert(clients, settings, definition.definition(settings), dev.tags)
        self.name = name
        rows = [record.to_row(json.dumps(beer).encode()) for beer in json.loads(BUNDLED.read_text())]
        clean = "".join(record.to_csv(row.row) for row in rows if isinstance(row, record.Clean))
        bucket = self.stacks.output("ingestion", "DataBucket")
        key = "cleaned/dt=2026-11-20/stream-1-2026-11-20-12-00-00-x.csv"
        clients.s3.put_object(Bucket=bucket, Key=key, Body=clean.encode())

    def start(self, **parameters: str) -> str:
        """Start a run by hand: it reads the cleaned table itself."""
        started = self.clients.sagemaker.start_pipeline_execution(
            PipelineName=self.name,
            ClientRequestToken=uuid.uuid4().hex,
            PipelineParameters=[{"Name": name, "Value": value} for name, value in parameters.items()],
        )
        return str(started["PipelineExecutionArn"])

    def end(self, arn: str) -> Document:
        """Its end: {"status", "steps", "package" or None, "evaluation"}."""
        execution = follow.follow(self.clients, arn, lambda steps: None, every_seconds=0.1)
        run = arn.rpartition("/")[2]
        bucket = self.stacks.output("artifacts", "ArtifactBucket")
        uri = f"s3://{bucket}/{self.name}/executions/{run}/evaluate/evaluation/evaluation.json"
        return {
            **execution,
            "package": follow.registered(self.clients, arn),
            "evaluation": follow.read_json(self.clients, uri),
            "reasons": [
                each["FailureReason"] for each in follow.steps(self.clients, arn) if each["StepStatus"] == "Failed"
            ],
        }

    def model(self, package: Document) -> str:
        """A package's artifact."""
        return str(package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"])


@pytest.fixture(scope="module")
def gate(clients: Clients) -> Iterator[Gate]:
    """The environment."""
    made = Gate(clients)
    yield made
    deploy.delete(made.stacks, data=True, unprotect=False, say=lambda part, outcome: None)


@pytest.fixture(scope="module")
def first(gate: Gate) -> Document:
    """The first model, with none before it."""
    return gate.end(gate.start())


@pytest.fixture(scope="module")
def blunt(gate: Gate) -> Document:
    """A poor model that was let through by asking for nothing."""
    return gate.end(gate.start(**BLUNT, MinRelativeGain="-1"))


def test_the_first_model_needs_no_champion(gate: Gate, first: Document) -> None:
    assert first["status"] == "Succeeded"
    assert first["package"]["ModelApprovalStatus"] == "PendingManualApproval"
    assert (first["evaluation"]["champion"], first["evaluation"]["gate"]["passed"]) == (None, 1)
    assert "there is no champion to compare with" in first["evaluation"]["gate"]["reason"]


def test_a_worse_model_than_the_champion_is_rejected_with_the_reason(gate: Gate, first: Document) -> None:
    champion = gate.model(first["package"])
    ended = gate.end(gate.start(**BLUNT, MinRelativeGain="-1", ChampionModel=champion))
    assert (ended["status"], ended["package"]) == ("Failed", None)
    assert ended["evaluation"]["gate"]["champion_loss"] > 0.05
    assert ended["evaluation"]["gate"]["passed"] == 0
    assert [reason.partition(" Figures")[0] for reason in ended["reasons"]] == [
        "The model did not pass the gate: its gain over the labels' median must be at least -1.0 beyond noise, "
        "its loss to the champion at most 0.05."
    ]


def test_a_better_model_than_the_champion_is_registered(gate: Gate, blunt: Document) -> None:
    ended = gate.end(gate.start(ChampionModel=gate.model(blunt["package"])))
    assert ended["status"] == "Succeeded"
    assert ended["evaluation"]["gate"]["champion_loss"] < 0
    assert ended["package"]["CustomerMetadataProperties"]["ChampionModel"] == gate.model(blunt["package"])


def test_a_gain_within_noise_is_no_gain(gate: Gate, blunt: Document, first: Document) -> None:
    gain = first["evaluation"]["gate"]["relative_gain"]
    metrics = follow.metrics(first["evaluation"])
    seen = 1 - metrics["mae"] / metrics["baseline_mae"]
    assert 0 < gain < seen
    # Asked for a gain that the figure shows but the noise does not bear out.
    ended = gate.end(gate.start(MinRelativeGain=str((gain + seen) / 2)))
    assert (ended["status"], ended["package"]) == ("Failed", None)


def test_a_broken_champion_is_reported_and_does_not_block(gate: Gate) -> None:
    bucket = gate.stacks.output("artifacts", "ArtifactBucket")
    gate.clients.s3.put_object(Bucket=bucket, Key="champion/broken/model.tar.gz", Body=b"not an archive")
    ended = gate.end(gate.start(ChampionModel=f"s3://{bucket}/champion/broken/model.tar.gz"))
    assert ended["status"] == "Succeeded"
    assert ended["evaluation"]["champion"] is None or "error" in ended["evaluation"]["champion"]
    assert "champion" in ended["evaluation"]["gate"]["reason"]
