"""Permissions that schedules, rules, Lambdas and delivery streams need, from what the template connects.

Firehose: https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from localaws import shapes
from pipelines.authoring.templates import Template, below, branches, resources, text
from pipelines.checks.permissions import Need, arn

# Type of a target -> the action that starts it.
STARTED_BY = {"Lambda::Function": "lambda:InvokeFunction", "StepFunctions::StateMachine": "states:StartExecution"}
# Service of a Lambda's client -> type of the resource that it works on, which its environment names.
WORKED_ON = {"kinesis": "Kinesis::Stream", "s3": "S3::Bucket"}
_ROWS = ("cleaned/", "errors/cleaned/")
# Operation of the Loader on the data bucket -> IAM actions and prefixes. Without s3:ListBucket a missing object is a
# denied one: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
ON_OBJECTS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "DeleteObject": (("DeleteObject", _ROWS),),
    "GetObject": (
        ("GetObject", ("landing/", "loaded/")),
        ("GetObjectVersion", ("landing/",)),
        ("ListBucket", ("landing/", "loaded/")),
    ),
    "HeadObject": (("GetObject", ("landing/",)), ("GetObjectVersion", ("landing/",)), ("ListBucket", ("landing/",))),
    "ListObjectsV2": (("ListBucket", _ROWS),),
    "PutObject": (("PutObject", (*_ROWS, "loaded/")),),
}

STREAM_READING = ("DescribeStream", "GetRecords", "GetShardIterator", "ListShards")
BUCKET_OF_DELIVERY = ("GetBucketLocation", "ListBucket", "ListBucketMultipartUploads")
OBJECTS_OF_DELIVERY = ("AbortMultipartUpload", "GetObject", "PutObject")


def needs(template: Template, sources: Mapping[str, str]) -> dict[str, list[Need]]:
    """Role -> needs. sources: module -> Python text of the Lambdas' code."""
    found: dict[str, list[Need]] = {}
    for role, need in _all(template, sources):
        found.setdefault(role, []).append(need)
    return found


def _all(template: Template, sources: Mapping[str, str]) -> Iterator[tuple[str, Need]]:
    for name, schedule in resources(template, "Scheduler::Schedule"):
        target = schedule["Target"]
        yield from _each(target["RoleArn"], _target(template, target, name))
        # EventBridge writes to a rule's dead-letter queue as itself, Scheduler as its role.
        yield from _each(target["RoleArn"], [Need("sqs:SendMessage", text(target["DeadLetterConfig"]["Arn"]), name)])
    for name, rule in resources(template, "Events::Rule"):
        for target in rule["Targets"]:
            if "RoleArn" in target:
                yield from _each(target["RoleArn"], _target(template, target, name))
    for name, function in resources(template, "Lambda::Function"):
        yield from _each(function["Role"], _function(template, function, sources, name))
    for name, delivery in resources(template, "KinesisFirehose::DeliveryStream"):
        destination = delivery["ExtendedS3DestinationConfiguration"]
        yield from _each(destination["RoleARN"], _delivery(delivery, name))


def _each(role: Any, found: Any) -> Iterator[tuple[str, Need]]:
    name = text(role).removeprefix("${").split(".")[0].removesuffix("}")
    yield from ((name, need) for need in found)


def _target(template: Template, target: Mapping[str, Any], why: str) -> Iterator[Need]:
    resource = text(target["Arn"])
    name = resource.strip("${}").split(".")[0]
    kind = template["Resources"][name]["Type"].removeprefix("AWS::")
    yield Need(STARTED_BY[kind], resource, why)


