"""Lineage and trial components of what ran: from the data to the endpoint."""

from typing import Any

import pytest

from benchmarks.support.definitions import Project, output
from tests.support.served import Served

TRAIN = """
    import os, pathlib
    pathlib.Path(os.environ['SM_MODEL_DIR'], 'name').write_text('lineage')
    print('mae=3')
"""


@pytest.fixture
def built(project: Project) -> tuple[Project, dict[str, Any]]:
    """A pipeline that prepares, trains and registers; its steps."""
    train = project.training(
        "Train", TRAIN, channels={"rows": output("Prepare", "out")}, hyperparameters={"depth": "4"}
    )
    train["Arguments"]["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "mae", "Regex": "mae=(.*)"}]
    prepare = project.processing("Prepare", "(OUTPUT / 'out' / 'x').write_text('1')", outputs=("out",))
    model = {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    return project, project.run(prepare, train, project.register("Register", model)).steps()


def test_a_packages_ascendants_are_its_model_job_and_data(built: tuple[Project, dict[str, Any]]) -> None:
    project, made = built
    api = project.clients.sagemaker
    package = made["Register"]["Metadata"]["RegisterModel"]["Arn"]
    (artifact,) = api.list_artifacts(SourceUri=package, MaxResults=100)["ArtifactSummaries"]
    assert artifact["ArtifactType"] == "ModelPackage"
    found = api.query_lineage(StartArns=[artifact["ArtifactArn"]], Direction="Ascendants")
    kinds = sorted({(each["LineageType"], each["Type"]) for each in found["Vertices"]})
    assert kinds == [
        ("Artifact", "DataSet"),
        ("Artifact", "Image"),
        ("Artifact", "Model"),
        ("Artifact", "ModelPackage"),
        ("TrialComponent", "ProcessingJob"),
        ("TrialComponent", "TrainingJob"),
    ]
    near = api.query_lineage(StartArns=[artifact["ArtifactArn"]], Direction="Ascendants", MaxDepth=1)
    assert {each["Type"] for each in near["Vertices"]} == {"ModelPackage", "Model", "Image"}
    start = {"StartArns": [artifact["ArtifactArn"]], "Direction": "Ascendants"}
    only = api.query_lineage(**start, Filters={"Types": ["Model"]}, IncludeEdges=False)
    assert (len(only["Vertices"]), only.get("Edges")) == (1, None)
    described = api.describe_artifact(ArtifactArn=only["Vertices"][0]["Arn"])
    assert described["Source"]["SourceUri"].endswith("/output/model.tar.gz")
    edges = api.list_associations(DestinationArn=artifact["ArtifactArn"], MaxResults=100)["AssociationSummaries"]
    assert {(each["SourceType"], each["AssociationType"]) for each in edges} == {
        ("Model", "ContributedTo"),
        ("Image", "ContributedTo"),
    }
    with pytest.raises(api.exceptions.ResourceNotFound):
        api.query_lineage(StartArns=[artifact["ArtifactArn"] + "0"])


def test_a_job_is_a_trial_component_with_parameters_and_metrics(built: tuple[Project, dict[str, Any]]) -> None:
    project, made = built
    api = project.clients.sagemaker
    job = made["Train"]["Metadata"]["TrainingJob"]["Arn"]
    (listed,) = api.list_trial_components(SourceArn=job, MaxResults=100)["TrialComponentSummaries"]
    described = api.describe_trial_component(TrialComponentName=listed["TrialComponentName"])
    assert described["Status"] == {"PrimaryStatus": "Completed"}
    assert described["Parameters"]["depth"] == {"NumberValue": 4.0}
    assert [(each["MetricName"], each["Last"]) for each in described["Metrics"]] == [("mae", 3.0)]
    assert api.list_trial_components(ExperimentName="none")["TrialComponentSummaries"] == []


def test_approvals_and_endpoints_are_actions_and_contexts(served: Served) -> None:
    api = served.api
    group = {"ModelPackageGroupName": served.name}
    api.create_model_package_group(**group)
    container = served.container("first")
    specification = {
        "Containers": [container],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    request = {**group, "InferenceSpecification": specification, "ModelApprovalStatus": "Approved"}
    package = api.create_model_package(**request)["ModelPackageArn"]
    (approval,) = api.list_actions(SourceUri=package, MaxResults=100)["ActionSummaries"]
    assert api.describe_action(ActionName=approval["ActionName"])["ActionType"] == "Approval"
    served.create(served.config("first"))
    endpoint = api.describe_endpoint(EndpointName=served.name)["EndpointArn"]
    (context,) = api.list_contexts(SourceUri=endpoint, MaxResults=100)["ContextSummaries"]
    assert api.describe_context(ContextName=context["ContextName"])["ContextType"] == "Endpoint"
    found = api.query_lineage(StartArns=[context["ContextArn"]], Direction="Ascendants")["Vertices"]
    assert {each["Type"] for each in found} == {"Endpoint", "ModelDeployment", "Model"}
