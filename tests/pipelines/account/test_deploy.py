"""Environments deployed to the local endpoint: beside each other, again, changed, failing, deleted."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from localaws.endpoint import Endpoint
from localaws.errors import ExpectedError
from pipelines import deploy
from pipelines.account.clients import Clients
from pipelines.account.stacks import STACKS, Environment, Stacks, environment
from pipelines.authoring.archives import ROOT
from pipelines.cli.arguments import python_command


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


def test_of_two_environments_each_is_deployed_and_deleted_alone(clients: Clients) -> None:
    one, two = another(clients, "one"), another(clients, "two")
    for stacks in (one, two):
        assert deploy.deploy(stacks, silent) == dict.fromkeys((*STACKS, "pipeline"), "created")
    assert deploy.deploy(one, silent) == dict.fromkeys((*STACKS, "pipeline"), "unchanged")
    bucket = one.output("ingestion", "DataBucket")
    assert bucket != two.output("ingestion", "DataBucket")
    outcomes = deploy.delete(one, data=False, unprotect=False, show=silent)
    assert outcomes[f"bucket {bucket}"] == "retained"
    assert statuses(clients, "one") == {}
    assert set(statuses(clients, "two").values()) == {"CREATE_COMPLETE"}
    assert bucket in {each["Name"] for each in clients.s3.list_buckets()["Buckets"]}
    everything = deploy.delete(two, data=True, unprotect=False, show=silent)
    assert (everything.pop("endpoint"), set(everything.values())) == ("not there", {"deleted"})


def test_a_changed_parameter_updates_only_its_stack(clients: Clients) -> None:
    stacks = another(clients, "changed")
    stacks.deploy()
    stacks.environment.parameters["ingestion"]["BeersPerPoll"] = "2"
    assert stacks.deploy() == {**dict.fromkeys(STACKS, "unchanged"), "ingestion": "updated"}
    deploy.delete(stacks, data=True, unprotect=False, show=silent)


def test_an_update_that_fails_is_rolled_back_and_its_error_names_the_root_cause(clients: Clients) -> None:
    stacks = another(clients, "failing")
    stacks.deploy()
    before = stacks.outputs("pipelines")
    with pytest.raises(ExpectedError) as failure:
        stacks.deploy_one("pipelines", {"RetrainDefinitionKey": "code/retrain/not-there.json"})
    assert "UPDATE_ROLLBACK_COMPLETE: Retrain:" in failure.value.what
    assert statuses(clients, "failing")["pipelines"] == "UPDATE_ROLLBACK_COMPLETE"
    assert stacks.outputs("pipelines") == before
    assert stacks.deploy()["pipelines"] in ("unchanged", "updated")
    deploy.delete(stacks, data=True, unprotect=False, show=silent)


def test_a_protected_environment_is_deleted_only_with_unprotect(clients: Clients) -> None:
    stacks = another(clients, "guarded", protected=True)
    stacks.deploy()
    described = clients.cloudformation.describe_stacks(StackName="tapline-guarded-ingestion")["Stacks"][0]
    assert described["EnableTerminationProtection"] is True
    policy = json.loads(
        clients.cloudformation.get_stack_policy(StackName="tapline-guarded-ingestion")["StackPolicyBody"]
    )
    assert policy["Statement"][1]["Action"] == ["Update:Replace", "Update:Delete"]
    with pytest.raises(ExpectedError, match="guarded is protected"):
        deploy.delete(stacks, data=False, unprotect=False, show=silent)
    deploy.delete(stacks, data=True, unprotect=True, show=silent)
    assert statuses(clients, "guarded") == {}


def command(endpoint: Endpoint, *arguments: str) -> Any:
    """`python -m pipelines.<...>` against the endpoint, as a person with AWS_ENDPOINT_URL set runs it."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **endpoint.variables()},
        timeout=120,
    )


def test_the_commands_deploy_upsert_and_show_what_an_upsert_would_change(endpoint: Endpoint, clients: Clients) -> None:
    missing = command(endpoint, "pipelines.run", "--env", "staging")
    assert (missing.returncode, missing.stderr.splitlines()) == (
        3,
        [
            "Error: the stack tapline-staging-pipelines does not exist",
            "Where: CloudFormation in us-east-1",
            f"Try: {python_command()} -m pipelines.deploy --env staging",
        ],
    )
    deployed = command(endpoint, "pipelines.deploy", "--env", "staging", "--json")
    assert json.loads(deployed.stdout)["pipeline"] == "created", deployed.stderr
    again = command(endpoint, "pipelines.run", "--env", "staging", "--json")
    assert json.loads(again.stdout) == {
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
    shown = command(endpoint, "pipelines.run", "--env", "staging", "--dry-run", "--json")
    changes = json.loads(shown.stdout)["changes"]
    assert {"kind": "added", "name": "parameter DistinctBeers", "what": ""} in changes
    assert [each["name"] for each in changes if each["kind"] == "changed"] == ["step Train"]
    ledger = command(endpoint, "pipelines.records", "ledger", "--env", "staging", "--json")
    assert json.loads(ledger.stdout)["accepted"] == 0
    gone = command(endpoint, "pipelines.deploy", "--env", "staging", "--delete", "--data", "--json")
    assert set(json.loads(gone.stdout).values()) == {"deleted", "not there"}, gone.stderr
