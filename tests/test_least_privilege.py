"""Each role may do what its component does and nothing else: asked of an endpoint that enforces policies.

MiniStack enforces what signed requests may do when AUTH=true. The services' own use of their roles (Firehose, Step
Functions, a job's) it does not enforce, so each role's policies are given to a user here, and the calls are made as
that user. What each role needs is held against the code by the checks of rights.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.exceptions
import pytest

from pipelines.aws import Clients
from pipelines.local import endpoint as endpoints
from pipelines.local.workspace import Workspace
from pipelines.stacks import Stacks, environment

DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException", "403"}
Call = tuple[str, str, dict[str, Any]]


class Strict:
    """An endpoint that enforces policies, with the stacks of dev, and a session for each of their roles."""

    def __init__(self, endpoint: endpoints.Endpoint) -> None:
        self.url = endpoint.url
        self.clients = Clients(endpoint.url)
        self.stacks = Stacks(self.clients, environment("dev"))
        self.stacks.deploy()
        self.names = {
            **self.stacks.outputs("artifacts"),
            **self.stacks.outputs("ingestion"),
            **self.stacks.outputs("pipelines"),
        }
        self._sessions: dict[str, Any] = {}
        for bucket in (self.names["DataBucket"], self.names["ArtifactBucket"]):
            # They refuse whatever comes without TLS, which is everything on loopback; here the roles shall decide.
            self.clients.s3.delete_bucket_policy(Bucket=bucket)

    def session(self, stack: str, role: str) -> Any:
        """A boto3 session of a user with exactly the policies of a role (its logical id in a stack)."""
        if role not in self._sessions:
            described = self.clients.cloudformation.describe_stack_resource(
                StackName=self.stacks.environment.stack(stack), LogicalResourceId=role
            )
            physical = described["StackResourceDetail"]["PhysicalResourceId"]
            iam = self.clients.iam
            iam.create_user(UserName=role)
            for name in iam.list_role_policies(RoleName=physical)["PolicyNames"]:
                document = iam.get_role_policy(RoleName=physical, PolicyName=name)["PolicyDocument"]
                text = document if isinstance(document, str) else json.dumps(document)
                iam.put_user_policy(UserName=role, PolicyName=name, PolicyDocument=text)
            key = iam.create_access_key(UserName=role)["AccessKey"]
            self._sessions[role] = boto3.session.Session(
                aws_access_key_id=key["AccessKeyId"],
                aws_secret_access_key=key["SecretAccessKey"],
                region_name="us-east-1",
            )
        return self._sessions[role]

    def attempt(self, stack: str, role: str, call: Call) -> str:
        """ "allowed", or "denied", whatever else comes of the call."""
        service, operation, arguments = call
        client = self.session(stack, role).client(service, endpoint_url=self.url)
        try:
            getattr(client, operation)(**arguments)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in DENIED:
                return "denied"
        return "allowed"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    """The strict endpoint."""
    workspace = Workspace(tmp_path_factory.mktemp("strict"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AUTH", "true")
        with endpoints.running(workspace, keep=False) as endpoint:
            yield Strict(endpoint)


def allowed(names: dict[str, str]) -> list[tuple[str, str, Call]]:
    """What a component does: (stack, role, call)."""
    stream, data, artifacts = names["StreamName"], names["DataBucket"], names["ArtifactBucket"]
    pipeline, group, workgroup = names["PipelineName"], names["ModelPackageGroupName"], names["Workgroup"]
    record = {"Records": [{"Data": b"{}", "PartitionKey": "1"}]}
    return [
        ("ingestion", "CollectorRole", ("kinesis", "put_records", {"StreamName": stream, **record})),
        ("ingestion", "RawDeliveryRole", ("s3", "put_object", {"Bucket": data, "Key": "raw/x", "Body": b""})),
        ("ingestion", "RawDeliveryRole", ("kinesis", "describe_stream", {"StreamName": stream})),
        ("ingestion", "CleanedDeliveryRole", ("s3", "put_object", {"Bucket": data, "Key": "cleaned/x", "Body": b""})),
        (
            "ingestion",
            "CleanedDeliveryRole",
            ("s3", "put_object", {"Bucket": data, "Key": "errors/cleaned/x", "Body": b""}),
        ),
        (
            "ingestion",
            "CleanedDeliveryRole",
            ("lambda", "invoke", {"FunctionName": names["TransformName"], "Payload": b"{}"}),
        ),
        ("ingestion", "ScheduleRole", ("lambda", "invoke", {"FunctionName": names["CollectorName"], "Payload": b"{}"})),
        (
            "pipelines",
            "NewDataRole",
            ("stepfunctions", "start_execution", {"stateMachineArn": names["RetrainStateMachineArn"]}),
        ),
        ("pipelines", "RetrainRole", ("sagemaker", "list_pipeline_executions", {"PipelineName": pipeline})),
        ("pipelines", "RetrainRole", ("sagemaker", "list_model_packages", {"ModelPackageGroupName": group})),
        (
            "pipelines",
            "RetrainRole",
            ("athena", "start_query_execution", {"QueryString": "SELECT 1", "WorkGroup": workgroup}),
        ),
        ("pipelines", "RetrainRole", ("s3", "put_object", {"Bucket": artifacts, "Key": "snapshots/x", "Body": b""})),
        ("pipelines", "RetrainRole", ("s3", "list_objects_v2", {"Bucket": artifacts, "Prefix": f"{pipeline}/x"})),
        ("pipelines", "JobRole", ("s3", "put_object", {"Bucket": artifacts, "Key": f"{pipeline}/x", "Body": b""})),
        ("pipelines", "JobRole", ("s3", "get_object", {"Bucket": artifacts, "Key": "snapshots/x/y"})),
    ]


def forbidden(names: dict[str, str]) -> list[tuple[str, str, Call]]:
    """What no component does: what the neighbour may, and what nobody should."""
    stream, data, artifacts = names["StreamName"], names["DataBucket"], names["ArtifactBucket"]
    pipeline, group, machine = names["PipelineName"], names["ModelPackageGroupName"], names["RetrainStateMachineArn"]
    put = {"Body": b"x"}
    everybody: list[Call] = [
        ("iam", "create_user", {"UserName": "intruder"}),
        ("s3", "delete_bucket", {"Bucket": data}),
        ("s3", "delete_object", {"Bucket": data, "Key": "raw/x"}),
        ("kinesis", "delete_stream", {"StreamName": stream}),
        (
            "sagemaker",
            "update_model_package",
            {
                "ModelPackageArn": f"arn:aws:sagemaker:us-east-1:000000000000:model-package/{group}/1",
                "ModelApprovalStatus": "Approved",
            },
        ),
        ("cloudformation", "delete_stack", {"StackName": "tapline-dev-ingestion"}),
    ]
    roles = {
        "ingestion": ["ScheduleRole", "CollectorRole", "TransformRole", "RawDeliveryRole", "CleanedDeliveryRole"],
        "pipelines": ["NewDataRole", "NightlyRole", "RetrainRole", "PipelineRole", "JobRole"],
    }
    calls = [(stack, role, call) for stack, listed in roles.items() for role in listed for call in everybody]
    return [
        *calls,
        ("ingestion", "CollectorRole", ("s3", "put_object", {"Bucket": data, "Key": "cleaned/x", **put})),
        (
            "ingestion",
            "CollectorRole",
            (
                "kinesis",
                "get_shard_iterator",
                {"StreamName": stream, "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"},
            ),
        ),
        (
            "ingestion",
            "TransformRole",
            ("kinesis", "put_record", {"StreamName": stream, "Data": b"", "PartitionKey": "1"}),
        ),
        ("ingestion", "TransformRole", ("s3", "get_object", {"Bucket": data, "Key": "raw/x"})),
        ("ingestion", "RawDeliveryRole", ("s3", "put_object", {"Bucket": data, "Key": "cleaned/x", **put})),
        ("ingestion", "RawDeliveryRole", ("lambda", "invoke", {"FunctionName": names["TransformName"]})),
        ("ingestion", "CleanedDeliveryRole", ("s3", "put_object", {"Bucket": data, "Key": "raw/x", **put})),
        ("ingestion", "CleanedDeliveryRole", ("lambda", "invoke", {"FunctionName": names["CollectorName"]})),
        ("ingestion", "ScheduleRole", ("lambda", "invoke", {"FunctionName": names["TransformName"]})),
        (
            "ingestion",
            "ScheduleRole",
            (
                "lambda",
                "update_function_code",
                {"FunctionName": names["CollectorName"], "S3Bucket": artifacts, "S3Key": "x"},
            ),
        ),
        (
            "pipelines",
            "NewDataRole",
            ("sagemaker", "start_pipeline_execution", {"PipelineName": pipeline, "ClientRequestToken": "0" * 32}),
        ),
        (
            "pipelines",
            "NewDataRole",
            ("stepfunctions", "stop_execution", {"executionArn": machine.replace("stateMachine", "execution") + ":x"}),
        ),
        (
            "pipelines",
            "RetrainRole",
            ("sagemaker", "start_pipeline_execution", {"PipelineName": "another", "ClientRequestToken": "0" * 32}),
        ),
        ("pipelines", "RetrainRole", ("s3", "put_object", {"Bucket": data, "Key": "cleaned/x", **put})),
        ("pipelines", "RetrainRole", ("s3", "get_object", {"Bucket": data, "Key": "raw/x"})),
        ("pipelines", "RetrainRole", ("s3", "list_objects_v2", {"Bucket": artifacts, "Prefix": "champion/x"})),
        (
            "pipelines",
            "RetrainRole",
            ("athena", "start_query_execution", {"QueryString": "SELECT 1", "WorkGroup": "primary"}),
        ),
        ("pipelines", "PipelineRole", ("s3", "get_object", {"Bucket": data, "Key": "cleaned/x"})),
        ("pipelines", "JobRole", ("s3", "put_object", {"Bucket": data, "Key": "cleaned/x", **put})),
        ("pipelines", "JobRole", ("s3", "get_object", {"Bucket": data, "Key": "raw/x"})),
        ("pipelines", "JobRole", ("s3", "get_object", {"Bucket": data, "Key": "cleaned/x"})),
        (
            "pipelines",
            "JobRole",
            ("sagemaker", "start_pipeline_execution", {"PipelineName": pipeline, "ClientRequestToken": "0" * 32}),
        ),
    ]


def outcomes(strict: Strict, calls: Callable[[dict[str, str]], list[tuple[str, str, Call]]]) -> dict[str, str]:
    """Each call, named, and what became of it."""
    found = {}
    for stack, role, call in calls(strict.names):
        service, operation, arguments = call
        target = " ".join(str(value) for value in arguments.values() if isinstance(value, str))
        found[f"{role}: {service}.{operation} {target}"] = strict.attempt(stack, role, call)
    return found


def test_what_each_component_does_is_allowed(strict: Strict) -> None:
    found = outcomes(strict, allowed)
    assert {name: outcome for name, outcome in found.items() if outcome != "allowed"} == {}
    assert len(found) >= 14


def test_what_no_component_does_is_refused(strict: Strict) -> None:
    found = outcomes(strict, forbidden)
    assert {name: outcome for name, outcome in found.items() if outcome != "denied"} == {}
    assert len(found) >= 50
