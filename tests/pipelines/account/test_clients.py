"""AWS's clients: one per service, and errors that advise an account's remedies or the local endpoint's."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import botocore.exceptions as errors
import pytest

from localaws.errors import ExpectedError
from pipelines.account.clients import LOCAL_EXPORTS, Clients, aws_errors
from pipelines.account.stacks import Stacks, environment

URL = "http://127.0.0.1:4566"
# How a command comes to ask this machine -> its variables, its arguments, and the AWS configuration file.
LOCAL: dict[str, tuple[dict[str, str], list[str], str]] = {
    "the endpoint URL": ({"AWS_ENDPOINT_URL": URL}, [], ""),
    "another spelling of loopback": ({"AWS_ENDPOINT_URL": "http://localhost:4566"}, [], ""),
    "the URL of one service": ({"AWS_ENDPOINT_URL_SAGEMAKER": "http://[::1]:4566"}, [], ""),
    "the flag": ({}, ["--local"], ""),
    "the profile": ({}, [], f"[default]\nendpoint_url = {URL}\n"),
    "a service of the profile": ({}, [], f"[default]\nservices = own\n[services own]\ns3 =\n  endpoint_url = {URL}\n"),
}


def refusal(code: str) -> errors.ClientError:
    return errors.ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeStacks")


FAILURES: list[tuple[Exception, str]] = [
    (errors.NoCredentialsError(), "aws configure"),
    (errors.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "aws configure"),
    (errors.NoRegionError(), "export AWS_REGION=eu-west-1"),
    *(
        (refusal(code), "aws sso login")
        for code in ("ExpiredToken", "InvalidClientTokenId", "UnrecognizedClientException")
    ),
    *((refusal(code), "aws sts get-caller-identity") for code in ("AccessDenied", "AccessDeniedException")),
]


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A command without a word of a local endpoint; returns its AWS configuration file."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setattr(sys, "argv", ["registry", "list"])
    return tmp_path / "config"


def hint(failure: Exception) -> str:
    with pytest.raises(ExpectedError) as refused, aws_errors("listing models"):
        raise failure
    return refused.value.hint


@pytest.mark.parametrize(("failure", "advice"), FAILURES, ids=[str(each) for each, _ in FAILURES])
def test_an_error_of_an_account_advises_what_helps_there(failure: Exception, advice: str) -> None:
    assert hint(failure) == advice


@pytest.mark.parametrize("name", LOCAL)
def test_an_error_of_the_local_endpoint_never_advises_an_account_s_remedy(
    name: str, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, flags, text = LOCAL[name]
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "argv", ["registry", "list", *flags])
    account.write_text(text)
    assert {hint(failure) for failure, _ in FAILURES} == {LOCAL_EXPORTS}


def test_a_profile_that_is_missing_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")
    assert hint(errors.ProfileNotFound(profile="gone")) == "aws configure"


def test_threads_that_ask_at_the_same_time_get_the_same_client() -> None:
    clients = Clients(region="eu-west-1")
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: clients.s3, range(8)))
    assert made == [clients.s3] * 8


def test_the_command_that_deploys_another_environment_locally_reaches_the_workspace_s_endpoint() -> None:
    clients = Clients()
    clients.flags = "--local --workspace w"
    dev, prod = (Stacks(clients, environment(name)).deploy_command() for name in ("dev", "prod"))
    assert dev.endswith(" -m pipelines.run --local --workspace w")
    up, _, deploy = prod.partition(" && ")
    assert (up.startswith('eval "$('), up.endswith(' -m pipelines.local up --workspace w)"')) == (True, True)
    assert deploy.endswith(" -m pipelines.deploy --env prod")
