"""Step Functions as AWS has it, where MiniStack differs: JSONPath, S3 and SNS in state machines, time limits."""

import contextvars
import functools
import json
import re
import threading
import time
from typing import Any

from localaws import patterns, shapes
from localaws.ministack.patches import module


def install() -> None:
    """Patch MiniStack's Step Functions."""
    for patch in PATCHES:
        patch()


def add_jsonpath_filters() -> None:
    """JSONPath filters and slices in Step Functions (`$.a[?(@.b=='c')].d`); MiniStack lacks them."""
    stepfunctions = module("services.stepfunctions")
    original = stepfunctions._resolve_path

    def resolve(path: str, data: Any) -> Any:
        if isinstance(path, str) and ("[?" in path or ".." in path or re.search(r"\[-?\d*:", path)):
            import jsonpath

            return jsonpath.findall(path, data)
        return original(path, data)

    stepfunctions._resolve_path = resolve


def limit_expressions() -> None:
    """Let regular expressions in JSONata and JSONPath end in time."""
    import jsonpath.function_extensions._pattern
    import jsonpath.parse

    jsonpath.parse.re = jsonpath.function_extensions._pattern.re = patterns
    jsonata = module("services.stepfunctions").jsonata.Jsonata

    def compiled(pattern: str, flags: Any) -> patterns.Pattern:
        return patterns.compile(pattern, re.I * flags.case_insensitive | re.M * flags.multiline)

    jsonata.jsonata = staticmethod(functools.partial(jsonata.jsonata, regex_engine=compiled))


def type_xml_answers() -> None:
    """Convert numbers and booleans in S3's XML answers for state machines; MiniStack passes strings."""
    stepfunctions = module("services.stepfunctions")
    original = stepfunctions._dispatch_aws_sdk_rest_xml

    def dispatch(service_info: Any, service_name: str, action: str, input_data: Any) -> Any:
        answer = original(service_info, service_name, action, input_data)
        members = shapes.output_shape(service_name, action[0].upper() + action[1:]).members
        return {
            name: shapes.typed(members[name], value) if name in members else value for name, value in answer.items()
        }

    stepfunctions._dispatch_aws_sdk_rest_xml = dispatch


def transfer_objects() -> None:
    """aws-sdk:s3 in state machines: getObject, whose Body is text, putObject, whose Body is written as JSON, checksums.

    MiniStack has no operation with a body there.
    https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
    """
    stepfunctions = module("services.stepfunctions")
    specs = stepfunctions._S3_OP_SPECS
    specs["GetObject"] = {**specs["HeadObject"], "method": "GET"}
    specs["PutObject"] = {**specs["DeleteObject"], "method": "PUT", "header_outputs": {"etag": "ETag"}}
    specs["HeadObject"]["header_params"] = {"ChecksumMode": "x-amz-checksum-mode"}
    specs["HeadObject"]["header_outputs"]["x-amz-checksum-sha256"] = "ChecksumSHA256"
    specs["CopyObject"]["header_params"]["ChecksumAlgorithm"] = "x-amz-checksum-algorithm"
    original = stepfunctions._dispatch_aws_sdk_rest_xml

    def dispatch(service_info: Any, service_name: str, action: str, input_data: Any) -> Any:
        from localaws.sagemaker import s3

        if (service_name, action) == ("s3", "putObject"):
            body = json.dumps(input_data.get("Body", "")).encode()
            return {"ETag": s3.client("s3").put_object(**{**input_data, "Body": body})["ETag"]}
        answer = original(service_info, service_name, action, input_data)
        if (service_name, action) == ("s3", "copyObject"):
            versions = {"VersionId": answer.pop("VersionId")} if "VersionId" in answer else {}
            return {"CopyObjectResult": answer, **versions}
        if (service_name, action) != ("s3", "getObject"):
            return answer
        headers = {name: answer[name] for name in ("ETag", "ContentLength", "ContentType") if name in answer}
        content = s3.read_object(input_data["Bucket"], input_data["Key"])
        return {**headers, "Body": content.decode("utf-8", errors="replace")}

    stepfunctions._dispatch_aws_sdk_rest_xml = dispatch


def publish_attributes() -> None:
    """Keep the message attributes, by which subscriptions filter, in a state machine's SNS message."""
    stepfunctions = module("services.stepfunctions")
    resource = "arn:aws:states:::sns:publish"
    original = stepfunctions._SERVICE_DISPATCH[resource]

    def publish(resource: str, request: dict[str, Any]) -> Any:
        flat = dict(request)
        for number, (name, value) in enumerate(flat.pop("MessageAttributes", {}).items(), start=1):
            entry = f"MessageAttributes.entry.{number}."
            flat |= {f"{entry}Name": name} | {f"{entry}Value.{key}": text for key, text in value.items()}
        return original(resource, flat)

    stepfunctions._SERVICE_DISPATCH[resource] = publish


def end_overdue_executions() -> None:
    """End an execution as TIMED_OUT after the state machine's TimeoutSeconds; MiniStack ends only tasks."""
    stepfunctions = module("services.stepfunctions")
    original = stepfunctions._run_execution

    def time_out(execution: dict[str, Any]) -> None:
        if execution["status"] != "RUNNING":
            return
        execution.update(status="TIMED_OUT", error="States.Timeout", stopDate=stepfunctions.now_iso())
        stepfunctions._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
        stepfunctions._emit_execution_status_event(execution)

    def run(arn: str) -> None:
        execution = stepfunctions._executions.get(arn) or {}
        machine = stepfunctions._state_machines.get(execution.get("stateMachineArn"))
        seconds = json.loads(machine["definition"]).get("TimeoutSeconds") if machine else None
        timer = threading.Timer(seconds, contextvars.copy_context().run, (time_out, execution)) if seconds else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            original(arn)
        finally:
            if timer:
                timer.cancel()

    stepfunctions._run_execution = run


def begin_at_once() -> None:
    """Enter an execution's first state at once; MiniStack sleeps before it."""
    stepfunctions = module("services.stepfunctions")
    original = stepfunctions._run_execution
    begins = threading.local()

    class Time:
        def __getattr__(self, name: str) -> Any:
            return getattr(time, name)

        def sleep(self, seconds: float) -> None:
            if not getattr(begins, "now", False):
                time.sleep(seconds)
            begins.now = False

    def run(arn: str) -> None:
        begins.now = True
        original(arn)

    stepfunctions.time = Time()
    stepfunctions._run_execution = run


def leave_out_missing_outputs() -> None:
    """Describe an execution that runs, or has failed, without an output; MiniStack repeats the error there."""
    stepfunctions = module("services.stepfunctions")
    original = stepfunctions._describe_execution

    def describe(data: dict[str, Any]) -> Any:
        status, headers, body = original(data)
        found = json.loads(body)
        if found.get("status") in (None, "SUCCEEDED"):
            return status, headers, body
        described = {name: value for name, value in found.items() if name not in ("output", "outputDetails")}
        return stepfunctions.json_response(described)

    stepfunctions._describe_execution = describe


PATCHES = (
    add_jsonpath_filters,
    limit_expressions,
    type_xml_answers,
    transfer_objects,
    publish_attributes,
    begin_at_once,
    end_overdue_executions,
    leave_out_missing_outputs,
)
