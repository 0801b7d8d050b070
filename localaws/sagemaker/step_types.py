"""What a step of each type does. Its arguments are resolved by then, and are those of the API's request.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html
"""

import contextlib
import json
import random
import string
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from botocore.exceptions import ClientError

from localaws.sagemaker import cache, failures, graph, s3, step_outputs
from localaws.sagemaker.callbacks import POLL_SECONDS, Callbacks, wait_for
from localaws.sagemaker.conditions import holds
from localaws.sagemaker.expressions import as_text
from localaws.sagemaker.failures import JobFailed, JobStopped
from localaws.sagemaker.jobs import JobKind, Jobs
from localaws.sagemaker.service import ApiError, Service, arn
from localaws.sagemaker.serving.endpoints_api import CHANGING
from localaws.store import Document

# Step type -> the kind of its job, the key of its metadata, the longest name of such a job.
JOBS = {
    "Processing": ("processing-job", "ProcessingJob", 63),
    "Training": ("training-job", "TrainingJob", 63),
    "Transform": ("transform-job", "TransformJob", 63),
    "Tuning": ("hyper-parameter-tuning-job", "TuningJob", 32),
}


@dataclass(frozen=True)
class Context:
    """What the steps of one execution share. change(step, changes): stores changes of the step's document."""

    jobs: Jobs
    service: Service
    callbacks: Callbacks
    execution: Document
    stop: threading.Event
    change: Callable[[str, Document], Document]

    @property
    def arn(self) -> str:
        """The execution's ARN."""
        return str(self.execution["PipelineExecutionArn"])


@dataclass(frozen=True)
class Attempt:
    """One attempt at a step. job_name: of the job or model that it creates. number: from 1."""

    step: graph.Step
    arguments: Document
    job_name: str
    number: int
    address: str


Runner = Callable[[Context, Attempt], Document]


def job_name(context: Context, step: graph.Step) -> str:
    """A new name for the step's job or model: of the execution, the step or its custom prefix, and a random tail."""
    kind, _, longest = JOBS.get(step["Type"], ("", "", 63))
    execution = context.arn.rpartition("/")[2]
    tail = "".join(random.choices(string.ascii_letters + string.digits, k=10))
    noun = context.jobs.kinds[kind].member("Name") if kind else "ModelName"
    given = step.get("Arguments", {}).get(noun)
    # A step's name may have underscores, a job's may not.
    label = step["Name"].replace("_", "-")
    if isinstance(given, str):
        room = longest - len(execution) - len(tail) - 2
        return f"{given[:room].rstrip('-')}-{execution}-{tail}"
    if longest < 63:
        return f"{execution}-{label[: longest - len(execution) - len(tail) - 2]}-{tail}"
    return f"pipelines-{execution}-{label[:28]}-{tail}"


def _cached(run: Runner) -> Runner:
    """The runner, with the result of an earlier execution where the step's cache has one."""

    def run_unless_cached(context: Context, attempt: Attempt) -> Document:
        store = context.service.store
        key = cache.key(context.execution["PipelineArn"], attempt.step, attempt.arguments)
        earlier = cache.find(store, key, attempt.step)
        if earlier:
            source = {"SourcePipelineExecutionArn": earlier["PipelineExecutionArn"]}
            return {"Metadata": earlier["Metadata"], "Result": earlier["Result"], "CacheHitResult": source}
        if attempt.step["Type"] in JOBS:
            failures.inject_failure(attempt.arguments, attempt.number, "Step.")
        changes = run(context, attempt)
        cache.store_result(store, key, attempt.step, context.arn, changes["Metadata"], changes["Result"])
        return changes

    return run_unless_cached


@_cached
def _run_job(context: Context, attempt: Attempt) -> Document:
    kind_name, metadata_key, _ = JOBS[attempt.step["Type"]]
    kind = context.jobs.kinds[kind_name]
    job_arn = arn(f"{kind.kind}/{attempt.job_name}")
    metadata = {metadata_key: {"Arn": job_arn}}
    context.change(attempt.step["Name"], {"Metadata": metadata})
    request = {**_texts(attempt.arguments), kind.member("Name"): attempt.job_name}
    try:
        document = context.jobs.run(kind, request, job_arn, context.stop, attempt.number)
    except ApiError as error:
        raise JobFailed(f"ClientError: {error.code}: {error.message}") from error
    return {"Metadata": metadata, "Result": {**document, **_tuned(context, kind, document)}}


