"""The middle of the state machine `deploy`: model, endpoint configuration, endpoint, comparison, smoke test."""

from typing import Any

from pipelines.authoring.deploy_release import RELEASE, SAME
from pipelines.authoring.endpoint_queries import CHANGING, endpoint_status, find
from pipelines.authoring.step_functions import StateMachine, added, chain, expression

VARIANT = "AllTraffic"
PACKAGE = "$states.input.package.name"
NAME = f"{{% {PACKAGE} %}}"


def model(s: StateMachine, then: Any, retry: Any) -> dict[str, Any]:
    """The states `model`, which creates it from the release folder, and `config` after it."""
    version = "{'MODEL_VERSION': $states.input.package.version}"
    environment = f"$merge([$states.input.package.container.Environment, {version}])"
    create = s.jsonata(
        "CreateModel",
        "aws-sdk:sagemaker:createModel",
        {
            "ModelName": NAME,
            "ExecutionRoleArn": "${ModelRoleArn}",
            "PrimaryContainer": {
                "Image": "{% $states.input.package.container.Image %}",
                "ModelDataUrl": f"{{% 's3://${{ArtifactBucket}}/' & {RELEASE} & 'model.tar.gz' %}}",
                "Environment": expression(environment),
            },
        },
        SAME,
        otherwise=retry,
    )
    config = configuration(s, then, retry)
    return {"model": chain(create, config), "config": config}


def configuration(s: StateMachine, then: Any, retry: Any) -> Any:
    """The endpoint configuration of the package, by the kind of serving; it may be there already."""
    variant = {"VariantName": VARIANT, "ModelName": NAME}
    limits = {
        "MemorySizeInMB": "{% $states.input.settings.MemorySizeInMB %}",
        "MaxConcurrency": "{% $states.input.settings.MaxConcurrency %}",
    }
    instances = {
        "InstanceType": "${InstanceType}",
        "InitialInstanceCount": "{% $states.input.settings.InstanceCount %}",
        "InitialVariantWeight": 1,
    }
    # https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
    capture: dict[str, Any] = {
        "EnableCapture": True,
        "InitialSamplingPercentage": "{% $states.input.settings.CapturePercent %}",
        "DestinationS3Uri": "${CaptureUri}",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {
            "CsvContentTypes": ["text/csv"],
            "JsonContentTypes": ["application/json"],
        },
    }
    key = {"KmsKeyId": "${KmsKeyArn}"}
    on_instances: dict[str, Any] = {"ProductionVariants": [{**variant, **instances}]}
    requests: dict[str, dict[str, Any]] = {
        # A serverless endpoint has neither a volume of its own nor data capture.
        "ServerlessConfig": {"ProductionVariants": [{**variant, "ServerlessConfig": limits}]},
        "InstanceConfig": {**on_instances, "DataCaptureConfig": capture},
        "EncryptedInstanceConfig": {**on_instances, **key, "DataCaptureConfig": {**capture, **key}},
    }
    create = "aws-sdk:sagemaker:createEndpointConfig"
    made = {
        name: chain(s.jsonata(name, create, {"EndpointConfigName": NAME, **request}, SAME, otherwise=retry), then)
        for name, request in requests.items()
    }
    kind = s.choice(
        "ConfigKind",
        (s.rule.StringEquals("$.settings.serving", "serverless"), made["ServerlessConfig"]),
        (s.is_true("$.settings.encrypted"), made["EncryptedInstanceConfig"]),
        otherwise=made["InstanceConfig"],
    )
    return find(s, "Config", "EndpointConfig", PACKAGE, then=then, otherwise=kind)


