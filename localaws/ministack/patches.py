"""Patches of MiniStack: where it differs from AWS.

MiniStack provides S3, Kinesis, Lambda, EventBridge, Glue, Athena, Step Functions, CloudFormation and IAM. This package
adds SageMaker (`sagemaker`), Firehose's delivery (`firehose`) and Athena's SQL (`athena`). They replace private names
of one pinned release, so `check` verifies that each name exists before anything is patched.
"""

import contextvars
import functools
import importlib
import importlib.metadata
import json
import re
import threading
from typing import Any

from localaws import patterns, shapes
from localaws.errors import ENVIRONMENT, ExpectedError

RELEASE = "1.5.33"

# Every private name that is replaced or relied upon, by module.
PATCHED: dict[str, tuple[str, ...]] = {
    "app": (
        "SERVICE_REGISTRY",
        "SERVICE_HANDLERS",
        "_loaded_modules",
        "_state_map",
        "_build_persistence_save_dict",
        "_load_persisted_state",
        "_get_module",
        "save_all",
        "call_service_handler_sync",
        "_MAIN_LOOP",
        "_execute_api_authorization_type",
        "_extract_s3_vhost_bucket",
        "_parse_execute_api_url",
        "_parse_lambda_url",
        "_resolve_stage_and_path",
        "app",
    ),
    "core.responses": (
        "request_scope",
        "get_account_id",
        "get_region",
        "_account_from_sts_session",
        "AccountScopedDict",
        "AccountRegionScopedDict",
    ),
    "core.router": ("SERVICE_PATTERNS", "detect_service"),
    "core.iam_actions": (
        "SERVICE_TO_IAM_NAMESPACE",
        "_AUTH_FAILURES",
        "_BOTOCORE_SERVICE_MAP",
        "access_denied_response",
        "extract_resource_arn",
        "request_tag_context",
    ),
    "core.iam_evaluator": (
        "ResolvedCredential",
        "enforce",
        "find_iam_access_key_account",
        "is_root_access_key",
        "resolve_credential",
    ),
    "core.lambda_runtime": ("execution_credentials",),
    "services.cloudformation": ("_stacks", "_change_sets"),
    "services.cloudformation.changesets": ("_resolve_props_for_diff",),
    "services.cloudformation.engine": ("CfnLoader", "_evaluate_conditions"),
    "services.cloudformation.helpers": ("_resolve_document", "_p"),
    "services.cloudformation.handlers": ("_deploy_stack_async", "_delete_stack_async"),
    "services.cloudformation.provisioners": ("_RESOURCE_HANDLERS",),
    "services.cloudformation.stacks": ("_deploy_stack_async", "_delete_stack_async", "_roll_back_operation"),
    "services.stepfunctions": (
        "_AWS_SDK_SERVICE_MAP",
        "_AWS_SDK_ERROR_PREFIX",
        "_SERVICE_DISPATCH",
        "_ExecutionError",
        "_dispatch_aws_sdk_json",
        "_dispatch_aws_sdk_rest_xml",
        "_prefix_sdk_error",
        "_S3_OP_SPECS",
        "_resolve_path",
        "_run_execution",
        "_executions",
        "_state_machines",
        "_add_event",
        "_emit_execution_status_event",
        "_fail_execution",
        "_run_sub_machine",
        "_execute_pass",
        "_execute_task",
        "_execute_choice",
        "_execute_wait",
        "_execute_parallel",
        "_execute_map",
    ),
    "services.s3": (
        "_resolve_sse_write_headers",
        "_buckets",
        "_copy_object",
        "_ensure_bucket",
        "_get_object_data",
        "_persist_object",
        "_persist_delete_marker",
        "_persist_version_state",
        "_persist_displaced_version",
        "_delete_persisted_object",
        "_delete_persisted_bucket",
        "_delete_version_file",
        "_read_body",
        "_version_body",
        "_object_versions",
        "_object_tags",
        "_object_acl",
        "_object_annotations",
        "_object_retention",
        "_object_legal_hold",
        "_get_object",
        "_parse_range",
        "_put_object",
        "_upload_part",
        "_compute_s3_checksum",
        "md5_hash",
        "handle_request",
        "reset",
    ),
    "services.athena": (
        "_run_duckdb",
        "_start_query_execution",
        "_save_query_results",
        "_execute_query",
        "_create_named_query",
        "_delete_named_query",
        "_get_query_results",
        "_executions",
        "_workgroups",
        "_materialize_table_files",
        "_Cursor",
        "_sql_tokens",
        "_parse_ddl",
        "_DropTable",
        "_create_table_input",
        "_property_list",
    ),
    "services.glue": (
        "_ALL_STATE",
        "_databases",
        "_tables",
        "_partitions",
        "_handle_request_sync",
        "_create_database",
        "_delete_database",
        "_create_table",
        "_update_table",
        "_delete_table",
        "_batch_create_partition",
        "_delete_partition",
    ),
    "services.firehose": (
        "_streams",
        "ingest_from_kinesis_source",
        "_deliver_records_to_s3",
        "_delete_delivery_stream",
        "_HANDLERS",
        "_evaluate_prefix",
        "_s3_bucket_from_arn",
        "_stream_arn",
        "reset",
    ),
    "services.kinesis": ("_put_record", "_put_records", "_expire_records", "_resolve_stream"),
    "services.sts": ("_caller_identity", "_role_id", "_sessions", "register_session"),
    "services.lambda_svc": (
        "_get_func_record_for_ref",
        "_execute_function",
        "_emit_lambda_metrics",
        "execution_credentials",
        "resolve_function_url",
    ),
    "services.cloudwatch": (
        "record_metric",
        "_store_datum",
        "_evaluate_all_alarms",
        "_evaluate_alarm",
        "_dims_key",
        "_metrics",
        "_alarm_history",
    ),
    "services.cloudwatch_logs": (
        "_append_log_events",
        "_filter_log_events",
        "_log_groups",
        "_log_records",
        "_log_events_lock",
    ),
    "services.eventbridge": ("_put_events",),
}