def _texts(arguments: Document) -> Document:
    """Hyperparameters are texts in the API; a parameter's number becomes its text, as SageMaker makes it."""
    result = dict(arguments)
    for member in ("HyperParameters", "StaticHyperParameters"):
        if member in arguments:
            result[member] = {
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in arguments[member].items()
            }
    if "TrainingJobDefinition" in arguments:
        result["TrainingJobDefinition"] = _texts(arguments["TrainingJobDefinition"])
    if "TrainingJobDefinitions" in arguments:
        result["TrainingJobDefinitions"] = [_texts(each) for each in arguments["TrainingJobDefinitions"]]
    return result


def _tuned(context: Context, kind: JobKind, document: Document) -> Document:
    """The training jobs of a tuning job, the best first."""
    if kind.noun != "HyperParameterTuning":
        return {}
    goal = document["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective", {}).get("Type")
    request = {
        "HyperParameterTuningJobName": document["HyperParameterTuningJobName"],
        "SortBy": "FinalObjectiveMetricValue",
        "SortOrder": "Ascending" if goal == "Minimize" else "Descending",
        "StatusEquals": "Completed",
        "MaxResults": 100,
    }
    listed = context.service.call("ListTrainingJobsForHyperParameterTuningJob", request)
    return {"TrainingJobSummaries": listed["TrainingJobSummaries"]}


def _create_model(context: Context, attempt: Attempt) -> Document:
    request = {**attempt.arguments, "ModelName": attempt.job_name}
    model_arn = context.service.call("CreateModel", request)["ModelArn"]
    result = context.service.call("DescribeModel", {"ModelName": attempt.job_name})
    return {"Metadata": {"Model": {"Arn": model_arn}}, "Result": result}


@_cached
def _create_endpoint_config(context: Context, attempt: Attempt) -> Document:
    request = {"EndpointConfigName": attempt.job_name, **attempt.arguments}
    config_arn = context.service.call("CreateEndpointConfig", request)["EndpointConfigArn"]
    result = context.service.call("DescribeEndpointConfig", {"EndpointConfigName": request["EndpointConfigName"]})
    return {"Metadata": {"EndpointConfig": {"Arn": config_arn}}, "Result": result}


@_cached
def _deploy_endpoint(context: Context, attempt: Attempt) -> Document:
    """Create the endpoint, or update the one that exists, and wait until it serves the configuration."""
    request = {"EndpointName": attempt.job_name, **attempt.arguments}
    name = {"EndpointName": request["EndpointName"]}
    try:
        context.service.call("DescribeEndpoint", name)
        operation = "UpdateEndpoint"
        request.pop("Tags", None)
    except ApiError:
        operation = "CreateEndpoint"
    metadata = {"Endpoint": {"Arn": context.service.call(operation, request)["EndpointArn"]}}
    context.change(attempt.step["Name"], {"Metadata": metadata})
    while True:
        described = context.service.call("DescribeEndpoint", name)
        if described["EndpointStatus"] not in CHANGING:
            break
        if context.stop.wait(POLL_SECONDS):
            raise JobStopped
    # SageMaker takes an update that fails back: the endpoint is InService on its earlier configuration.
    served = described["EndpointConfigName"] if described["EndpointStatus"] == "InService" else ""
    if served.lower() != request["EndpointConfigName"].lower():
        reason = described.get("FailureReason", f"it does not serve {request['EndpointConfigName']}")
        raise JobFailed(f"ClientError: endpoint {request['EndpointName']}: {reason}")
    return {"Metadata": metadata, "Result": described}


def _register_model(context: Context, attempt: Attempt) -> Document:
    """Register a model package; its group is made when it is missing, with the step's tags."""
    # A retry after a killed process finds the package that was registered.
    token = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{context.arn}/{attempt.step['Name']}"))
    origin = {**attempt.arguments.get("MetadataProperties", {}), "GeneratedBy": context.arn}
    request = {**attempt.arguments, "MetadataProperties": origin, "ClientToken": token}
    if "ModelPackageGroupName" in request:
        _make_group(context, request["ModelPackageGroupName"], request.pop("Tags", []))
    else:
        request["ModelPackageName"] = attempt.job_name
    package_arn = context.service.call("CreateModelPackage", request)["ModelPackageArn"]
    result = context.service.call("DescribeModelPackage", {"ModelPackageName": package_arn})
    return {"Metadata": {"RegisterModel": {"Arn": package_arn}}, "Result": result}


