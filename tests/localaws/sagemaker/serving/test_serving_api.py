"""Models, endpoint configurations and endpoints: what AWS refuses, and in which words."""

import re
from typing import Any

import botocore.exceptions
import pytest

from benchmarks.support.definitions import IMAGE, ROLE
from tests.support.served import INSTANCE, SCRIPT_MODE, SERVERLESS, Served

HOME = "arn:aws:sagemaker:us-east-1:000000000000"


def refusal(call: Any, **request: Any) -> str:
    """The message of a ValidationException."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return str(caught.value.response["Error"]["Message"])


def test_what_is_missing_or_there_already(served: Served) -> None:
    api, name = served.api, served.name
    model, config, endpoint = (f"{HOME}:{kind}/gone" for kind in ("model", "endpoint-config", "endpoint"))
    assert refusal(api.describe_model, ModelName="gone") == f'Could not find model "{model}".'
    assert refusal(api.delete_model, ModelName="gone") == f'Could not find model "{model}".'
    for call in (api.describe_endpoint_config, api.delete_endpoint_config):
        assert refusal(call, EndpointConfigName="gone") == f'Could not find endpoint configuration "{config}".'
    for call in (api.describe_endpoint, api.delete_endpoint):
        assert refusal(call, EndpointName="gone") == f'Could not find endpoint "{endpoint}".'
    created = served.config("first")
    container = served.container("first")
    assert refusal(api.create_model, ModelName=created, PrimaryContainer=container) == (
        f'Cannot create already existing model "{HOME}:model/{created}".'
    )
    variant = {"VariantName": "A", "ModelName": created, **INSTANCE}
    assert refusal(served.config_of, variants=[variant], name=created) == (
        f'Cannot create already existing endpoint configuration "{HOME}:endpoint-config/{created}".'
    )
    served.create(created)
    assert refusal(api.create_endpoint, EndpointName=name, EndpointConfigName=created) == (
        f'Cannot create already existing endpoint "{HOME}:endpoint/{name}".'
    )
    assert refusal(api.update_endpoint, EndpointName=name, EndpointConfigName=created) == (
        f'Cannot update endpoint "{HOME}:endpoint/{name}" to the endpoint configuration that it has.'
    )


@pytest.mark.parametrize(
    ("container", "problem"),
    [
        ({}, "exactly one of Image and ModelPackageName"),
        ({"Image": IMAGE, "ModelPackageName": "p"}, "exactly one of Image and ModelPackageName"),
        ({"Image": IMAGE, "ModelDataUrl": "s3://no-bucket/model.tar.gz"}, "Could not access model data at s3://no-buc"),
        ({"Image": IMAGE, "ModelDataUrl": "https://example.org/model.tar.gz"}, "Could not access model data at https:"),
        ({"ModelPackageName": f"{HOME}:model-package/gone/1"}, "ModelPackage .* does not exist"),
        ({"Image": IMAGE, "Mode": "MultiModel"}, "does not offer the container mode MultiModel"),
    ],
)
def test_a_container_that_is_refused(served: Served, container: dict[str, Any], problem: str) -> None:
    message = refusal(served.api.create_model, ModelName=served.name, PrimaryContainer=container)
    assert re.search(problem, message), message


@pytest.mark.parametrize(
    ("variant", "members", "problem"),
    [
        ({}, {}, "needs InstanceType and InitialInstanceCount, or a ServerlessConfig"),
        ({"InstanceType": "ml.m5.large"}, {}, "needs InstanceType and InitialInstanceCount"),
        ({**INSTANCE, **SERVERLESS}, {}, "Serverless endpoints do not support InstanceType"),
        ({"ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 1}}, {}, "MemorySizeInMB 1500 is not one of"),
        ({"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 201}}, {}, "above the maximum of 200"),
        (
            {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1, "ProvisionedConcurrency": 2}},
            {},
            "must not exceed MaxConcurrency",
        ),
        (
            SERVERLESS,
            {
                "DataCaptureConfig": {
                    "EnableCapture": True,
                    "InitialSamplingPercentage": 1,
                    "DestinationS3Uri": "s3://b/p",
                    "CaptureOptions": [{"CaptureMode": "Input"}],
                }
            },
            "Serverless endpoints do not support data capture",
        ),
        ({**INSTANCE, "InitialVariantWeight": 0}, {}, "must have a weight above 0"),
    ],
)
def test_a_variant_that_is_refused(
    served: Served, variant: dict[str, Any], members: dict[str, Any], problem: str
) -> None:
    whole = {"VariantName": "A", "ModelName": served.model("first"), **variant}
    assert problem in refusal(served.config_of, variants=[whole], name=served.name, **members)


def canary(percent: int, wait: int = 0, **members: Any) -> dict[str, Any]:
    size = {"Type": "CAPACITY_PERCENT", "Value": percent}
    routing = {"Type": "CANARY", "CanarySize": size, "WaitIntervalInSeconds": wait}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **members}}


@pytest.mark.parametrize(
    ("deployment", "problem"),
    [
        (canary(60), "CanarySize must be between 0% and 50%"),
        (canary(50, 300, MaximumExecutionTimeoutInSeconds=600), "must exceed the waits of 600 seconds"),
        (
            {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "LINEAR", "WaitIntervalInSeconds": 0}}},
            "needs LinearStepSize",
        ),
        (
            {
                "RollingUpdatePolicy": {
                    "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 2},
                    "WaitIntervalInSeconds": 0,
                }
            },
            "MaximumBatchSize must be between 5% and 50%",
        ),
    ],
)
def test_a_deployment_configuration_that_is_refused(served: Served, deployment: dict[str, Any], problem: str) -> None:
    served.create(served.config("first", on=INSTANCE))
    config = served.config("second", on=INSTANCE)
    call = served.api.update_endpoint
    message = refusal(call, EndpointName=served.name, EndpointConfigName=config, DeploymentConfig=deployment)
    assert problem in message


def test_an_endpoint_on_instances_does_not_become_serverless_but_the_other_way_round(served: Served) -> None:
    served.create(served.config("first", on=INSTANCE))
    serverless = served.config("second")
    assert refusal(served.api.update_endpoint, EndpointName=served.name, EndpointConfigName=serverless) == (
        "An endpoint on instances cannot be updated to a serverless configuration."
    )
    served.delete()
    served.create(serverless)
    assert served.update(f"{served.name}-first")["EndpointConfigName"] == f"{served.name}-first"


@pytest.mark.parametrize("host", ["{}.s3.amazonaws.com", "{}.s3-us-east-1.amazonaws.com", "s3.amazonaws.com/{}"])
def test_model_data_may_have_an_https_address_of_s3(served: Served, host: str) -> None:
    artifact = served.artifact("first").replace(f"s3://{served.name}", f"https://{host.format(served.name)}")
    container = {"Image": IMAGE, "ModelDataUrl": artifact}
    served.api.create_model(ModelName=served.name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    described = served.api.describe_model(ModelName=served.name)
    assert described["PrimaryContainer"]["ModelDataUrl"] == artifact


def test_an_image_without_inference_code_is_a_record_and_not_served(served: Served) -> None:
    container = {**served.container("first"), "Environment": {}}
    served.api.create_model(ModelName=served.name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "A", "ModelName": served.name, **INSTANCE}
    config = served.config_of([variant], served.name)
    message = refusal(served.api.create_endpoint, EndpointName=served.name, EndpointConfigName=config)
    assert message.startswith(f"The local SageMaker cannot serve the image {IMAGE}")


def test_an_endpoint_that_changes_is_neither_updated_nor_deleted(served: Served) -> None:
    slow = "import time; time.sleep(3)\ndef model_fn(folder): return 1"
    config = served.config("slow", slow)
    served.api.create_endpoint(EndpointName=served.name, EndpointConfigName=config)
    in_progress = f'Cannot update in-progress endpoint "{HOME}:endpoint/{served.name}".'
    assert refusal(served.api.delete_endpoint, EndpointName=served.name) == in_progress
    other = served.config("second")
    assert refusal(served.api.update_endpoint, EndpointName=served.name, EndpointConfigName=other) == in_progress
    assert "is Creating with it" in refusal(served.api.delete_endpoint_config, EndpointConfigName=config)
    served.settled()


def test_models_configurations_and_endpoints_are_listed_described_and_tagged(served: Served) -> None:
    api = served.api
    tags = [{"Key": "owner", "Value": "brewer"}]
    name = f"{served.name}-A"
    container = served.container("first")
    api.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE, Tags=tags)
    variant = {"VariantName": "A", "ModelName": name, **INSTANCE}
    served.config_of([variant], name, Tags=tags)
    api.create_endpoint(EndpointName=served.name, EndpointConfigName=name, Tags=tags)
    served.settled()
    assert api.describe_model(ModelName=name)["PrimaryContainer"]["Environment"] == SCRIPT_MODE
    assert api.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"] == [
        {**variant, "InitialVariantWeight": 1.0}
    ]
    many = {"NameContains": served.name, "MaxResults": 100}
    assert [each["ModelName"] for each in api.list_models(**many)["Models"]] == [name]
    assert [each["EndpointConfigName"] for each in api.list_endpoint_configs(**many)["EndpointConfigs"]] == [name]
    found = api.list_endpoints(**many, StatusEquals="InService")["Endpoints"]
    assert [each["EndpointName"] for each in found] == [served.name]
    for kind, resource in (("model", name), ("endpoint-config", name), ("endpoint", served.name)):
        # AWS writes these names in small letters in ARNs.
        assert api.list_tags(ResourceArn=f"{HOME}:{kind}/{resource.lower()}")["Tags"] == tags
