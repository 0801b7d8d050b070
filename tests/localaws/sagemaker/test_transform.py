"""Batch transform: objects in S3 answered by a model, whole or by record."""

from typing import Any

import pytest

from benchmarks.support.definitions import until
from localaws.sagemaker.records import Processing, selected
from pipelines.account.clients import Clients
from tests.support.served import Served

# Answers each line with its number of characters; refuses `bad`.
LENGTHS = """
    def model_fn(folder): return None
    def transform_fn(model, body, content_type, accept):
        lines = body.splitlines()
        if 'bad' in lines: raise ValueError('bad')
        return ''.join(f'{len(line)}\\n' for line in lines), 'text/csv'
"""
RESOURCES = {"InstanceType": "ml.m5.large", "InstanceCount": 1}


def transform(served: Served, files: dict[str, str], split: bool = True, **members: Any) -> dict[str, Any]:
    """Run a transform job over the files; returns its description."""
    for name, text in files.items():
        served.clients.s3.put_object(Bucket=served.name, Key=f"in/{name}", Body=text.encode())
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{served.name}/in/"}
    given = {"DataSource": {"S3DataSource": source}, "ContentType": "text/csv"}
    made = {"S3OutputPath": f"s3://{served.name}/out", "Accept": "text/csv"}
    if split:
        given["SplitType"] = made["AssembleWith"] = "Line"
    served.api.create_transform_job(
        TransformJobName=served.name,
        ModelName=served.model("lengths", LENGTHS),
        TransformInput=given,
        TransformOutput=made,
        TransformResources=RESOURCES,
        **members,
    )

    def ended() -> Any:
        job = served.api.describe_transform_job(TransformJobName=served.name)
        return job["TransformJobStatus"] != "InProgress" and job

    found: dict[str, Any] = until(ended, "the transform job")
    return found


def outputs(clients: Clients, bucket: str) -> dict[str, str]:
    listed = clients.s3.list_objects_v2(Bucket=bucket, Prefix="out/").get("Contents", [])
    return {
        each["Key"].removeprefix("out/"): clients.s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read().decode()
        for each in listed
    }


def test_every_object_is_answered_beside_its_name(served: Served) -> None:
    job = transform(served, {"a.csv": "x\nyyy\n", "deep/b.csv": "zz\n"}, BatchStrategy="SingleRecord")
    assert job["TransformJobStatus"] == "Completed"
    assert outputs(served.clients, served.name) == {"a.csv.out": "1\n3\n", "deep/b.csv.out": "2\n"}
    (listed,) = served.api.list_transform_jobs(NameContains=served.name, MaxResults=100)["TransformJobSummaries"]
    assert listed["TransformJobStatus"] == "Completed"


def test_a_bad_record_costs_its_object_and_the_job(served: Served) -> None:
    job = transform(served, {"a.csv": "x\nbad\n", "b.csv": "zz\n"})
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert outputs(served.clients, served.name) == {"b.csv.out": "2\n"}
    found = served.clients.logs.filter_log_events(
        logGroupName="/aws/sagemaker/TransformJobs", filterPattern=served.name
    )
    lines = [each["message"] for each in found["events"]]
    assert any(f"{served.name}/in/a.csv: Bad HTTP status received from algorithm: 500" in line for line in lines)


def test_inputs_are_joined_with_their_answers(served: Served) -> None:
    processing = {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}
    transform(served, {"a.csv": "7,x\n8,yyy\n"}, DataProcessing=processing)
    assert outputs(served.clients, served.name) == {"a.csv.out": "7,1\n8,3\n"}


def test_what_is_not_split_is_one_request(served: Served) -> None:
    transform(served, {"a.csv": "x\nyyy"}, split=False)
    assert outputs(served.clients, served.name) == {"a.csv.out": "1\n3\n"}


def test_a_job_without_inputs_has_failed(served: Served) -> None:
    job = transform(served, {})
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: No S3 objects found under S3 URL")


def test_a_job_can_be_stopped(served: Served) -> None:
    slow = """
        import time
        def model_fn(folder): return None
        def transform_fn(model, body, content_type, accept): time.sleep(0.3); return body, 'text/csv'
    """
    served.clients.s3.put_object(Bucket=served.name, Key="in/a.csv", Body=b"x\n" * 100)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{served.name}/in/"}}
    served.api.create_transform_job(
        TransformJobName=served.name,
        ModelName=served.model("slow", slow),
        BatchStrategy="SingleRecord",
        TransformInput={"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
        TransformOutput={"S3OutputPath": f"s3://{served.name}/out", "AssembleWith": "Line"},
        TransformResources=RESOURCES,
    )
    name = {"TransformJobName": served.name}
    served.api.stop_transform_job(**name)
    status = "TransformJobStatus"
    until(lambda: served.api.describe_transform_job(**name)[status] == "Stopped", "the stop")
    assert outputs(served.clients, served.name) == {}


def test_a_model_that_is_missing_is_refused(served: Served) -> None:
    with pytest.raises(served.api.exceptions.ClientError, match=r'Could not find model "arn:.*:model/gone"'):
        served.api.create_transform_job(
            TransformJobName=served.name,
            ModelName="gone",
            TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in"}}},
            TransformOutput={"S3OutputPath": "s3://b/out"},
            TransformResources=RESOURCES,
        )


@pytest.mark.parametrize(
    ("path", "record", "expected"),
    [
        ("$", [1, 2], [1, 2]),
        ("$[1:]", [1, 2, 3], [2, 3]),
        ("$[0,-1]", ["a", "b", "c"], ["a", "c"]),
        ("$.features", {"features": [1, 2], "id": 3}, [1, 2]),
        ("$['id']", {"features": [1, 2], "id": 3}, 3),
        ("$['id','features']", {"features": [1], "id": 3}, [3, [1]]),
    ],
)
def test_filters_select_as_jsonpath_does(path: str, record: Any, expected: Any) -> None:
    assert selected(path, record) == expected


def test_json_records_get_the_answer_as_a_member() -> None:
    job = {
        "TransformInput": {"ContentType": "application/jsonlines", "SplitType": "Line"},
        "DataProcessing": {"JoinSource": "Input"},
    }
    joined = Processing(job).joined(b'{"id": 1}\n[2]\n', b"7\n8\n")
    assert joined == b'{"id": 1, "SageMakerOutput": 7}\n{"SageMakerInput": [2], "SageMakerOutput": 8}\n'
