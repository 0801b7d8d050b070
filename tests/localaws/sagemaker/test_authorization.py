"""Rights on SageMaker's resources, and its condition keys, at an endpoint that enforces policies."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest

from localaws import endpoint as endpoints
from localaws.sagemaker.authorization import conditions, resource
from localaws.workspace import Workspace
from pipelines.account.clients import Clients
from tests.support.served import Served

HOME = "arn:aws:sagemaker:us-east-1:000000000000:"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"PipelineName": "p"}, f"{HOME}pipeline/p"),
        ({"PipelineName": f"{HOME}pipeline/p"}, f"{HOME}pipeline/p"),
        ({"ModelPackageArn": f"{HOME}model-package/g/1", "ModelApprovalStatus": "x"}, f"{HOME}model-package/g/1"),
        ({"EndpointName": "E", "EndpointConfigName": "C"}, f"{HOME}endpoint/e"),
        ({"TransformJobName": "t", "ModelName": "m"}, f"{HOME}transform-job/t"),
        ({"NameContains": "x"}, "*"),
    ],
)
def test_a_request_is_authorised_on_its_resource(request_: dict[str, Any], expected: str) -> None:
    assert resource(request_, HOME) == expected


def test_approval_and_metadata_are_condition_keys() -> None:
    request = {"ModelApprovalStatus": "Approved", "CustomerMetadataProperties": {"team": "brewers"}}
    assert conditions(request) == {
        "sagemaker:ModelApprovalStatus": "Approved",
        "sagemaker:CustomerMetadataProperties/team": "brewers",
    }


@pytest.fixture
def enforcing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[endpoints.Endpoint]:
    """An endpoint of the test's own that enforces policies."""
    monkeypatch.setenv("LOCALAWS_AUTH", "true")
    with endpoints.running(Workspace(tmp_path / "workspace"), keep=False) as running:
        yield running


def test_a_user_may_reject_but_not_approve_and_invoke_and_update_one_endpoint(enforcing: endpoints.Endpoint) -> None:
    clients = Clients(enforcing)
    served = Served(clients)
    served.create(served.config("first"))
    group = {"ModelPackageGroupName": served.name}
    clients.sagemaker.create_model_package_group(**group)
    specification = {
        "Containers": [served.container("packed")],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    package = clients.sagemaker.create_model_package(**group, InferenceSpecification=specification)["ModelPackageArn"]
    statements = [
        {
            "Effect": "Allow",
            "Action": "sagemaker:UpdateModelPackage",
            "Resource": "*",
            "Condition": {"StringEquals": {"sagemaker:ModelApprovalStatus": "Rejected"}},
        },
        {"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": f"{HOME}endpoint/{served.name}"},
        {
            "Effect": "Allow",
            "Action": "sagemaker:UpdateEndpoint",
            "Resource": [f"{HOME}endpoint/{served.name}", f"{HOME}endpoint-config/{served.name}-second"],
        },
    ]
    clients.iam.create_user(UserName="reviewer")
    clients.iam.put_user_policy(
        UserName="reviewer",
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )
    key = clients.iam.create_access_key(UserName="reviewer")["AccessKey"]
    session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name="us-east-1")
    reviewer = session.client("sagemaker", endpoint_url=enforcing.url)
    runtime = session.client("sagemaker-runtime", endpoint_url=enforcing.url)
    reviewer.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Rejected")
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        reviewer.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    answer = runtime.invoke_endpoint(EndpointName=served.name, Body="[1]", ContentType="application/json")
    assert json.loads(answer["Body"].read()) == {"model": "first", "sum": 1}
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        runtime.invoke_endpoint(EndpointName="other", Body="1,2", ContentType="text/csv")
    # An update needs the right on the endpoint and on the configuration.
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        reviewer.update_endpoint(EndpointName=served.name, EndpointConfigName=served.config("other"))
    reviewer.update_endpoint(EndpointName=served.name, EndpointConfigName=served.config("second"))
    served.delete()
