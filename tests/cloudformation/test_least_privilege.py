"""Each role may do what its component does and nothing else: asked of an endpoint that enforces policies.

The chain runs once. Then everything that it did in the name of a role is done again by a user who has that role's
policies and no others, at an endpoint with LOCALAWS_AUTH=true, which enforces them. What is replayed is read from
what AWS has recorded (replayed.py), so a new call of the chain is tried here without a line being written.

A user stands for a role because MiniStack lets the services themselves do anything: Firehose, Step Functions,
EventBridge, Scheduler, Athena and the pipeline's jobs are not held to their roles (the Lambdas are). Nor does it
enforce trust policies, iam:PassRole and conditions on keys that it does not know, as those of cloudwatch:PutMetricData
and sagemaker:CreateModelPackage; and dev has no key of its own. So a replay shows that the rights are there for these
calls on these resources, and nothing about those; NOT_SHOWN has the rights that it does not ask for. The checks of
rights hold all of them against the code and the templates.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator

import boto3
import pytest

from ingestion import collect
from localaws import endpoint as endpoints
from localaws.workspace import Workspace
from pipelines.authoring.archives import ROOT
from pipelines.checks import permissions_of_state_machines
from pipelines.local.endpoint import api_url
from pipelines.local.punk_api import BUNDLED
from tests.support import replayed
from tests.support.strict import Call, Strict, right

# What answers a call that is allowed and has been made before, or that the local SageMaker does not offer.
ALLOWED = {
    "allowed",
    "ExecutionAlreadyExists",
    "ResourceAlreadyExistsException",
    "UnknownOperationException",
}
# The state machine's task that none of the runs comes to.
NOT_REACHED = {"TellNoModel": "a run that succeeds has registered a model"}

# Rights that the replay does not ask for. Beside the objects themselves, what clients of S3 may ask:
IN_PARTS = {"s3:AbortMultipartUpload", "s3:GetBucketLocation"}
# Granted on the streams of a log group, as AWS asks; MiniStack asks on the group:
LOGGING = {"logs:CreateLogStream", "logs:PutLogEvents"}
# Not in a delivery stream's description:
DELIVERY = IN_PARTS | {"logs:PutLogEvents", "s3:GetObject", "s3:ListBucket", "s3:ListBucketMultipartUploads"}
# For a table of Parquet, which dev's is not:
COLUMNS = {"glue:GetTable", "glue:GetTableVersion", "glue:GetTableVersions"}
# For the image, which is not pulled here, and metrics, whose namespace MiniStack does not see:
CONTAINER = {
    "cloudwatch:PutMetricData",
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetAuthorizationToken",
    "ecr:GetDownloadUrlForLayer",
    "logs:DescribeLogStreams",
}
# For a state machine that logs:
LOG_DELIVERY = {f"logs:{each}" for each in permissions_of_state_machines.LOG_DELIVERY}
# Asked by MiniStack on other resources than by AWS, or when an execution is stopped:
QUERY = {"athena:GetDataCatalog", "athena:StopQueryExecution", "glue:GetDatabase"}
NOT_SHOWN = {
    # Its one call is asked for by its own code, in a test of its own.
    "CollectorRole": LOGGING | {"kinesis:PutRecords"},
    "TransformRole": LOGGING,
    "RawDeliveryRole": DELIVERY,
    "CleanedDeliveryRole": DELIVERY,
    "JobRole": IN_PARTS | CONTAINER,
    # Which job the stopped run was at is chance.
    "PipelineRole": {"iam:PassRole", "s3:ListBucket", "sagemaker:StopProcessingJob", "sagemaker:StopTrainingJob"},
    "RetrainRole": IN_PARTS | LOG_DELIVERY | QUERY | {"s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts"},
}

# The checks of permissions prove the same from the code and the templates, in seconds.
pytestmark = pytest.mark.release


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    """The endpoint of a workspace in which the chain has run, now enforcing policies; new data start nothing."""
    workspace = Workspace(tmp_path_factory.mktemp("strict"))
    command = [sys.executable, "-m", "pipelines.run", "--local", "--workspace", str(workspace.root), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LOCALAWS_AUTH", "true")
        with endpoints.running(workspace, keep=False) as endpoint:
            strict = Strict(endpoint)
            for rule in strict.clients.events.list_rules()["Rules"]:
                strict.clients.events.disable_rule(Name=rule["Name"])
            replayed.go_on(strict)
            yield strict


@pytest.fixture(scope="module")
def calls(strict: Strict) -> dict[str, list[Call]]:
    """What each role did."""
    return replayed.calls(strict)


def named(role: str, call: Call) -> str:
    """A call in words."""
    service, operation, arguments = call
    target = " ".join(str(value) for value in arguments.values() if isinstance(value, str))
    return f"{role}: {service}.{operation} {target}"


def decisions(strict: Strict, asked: Iterable[tuple[str, Call]]) -> list[tuple[str, str]]:
    """Each call, named, and what became of it."""
    return [(named(role, call), strict.attempt(role, call)) for role, call in asked]


def test_what_the_chain_did_is_allowed_to_the_role_that_did_it(strict: Strict, calls: dict[str, list[Call]]) -> None:
    found = decisions(strict, [(role, call) for role, listed in calls.items() for call in listed])
    assert [(name, outcome) for name, outcome in found if outcome not in ALLOWED] == []
    assert [role for role, listed in calls.items() if not listed] == ["TransformRole"]


def test_the_replay_has_every_task_of_the_state_machine_but_those_named_here(strict: Strict) -> None:
    states = json.loads((ROOT / "cloudformation" / "retrain.asl.json").read_text())["States"]
    reached = {name for name, _ in replayed.tasks(strict)}
    assert {name for name, state in states.items() if state["Type"] == "Task"} - reached == NOT_REACHED.keys()


def test_the_replay_asks_for_every_right_of_every_role_but_those_named_here(
    strict: Strict, calls: dict[str, list[Call]]
) -> None:
    unused = {role: strict.granted(role) - set(map(right, listed)) for role, listed in calls.items()}
    assert {role: rights for role, rights in unused.items() if rights} == NOT_SHOWN


def test_without_a_right_exactly_the_calls_that_need_it_are_refused(
    strict: Strict, calls: dict[str, list[Call]]
) -> None:
    found = {}
    for role, listed in calls.items():
        one_of_each = {right(call): call for call in listed}
        for taken in one_of_each:
            with strict.without(role, taken):
                refused = {name for name, call in one_of_each.items() if strict.attempt(role, call) == "denied"}
            found[f"{role} without {taken}"] = (refused, {taken})
    assert {name: refused for name, (refused, expected) in found.items() if refused != expected} == {}
    assert len(found) >= 30


def test_the_collectors_own_code_does_all_it_does_with_its_one_right(
    strict: Strict, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = strict.session("CollectorRole").get_credentials()
    # It keeps the keys that it found first, in whichever test.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL", strict.endpoint.url)
    monkeypatch.setenv("API_URL", api_url(strict.endpoint))
    monkeypatch.setenv("STREAM_NAME", strict.names["StreamName"])
    beers = len(json.loads(BUNDLED.read_text()))
    done = {"mode": "catalogue", "fetched": beers, "sent": beers, "refused": {}, "retries": 0}
    assert collect.handler({"mode": "catalogue"}) == done
    refusal = pytest.raises(collect.CollectError, match=f"0 records sent, {beers} not sent: AccessDeniedException")
    with strict.without("CollectorRole", "kinesis:PutRecords"), refusal:
        collect.handler({"mode": "catalogue"})


def test_what_no_component_does_is_refused(strict: Strict) -> None:
    found = decisions(strict, forbidden(strict.names, strict.roles))
    assert [(name, outcome) for name, outcome in found if outcome != "denied"] == []
    assert len(found) >= 50


def forbidden(names: dict[str, str], roles: Iterable[str]) -> list[tuple[str, Call]]:
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
    calls = [(role, call) for role in roles for call in everybody]
    return [
        *calls,
        ("CollectorRole", ("s3", "put_object", {"Bucket": data, "Key": "cleaned/x", **put})),
        (
            "CollectorRole",
            (
                "kinesis",
                "get_shard_iterator",
                {"StreamName": stream, "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"},
            ),
        ),
        (
            "TransformRole",
            ("kinesis", "put_record", {"StreamName": stream, "Data": b"", "PartitionKey": "1"}),
        ),
        ("TransformRole", ("s3", "get_object", {"Bucket": data, "Key": "raw/x"})),
        ("RawDeliveryRole", ("s3", "put_object", {"Bucket": data, "Key": "cleaned/x", **put})),
        ("RawDeliveryRole", ("lambda", "invoke", {"FunctionName": names["TransformName"]})),
        ("CleanedDeliveryRole", ("s3", "put_object", {"Bucket": data, "Key": "raw/x", **put})),
        ("CleanedDeliveryRole", ("lambda", "invoke", {"FunctionName": names["CollectorName"]})),
        ("ScheduleRole", ("lambda", "invoke", {"FunctionName": names["TransformName"]})),
        (
            "ScheduleRole",
            (
                "lambda",
                "update_function_code",
                {"FunctionName": names["CollectorName"], "S3Bucket": artifacts, "S3Key": "x"},
            ),
        ),
        (
            "NewDataRole",
            ("sagemaker", "start_pipeline_execution", {"PipelineName": pipeline, "ClientRequestToken": "0" * 32}),
        ),
        (
            "NewDataRole",
            ("stepfunctions", "stop_execution", {"executionArn": machine.replace("stateMachine", "execution") + ":x"}),
        ),
        (
            "RetrainRole",
            ("sagemaker", "start_pipeline_execution", {"PipelineName": "another", "ClientRequestToken": "0" * 32}),
        ),
        ("RetrainRole", ("s3", "put_object", {"Bucket": data, "Key": "cleaned/x", **put})),
        ("RetrainRole", ("s3", "get_object", {"Bucket": data, "Key": "raw/x"})),
        ("RetrainRole", ("s3", "list_objects_v2", {"Bucket": artifacts, "Prefix": "champion/x"})),
        (
            "RetrainRole",
            ("athena", "start_query_execution", {"QueryString": "SELECT 1", "WorkGroup": "primary"}),
        ),
        ("PipelineRole", ("s3", "get_object", {"Bucket": data, "Key": "cleaned/x"})),
        ("JobRole", ("s3", "put_object", {"Bucket": data, "Key": "cleaned/x", **put})),
        ("JobRole", ("s3", "get_object", {"Bucket": data, "Key": "raw/x"})),
        ("JobRole", ("s3", "get_object", {"Bucket": data, "Key": "cleaned/x"})),
        (
            "JobRole",
            ("sagemaker", "start_pipeline_execution", {"PipelineName": pipeline, "ClientRequestToken": "0" * 32}),
        ),
    ]