def module(name: str) -> Any:
    """MiniStack's module `name`, for example `services.s3`."""
    return importlib.import_module(f"ministack.{name}")


def check() -> None:
    """Raise ExpectedError unless the pinned release of MiniStack is installed and has every name in PATCHED."""
    try:
        installed = importlib.metadata.version("ministack")
    except importlib.metadata.PackageNotFoundError:
        installed = "none"
    if installed != RELEASE:
        raise ExpectedError(
            f"MiniStack {RELEASE} is needed, but {installed} is installed",
            where="the Python environment",
            hint="pip install -e '.[local]'",
            code=ENVIRONMENT,
        )
    missing = [
        f"{name}.{attribute}"
        for name, attributes in PATCHED.items()
        for attribute in attributes
        if not hasattr(module(name), attribute)
    ]
    if missing:
        raise ExpectedError(
            f"MiniStack {installed} lacks {', '.join(missing)}",
            where="localaws/ministack/patches.py",
            hint="reinstall it: pip install --force-reinstall --no-deps ministack==" + RELEASE,
            code=ENVIRONMENT,
        )


def add_service(name: str, service: Any, *, target: str, sdk_prefix: str) -> None:
    """Route `X-Amz-Target: <target>.*` to `service.handle_request`, in HTTP, Step Functions and IAM alike."""
    app = module("app")
    app.SERVICE_REGISTRY[name] = {"module": name}
    app.SERVICE_HANDLERS[name] = service.handle_request
    app._loaded_modules[name] = service
    app._state_map[name] = name
    module("core.router").SERVICE_PATTERNS[name] = {
        "target_prefixes": [f"{target}."],
        "host_patterns": [rf"api\.{name}\."],
    }
    stepfunctions = module("services.stepfunctions")
    stepfunctions._AWS_SDK_SERVICE_MAP[name] = {"target_prefix": target, "protocol": "json"}
    stepfunctions._AWS_SDK_ERROR_PREFIX[name] = sdk_prefix
    # Without a namespace MiniStack's AUTH mode lets every call of the service through.
    module("core.iam_actions").SERVICE_TO_IAM_NAMESPACE[name] = name


