"""Experiments and trials of pipelines, and the rules of EventBridge that start pipelines."""

import json

from benchmarks.support.definitions import ROLE, Execution, Project, fail, parameter, until

CONFIG = {
    "ExperimentName": {"Get": "Execution.PipelineName"},
    "TrialName": {"Std:Join": {"On": "-", "Values": ["try", {"Get": "Execution.PipelineExecutionId"}]}},
}


def test_an_execution_is_a_trial_of_its_pipelines_experiment_with_the_components_of_its_jobs(project: Project) -> None:
    api = project.clients.sagemaker
    definition = {"Version": "2020-12-01", "PipelineExperimentConfig": CONFIG, "Steps": [project.processing("Prepare")]}
    api.create_pipeline(PipelineName=project.name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE)
    first, second = (project.start().wait() for _ in range(2))
    trials = [f"try-{each.arn.rpartition('/')[2]}" for each in (first, second)]
    described = api.describe_trial(TrialName=trials[0])
    assert (described["ExperimentName"], described["Source"]["SourceArn"]) == (project.name, first.arn)
    listed = api.list_trials(ExperimentName=project.name, MaxResults=100)["TrialSummaries"]
    assert [each["TrialName"] for each in listed] == trials[::-1]
    (component,) = api.list_trial_components(TrialName=trials[0])["TrialComponentSummaries"]
    job = first.steps()["Prepare"]["Metadata"]["ProcessingJob"]["Arn"]
    assert component["TrialComponentSource"]["SourceArn"] == job
    of_component = api.list_trials(TrialComponentName=component["TrialComponentName"], MaxResults=100)
    assert [each["TrialName"] for each in of_component["TrialSummaries"]] == trials[:1]
    assert len(api.list_trial_components(ExperimentName=project.name)["TrialComponentSummaries"]) == 2
    assert api.describe_experiment(ExperimentName=project.name)["Source"]["SourceArn"] == first.arn.rpartition("/e")[0]
    names = [each["ExperimentName"] for each in api.list_experiments(MaxResults=100)["ExperimentSummaries"]]
    assert names.count(project.name) == 1


def test_a_rule_starts_a_pipeline_with_parameters_out_of_the_event(project: Project) -> None:
    api, events = project.clients.sagemaker, project.clients.events
    project.upsert([fail("Stop", {"Get": "Parameters.Reason"})], (parameter("Reason", "String", "none"),))
    pipeline = api.describe_pipeline(PipelineName=project.name)["PipelineArn"]
    events.put_rule(Name=project.name, EventPattern=json.dumps({"source": [project.name]}))
    listed = [{"Name": "Reason", "Value": "$.detail.reason"}]
    target = {"Id": "1", "Arn": pipeline, "SageMakerPipelineParameters": {"PipelineParameterList": listed}}
    elsewhere = {**target, "Id": "2", "Arn": pipeline.replace("us-east-1", "eu-west-1"), "RoleArn": ROLE}
    events.put_targets(Rule=project.name, Targets=[{**target, "RoleArn": ROLE}, elsewhere, {**target, "Id": "3"}])
    entry = {"Source": project.name, "DetailType": "new data", "Detail": json.dumps({"reason": "drift"})}
    events.put_events(Entries=[entry])
    (started,) = until(lambda: api.list_pipeline_executions(PipelineName=project.name)["PipelineExecutionSummaries"])
    execution = Execution(project.clients, started["PipelineExecutionArn"]).wait()
    assert execution.reason("Stop") == "drift"
    assert len(api.list_pipeline_executions(PipelineName=project.name)["PipelineExecutionSummaries"]) == 1
