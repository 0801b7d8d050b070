"""SageMaker's API at the local endpoint: shapes, errors, pages, tags, and requests made twice or at once."""

import json
from typing import Any

import pytest

from benchmarks.support.definitions import ROLE, Project, condition, definition, fail, parameter, until
from localaws import clients, shapes
from localaws.endpoint import Endpoint
from localaws.sagemaker.component import SageMaker
from localaws.workspace import Workspace
from tests.support.refusals import refusal

NAP = "import time; time.sleep(20)"


def test_every_operation_of_pipelines_registry_and_jobs_is_called(
    project: Project, answers: list[tuple[str, Any]], workspace: Workspace
) -> None:
    api = project.clients.sagemaker
    train = project.training(
        "Train", "import os; open(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('m')", RetryPolicies=[]
    )
    model = {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    process = project.processing("Process", outputs=("out",), CacheConfig={"Enabled": True})
    bad = project.processing("Bad", "raise SystemExit(1)")
    steps = [train, process, bad, project.register("Register", model), condition("C", then=(fail("F", "no"),))]
    run = project.run(*steps, parameters=(parameter("N", "Integer", 1),))
    tags = [{"Key": "owner", "Value": "brewer"}]
    arn = api.describe_pipeline(PipelineName=project.name)["PipelineArn"]
    by_name, by_arn = {"PipelineName": project.name}, {"PipelineExecutionArn": run.arn}
    package = project.packages()[0]["ModelPackageArn"]
    by_hand = api.describe_model_package(ModelPackageName=package)["InferenceSpecification"]
    second = api.create_model_package(ModelPackageGroupName=project.name, InferenceSpecification=by_hand)
    api.delete_model_package(ModelPackageName=second["ModelPackageArn"])
    group = {"ModelPackageGroupName": project.name}
    made = run.steps()
    api.add_tags(ResourceArn=arn, Tags=tags)
    api.list_tags(ResourceArn=arn)
    api.delete_tags(ResourceArn=arn, TagKeys=["owner"])
    api.update_pipeline(**by_name, PipelineDescription="small")
    api.update_pipeline_execution(**by_arn, PipelineExecutionDescription="first")
    api.describe_pipeline_execution(**by_arn)
    api.describe_pipeline_definition_for_execution(**by_arn)
    api.list_pipeline_versions(**by_name)
    api.update_pipeline_version(PipelineArn=arn, PipelineVersionId=1, PipelineVersionDescription="first")
    api.list_pipelines(PipelineNamePrefix=project.name, SortBy="Name")
    api.list_pipeline_executions(**by_name)
    api.list_pipeline_parameters_for_execution(**by_arn)
    api.describe_training_job(TrainingJobName=made["Train"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2])
    for name in ("Process", "Bad"):
        job = made[name]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
        api.describe_processing_job(ProcessingJobName=job)
    api.list_training_jobs(NameContains=run.arn.rpartition("/")[2], StatusEquals="Completed")
    api.list_processing_jobs(NameContains=run.arn.rpartition("/")[2], StatusEquals="Failed")
    api.describe_model_package_group(**group)
    api.put_model_package_group_policy(**group, ResourcePolicy="{}")
    api.get_model_package_group_policy(**group)
    api.delete_model_package_group_policy(**group)
    api.batch_describe_model_package(ModelPackageArnList=[package, package + "0"])
    api.list_model_package_groups(NameContains=project.name)
    api.describe_model_package(ModelPackageName=package)
    api.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved", ApprovalDescription="good")
    api.retry_pipeline_execution(**by_arn)
    run.wait()
    project.upsert([project.processing("Slow", "import time; time.sleep(20)")])
    slow = project.start()
    until(slow.steps, "the step's beginning")
    slow.stop()
    slow.wait()
    jobs = {"Processing": project.processing("P", NAP), "Training": project.training("T", NAP)}
    for noun, step in jobs.items():
        name = {f"{noun}JobName": f"{project.name}-{noun}"}
        getattr(api, f"create_{noun.lower()}_job")(**name, **step["Arguments"])
        getattr(api, f"stop_{noun.lower()}_job")(**name)
    api.delete_model_package(ModelPackageName=package)
    api.delete_model_package_group(**group)
    api.delete_pipeline(**by_name)

    # The operations of models, endpoints and jobs have tests of their own.
    workspace.create()
    offered = SageMaker(workspace, time_scale=1.0).service.operations()
    nouns = ("Pipeline", "ModelPackage", "TrainingJob", "ProcessingJob", "Tags")
    asked = {each for each in offered if any(noun in each for noun in nouns) and not each.startswith("Send")}
    assert asked - {"ListTrainingJobsForHyperParameterTuningJob"} <= {operation for operation, _ in answers}


def test_errors_have_the_codes_and_words_of_aws(project: Project) -> None:
    api = project.clients.sagemaker
    project.upsert([project.processing("Step")], (parameter("N", "Integer", 1, EnumValues=[1, 2]),))
    home = "arn:aws:sagemaker:us-east-1:000000000000"
    gone = f"{home}:pipeline/gone/execution/abcdefghijkl"
    start = {"PipelineName": project.name}

    def given(name: str, value: str) -> dict[str, Any]:
        return {**start, "PipelineParameters": [{"Name": name, "Value": value}]}

    missing = ("ResourceNotFound", f"Pipeline '{home}:pipeline/gone' does not exist.")
    no_run = ("ResourceNotFound", f"Pipeline execution '{gone}' does not exist.")
    assert refusal(api.describe_pipeline, PipelineName="gone") == missing
    assert refusal(api.start_pipeline_execution, PipelineName="gone") == missing
    for call in (
        api.describe_pipeline_execution,
        api.stop_pipeline_execution,
        api.retry_pipeline_execution,
        api.list_pipeline_execution_steps,
    ):
        assert refusal(call, PipelineExecutionArn=gone) == no_run
    assert refusal(api.create_pipeline, PipelineName=project.name, PipelineDefinition=definition([]), RoleArn=ROLE) == (
        "ValidationException",
        "Pipeline names must be unique within an AWS account and region. "
        f"Pipeline with name ({project.name}) already exists.",
    )
    assert refusal(api.start_pipeline_execution, **given("M", "1")) == (
        "ValidationException",
        "Parameter 'M' is not in the pipeline definition (have: N).",
    )
    assert refusal(api.start_pipeline_execution, **given("N", "one")) == (
        "ValidationException",
        "Parameter 'N' is of type Integer, but 'one' was given.",
    )
    assert refusal(api.start_pipeline_execution, **given("N", "3")) == (
        "ValidationException",
        "Parameter 'N' is one of 1, 2, but '3' was given.",
    )
    part = {"SourcePipelineExecutionArn": gone, "SelectedSteps": [{"StepName": "Step"}]}
    assert refusal(api.start_pipeline_execution, **start, SelectiveExecutionConfig=part) == (
        "ValidationException",
        f"The source execution {gone} is not one of this pipeline.",
    )
    for call in (api.send_pipeline_execution_step_success, api.send_pipeline_execution_step_failure):
        assert refusal(call, CallbackToken="abcdefghij") == (
            "ResourceNotFound",
            "No callback step waits with the token abcdefghij.",
        )
    assert refusal(api.list_pipelines, NextToken="?")[0] == "ValidationException"
    assert refusal(api.describe_pipeline, PipelineName="no name") == (
        "ValidationException",
        "1 validation error detected: PipelineName: 'no name' does not match "
        + shapes.input_shape("sagemaker", "DescribePipeline").members["PipelineName"].metadata["pattern"],
    )


def test_a_pipeline_is_started_as_one_of_its_versions_was(project: Project) -> None:
    api = project.clients.sagemaker
    name = {"PipelineName": project.name}
    project.upsert([fail("First", "no")], PipelineDescription="first")
    project.upsert([fail("Second", "no")], PipelineDescription="second")
    versions = api.list_pipeline_versions(**name)["PipelineVersionSummaries"]
    assert [each["PipelineVersionId"] for each in versions] == [2, 1]
    api.update_pipeline_version(
        PipelineArn=versions[0]["PipelineArn"], PipelineVersionId=1, PipelineVersionDisplayName="old"
    )
    described = api.describe_pipeline(**name, PipelineVersionId=1)
    assert (described["PipelineVersionDisplayName"], described["PipelineDescription"]) == ("old", "first")
    old, new = project.start(PipelineVersionId=1).wait(), project.start().wait()
    assert [set(run.statuses()) for run in (old, new)] == [{"First"}, {"Second"}]
    assert [run.describe()["PipelineVersionId"] for run in (old, new)] == [1, 2]
    listed = api.list_pipeline_versions(**name, SortOrder="Ascending")["PipelineVersionSummaries"]
    assert [each["LastExecutionPipelineExecutionArn"] for each in listed] == [old.arn, new.arn]
    assert refusal(project.start, PipelineVersionId=3)[0] == "ResourceNotFound"


def test_experiment_and_mlflow_settings_are_described(project: Project) -> None:
    content = json.loads(definition([fail("S", "no")]))
    content["PipelineExperimentConfig"] = {
        "ExperimentName": {"Get": "Execution.PipelineName"},
        "TrialName": {"Get": "Execution.PipelineExecutionId"},
    }
    content["MlflowConfig"] = {
        "MlflowResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:mlflow-app/app-ABCDEFGHIJKL"
    }
    api = project.clients.sagemaker
    api.create_pipeline(PipelineName=project.name, PipelineDefinition=json.dumps(content), RoleArn=ROLE)
    run = project.start(MlflowExperimentName="beers")
    described = run.describe()
    assert described["PipelineExperimentConfig"] == {
        "ExperimentName": project.name,
        "TrialName": run.arn.rpartition("/")[2],
    }
    assert described["MLflowConfig"] == {**content["MlflowConfig"], "MlflowExperimentName": "beers"}


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([{"Get": "Steps.Trian.X"}], "no step 'Trian'"),
        ([{"Get": "Parameters.Seed"}], "no parameter 'Seed'"),
        ([{"Get": "Globals.Seed"}], "begins with neither Parameters, Execution nor Steps"),
    ],
)
def test_a_reference_to_nothing_is_refused_with_its_address(project: Project, steps: list[Any], problem: str) -> None:
    step = project.processing("Step", arguments=tuple(steps))
    code, message = refusal(lambda: project.upsert([step]))
    assert code == "ValidationException"
    assert "Steps.Step.Arguments.AppSpecification.ContainerArguments[0]" in message
    assert problem in message


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        ({"Type": "EMR"}, "Steps.Step.Type: 'EMR' cannot be run here"),
        ({"DependsOn": ["Gone"]}, "Steps.Step.DependsOn: no step 'Gone'"),
        ({"DependsOn": ["Step"]}, "a cycle"),
        ({"DependsOn": [{"Step": "Step", "Trigger": "Failed"}]}, "Steps.Step.DependsOn: only names of steps"),
        ({"CacheConfig": {"Enabled": True, "ExpireAfter": "a day"}}, "Steps.Step.CacheConfig.ExpireAfter: 'a day'"),
        (
            {"RetryPolicies": [{"ExceptionType": ["Step.TIREDNESS"]}]},
            "Steps.Step.RetryPolicies[0].ExceptionType: 'Step.TIREDNESS'",
        ),
    ],
)
def test_a_definition_that_cannot_run_is_refused(project: Project, member: dict[str, Any], problem: str) -> None:
    code, message = refusal(lambda: project.upsert([{**project.processing("Step"), **member}]))
    assert (code, problem in message) == ("ValidationException", True), message