def add_rest_service(name: str, service: Any, *, path: str, sdk_name: str, target: str, namespace: str) -> None:
    """Route the requests of a REST service by their path, which a service with the same signing name has, too.

    path: a regular expression. sdk_name, target: of Step Functions' `aws-sdk` integration, which sends JSON with
    `X-Amz-Target: <target>.*`. namespace: of the service's actions in IAM.
    """
    app, router, actions = module("app"), module("core.router"), module("core.iam_actions")
    app.SERVICE_REGISTRY[name] = {"module": name}
    app.SERVICE_HANDLERS[name] = service.handle_request
    app._loaded_modules[name] = service
    app._state_map[name] = name
    actions.SERVICE_TO_IAM_NAMESPACE[name] = namespace
    actions._BOTOCORE_SERVICE_MAP[name] = [name]
    stepfunctions = module("services.stepfunctions")
    stepfunctions._AWS_SDK_SERVICE_MAP[sdk_name] = {"target_prefix": target, "protocol": "json", "service_key": name}
    stepfunctions._AWS_SDK_ERROR_PREFIX[sdk_name] = target
    original = router.detect_service

    def detect(method: str, requested: str, headers: dict[str, str], query: dict[str, Any]) -> str:
        found: str = original(method, requested, headers, query)
        return name if found == namespace and re.match(path, requested) else found

    router.detect_service = app.detect_service = detect


def accept_default_kms_key() -> None:
    """S3's `aws:kms` without a key id means the account's aws/s3 key; MiniStack answers 400 instead."""
    s3 = module("services.s3")
    original = s3._resolve_sse_write_headers
    key = "x-amz-server-side-encryption-aws-kms-key-id"

    def resolve(headers: dict[str, str], bucket_name: str) -> Any:
        if headers.get("x-amz-server-side-encryption") == "aws:kms" and not headers.get(key):
            headers = {**headers, key: "alias/aws/s3"}
        return original(headers, bucket_name)

    s3._resolve_sse_write_headers = resolve


def read_templates_by_host() -> None:
    """A TemplateURL may have the bucket in its host name; MiniStack reads it from the path alone.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    """
    helpers = module("services.cloudformation.helpers")
    original = helpers._resolve_document

    def resolve(params: dict[str, Any], body_key: str, url_key: str, label: str) -> Any:
        url = str(helpers._p(params, url_key) or "")
        found = re.match(r"https://([^/]+)\.s3[.-][^/]*amazonaws\.com(?:\.cn)?/(.+)", url)
        if found:
            params = {**params, url_key: [f"https://s3.amazonaws.com/{found[1]}/{found[2]}"]}
        return original(params, body_key, url_key, label)

    helpers._resolve_document = resolve


def read_ranges_of_versions() -> None:
    """GetObject with a VersionId and a Range returns the range; MiniStack returns the whole version.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    s3 = module("services.s3")
    original = s3._get_object

    def get_object(bucket: str, key: str, headers: dict[str, str], query: dict[str, Any] | None = None) -> Any:
        status, answered, body = original(bucket, key, headers, query)
        if status != 200 or not headers.get("range"):
            return status, answered, body
        found = s3._parse_range(headers["range"], len(body))
        if found is None:
            return s3._error("InvalidRange", "The requested range is not satisfiable", 416, f"/{bucket}/{key}")
        cut = body[found[0] : found[1] + 1]
        ranged = {name: value for name, value in answered.items() if not name.lower().startswith("x-amz-checksum")}
        ranged |= {"Content-Length": str(len(cut)), "Content-Range": f"bytes {found[0]}-{found[1]}/{len(body)}"}
        return 206, ranged, cut

    s3._get_object = get_object


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


def checksum_copies() -> None:
    """CopyObject with ChecksumAlgorithm: S3 computes the copy's checksum and returns it; MiniStack ignores it.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    """
    s3 = module("services.s3")
    original = s3._copy_object

    def copy(bucket: str, key: str, headers: dict[str, str]) -> Any:
        algorithm = headers.get("x-amz-checksum-algorithm")
        if not algorithm:
            return original(bucket, key, headers)
        status, answered, body = original(bucket, key, {**headers, "x-amz-sdk-checksum-algorithm": algorithm})
        stored = s3._ensure_bucket(bucket)["objects"][key]["checksums"] if status == 200 else {}
        found = "".join(f"<Checksum{name}>{value}</Checksum{name}>" for name, value in stored.items())
        return status, answered, body.replace(b"</CopyObjectResult>", f"{found}</CopyObjectResult>".encode())

    s3._copy_object = copy


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