def change(s: StateMachine, success: Any, again: Any, retry: Any, failed: Any) -> Any:
    """Create the endpoint, or update it: blue/green with a canary and alarms on instances, else all at once.

    One that has the package's configuration already is tested only.
    """
    request = {"EndpointName": "${EndpointName}", "EndpointConfigName": NAME}
    # A canary needs a second instance. https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green-canary.html
    # In whole instances: half of three, rounded up, would be more than the half that is allowed.
    instances = "$states.input.settings.InstanceCount * $states.input.settings.CanaryPercent / 100"
    routing = f"""$states.input.settings.InstanceCount > 1
        ? {{'Type': 'CANARY', 'WaitIntervalInSeconds': 300,
            'CanarySize': {{'Type': 'INSTANCE_COUNT', 'Value': $max([1, $floor({instances})])}}}}
        : {{'Type': 'ALL_AT_ONCE', 'WaitIntervalInSeconds': 0}}"""
    guarded = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": expression(routing),
            "TerminationWaitInSeconds": 300,
            "MaximumExecutionTimeoutInSeconds": 3600,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "${ErrorAlarm}"}, {"AlarmName": "${LatencyAlarm}"}]},
    }
    test = smoke_test(s, success, retry)
    settled = verify(s, test, again, retry, failed)
    requests: dict[str, tuple[str, dict[str, Any]]] = {
        "CreateEndpoint": ("createEndpoint", request),
        "UpdateServerless": ("updateEndpoint", request),
        "UpdateInstances": ("updateEndpoint", {**request, "DeploymentConfig": guarded}),
    }
    made = {
        name: chain(s.jsonata(name, f"aws-sdk:sagemaker:{call}", arguments, SAME, otherwise=retry), settled)
        for name, (call, arguments) in requests.items()
    }
    return s.choice(
        "EndpointChange",
        (s.rule.StringEqualsPath("$.endpoint.config", "$.package.name"), test),
        (s.rule.StringEquals("$.endpoint.status", "none"), made["CreateEndpoint"]),
        (s.rule.StringEquals("$.settings.serving", "serverless"), made["UpdateServerless"]),
        otherwise=made["UpdateInstances"],
    )


def verify(s: StateMachine, then: Any, again: Any, retry: Any, failed: Any) -> Any:
    """Wait for the end of the change and compare the configuration that serves.

    A third one is a change by somebody else: everything is read again.
    """
    wait = s.wait("WaitForEndpoint", 10)
    status = endpoint_status(s, "EndpointStatus", "now", retry)
    rolled_back = s.compute(
        "RolledBack",
        error="""{'Error': 'RolledBack', 'Cause': 'the endpoint is ' & $states.input.now.status & ' with '
            & $states.input.now.config & ' instead of ' & $states.input.package.name & ': '
            & $states.input.now.reason}""",
    )
    chain(rolled_back, failed)
    in_service = s.rule.StringEquals("$.now.status", "InService")
    third = s.rule.Not(s.rule.StringEqualsPath("$.now.config", "$.endpoint.config"))
    settled = s.choice(
        "HasEndpointSettled",
        (s.rule.Or([s.rule.StringEquals("$.now.status", each) for each in CHANGING]), wait),
        (s.rule.And([in_service, s.rule.StringEqualsPath("$.now.config", "$.package.name")]), then),
        (s.rule.And([in_service, third]), again),
        otherwise=rolled_back,
    )
    return chain(wait, status, settled)


def smoke_test(s: StateMachine, success: Any, retry: Any) -> Any:
    """The evaluated beers get the evaluated answers, within the tolerance, from the package's version."""
    # An answer without a number is wrong, and so is a test without expected answers.
    wrong = """$count($filter($states.input.smoke.predictions, function($expected, $i) {(
        $ibu := $parse($states.result.Body).predictions[$i].ibu;
        $type($ibu) = 'number' ? $abs($expected.ibu - $ibu)
            > $states.input.smoke.tolerance.absolute + $states.input.smoke.tolerance.relative * $expected.ibu : true
    )})) + ($exists($states.input.smoke.predictions[0]) ? 0 : 1)"""
    invoke = s.jsonata(
        "SmokeTest",
        "aws-sdk:sagemakerruntime:invokeEndpoint",
        {
            "EndpointName": "${EndpointName}",
            "ContentType": "application/json",
            "Accept": "application/json",
            "Body": "{% $states.input.smoke.request %}",
        },
        added(
            wrong=wrong,
            answered="$string($parse($states.result.Body).model_version)",
        ),
        otherwise=retry,
    )
    failed = s.compute(
        "SmokeTestFailed",
        error="""{'Error': 'SmokeTestFailed', 'Cause': $string($states.input.wrong) & ' of '
            & $string($count($states.input.smoke.predictions)) & ' answers differ from the evaluation: version '
            & $states.input.answered & ' answered'}""",
    )
    chain(failed, retry)
    passed = s.rule.And(
        [
            s.rule.NumericEquals("$.wrong", 0),
            s.rule.StringEqualsPath("$.answered", "$.package.version"),
        ]
    )
    return chain(invoke, s.choice("HasPassed", (passed, success), otherwise=failed))
