"""The middle of the state machine `deploy`: model, endpoint configuration, endpoint, comparison, smoke test."""

from typing import Any

from pipelines.authoring import deploy_end
from pipelines.authoring.endpoint_queries import CHANGING, endpoint_status, find
from pipelines.authoring.step_functions import StateMachine, added, chain, expression

VARIANT = "AllTraffic"
PACKAGE = "$states.input.package.name"
NAME = f"{{% {PACKAGE} %}}"


def switch(s: StateMachine) -> Any:
    """Read the endpoint, wait while it changes, then move it to the package's configuration."""
    wait = s.wait("WaitForChange", 10)
    broken = s.call(
        "DeleteBrokenEndpoint", "aws-sdk:sagemaker:deleteEndpoint", {"EndpointName": "${EndpointName}"}, None
    )
    describe = endpoint_status(s, "ServingEndpoint", "endpoint")
    update = prepare(s, "Update", update_endpoint(s, verify(s, "Update", deploy_end.restore(s))))
    create = prepare(s, "Create", create_endpoint(s, verify(s, "Create", deploy_end.remove(s))))
    none = chain(s.compute("NoEndpoint", endpoint="{'status': 'none', 'config': ''}"), create)
    serving = s.rule.And([s.rule.StringEquals("$.endpoint.status", "InService"), same_config(s, "$.endpoint.config")])
    state = s.choice(
        "EndpointState",
        (s.rule.Or([s.rule.StringEquals("$.endpoint.status", each) for each in CHANGING]), wait),
        (serving, deploy_end.already_serving(s)),
        (s.rule.StringEquals("$.endpoint.status", "InService"), update),
        otherwise=broken,
    )
    chain(broken, wait)
    chain(describe, state)
    endpoint = find(s, "Endpoint", "Endpoint", "'${EndpointName}'", then=describe, otherwise=none)
    chain(wait, endpoint)
    return endpoint


def same_config(s: StateMachine, path: str) -> Any:
    """The rule that a configuration is the package's."""
    return s.rule.StringEqualsPath(path, "$.package.name")


def prepare(s: StateMachine, name: str, then: Any) -> Any:
    """The smoke test's file, the model and the endpoint configuration; the latter two may be there already."""
    smoke = s.jsonata(
        f"{name}SmokeTestFile",
        "aws-sdk:s3:getObject",
        {
            "Bucket": "{% $split($states.input.package.evaluation, '/')[2] %}",
            "Key": expression(
                "$replace($substringAfter($substringAfter($states.input.package.evaluation, 's3://'), '/'), "
                "/[^\\/]+$/, 'smoke-test.json')"
            ),
        },
        added(smoke="$parse($states.result.Body)"),
        otherwise=deploy_end.failed_before(s),
    )
    model = s.jsonata(
        f"{name}CreateModel",
        "aws-sdk:sagemaker:createModel",
        {
            "ModelName": NAME,
            "ExecutionRoleArn": "${ModelRoleArn}",
            "PrimaryContainer": {
                "ModelPackageName": "{% $states.input.package.arn %}",
                "Environment": {"MODEL_VERSION": "{% $states.input.package.version %}"},
            },
        },
        "{% $states.input %}",
        otherwise=deploy_end.failed_before(s),
    )
    config = configuration(s, name, then)
    chain(model, config)
    return chain(smoke, find(s, f"{name}Model", "Model", PACKAGE, then=config, otherwise=model))


def configuration(s: StateMachine, name: str, then: Any) -> Any:
    """The endpoint configuration of the package, by the kind of serving."""
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
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": "{% $states.input.settings.CapturePercent %}",
        "DestinationS3Uri": "${CaptureUri}",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {
            "CsvContentTypes": ["text/csv"],
            "JsonContentTypes": ["application/json"],
        },
    }
    create = "aws-sdk:sagemaker:createEndpointConfig"
    made = "{% $states.input %}"
    serverless = s.jsonata(
        f"{name}ServerlessConfig",
        create,
        {"EndpointConfigName": NAME, "ProductionVariants": [{**variant, "ServerlessConfig": limits}]},
        made,
        otherwise=deploy_end.failed_before(s),
    )
    on_instances = s.jsonata(
        f"{name}InstanceConfig",
        create,
        {"EndpointConfigName": NAME, "ProductionVariants": [{**variant, **instances}], "DataCaptureConfig": capture},
        made,
        otherwise=deploy_end.failed_before(s),
    )
    kind = s.choice(
        f"{name}ConfigKind",
        (s.rule.StringEquals("$.settings.serving", "serverless"), chain(serverless, then)),
        otherwise=chain(on_instances, then),
    )
    return find(s, f"{name}Config", "EndpointConfig", PACKAGE, then=then, otherwise=kind)