def test_a_float_parameter_is_never_nan(project: Project) -> None:
    project.upsert([project.processing("Step")], (parameter("Limit", "Float", 0.1),))
    for text in ("nan", "inf", "1e999"):
        assert refusal(project.start, given={"Limit": text})[0] == "ValidationException"


@pytest.mark.parametrize(
    ("text", "description", "metadata"),
    [
        ("MAE 11.8 of 14.2 - a gain of 0.17", True, True),
        ("naïve: größer als 苦 @ v1.2+3_4/5=6", True, True),
        ("10 % better (±2), 95%-interval", True, False),
        ("hops 🍺", True, False),
        ("two\nlines", False, False),
        ("a\ttab", False, False),
        ("", True, False),
        ("x" * 257, True, False),
    ],
)
def test_texts_of_a_package_hold_the_characters_that_aws_allows(text: str, description: bool, metadata: bool) -> None:
    members = shapes.input_shape("sagemaker", "CreateModelPackage").members
    assert (list(shapes.problems(members["ModelPackageDescription"], text)) == []) is description
    assert (list(shapes.problems(members["CustomerMetadataProperties"], {"why": text})) == []) is metadata


def test_an_operation_of_another_runtime_is_named_in_its_refusal(endpoint: Endpoint) -> None:
    metrics = clients.client(endpoint.url, "sagemaker-metrics", endpoint.credentials)
    data = [{"MetricName": "mae", "Timestamp": 1, "Value": 1.0}]
    refused = refusal(metrics.batch_put_metrics, TrialComponentName="beers", MetricData=data)
    assert refused == ("UnknownOperationException", "The local SageMaker does not offer PUT /BatchPutMetrics.")
