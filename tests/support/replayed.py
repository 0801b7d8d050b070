"""What the chain has done in the name of each role, read from what AWS has recorded of it.

The state machine's calls are those of its executions' histories, the jobs' those that their descriptions imply. The
delivery streams, schedules and rules keep no history of calls; for them it is what their descriptions imply.
"""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from botocore import xform_name

from benchmarks.support.definitions import until
from localaws import shapes
from localaws.sagemaker.s3 import split
from pipelines.account import executions as pipeline_executions
from pipelines.account import model_packages
from pipelines.checks.integrations import RESOURCE
from tests.support.strict import Call, Document, Strict

LOG_GROUPS = {"ProcessingJob": "/aws/sagemaker/ProcessingJobs", "TrainingJob": "/aws/sagemaker/TrainingJobs"}
Task = tuple[str, Call]


def go_on(strict: Strict) -> None:
    """After the first run, the state machine's other ways: with a champion, a skip, runs that fail, the same table."""
    clients, machine = strict.clients, strict.names["RetrainStateMachineArn"]

    def begin() -> tuple[str, str]:
        execution = clients.stepfunctions.start_execution(stateMachineArn=machine)["executionArn"]
        (run,) = until(lambda: [each for each in runs(strict) if each["PipelineExecutionStatus"] == "Executing"])
        return execution, run["PipelineExecutionArn"]

    def stop(execution: str, run: str) -> None:
        clients.sagemaker.stop_pipeline_execution(PipelineExecutionArn=run, ClientRequestToken="0" * 32)
        until(lambda: status(strict, execution) == "FAILED")

    for package in packages(strict):
        clients.sagemaker.update_model_package(
            ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus="Approved"
        )
    # Without new rows the run would reuse the first one's jobs, and end too soon.
    clients["lambda"].invoke(FunctionName=strict.names["CollectorName"], Payload=b'{"mode": "catalogue"}')
    strict.endpoint.control("drain")
    failing, run = begin()
    skipped = clients.stepfunctions.start_execution(stateMachineArn=machine)["executionArn"]
    until(lambda: status(strict, skipped) == "SUCCEEDED")
    stop(failing, run)
    stop(*begin())


def status(strict: Strict, execution: str) -> str:
    """The status of an execution of the state machine."""
    return str(strict.clients.stepfunctions.describe_execution(executionArn=execution)["status"])


def runs(strict: Strict) -> list[Document]:
    """The pipeline's executions, the latest first."""
    listed = strict.clients.sagemaker.list_pipeline_executions(PipelineName=strict.names["PipelineName"])
    return list(listed["PipelineExecutionSummaries"])


def packages(strict: Strict) -> list[Document]:
    """The registered packages, described."""
    api = strict.clients.sagemaker
    listed = api.list_model_packages(ModelPackageGroupName=strict.names["ModelPackageGroupName"])
    arns = [each["ModelPackageArn"] for each in listed["ModelPackageSummaryList"]]
    return [api.describe_model_package(ModelPackageName=arn) for arn in arns]


def executions(strict: Strict) -> list[Document]:
    """The state machine's executions, described, the latest first."""
    api = strict.clients.stepfunctions
    listed = api.list_executions(stateMachineArn=strict.names["RetrainStateMachineArn"])["executions"]
    return [api.describe_execution(executionArn=each["executionArn"]) for each in listed]


def calls(strict: Strict) -> dict[str, list[Call]]:
    """Role -> its calls, each one once."""
    found: dict[str, list[Call]] = {role: [] for role in strict.roles}
    for role, call in _all(strict):
        if call not in found[role]:
            found[role].append(call)
    return found