def create_endpoint(s: StateMachine, then: Any) -> Any:
    """Create the endpoint."""
    create = s.jsonata(
        "CreateEndpoint",
        "aws-sdk:sagemaker:createEndpoint",
        {"EndpointName": "${EndpointName}", "EndpointConfigName": NAME},
        "{% $states.input %}",
        otherwise=deploy_end.failed_before(s),
    )
    return chain(create, then)


def update_endpoint(s: StateMachine, then: Any) -> Any:
    """Update the endpoint: blue/green with a canary and alarms on instances, all at once where it is serverless."""
    update = "aws-sdk:sagemaker:updateEndpoint"
    request = {"EndpointName": "${EndpointName}", "EndpointConfigName": NAME}
    # A canary needs a second instance. https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green-canary.html
    routing = """$states.input.settings.InstanceCount > 1
        ? {'Type': 'CANARY', 'WaitIntervalInSeconds': 300,
            'CanarySize': {'Type': 'CAPACITY_PERCENT', 'Value': $states.input.settings.CanaryPercent}}
        : {'Type': 'ALL_AT_ONCE', 'WaitIntervalInSeconds': 0}"""
    guarded = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": expression(routing),
            "TerminationWaitInSeconds": 300,
            "MaximumExecutionTimeoutInSeconds": 3600,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "${ErrorAlarm}"}, {"AlarmName": "${LatencyAlarm}"}]},
    }
    same = "{% $states.input %}"
    failed = deploy_end.failed_before(s)
    serverless = s.jsonata("UpdateServerless", update, request, same, otherwise=failed)
    instances = s.jsonata("UpdateInstances", update, {**request, "DeploymentConfig": guarded}, same, otherwise=failed)
    chain(serverless, then)
    chain(instances, then)
    kind = (s.rule.StringEquals("$.settings.serving", "serverless"), serverless)
    return s.choice("IsServerless", kind, otherwise=instances)


def verify(s: StateMachine, name: str, undo: Any) -> Any:
    """Wait for the end of the change, compare the configuration, invoke the endpoint with the evaluated beers."""
    wait = s.wait(f"WaitFor{name}", 10)
    status = endpoint_status(s, f"{name}Status", "now")
    rolled_back = s.compute(
        f"{name}RolledBack",
        error="""{'Error': 'RolledBack', 'Cause': 'the endpoint is ' & $states.input.now.status & ' with '
            & $states.input.now.config & ' instead of ' & $states.input.package.name & ': '
            & $states.input.now.reason}""",
    )
    chain(rolled_back, undo)
    changing = s.rule.Or([s.rule.StringEquals("$.now.status", each) for each in CHANGING])
    served = s.rule.And([s.rule.StringEquals("$.now.status", "InService"), same_config(s, "$.now.config")])
    settled = s.choice(
        f"Has{name}Settled", (changing, wait), (served, smoke_test(s, name, undo)), otherwise=rolled_back
    )
    return chain(wait, status, settled)


def smoke_test(s: StateMachine, name: str, undo: Any) -> Any:
    """The evaluated beers get the evaluated answers, within the tolerance, from the package's version."""
    wrong = """$filter($states.input.smoke.predictions, function($expected, $i) {
        $not($abs($expected.ibu - $parse($states.result.Body).predictions[$i].ibu)
            <= $states.input.smoke.tolerance.absolute + $states.input.smoke.tolerance.relative * $expected.ibu)
    })"""
    invoke = s.jsonata(
        f"{name}SmokeTest",
        "aws-sdk:sagemakerruntime:invokeEndpoint",
        {
            "EndpointName": "${EndpointName}",
            "ContentType": "application/json",
            "Accept": "application/json",
            "Body": "{% $states.input.smoke.request %}",
        },
        added(
            wrong=f"$count({wrong})",
            answered="$string($parse($states.result.Body).model_version)",
        ),
        otherwise=undo,
    )
    failed = s.compute(
        f"{name}SmokeTestFailed",
        error="""{'Error': 'SmokeTestFailed', 'Cause': $string($states.input.wrong) & ' of '
            & $string($count($states.input.smoke.predictions)) & ' answers differ from the evaluation: version '
            & $states.input.answered & ' answered'}""",
    )
    chain(failed, undo)
    passed = s.rule.And(
        [
            s.rule.NumericEquals("$.wrong", 0),
            s.rule.StringEqualsPath("$.answered", "$.package.version"),
        ]
    )
    choice = s.choice(f"Has{name}Passed", (passed, deploy_end.success(s)), otherwise=failed)
    return chain(invoke, choice)
