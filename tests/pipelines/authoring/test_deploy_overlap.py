"""Two executions of deploy at once: one stops before a state, the other runs to its end, then the first goes on.

Executions take turns, but ListExecutions may lag behind: the one that stops does not see the other.
"""

from collections.abc import Callable, Iterator

import pytest

from pipelines.account.clients import Clients
from tests.support.deployments import Deployment, Paused

# States that read what they decide on, or change something.
STATES = (
    "ApprovedModels",
    "SmokeTestFile",
    "CopyArtifact",
    "CreateModel",
    "ServerlessConfig",
    "UpdateServerless",
    "WaitForEndpoint",
    "EndpointStatus",
    "SmokeTest",
    "RecordSuccess",
    "RecordReplaced",
    "OldConfigs",
    "DeleteOldConfig",
    "NotifyDeployed",
)
# In `make test`.
CHOSEN = (("newer", "UpdateServerless"), ("rejected", "SmokeTest"))
Decision = Callable[[Deployment, str, str], tuple[str, str]]


@pytest.fixture(scope="module")
def quiet(clients: Clients) -> Iterator[Deployment]:
    """An environment in which decisions start nothing."""
    made = Deployment(clients)
    made.without_events()
    yield made
    made.account.remove()


@pytest.fixture
def served(quiet: Deployment) -> Iterator[Deployment]:
    """The environment, in which a first version serves."""
    first = quiet.register()
    quiet.decide(first, "Approved")
    quiet.run(quiet.event(first))
    yield quiet
    approved = quiet.clients.sagemaker.list_model_packages(
        ModelPackageGroupName=quiet.account.pipeline, ModelApprovalStatus="Approved", MaxResults=100
    )
    for each in approved["ModelPackageSummaryList"]:
        quiet.decide(each["ModelPackageArn"], "Rejected")
    quiet.run(quiet.event(first))


def equal(served: Deployment, second: str, event: str) -> tuple[str, str]:
    """The same event again; (the event, the package that is to serve)."""
    return event, second


def newer(served: Deployment, second: str, event: str) -> tuple[str, str]:
    """The approval of a newer version."""
    third = served.register()
    served.decide(third, "Approved")
    return served.event(third), third


def rejected(served: Deployment, second: str, event: str) -> tuple[str, str]:
    """The version that is being deployed is not approved any more."""
    served.decide(second, "Rejected")
    number = served.version(second)
    return served.event(second), second.replace(f"/{number}", f"/{number - 1}")


DECISIONS: dict[str, Decision] = {each.__name__: each for each in (equal, newer, rejected)}
CASES = [
    pytest.param(name, state, marks=() if (name, state) in CHOSEN else pytest.mark.release)
    for name in DECISIONS
    for state in STATES
]


@pytest.mark.parametrize(("name", "state"), CASES)
def test_whatever_another_execution_does_meanwhile_the_newest_approved_version_serves(
    served: Deployment, name: str, state: str
) -> None:
    second = served.register()
    served.decide(second, "Approved")
    event = served.event(second)
    paused = Paused(served, state, event)
    paused.wait()
    other, wanted = DECISIONS[name](served, second, event)
    served.run(other)
    paused.resume()
    assert served.configuration() == ("InService", served.config(served.version(wanted)))
    assert served.answer()["model_version"] == served.version(wanted)
    assert served.metadata(wanted)["DeploymentStatus"] == "Serving"
    assert served.metadata(second)["DeploymentStatus"] != "Failed"


@pytest.mark.parametrize("state", [pytest.param("RecordFailure", marks=pytest.mark.release), "RemoveEndpoint"])
def test_a_failed_deployment_removes_nothing_that_another_one_made(quiet: Deployment, state: str) -> None:
    first, second = quiet.register(ibu=80), quiet.register()
    quiet.decide(first, "Approved")
    paused = Paused(quiet, state, quiet.event(first))
    assert paused.wait()
    quiet.decide(second, "Approved")
    quiet.run(quiet.event(second))
    assert paused.resume()["Error"] == "SmokeTestFailed"
    assert quiet.configuration() == ("InService", quiet.config(quiet.version(second)))
    assert quiet.metadata(second)["DeploymentStatus"] == "Serving"
    for each in (first, second):
        quiet.decide(each, "Rejected")
    quiet.run(quiet.event(second))


def test_an_endpoint_that_goes_between_its_list_and_its_description_is_made_again(quiet: Deployment) -> None:
    first = quiet.register()
    quiet.decide(first, "Approved")
    quiet.run(quiet.event(first))
    second = quiet.register()
    quiet.decide(second, "Approved")
    paused = Paused(quiet, "ServingEndpoint", quiet.event(second))
    assert paused.wait()
    quiet.clients.sagemaker.delete_endpoint(EndpointName=quiet.endpoint)
    assert paused.resume()["decision"] == "deployed"
    assert quiet.answer()["model_version"] == quiet.version(second)
    for each in (first, second):
        quiet.decide(each, "Rejected")
    quiet.run(quiet.event(second))
