"""InvokeEndpoint: what a model answers, and the errors of sagemaker-runtime."""

import json
import textwrap
from typing import Any

import botocore.exceptions
import pytest
from botocore import xform_name

from benchmarks.support.definitions import ROLE, until
from tests.support.served import INSTANCE, SUM, Served

FLASK_PAGE = "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>"
# Functions as a user writes them; `where` chooses which raises.
RAISES = """
    import os
    def model_fn(folder): return None
    def input_fn(body, content_type): return body.strip()
    def predict_fn(body, model):
        if body == 'predict': raise ValueError('a row is wrong')
        if body == 'exit': os._exit(3)
        return body
    def output_fn(answer, accept):
        if answer == 'refuse':
            from werkzeug import Response
            return Response('{"error": "no"}', status=400, mimetype='application/json')
        if answer == 'output': raise ValueError('no such accept')
        return answer, 'text/plain'
"""
TRANSFORM = """
    def model_fn(folder): return 'a model'
    def transform_fn(model, body, content_type, accept):
        return f'{model} {type(body).__name__} {content_type} {accept}', 'text/plain'
"""


def error(served: Served, body: Any, **members: Any) -> dict[str, Any]:
    """The error that an invocation gives."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        served.invoke(body, **members)
    return dict(caught.value.response)


def test_a_model_answers_with_its_content_type_and_variant(served: Served) -> None:
    served.create(served.config("first"))
    answer = served.invoke("[1, 2.5]")
    assert json.loads(answer["Body"]) == {"model": "first", "sum": 3.5}
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("application/json", "AllTraffic")


def test_exceptions_of_the_users_functions_are_html_pages_with_500(served: Served) -> None:
    served.create(served.config("raises", RAISES))
    for body in ("predict", "output"):
        found = error(served, body, ContentType="text/csv")
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert (found["Error"]["Code"], found["OriginalStatusCode"]) == ("ModelError", 500)
        assert found["OriginalMessage"].startswith(FLASK_PAGE)
        assert found["Error"]["Message"].startswith(
            f'Received server error (500) from primary with message "{FLASK_PAGE}'
        )
        assert found["LogStreamArn"] == (
            f"arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/{served.name}"
        )


def test_a_response_with_a_status_is_that_status(served: Served) -> None:
    served.create(served.config("raises", RAISES))
    found = error(served, "refuse", ContentType="text/csv")
    assert (found["OriginalStatusCode"], found["OriginalMessage"]) == (400, '{"error": "no"}')
    assert found["Error"]["Message"].startswith('Received client error (400) from primary with message "{"error"')


def test_a_process_that_ends_is_a_bad_gateway_and_starts_again(served: Served) -> None:
    served.create(served.config("raises", RAISES))
    assert error(served, "exit", ContentType="text/csv")["OriginalStatusCode"] == 502
    assert served.invoke("still here", ContentType="text/csv")["Body"] == b"still here"


def test_transform_fn_gets_text_for_two_content_types_and_bytes_for_the_others(served: Served) -> None:
    served.create(served.config("transform", TRANSFORM))
    answers = {
        given: served.invoke("x", ContentType=given)["Body"].decode()
        for given in ("text/csv", "application/json", "text/csv; charset=utf-8")
    }
    assert answers == {
        "text/csv": "a model str text/csv application/json",
        "application/json": "a model str application/json application/json",
        "text/csv; charset=utf-8": "a model bytes text/csv; charset=utf-8 application/json",
    }
    assert served.invoke("x", Accept="text/csv")["Body"] == b"a model str application/json text/csv"


def test_containers_answer_one_after_the_other(served: Served) -> None:
    add = """
        def model_fn(folder): return 1
        def transform_fn(model, body, content_type, accept):
            return f"{body if isinstance(body, str) else body.decode()} {accept}", 'text/csv'
    """
    name = f"{served.name}-chain"
    containers = [served.container("first", add), served.container("second", add)]
    served.api.create_model(ModelName=name, Containers=containers, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "A", "ModelName": name, **INSTANCE}
    served.create(served.config_of([variant], name))
    # The first container's Accept is its own default.
    answer = served.invoke("x", ContentType="text/csv", Accept="text/plain")["Body"]
    assert answer == b"x application/json text/plain"


def test_requests_that_sagemaker_refuses(served: Served) -> None:
    assert error(served, "[]")["Error"] == {
        "Code": "ValidationError",
        "Message": f"Endpoint {served.name} of account 000000000000 not found.",
    }
    served.create(served.config("first"))
    too_long = error(served, b" " * 4_194_305)
    assert (too_long["Error"]["Code"], too_long["ResponseMetadata"]["HTTPStatusCode"]) == ("ValidationError", 400)
    assert "less than or equal to 4194304" in too_long["Error"]["Message"]
    assert error(served, "[]", TargetVariant="Other")["Error"] == {
        "Code": "ValidationError",
        "Message": f"Variant Other of endpoint {served.name} not found.",
    }
    assert error(served, "[]", TargetModel="m")["Error"]["Message"] == "The local SageMaker does not offer TargetModel."


def test_an_operation_that_is_not_offered_is_named(served: Served) -> None:
    client = served.runtime
    requests: dict[str, dict[str, Any]] = {
        "InvokeEndpointAsync": {"InputLocation": "s3://b/k"},
        "InvokeEndpointWithResponseStream": {"Body": b""},
    }
    assert set(client.meta.service_model.operation_names) == {"InvokeEndpoint", *requests}
    for operation, request in requests.items():
        with pytest.raises(botocore.exceptions.ClientError, match=f"does not offer {operation}\\."):
            getattr(client, xform_name(operation))(EndpointName=served.name, **request)


def test_variants_share_the_requests_by_weight_or_are_named(served: Served) -> None:
    variants = [
        {"VariantName": name, "ModelName": served.model(name), "InitialVariantWeight": weight, **INSTANCE}
        for name, weight in (("most", 9), ("none", 0))
    ]
    served.create(served.config_of(variants, served.name))
    assert {served.predict(1)["model"] for _ in range(20)} == {"most"}
    assert json.loads(served.invoke("[1]", TargetVariant="none")["Body"])["model"] == "none"
    served.api.update_endpoint_weights_and_capacities(
        EndpointName=served.name,
        DesiredWeightsAndCapacities=[
            {"VariantName": "most", "DesiredWeight": 0},
            {"VariantName": "none", "DesiredWeight": 1},
        ],
    )
    described = served.settled()["ProductionVariants"]
    assert {each["VariantName"]: each["CurrentWeight"] for each in described} == {"most": 0.0, "none": 1.0}
    assert {served.predict(1)["model"] for _ in range(20)} == {"none"}


def test_a_model_package_is_served_with_the_environment_of_the_model(served: Served) -> None:
    group = {"ModelPackageGroupName": served.name}
    served.api.create_model_package_group(**group)
    script = """
        import os
        def model_fn(folder): return os.environ['MODEL_VERSION'] + os.environ['OTHER']
        def transform_fn(model, body, content_type, accept): return model, 'text/plain'
    """
    container = served.container("packed", script, OTHER="package", MODEL_VERSION="package")
    specification = {
        "Containers": [container],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    package = served.api.create_model_package(**group, InferenceSpecification=specification)["ModelPackageArn"]
    served.api.create_model(
        ModelName=served.name,
        PrimaryContainer={"ModelPackageName": package, "Environment": {"MODEL_VERSION": "7"}},
        ExecutionRoleArn=ROLE,
    )
    variant = {"VariantName": "A", "ModelName": served.name, **INSTANCE}
    served.create(served.config_of([variant], served.name))
    assert served.invoke()["Body"] == b"7package"


def test_the_models_output_is_in_the_log_group_of_the_endpoint(served: Served) -> None:
    script = textwrap.dedent(SUM) + "\nprint('the model is loading')\n"
    served.create(served.config("first", script))
    group = f"/aws/sagemaker/Endpoints/{served.name}"

    def lines() -> list[str]:
        found = served.clients.logs.filter_log_events(logGroupName=group)["events"]
        return [each["message"] for each in found]

    until(lambda: "the model is loading" in lines(), "the log")
    streams = served.clients.logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert [each["logStreamName"].partition("/")[0] for each in streams] == ["AllTraffic"]


def test_captured_requests_are_json_lines_in_s3(served: Served) -> None:
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{served.name}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    described = served.create(served.config("first", on=INSTANCE, DataCaptureConfig=capture))
    assert described["DataCaptureConfig"]["CaptureStatus"] == "Started"
    served.invoke("[1, 2]", InferenceId="beer-7")

    def objects() -> list[str]:
        listed = served.clients.s3.list_objects_v2(Bucket=served.name, Prefix="captured/")
        return [each["Key"] for each in listed.get("Contents", [])]

    (key,) = until(objects, "the captured request")
    prefix, endpoint, variant, *moment, name = key.split("/")
    assert ((prefix, endpoint, variant), len(moment)) == (("captured", served.name, "AllTraffic"), 4)
    assert name.endswith(".jsonl")
    line = json.loads(served.clients.s3.get_object(Bucket=served.name, Key=key)["Body"].read())
    event = line["eventMetadata"]
    answer = '{"model": "first", "sum": 3}'
    assert line == {
        "captureData": {
            "endpointInput": {
                "observedContentType": "application/json",
                "mode": "INPUT",
                "data": "[1, 2]",
                "encoding": "JSON",
            },
            "endpointOutput": {
                "observedContentType": "application/json",
                "mode": "OUTPUT",
                "data": answer,
                "encoding": "JSON",
            },
        },
        "eventMetadata": {
            "eventId": event["eventId"],
            "inferenceId": "beer-7",
            "inferenceTime": event["inferenceTime"],
        },
        "eventVersion": "0",
    }


def test_invocations_are_metrics_of_the_endpoint(served: Served) -> None:
    served.create(served.config("raises", RAISES))
    served.invoke("fine", ContentType="text/csv")
    error(served, "refuse", ContentType="text/csv")
    error(served, "predict", ContentType="text/csv")
    dimensions = {"EndpointName": served.name, "VariantName": "AllTraffic"}

    def total(metric: str) -> float:
        found = served.clients.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=0,
            EndTime=4_102_444_800,
            Period=86_400,
            Statistics=["Sum"],
        )["Datapoints"]
        return float(sum(each["Sum"] for each in found))

    until(lambda: total("Invocations") == 3, "the metrics")
    assert [total(name) for name in ("Invocation4XXErrors", "Invocation5XXErrors")] == [1, 1]


def test_step_functions_invoke_an_endpoint_with_json(served: Served) -> None:
    served.create(served.config("first"))
    call = "arn:aws:states:::aws-sdk:sagemakerruntime:invokeEndpoint"
    request = {"ContentType": "application/json", "Body": [1, 2]}
    states = {
        "Answer": {
            "Type": "Task",
            "Resource": call,
            "Parameters": {**request, "EndpointName": served.name},
            "ResultSelector": {"answer.$": "States.StringToJson($.Body)"},
            "ResultPath": "$.found",
            "Next": "Refusal",
        },
        "Refusal": {
            "Type": "Task",
            "Resource": call,
            "Parameters": {**request, "EndpointName": "gone"},
            "Catch": [{"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.error", "Next": "End"}],
            "End": True,
        },
        "End": {"Type": "Pass", "End": True},
    }
    api = served.clients.stepfunctions
    machine = api.create_state_machine(
        name=served.name, definition=json.dumps({"StartAt": "Answer", "States": states}), roleArn=ROLE
    )["stateMachineArn"]
    run = api.start_execution(stateMachineArn=machine, input="{}")["executionArn"]
    until(lambda: api.describe_execution(executionArn=run)["status"] != "RUNNING", "the execution")
    output = json.loads(api.describe_execution(executionArn=run)["output"])
    assert output["found"] == {"answer": {"model": "first", "sum": 3}}
    assert output["error"]["Error"] == "SageMakerRuntime.ValidationErrorException"