def _all(strict: Strict) -> Iterator[tuple[str, Call]]:
    yield from (("RetrainRole", call) for _, call in tasks(strict))
    for kind, job in jobs(strict):
        yield from (("JobRole", call) for call in _job(strict, kind, job))
        yield from (("PipelineRole", call) for call in _started_job(kind, job))
    for package in packages(strict):
        yield from (("PipelineRole", call) for call in _registration(strict, package))
    yield from _starts(strict)
    yield from _dead_letters(strict)
    for output, role in (("RawDeliveryName", "RawDeliveryRole"), ("CleanedDeliveryName", "CleanedDeliveryRole")):
        name = strict.names[output]
        described = strict.clients.firehose.describe_delivery_stream(DeliveryStreamName=name)
        yield from ((role, call) for call in _delivery(strict, described["DeliveryStreamDescription"]))


# --- The state machine ----------------------------------------------------------------------------


def tasks(strict: Strict) -> Iterator[Task]:
    """(state, call) of every task that was scheduled, in all executions, and of what its queries imply."""
    api = strict.clients.stepfunctions
    for execution in executions(strict):
        arn = execution["executionArn"]
        described = api.describe_state_machine_for_execution(executionArn=arn)
        states = json.loads(described["definition"])["States"]
        pages = api.get_paginator("get_execution_history").paginate(executionArn=arn)
        name, given = "", ""
        for event in (event for page in pages for event in page["events"]):
            if event["type"] == "TaskStateEntered":
                entered = event["stateEnteredEventDetails"]
                name, given = entered["name"], entered["input"]
            if event["type"] == "TaskScheduled":
                service, action, _ = RESOURCE.fullmatch(states[name]["Resource"]).groups()
                yield name, (service, xform_name(action), _parameters(strict, states[name], given))
            if event["type"] == "TaskSucceeded" and states[name]["Resource"].endswith("startQueryExecution.sync"):
                query = json.loads(event["taskSucceededEventDetails"]["output"])["QueryExecution"]["QueryExecutionId"]
                yield from ((name, call) for call in _query(strict, query))


def _query(strict: Strict, query: str) -> Iterator[Call]:
    """Wait for a query; what Athena does for it with its caller's rights: read the table, write the result."""
    yield "athena", "get_query_execution", {"QueryExecutionId": query}
    execution = strict.clients.athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]
    table = {"DatabaseName": strict.names["GlueDatabase"], "Name": strict.names["GlueTable"]}
    yield "glue", "get_table", table
    yield "glue", "get_partitions", {"DatabaseName": table["DatabaseName"], "TableName": table["Name"]}
    yield from _read(strict, strict.clients.glue.get_table(**table)["Table"]["StorageDescriptor"]["Location"])
    yield from _write(strict, execution["ResultConfiguration"]["OutputLocation"])
    for unloaded in re.findall(r"TO '(s3://[^']*)'", execution["Query"]):
        yield from _write(strict, unloaded)


def _parameters(strict: Strict, state: Document, given: str) -> Document:
    """A task's parameters for an input. AWS has them in TaskScheduled; MiniStack does not, so TestState makes them."""
    state_of_parameters = {"Type": "Pass", "End": True}
    if state.get("QueryLanguage") == "JSONata":
        state_of_parameters |= {"QueryLanguage": "JSONata", "Output": state["Arguments"]}
    else:
        state_of_parameters["Parameters"] = state["Parameters"]
    tested = strict.clients.stepfunctions.test_state(definition=json.dumps(state_of_parameters), input=given)
    found: Document = json.loads(tested["output"])
    return found


# --- The pipeline and its jobs --------------------------------------------------------------------


def jobs(strict: Strict) -> Iterator[tuple[str, Document]]:
    """(ProcessingJob or TrainingJob, description) of every job that has completed."""
    api = strict.clients.sagemaker
    for run in runs(strict):
        for step in pipeline_executions.steps(strict.clients, run["PipelineExecutionArn"]):
            for kind in LOG_GROUPS.keys() & step.get("Metadata", {}).keys():
                name = step["Metadata"][kind]["Arn"].rpartition("/")[2]
                job = getattr(api, f"describe_{xform_name(kind)}")(**{f"{kind}Name": name})
                if job[f"{kind}Status"] == "Completed":
                    yield kind, job


