"""The commands under an AWS that lags: stale reads, throttles, short pages. What they report is so, or an error."""

import argparse
import dataclasses
import json
import uuid
from collections.abc import Iterator

import pytest

from benchmarks.support.accounts import GOOD
from benchmarks.support.definitions import parameter
from localaws.endpoint import Endpoint
from localaws.errors import ExpectedError
from pipelines import deploy, registry, runs
from pipelines.account import executions, retraining, upsert
from pipelines.account.clients import Clients
from pipelines.account.model_packages import Registry
from pipelines.account.runs import Runs
from pipelines.account.stacks import Environment, Stacks, environment
from pipelines.authoring import committed
from pipelines.authoring.parameters import PARAMETERS
from pipelines.authoring.settings import Settings
from tests.support.lagging import Lagging


class Lagged:
    """An environment that the commands see through a lagging AWS, and the truth beside it."""

    def __init__(self, endpoint: Endpoint, truth: Clients, seed: int) -> None:
        name = f"lag{uuid.uuid4().hex[:8]}"
        dev = environment("dev")
        self.name = f"tapline-ibu-{name}"
        names = {"PipelineName": self.name, "ModelPackageGroupName": self.name, "NewDataState": "DISABLED"}
        serving = {"PipelineName": self.name, "ModelPackageGroupName": self.name, "EndpointPrefix": self.name}
        parameters = {
            **dev.parameters,
            "pipelines": {**dev.parameters["pipelines"], **names},
            "deployment": {**dev.parameters["deployment"], **serving},
        }
        self.truth = truth
        # As often as in an account: the local endpoint's clients try once more only.
        self.clients = Clients(endpoint, attempts=8)
        self.lag = Lagging(self.clients, seed)
        self.stacks = Stacks(self.clients, Environment(name, parameters, dev.tags))

    def statuses(self) -> dict[str, str]:
        """Short stack name -> status, in truth."""
        listed = self.truth.cloudformation.describe_stacks()["Stacks"]
        prefix = self.stacks.environment.stack("")
        found = {each["StackName"]: each["StackStatus"] for each in listed}
        return {name.removeprefix(prefix): status for name, status in found.items() if name.startswith(prefix)}

    def parameter(self, short: str, name: str) -> str:
        """A deployed parameter, in truth."""
        stack = self.truth.cloudformation.describe_stacks(StackName=self.stacks.environment.stack(short))["Stacks"][0]
        return str({each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}[name])


def created(lagged: Lagged) -> None:
    """Create the stacks."""
    assert set(lagged.stacks.deploy().values()) == {"created"}
    assert set(lagged.statuses().values()) == {"CREATE_COMPLETE"}


def changed(lagged: Lagged) -> None:
    """Change, fail, and change again."""
    stacks = lagged.stacks
    for number in ("2", "3"):
        stacks.environment.parameters["ingestion"]["BeersPerPoll"] = number
        assert stacks.deploy_one("ingestion") == "updated"
        assert (lagged.parameter("ingestion", "BeersPerPoll"), lagged.statuses()["ingestion"]) == (
            number,
            "UPDATE_COMPLETE",
        )
    with pytest.raises(ExpectedError, match="UPDATE_ROLLBACK_COMPLETE: Retrain:"):
        stacks.deploy_one("pipelines", {"RetrainDefinitionKey": "code/retrain/not-there.json"})
    assert lagged.statuses()["pipelines"] == "UPDATE_ROLLBACK_COMPLETE"
    stacks.environment.parameters["pipelines"]["MinNewBeers"] = "1000"
    assert stacks.deploy_one("pipelines") == "updated"
    assert lagged.parameter("pipelines", "MinNewBeers") == "1000"


def run(lagged: Lagged) -> None:
    """Put a small pipeline there, start it by hand and follow it."""
    definition = {
        "Version": "2020-12-01",
        "Parameters": [parameter(each.name, each.type, each.default) for each in PARAMETERS],
        "Steps": [GOOD],
    }
    request = {"PipelineName": lagged.name, "PipelineDefinition": json.dumps(definition)}
    role = lagged.stacks.output("pipelines", "PipelineRoleArn")
    lagged.truth.sagemaker.create_pipeline(**request, RoleArn=role, ClientRequestToken=uuid.uuid4().hex)
    rows = "".join(f"{id_},Beer {id_},5.2,40,1010,1050,20,10,4.4\n" for id_ in range(1, 81))
    lagged.truth.s3.put_object(
        Bucket=lagged.stacks.output("ingestion", "DataBucket"),
        Key=f"cleaned/dt=2026-11-20/stream-1-2026-11-20-12-00-00-{uuid.uuid4()}.csv",
        Body=rows.encode(),
    )
    started = [one_run(lagged) for _ in range(3)]
    listed = runs.list_(Runs(lagged.clients, lagged.name), argparse.Namespace(limit=10))
    assert [each["run"] for each in listed["runs"]] == [executions.run_id(arn) for arn in reversed(started)]