def _function(template: Template, function: Mapping[str, Any], sources: Mapping[str, str], why: str) -> Iterator[Need]:
    group = f"${{{function['LoggingConfig']['LogGroup']['Ref']}.Arn}}"
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        yield Need(action, group, f"{why}.LoggingConfig")
    if "DeadLetterConfig" in function:
        yield Need("sqs:SendMessage", text(function["DeadLetterConfig"]["TargetArn"]), f"{why}.DeadLetterConfig")
    for key in branches(function.get("KmsKeyArn", {"Ref": "AWS::NoValue"})):
        yield Need("kms:Decrypt", text(key), f"{why}.KmsKeyArn, for its environment")
    named = {value["Ref"] for value in function["Environment"]["Variables"].values() if isinstance(value, dict)}
    for module, service, operation in calls(function["Handler"].rpartition(".")[0], sources):
        for name, _ in resources(template, WORKED_ON[service]):
            if name in named and service == "s3":
                yield from _on_objects(f"${{{name}.Arn}}", operation, f"{why}, {module}")
            elif name in named:
                yield Need(f"{service}:{operation}", f"${{{name}.Arn}}", f"{why}, {module}")


def _on_objects(bucket: str, operation: str, why: str) -> Iterator[Need]:
    for action, prefixes in ON_OBJECTS[operation]:
        for prefix in prefixes:
            resource = below(bucket, f"{prefix}*") if action == "ListBucket" else f"{bucket}/{prefix}*"
            yield Need(f"s3:{action}", resource, why)


def calls(module: str, sources: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(module, service, operation) of every boto3 call in a module and in what it imports of the project."""
    import botocore

    trees = {name: ast.parse(sources[name]) for name in closure(module, sources)}
    services = {
        str(node.args[0].value)
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "client"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    snake: Callable[[str], str] = botocore.xform_name
    for service in sorted(services):
        operations = {snake(name): name for name in shapes.service_model(service).operation_names}
        for name, tree in trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in operations:
                    yield name, service, operations[node.func.attr]


def closure(module: str, sources: Mapping[str, str]) -> set[str]:
    """A module and all of `sources` that it imports, directly or not."""
    found: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        found.add(name)
        for node in ast.walk(ast.parse(sources[name])):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported = {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
            elif isinstance(node, ast.Import):
                imported = {each.name for each in node.names}
            else:
                continue
            waiting |= (imported & sources.keys()) - found
    return found


def _delivery(delivery: Mapping[str, Any], why: str) -> Iterator[Need]:
    destination = delivery["ExtendedS3DestinationConfiguration"]
    stream = text(delivery["KinesisStreamSourceConfiguration"]["KinesisStreamARN"])
    for action in STREAM_READING:
        yield Need(f"kinesis:{action}", stream, why)
    bucket = text(destination["BucketARN"])
    for action in BUCKET_OF_DELIVERY:
        yield Need(f"s3:{action}", bucket, why)
    for name in ("Prefix", "ErrorOutputPrefix"):
        for prefix in branches(destination[name]):
            for action in OBJECTS_OF_DELIVERY:
                yield Need(f"s3:{action}", f"{bucket}/{prefix.split('!')[0]}*", f"{why}.{name}")
    log = f"${{{destination['CloudWatchLoggingOptions']['LogGroupName']['Ref']}.Arn}}"
    yield Need("logs:PutLogEvents", log, f"{why}.CloudWatchLoggingOptions")
    for processor in destination.get("ProcessingConfiguration", {}).get("Processors", []):
        values = {each["ParameterName"]: each["ParameterValue"] for each in processor.get("Parameters", [])}
        if "LambdaArn" not in values:
            continue
        for function in branches(values["LambdaArn"]):
            for action in ("lambda:GetFunctionConfiguration", "lambda:InvokeFunction"):
                for version in ("", ":$LATEST"):
                    yield Need(action, text(function) + version, f"{why}.ProcessingConfiguration")
    for conversion in branches(destination.get("DataFormatConversionConfiguration", {"Ref": "AWS::NoValue"})):
        database, table = (text(conversion["SchemaConfiguration"][each]) for each in ("DatabaseName", "TableName"))
        for part in ("catalog", f"database/{database}", f"table/{database}/{table}"):
            for action in ("glue:GetTable", "glue:GetTableVersion", "glue:GetTableVersions"):
                yield Need(action, arn("glue", part), f"{why}.DataFormatConversionConfiguration")