def _job(strict: Strict, kind: str, job: Document) -> Iterator[Call]:
    """Read every input, write every output, log."""
    for uri in _inputs(job):
        yield from _read(strict, uri)
    for uri in _outputs(job):
        yield from _write(strict, uri)
    group, logs = LOG_GROUPS[kind], strict.clients.logs
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=job[f"{kind}Name"])["logStreams"]
    for stream in (each["logStreamName"] for each in streams):
        names = {"logGroupName": group, "logStreamName": stream}
        event = logs.get_log_events(**names, limit=1)["events"][0]
        yield "logs", "create_log_group", {"logGroupName": group}
        yield "logs", "create_log_stream", names
        yield "logs", "put_log_events", {**names, "logEvents": [shapes.project(_log_event(), event)]}


def _log_event() -> Any:
    return shapes.input_shape("logs", "PutLogEvents").members["logEvents"].member


def _inputs(job: Document) -> Iterator[str]:
    yield from (each["S3Input"]["S3Uri"] for each in job.get("ProcessingInputs", []))
    yield from (each["DataSource"]["S3DataSource"]["S3Uri"] for each in job.get("InputDataConfig", []))


def _outputs(job: Document) -> Iterator[str]:
    yield from (each["S3Output"]["S3Uri"] for each in job.get("ProcessingOutputConfig", {}).get("Outputs", []))
    if "OutputDataConfig" in job:
        yield job["OutputDataConfig"]["S3OutputPath"]


def _started_job(kind: str, job: Document) -> Iterator[Call]:
    yield (
        "sagemaker",
        f"create_{xform_name(kind)}",
        shapes.project(shapes.input_shape("sagemaker", f"Create{kind}"), job),
    )
    yield "sagemaker", f"describe_{xform_name(kind)}", {f"{kind}Name": job[f"{kind}Name"]}


def _registration(strict: Strict, package: Document) -> Iterator[Call]:
    """Read what the condition asked for, make the package as the step made it, pending, and tag it."""
    bucket, key = split(model_packages.evaluation_uri(package))
    yield "s3", "get_object", {"Bucket": bucket, "Key": key}
    group, arn = package["ModelPackageGroupName"], package["ModelPackageArn"]
    yield "sagemaker", "describe_model_package_group", {"ModelPackageGroupName": group}
    request = shapes.project(shapes.input_shape("sagemaker", "CreateModelPackage"), package)
    once = {"ModelApprovalStatus": "PendingManualApproval", "ClientToken": "replayed"}
    yield "sagemaker", "create_model_package", {**request, **once}
    yield "sagemaker", "describe_model_package", {"ModelPackageName": arn}
    pipeline = arn.partition(":model-package/")[0] + f":pipeline/{strict.names['PipelineName']}"
    tags = strict.clients.sagemaker.list_tags(ResourceArn=pipeline)["Tags"]
    yield "sagemaker", "add_tags", {"ResourceArn": arn, "Tags": tags}


# --- What starts something ------------------------------------------------------------------------


def _schedules(strict: Strict) -> Iterator[Document]:
    """What every schedule starts."""
    api = strict.clients.scheduler
    for listed in api.list_schedules()["Schedules"]:
        yield api.get_schedule(Name=listed["Name"], GroupName=listed["GroupName"])["Target"]


def _ruled(strict: Strict) -> Iterator[Document]:
    """What every rule on the default bus starts with a role."""
    api = strict.clients.events
    for rule in api.list_rules()["Rules"]:
        yield from (each for each in api.list_targets_by_rule(Rule=rule["Name"])["Targets"] if "RoleArn" in each)


def _starts(strict: Strict) -> Iterator[tuple[str, Call]]:
    first = executions(strict)[-1]
    for target in (*_schedules(strict), *_ruled(strict)):
        role = _logical(strict, target["RoleArn"])
        if ":function:" in target["Arn"]:
            yield role, ("lambda", "invoke", {"FunctionName": target["Arn"], "Payload": target["Input"].encode()})
        else:
            # The name of the execution that has been: a second one does not start.
            given = {"name": first["name"], "input": target.get("Input", first["input"])}
            yield role, ("stepfunctions", "start_execution", {"stateMachineArn": target["Arn"], **given})


