"""The SageMaker SDK and the AWS CLI drive the local endpoint as they drive AWS."""

import json
from typing import Any

import botocore.exceptions
import pytest

from benchmarks.support.definitions import IMAGE, ROLE, Execution, Project, definition
from localaws import clients
from localaws.endpoint import Endpoint
from pipelines.authoring.sdk import quiet


def test_the_sagemaker_sdk_drives_the_endpoint(
    endpoint: Endpoint, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quiet():
        import sagemaker.utils
        from sagemaker.processing import ProcessingInput, ProcessingOutput, ScriptProcessor
        from sagemaker.workflow.condition_step import ConditionStep
        from sagemaker.workflow.conditions import ConditionGreaterThan
        from sagemaker.workflow.fail_step import FailStep
        from sagemaker.workflow.functions import Join, JsonGet
        from sagemaker.workflow.parameters import ParameterFloat
        from sagemaker.workflow.pipeline import Pipeline
        from sagemaker.workflow.pipeline_context import PipelineSession
        from sagemaker.workflow.properties import PropertyFile
        from sagemaker.workflow.steps import CacheConfig, ProcessingStep

    # The SDK would validate our opt-out from telemetry dozens of times, 0.1 s each.
    monkeypatch.setattr(sagemaker.utils, "validate_sagemaker_config", lambda config: None)
    boto = clients.session(endpoint.credentials)
    session = PipelineSession(
        boto_session=boto,
        sagemaker_client=boto.client("sagemaker", endpoint_url=endpoint.url),
        default_bucket=project.name,
    )
    session._default_bucket = project.name
    session.sagemaker_config = {
        "SchemaVersion": "1.0",
        "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
    }
    code = project.put(
        "code/sdk.py", "import os; open(os.environ['OUT'] + '/r.json', 'w').write('{\"mae\": 0.5, \"size\": 1}')"
    )
    limit = ParameterFloat("Limit", 0.1)

    def processor(instances: Any) -> Any:
        return ScriptProcessor(
            image_uri=IMAGE,
            command=["python3"],
            role=ROLE,
            instance_count=instances,
            instance_type="ml.m5.large",
            env={"OUT": "/opt/ml/processing/output/out"},
            sagemaker_session=session,
        )

    file = PropertyFile("Report", "out", "r.json")
    evaluate = ProcessingStep(
        "Evaluate",
        step_args=processor(1).run(
            code=code,
            inputs=[ProcessingInput(project.put("data/x", "x"), "/opt/ml/processing/input/data")],
            outputs=[ProcessingOutput("/opt/ml/processing/output/out", project.uri("sdk-out"), "out")],
        ),
        property_files=[file],
        cache_config=CacheConfig(enable_caching=True, expire_after="T12H"),
    )
    mae = JsonGet(step_name="Evaluate", property_file=file, json_path="mae")
    size = JsonGet(step_name="Evaluate", property_file=file, json_path="size")
    nothing = project.put("code/nothing.py", "")
    sized = ProcessingStep("Sized", step_args=processor(size).run(code=nothing))
    rejected = FailStep("Reject", Join(on=" ", values=["too small:", mae, "<=", limit]))
    check = ConditionStep(
        "Check", conditions=[ConditionGreaterThan(mae, limit)], if_steps=[sized], else_steps=[rejected]
    )
    pipeline = Pipeline(project.name, [limit], pipeline_experiment_config=None, steps=[evaluate, check])
    pipeline.sagemaker_session = session

    with quiet():
        created = pipeline.upsert(ROLE)
        assert created["PipelineArn"].endswith(f":pipeline/{project.name}")
        assert (
            pipeline.upsert(ROLE, tags=[{"Key": "owner", "Value": "brewer"}])["PipelineArn"] == created["PipelineArn"]
        )
        execution = pipeline.start()
        execution.wait(delay=1, max_attempts=30)
        assert execution.describe()["PipelineExecutionStatus"] == "Succeeded"
        assert {step["StepName"]: step["StepStatus"] for step in execution.list_steps()} == {
            "Evaluate": "Succeeded",
            "Check": "Succeeded",
            "Sized": "Succeeded",
        }
        job = Execution(project.clients, execution.arn).steps()["Sized"]["Metadata"]["ProcessingJob"]["Arn"]
        described = project.clients.sagemaker.describe_processing_job(ProcessingJobName=job.rpartition("/")[2])
        assert described["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 1
        assert execution.list_parameters()["PipelineParameters"] == [{"Name": "Limit", "Value": "0.1"}]
        strict = pipeline.start(parameters={"Limit": 0.9}, execution_display_name="strict")
        with pytest.raises(botocore.exceptions.WaiterError, match="terminal failure state"):
            strict.wait(delay=1, max_attempts=30)
        with pytest.raises(ValueError, match="@step"):
            execution.result("Evaluate")
        assert [each["StepName"] for each in strict.list_steps()] == ["Reject", "Check", "Evaluate"]
        assert strict.list_steps()[0]["FailureReason"] == "too small: 0.5 <= 0.9"
        with pytest.raises(botocore.exceptions.ClientError, match="ConflictException"):
            strict.stop()
        assert pipeline.list_executions()["PipelineExecutionSummaries"][0]["PipelineExecutionDisplayName"] == "strict"
        pipeline.delete()


def test_the_aws_cli_drives_the_endpoint(
    endpoint: Endpoint, project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from awscli.clidriver import create_clidriver

    for name, value in endpoint.variables().items():
        monkeypatch.setenv(name, value)
    command_line = create_clidriver()

    def aws(*command: str) -> Any:
        code = command_line.main(["--endpoint-url", endpoint.url, "sagemaker", *command])
        printed = capsys.readouterr()
        return json.loads(printed.out) if code == 0 else printed.err.strip()

    text = definition([project.processing("Step")])
    made = aws("create-pipeline", "--pipeline-name", project.name, "--pipeline-definition", text, "--role-arn", ROLE)
    run = aws("start-pipeline-execution", "--pipeline-name", made["PipelineArn"])["PipelineExecutionArn"]
    which = ("--pipeline-execution-arn", run)
    assert Execution(project.clients, run).wait().status == "Succeeded"
    steps = aws("list-pipeline-execution-steps", *which)["PipelineExecutionSteps"]
    assert [(each["StepName"], each["StepStatus"]) for each in steps] == [("Step", "Succeeded")]
    assert "(ConflictException)" in aws("stop-pipeline-execution", *which)