def _make_group(context: Context, name: str, tags: list[Document]) -> None:
    if name.startswith("arn:"):
        return
    try:
        context.service.call("DescribeModelPackageGroup", {"ModelPackageGroupName": name})
    except ApiError:
        context.service.call("CreateModelPackageGroup", {"ModelPackageGroupName": name, "Tags": tags})


@_cached
def _call_lambda(context: Context, attempt: Attempt) -> Document:
    function = attempt.step["FunctionArn"]
    with _refused_in_words():
        answer = s3.client("lambda", context.arn.split(":")[3]).invoke(
            FunctionName=function, Payload=json.dumps(attempt.arguments).encode()
        )
    payload = json.loads(answer["Payload"].read() or b"null")
    if "FunctionError" in answer:
        raise JobFailed(f"ClientError: The Lambda function {function} failed: {json.dumps(payload)}")
    given = payload if isinstance(payload, dict) else {}
    outputs = step_outputs.outputs(attempt.step.get("OutputParameters", []), given, f"the answer of {function}")
    return _with_outputs("Lambda", {"Arn": function}, outputs)


@_cached
def _call_back(context: Context, attempt: Attempt) -> Document:
    """Put a message with a token on the queue, and wait until SendPipelineExecutionStepSuccess or Failure has it."""
    queue = attempt.step["SqsQueueUrl"]
    with context.callbacks.waiting(context.arn) as (token, answers):
        metadata = {"CallbackToken": token, "SqsQueueUrl": queue, "OutputParameters": []}
        context.change(attempt.step["Name"], {"Metadata": {"Callback": metadata}})
        message = {
            "token": token,
            "pipelineExecutionArn": context.arn,
            "status": "Executing",
            "arguments": attempt.arguments,
        }
        with _refused_in_words():
            s3.client("sqs", context.arn.split(":")[3]).send_message(QueueUrl=queue, MessageBody=json.dumps(message))
        given = wait_for(answers, context.stop)
    outputs = step_outputs.outputs(attempt.step.get("OutputParameters", []), given, "SendPipelineExecutionStepSuccess")
    return _with_outputs("Callback", {"CallbackToken": token, "SqsQueueUrl": queue}, outputs)


@contextlib.contextmanager
def _refused_in_words() -> Iterator[None]:
    """What another service refuses is the definition's fault: a function or a queue that does not exist."""
    try:
        yield
    except ClientError as error:
        raise JobFailed(f"ClientError: {error}") from error


def _with_outputs(kind: str, metadata: Document, outputs: Document) -> Document:
    listed = [{"Name": name, "Value": as_text(value)} for name, value in outputs.items()]
    return {"Metadata": {kind: {**metadata, "OutputParameters": listed}}, "Result": {"OutputParameters": outputs}}


def _decide(_: Context, attempt: Attempt) -> Document:
    conditions = enumerate(attempt.arguments["Conditions"])
    outcome = all(holds(each, f"{attempt.address}.Conditions[{index}]") for index, each in conditions)
    return {"Metadata": {"Condition": {"Outcome": str(outcome)}}, "Result": {"Outcome": outcome}}


def _fail(_: Context, attempt: Attempt) -> Document:
    # A step without a message has no failure reason.
    message = as_text(attempt.arguments.get("ErrorMessage", ""))
    reason = {"FailureReason": message[:1024]} if message else {}
    return {"StepStatus": "Failed", **reason, "Metadata": {"Fail": {"ErrorMessage": message}}, "Result": {}}


RUNNERS: dict[str, Runner] = {
    **dict.fromkeys(JOBS, _run_job),
    "Model": _create_model,
    "EndpointConfig": _create_endpoint_config,
    "Endpoint": _deploy_endpoint,
    "RegisterModel": _register_model,
    "Lambda": _call_lambda,
    "Callback": _call_back,
    "Condition": _decide,
    "Fail": _fail,
}