def _dead_letters(strict: Strict) -> Iterator[tuple[str, Call]]:
    """Scheduler and Lambda write to a dead-letter queue as the role they have; EventBridge as itself."""
    yield "CollectorRole", _message(strict.names["CollectorDeadLettersUrl"])
    for schedule in _schedules(strict):
        queue = schedule["DeadLetterConfig"]["Arn"].rpartition(":")[2]
        url = strict.clients.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        yield _logical(strict, schedule["RoleArn"]), _message(url)


def _message(queue_url: str) -> Call:
    return "sqs", "send_message", {"QueueUrl": queue_url, "MessageBody": "{}"}


def _logical(strict: Strict, role_arn: str) -> str:
    name = role_arn.rpartition("/")[2]
    return next(role for role, physical in strict.roles.items() if physical == name)


# --- Delivery -------------------------------------------------------------------------------------


def _delivery(strict: Strict, stream: Document) -> Iterator[Call]:
    """Read the stream, have its records transformed, write below both prefixes."""
    source = {"StreamARN": stream["Source"]["KinesisStreamSourceDescription"]["KinesisStreamARN"]}
    destination = stream["Destinations"][0]["ExtendedS3DestinationDescription"]
    shard = strict.clients.kinesis.list_shards(**source)["Shards"][0]["ShardId"]
    oldest = {**source, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    reading = {**source, "ShardIterator": strict.clients.kinesis.get_shard_iterator(**oldest)["ShardIterator"]}
    record = strict.clients.kinesis.get_records(**reading)["Records"][0]
    yield "kinesis", "describe_stream", source
    yield "kinesis", "list_shards", source
    yield "kinesis", "get_shard_iterator", oldest
    yield "kinesis", "get_records", reading
    for processor in destination.get("ProcessingConfiguration", {}).get("Processors", []):
        if processor["Type"] != "Lambda":
            continue
        values = {each["ParameterName"]: each["ParameterValue"] for each in processor["Parameters"]}
        entry = {"recordId": "1", "data": base64.b64encode(record["Data"]).decode()}
        event = json.dumps({"deliveryStreamArn": stream["DeliveryStreamARN"], "records": [entry]})
        yield "lambda", "get_function_configuration", {"FunctionName": values["LambdaArn"]}
        yield "lambda", "invoke", {"FunctionName": values["LambdaArn"], "Payload": event.encode()}
    for prefix in ("Prefix", "ErrorOutputPrefix"):
        known = destination[prefix].split("!")[0]
        yield from _write(strict, f"s3://{destination['BucketARN'].rpartition(':')[2]}/{known}")


# --- Objects --------------------------------------------------------------------------------------


def _read(strict: Strict, uri: str) -> Iterator[Call]:
    """List an address and get all that is there."""
    bucket, prefix = split(uri)
    yield "s3", "list_objects_v2", {"Bucket": bucket, "Prefix": prefix}
    yield from (("s3", "get_object", {"Bucket": bucket, "Key": key}) for key in _keys(strict, bucket, prefix))


def _write(strict: Strict, uri: str) -> Iterator[Call]:
    """Put all that is at an address once more, as it is; an empty object where nothing is."""
    bucket, prefix = split(uri)
    written = _keys(strict, bucket, prefix)
    for key in written or [f"{prefix}nothing"]:
        body = strict.clients.s3.get_object(Bucket=bucket, Key=key)["Body"].read() if written else b""
        yield "s3", "put_object", {"Bucket": bucket, "Key": key, "Body": body}


def _keys(strict: Strict, bucket: str, prefix: str) -> list[str]:
    pages = strict.clients.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [each["Key"] for page in pages for each in page.get("Contents", [])]