def one_run(lagged: Lagged) -> str:
    """Start a run, follow it to its end, and compare what is reported with the truth; returns its ARN."""
    machine = retraining.start(lagged.stacks, {})
    arn = retraining.wait_for_run(lagged.stacks, machine)
    execution = executions.wait(lagged.clients, arn, lambda steps: None, every_seconds=0.5)
    described = lagged.truth.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    assert execution["status"] == described["PipelineExecutionStatus"] == "Succeeded"
    assert execution["steps"] == [executions.summary(step) for step in executions.steps(lagged.truth, arn)]
    while retraining.final_status(lagged.truth, machine) is None:
        pass
    return arn


def registered_and_approved(lagged: Lagged) -> None:
    """Approve one of several versions."""
    container = {"Image": "image", "ModelDataUrl": "s3://bucket/model.tar.gz"}
    types = {"SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}
    for _ in range(4):
        lagged.truth.sagemaker.create_model_package(
            ModelPackageGroupName=lagged.name, InferenceSpecification={"Containers": [container], **types}
        )
    group = Registry(lagged.clients, lagged.name)
    assert group.decide(2, "Approved", "good") == "PendingManualApproval"
    versions = registry.list_(Registry(lagged.truth, lagged.name), argparse.Namespace())["versions"]
    approved = [each["version"] for each in versions if each["approval_status"] == "Approved"]
    assert (len(versions), approved) == (4, [2])


def deleted(lagged: Lagged) -> None:
    """Delete everything."""
    outcomes = deploy.delete(lagged.stacks, data=True, unprotect=False, show=lambda name, outcome: None)
    assert (outcomes.pop("endpoint"), set(outcomes.values())) == ("not there", {"deleted"})
    assert lagged.statuses() == {}


@pytest.fixture(scope="module")
def lagged(endpoint: Endpoint, clients: Clients) -> Iterator[Lagged]:
    """An environment that was deployed under a lagging AWS, and is deleted under it."""
    made = Lagged(endpoint, clients, seed=1)
    created(made)
    yield made
    deleted(made)
    assert made.lag.stale > 10
    assert made.lag.throttles > 0


@pytest.mark.release
def test_a_deployment_ends_when_the_stack_has_ended(lagged: Lagged) -> None:
    changed(lagged)


def test_a_run_is_reported_as_it_ended(lagged: Lagged) -> None:
    run(lagged)


def test_a_decision_is_stored_and_all_pages_are_read(lagged: Lagged) -> None:
    registered_and_approved(lagged)


@pytest.mark.parametrize("seed", [0, *(pytest.param(each, marks=pytest.mark.release) for each in (1, 2))])
def test_an_upsert_leaves_the_definition_that_it_was_given(endpoint: Endpoint, clients: Clients, seed: int) -> None:
    name = f"lag{uuid.uuid4().hex[:8]}"
    clients.s3.create_bucket(Bucket=name)
    role = "arn:aws:iam::000000000000:role/tests"
    settings = Settings(
        pipeline_name=name,
        artifact_bucket=name,
        pipeline_role_arn=role,
        job_role_arn=role,
        model_package_group_name=name,
    )
    texts = [committed.definition(dataclasses.replace(settings, git_commit=commit)) for commit in ("one", "two")]
    slow = Clients(endpoint, attempts=8)
    lag = Lagging(slow, seed)
    for text in (texts[0], texts[1], texts[0], texts[0], texts[1]):
        outcome = upsert.upsert(slow, settings, text, {})
        described = clients.sagemaker.describe_pipeline(PipelineName=name)
        assert json.loads(described["PipelineDefinition"]) == json.loads(text), outcome
    assert lag.stale > 0
    clients.sagemaker.delete_pipeline(PipelineName=name)


@pytest.mark.release
@pytest.mark.parametrize("seed", range(2, 22))
def test_what_a_command_reports_is_so_whenever_aws_lags(endpoint: Endpoint, clients: Clients, seed: int) -> None:
    lagged = Lagged(endpoint, clients, seed)
    for act in (created, changed, run, registered_and_approved, deleted):
        act(lagged)


def test_a_call_that_stays_throttled_is_an_error_that_names_it(endpoint: Endpoint) -> None:
    limited = Clients(endpoint, attempts=1)
    Lagging(limited, 0, throttled=1.0)
    with pytest.raises(ExpectedError, match="Throttling: Rate exceeded") as throttled:
        Stacks(limited, environment("dev")).deploy_one("artifacts")
    assert throttled.value.where == "DescribeStacks while deploying tapline-dev-artifacts"
