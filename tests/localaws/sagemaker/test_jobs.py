"""Jobs that are created by the API itself, without a pipeline."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from benchmarks.support.definitions import Project, until
from localaws.endpoint import Endpoint

NAP = "import time; time.sleep(20)"


def ended(project: Project, noun: str, name: str) -> dict[str, Any]:
    """The job's description when it has ended."""
    describe = getattr(project.clients.sagemaker, f"describe_{noun.lower()}_job")

    def found() -> Any:
        answer = describe(**{f"{noun}JobName": name})
        return answer if answer[f"{noun}JobStatus"] not in ("InProgress", "Stopping") else None

    return dict(until(found, name))


@pytest.mark.parametrize("noun", ["Processing", "Training"])
def test_a_job_runs_is_stopped_and_has_a_name_of_its_own(project: Project, noun: str) -> None:
    api = project.clients.sagemaker
    create, stop = {
        "Processing": (api.create_processing_job, api.stop_processing_job),
        "Training": (api.create_training_job, api.stop_training_job),
    }[noun]
    step = project.processing if noun == "Processing" else project.training
    good = {f"{noun}JobName": f"{project.name}-good"}
    arn = create(**good, **step("Step", "print('done')")["Arguments"])[f"{noun}JobArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:000000000000:{noun.lower()}-job/{project.name}-good"
    assert ended(project, noun, good[f"{noun}JobName"])[f"{noun}JobStatus"] == "Completed"
    with pytest.raises(ClientError, match="ResourceInUse"):
        create(**good, **step("Step", "")["Arguments"])
    with pytest.raises(ClientError, match=r"ValidationException.*Completed"):
        stop(**good)
    slow = {f"{noun}JobName": f"{project.name}-slow"}
    create(**slow, **step("Step", NAP)["Arguments"])
    stop(**slow)
    assert ended(project, noun, slow[f"{noun}JobName"])[f"{noun}JobStatus"] == "Stopped"


def test_a_training_jobs_transitions_say_what_happens(project: Project) -> None:
    name = f"{project.name}-job"
    project.clients.sagemaker.create_training_job(TrainingJobName=name, **project.training("T", "")["Arguments"])
    transitions = ended(project, "Training", name)["SecondaryStatusTransitions"]
    assert [(each["Status"], bool(each["StatusMessage"])) for each in transitions] == [
        (status, True) for status in ("Starting", "Downloading", "Training", "Uploading", "Completed")
    ]


def test_a_model_can_be_uploaded_unpacked_and_a_rule_is_described_with_its_volume(project: Project) -> None:
    script = "import os, pathlib; pathlib.Path(os.environ['SM_MODEL_DIR'], 'model.txt').write_text('m')"
    name, request = f"{project.name}-job", project.training("T", script)["Arguments"]
    request["OutputDataConfig"] |= {"CompressionType": "NONE"}
    rule = {"RuleConfigurationName": "r", "RuleEvaluatorImage": "503895931360.dkr.ecr.us-east-1.amazonaws.com/rules:1"}
    request |= {"DebugRuleConfigurations": [rule], "ProfilerConfig": {"DisableProfiler": False}}
    project.clients.sagemaker.create_training_job(TrainingJobName=name, **request)
    found = ended(project, "Training", name)
    assert found["DebugRuleConfigurations"] == [{**rule, "VolumeSizeInGB": 0}]
    assert (found["ProfilingStatus"], found["ProfilerConfig"]["ProfilingIntervalInMilliseconds"]) == ("Enabled", 500)
    assert found["ModelArtifacts"] == {"S3ModelArtifacts": project.uri(f"models/{name}/output/model/")}
    assert project.get(f"models/{name}/output/model/model.txt") == b"m"


def test_a_jobs_log_is_in_its_own_region(endpoint: Endpoint, project: Project) -> None:
    import boto3

    key = endpoint.credentials
    session = boto3.session.Session(key.access_key_id, key.secret_access_key, region_name="eu-west-1")
    api, logs = (session.client(service, endpoint_url=endpoint.url) for service in ("sagemaker", "logs"))
    name = f"{project.name}-job"
    api.create_training_job(TrainingJobName=name, **project.training("T", "print('hops')")["Arguments"])
    until(lambda: api.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "Completed", name)
    found = logs.describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=name)
    assert [each["logStreamName"].partition("/")[0] for each in found["logStreams"]] == [name]


def test_a_manifest_names_the_objects_of_an_input(project: Project) -> None:
    for name in ("a", "deeper/b", "left-out"):
        project.put(f"rows/{name}", name)
    manifest = project.put("manifest", json.dumps([{"prefix": project.uri("rows/")}, "a", "deeper/b"]))
    script = """
        found = {path.relative_to(INPUT / 'rows').as_posix(): path.read_text() for path in (INPUT / 'rows').rglob('*')
                 if path.is_file()}
        assert found == {'a': 'a', 'deeper/b': 'deeper/b'}, found
    """
    step = project.processing("Step", script, inputs={"rows": manifest})
    next(each for each in step["Arguments"]["ProcessingInputs"] if each["InputName"] == "rows")["S3Input"][
        "S3DataType"
    ] = "ManifestFile"
    run = project.run(step)
    assert run.statuses() == {"Step": "Succeeded"}, run.reason("Step")


def test_a_job_whose_image_cannot_run_is_refused_when_it_is_created(project: Project) -> None:
    request = project.training("Train", "")["Arguments"]
    request["AlgorithmSpecification"]["TrainingImage"] = "382416733822.dkr.ecr.us-east-1.amazonaws.com/pca:1"
    with pytest.raises(ClientError, match=r"cannot run this job: the image .*/pca:1 has a program of its own"):
        project.clients.sagemaker.create_training_job(TrainingJobName=project.name, **request)
    request["StaticHyperParameters"] = request.pop("HyperParameters")
    config = {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxParallelTrainingJobs": 1, "MaxNumberOfTrainingJobs": 1},
        "ParameterRanges": {"IntegerParameterRanges": [{"Name": "x", "MinValue": "1", "MaxValue": "5"}]},
    }
    with pytest.raises(ClientError, match=r"cannot run this job: the image .*/pca:1 has a program of its own"):
        project.clients.sagemaker.create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=project.name,
            HyperParameterTuningJobConfig=config,
            TrainingJobDefinition=request,
        )
