"""CreateProcessingJob's request of a state machine: a script of evaluation/, without network."""

from typing import Any

from pipelines.authoring.step_functions import expression

HOME = "/opt/ml/processing"
KMS = "'${KmsKeyArn}' = '' ? {} : {'%s': '${KmsKeyArn}'}"


def processing(
    script: str, inputs: dict[str, str], outputs: dict[str, str], arguments: list[str], more: str = ""
) -> dict[str, Any]:
    """The request. A name is used once in an account and region, so every try has a name of its own.

    inputs, outputs: name, which is a folder of the container, -> S3 address, a text or a JSONata expression. more:
    JSONata for a list of addresses that become the folders 0, 1, ... of the input `requests`.
    """
    kind = script.removesuffix(".py")
    tried = f"'{script} ' & $states.context.Execution.Id & ' ' & $string($states.context.State.RetryCount)"
    listed = ", ".join(
        f"{{'OutputName': '{name}', 'S3Output': {{'LocalPath': '{HOME}/output/{name}', 'S3UploadMode': 'EndOfJob', "
        f"'S3Uri': {text(address)}}}}}"
        for name, address in outputs.items()
    )
    given = f"[{', '.join(source(repr(name), f'{name!r}', text(address)) for name, address in inputs.items())}]"
    if more:
        each = source("'requests-' & $string($i)", "'requests/' & $string($i)", "$uri")
        given = f"$append({given}, $map({more}, function($uri, $i) {{{each}}}))"
    name = f"'${{EndpointPrefix}}-{kind}-' & $substring($hash({tried}, 'SHA-256'), 0, 10)"
    cluster = "{'InstanceCount': 1, 'InstanceType': '${ScoringInstanceType}', 'VolumeSizeInGB': 30}"
    return {
        "ProcessingJobName": expression(name),
        "RoleArn": "${ScoringRoleArn}",
        "AppSpecification": {
            "ImageUri": "${ImageUri}",
            "ContainerEntrypoint": ["python3", f"{HOME}/input/code/{script}"],
            "ContainerArguments": arguments,
        },
        "ProcessingInputs": expression(given),
        "ProcessingOutputConfig": expression(f"$merge([{{'Outputs': [{listed}]}}, {KMS % 'KmsKeyId'}])"),
        "ProcessingResources": {"ClusterConfig": expression(f"$merge([{cluster}, {KMS % 'VolumeKmsKeyId'}])")},
        "NetworkConfig": {"EnableNetworkIsolation": True},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }


def source(name: str, folder: str, address: str) -> str:
    """A ProcessingInput in JSONata; all three are JSONata expressions."""
    where = f"'LocalPath': '{HOME}/input/' & {folder}, 'S3DataType': 'S3Prefix', 'S3InputMode': 'File'"
    return f"{{'InputName': {name}, 'S3Input': {{'S3Uri': {address}, {where}}}}}"


def text(value: str) -> str:
    """A field's value as part of a JSONata expression."""
    return value.removeprefix("{%").removesuffix("%}").strip() if value.startswith("{%") else f"'{value}'"
