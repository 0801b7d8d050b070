"""The names of MiniStack that are patched or relied upon, and the services that are added to it.

MiniStack provides S3, Kinesis, Lambda, EventBridge, Glue, Athena, Step Functions, CloudFormation and IAM. This package
adds SageMaker (`sagemaker`), Firehose's delivery (`firehose`) and Athena's SQL (`athena`). They replace private names
of one pinned release, so `check` verifies that each name exists before anything is patched.
"""

import importlib
import importlib.metadata
import re
from typing import Any

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
        "_service_model",
        "_BOTOCORE_NAME",
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
    "core.lambda_runtime": (
        "execution_credentials",
        "_PYTHON_WORKER_SCRIPT",
        "acquire_worker",
        "ensure_spawned",
        "release_worker",
    ),
    "services.cloudformation": ("_stacks", "_change_sets"),
    "services.cloudformation.changesets": ("_resolve_props_for_diff",),
    "services.cloudformation.engine": ("CfnLoader", "_evaluate_conditions"),
    "services.cloudformation.helpers": ("_resolve_document", "_p"),
    "services.cloudformation.handlers": ("_deploy_stack_async", "_delete_stack_async"),
    "services.cloudformation.provisioners": ("_RESOURCE_HANDLERS",),
    "services.cloudformation.stacks": ("_deploy_stack_async", "_delete_stack_async", "_roll_back_operation"),
    "services.stepfunctions": (
        "_service_model",
        "_AWS_SDK_SERVICE_MAP",
        "_AWS_SDK_ERROR_PREFIX",
        "_SERVICE_DISPATCH",
        "_ExecutionError",
        "_dispatch_aws_sdk_json",
        "_dispatch_aws_sdk_rest_xml",
        "_prefix_sdk_error",
        "_S3_OP_SPECS",
        "_resolve_path",
        "_describe_execution",
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
        "_complete_multipart_upload",
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
        "_fire_s3_event",
        "_maybe_replicate",
        "_multipart_uploads",
        "_put_object",
        "_qp",
        "_record_object_version",
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
        "_metric_bucket",
        "_store_datum",
        "_evaluate_all_alarms",
        "_evaluate_alarm",
        "_dims_key",
        "_metrics",
        "_alarm_history",
    ),
    "services.cloudwatch_logs": (
        "_append_log_events",
        "_build_log_record",
        "_filter_log_events",
        "_get_log_record",
        "_log_groups",
        "_log_records",
        "_log_events_lock",
    ),
    "services.eventbridge": (
        "_put_events",
        "_invoke_target",
        "_parse_rate_seconds",
        "_pattern_event_view",
        "_resolve_http_parameter",
    ),
    "services.scheduler": ("_schedules", "_schedule_last_fired", "_tick_schedules", "_to_epoch"),
    "services.apigateway_v1": (
        "_invoke_lambda_custom_v1",
        "_parse_service_integration_uri",
        "_service_integration_response",
    ),
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
