"""Environments deployed to the local endpoint: beside each other, again, changed, failing, deleted."""

import json
from typing import Any

import pytest

from localaws.endpoint import Endpoint
from localaws.errors import ExpectedError
from pipelines import deploy, run
from pipelines.account.clients import Clients
from pipelines.account.stacks import STACKS, Environment, Stacks, environment
from pipelines.cli.arguments import python_command
from pipelines.records import __main__ as records


def silent(name: str, outcome: str) -> None:
    """Print nothing."""


def another(clients: Clients, name: str, *, protected: bool = False) -> Stacks:
    """Stacks of an environment like dev, under another name."""
    dev = environment("dev")
    names = {"PipelineName": f"tapline-ibu-{name}", "ModelPackageGroupName": f"tapline-ibu-{name}"}
    parameters = {
        **dev.parameters,
        "pipelines": {**dev.parameters["pipelines"], **names},
        "deployment": {**dev.parameters["deployment"], **names, "EndpointPrefix": f"tapline-ibu-{name}"},
    }
    return Stacks(clients, Environment(name, parameters, dev.tags, protected))


def statuses(clients: Clients, name: str) -> dict[str, str]:
    """Short stack name -> status of an environment's stacks."""
    listed = clients.cloudformation.describe_stacks()["Stacks"]
    prefix = f"tapline-{name}-"
    return {
        each["StackName"].removeprefix(prefix): each["StackStatus"]
        for each in listed
        if each["StackName"].startswith(prefix)
    }


@pytest.fixture(scope="module")
def guarded(clients: Clients) -> Stacks:
    """A protected environment, which the last of its tests deletes."""
    stacks = another(clients, "guarded", protected=True)
    deploy.deploy(stacks, silent)
    return stacks


def test_of_two_environments_each_is_deployed_and_deleted_alone(clients: Clients, guarded: Stacks) -> None:
    stacks = another(clients, "one")
    assert deploy.deploy(stacks, silent) == dict.fromkeys((*STACKS, "pipeline"), "created")
    assert deploy.deploy(stacks, silent) == dict.fromkeys((*STACKS, "pipeline"), "unchanged")
    bucket = stacks.output("ingestion", "DataBucket")
    assert bucket != guarded.output("ingestion", "DataBucket")
    outcomes = deploy.delete(stacks, data=False, unprotect=False, show=silent)
    assert outcomes[f"bucket {bucket}"] == "retained"
    assert statuses(clients, "one") == {}
    assert set(statuses(clients, "guarded").values()) == {"CREATE_COMPLETE"}
    assert bucket in {each["Name"] for each in clients.s3.list_buckets()["Buckets"]}


def test_a_changed_parameter_updates_only_its_stack(guarded: Stacks) -> None:
    guarded.environment.parameters["ingestion"]["BeersPerPoll"] = "2"
    assert guarded.deploy() == {**dict.fromkeys(STACKS, "unchanged"), "ingestion": "updated"}


def test_an_update_that_fails_is_rolled_back_and_its_error_names_the_root_cause(
    clients: Clients, guarded: Stacks
) -> None:
    before = guarded.outputs("pipelines")
    with pytest.raises(ExpectedError) as failure:
        guarded.deploy_one("pipelines", {"RetrainDefinitionKey": "code/retrain/not-there.json"})
    assert "UPDATE_ROLLBACK_COMPLETE: Retrain:" in failure.value.what
    assert statuses(clients, "guarded")["pipelines"] == "UPDATE_ROLLBACK_COMPLETE"
    assert guarded.outputs("pipelines") == before
    assert guarded.deploy()["pipelines"] in ("unchanged", "updated")


def test_a_protected_environment_is_deleted_only_with_unprotect(clients: Clients, guarded: Stacks) -> None:
    described = clients.cloudformation.describe_stacks(StackName="tapline-guarded-ingestion")["Stacks"][0]
    assert described["EnableTerminationProtection"] is True
    policy = json.loads(
        clients.cloudformation.get_stack_policy(StackName="tapline-guarded-ingestion")["StackPolicyBody"]
    )
    assert policy["Statement"][1]["Action"] == ["Update:Replace", "Update:Delete"]
    with pytest.raises(ExpectedError, match="guarded is protected"):
        deploy.delete(guarded, data=False, unprotect=False, show=silent)
    endpoint = guarded.output("deployment", "EndpointName")
    log, other = f"/aws/sagemaker/Endpoints/{endpoint}", f"/aws/sagemaker/Endpoints/{endpoint}-of-another"
    for name in (log, other):
        clients.logs.create_log_group(logGroupName=name)
    outcomes = deploy.delete(guarded, data=True, unprotect=True, show=silent)
    logs = clients.logs.describe_log_groups(logGroupNamePrefix=log)["logGroups"]
    assert (outcomes[f"log {log}"], [each["logGroupName"] for each in logs]) == ("deleted", [other])
    assert (outcomes.pop("endpoint"), set(outcomes.values())) == ("not there", {"deleted"})
    assert statuses(clients, "guarded") == {}


def test_the_commands_deploy_upsert_and_show_what_an_upsert_would_change(
    endpoint: Endpoint, clients: Clients, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in endpoint.variables().items():
        monkeypatch.setenv(variable, value)

    def command(module: Any, *words: str) -> Any:
        """What a command prints, as a person with AWS_ENDPOINT_URL set runs it."""
        assert module.main([*words, "--env", "staging", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    with pytest.raises(ExpectedError) as missing:
        command(run)
    assert (missing.value.code, str(missing.value).splitlines()) == (
        3,
        [
            "Error: the stack tapline-staging-pipelines does not exist",
            "Where: CloudFormation in us-east-1",
            f"Try: {python_command()} -m pipelines.deploy --env staging",
        ],
    )
    assert command(deploy)["pipeline"] == "created"
    assert command(run) == {
        "pipeline_name": "tapline-ibu-staging",
        "pipeline": "unchanged",
        "retrain": "unchanged",
        "deploy": "unchanged",
    }
    name = "tapline-ibu-staging"
    text = clients.sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"]
    older = json.loads(text)
    older["Parameters"] = [each for each in older["Parameters"] if each["Name"] != "DistinctBeers"]
    older["Steps"][1]["Arguments"]["HyperParameters"]["seed"] = "7"
    clients.sagemaker.update_pipeline(PipelineName=name, PipelineDefinition=json.dumps(older))
    changes = command(run, "--dry-run")["changes"]
    assert {"kind": "added", "name": "parameter DistinctBeers", "what": ""} in changes
    assert [each["name"] for each in changes if each["kind"] == "changed"] == ["step Train"]
    assert command(records, "ledger")["accepted"] == 0
    assert set(command(deploy, "--delete", "--data").values()) == {"deleted", "not there"}
