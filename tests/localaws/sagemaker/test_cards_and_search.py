"""Model cards with their versions, and Search over what the local SageMaker stores."""

import uuid
from typing import Any

import pytest

from benchmarks.support.definitions import Project, fail
from localaws.sagemaker.search import matches, value_at
from pipelines.account.clients import Clients


def test_a_model_card_has_versions(clients: Clients) -> None:
    api, name = clients.sagemaker, {"ModelCardName": f"card-{uuid.uuid4().hex[:8]}"}
    api.create_model_card(**name, Content='{"a": 1}', ModelCardStatus="Draft")
    with pytest.raises(api.exceptions.ConflictException):
        api.create_model_card(**name, Content="{}", ModelCardStatus="Draft")
    api.update_model_card(**name, Content='{"a": 2}')
    api.update_model_card(**name, ModelCardStatus="Approved")
    described = api.describe_model_card(**name)
    assert [described[each] for each in ("ModelCardVersion", "ModelCardStatus", "Content")] == [
        3,
        "Approved",
        '{"a": 2}',
    ]
    assert api.describe_model_card(**name, ModelCardVersion=1)["Content"] == '{"a": 1}'
    versions = api.list_model_card_versions(**name)["ModelCardVersionSummaryList"]
    assert [each["ModelCardVersion"] for each in versions] == [3, 2, 1]
    listed = api.list_model_cards(NameContains=name["ModelCardName"], MaxResults=100)["ModelCardSummaries"]
    assert [each["ModelCardStatus"] for each in listed] == ["Approved"]
    with pytest.raises(api.exceptions.ClientError, match="not JSON"):
        api.update_model_card(**name, Content="{")
    api.delete_model_card(**name)
    with pytest.raises(api.exceptions.ResourceNotFound):
        api.describe_model_card(**name)


def test_search_finds_packages_executions_and_training_jobs(project: Project) -> None:
    api = project.clients.sagemaker
    train = project.training("Train", "print('mae=3')", hyperparameters={"depth": "4"})
    train["Arguments"]["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "mae", "Regex": "mae=(.*)"}]
    model = {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    run = project.run(train, project.register("Register", model))

    def search(resource: str, *filters: tuple[str, str, str], **members: Any) -> list[dict[str, Any]]:
        given = [{"Name": name, "Operator": how, "Value": value} for name, how, value in filters]
        found = api.search(Resource=resource, SearchExpression={"Filters": given}, MaxResults=100, **members)
        return [each[resource] for each in found["Results"]]

    (package,) = search("ModelPackage", ("ModelPackageGroupName", "Equals", project.name))
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    (execution,) = search("PipelineExecution", ("PipelineExecutionArn", "Equals", run.arn))
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    job = ("TrainingJobName", "Contains", run.arn.rpartition("/")[2])
    assert len(search("TrainingJob", job, ("Metrics.mae", "LessThan", "3.5"))) == 1
    assert search("TrainingJob", job, ("HyperParameters.depth", "Equals", "5")) == []
    project.upsert([fail("S", "no")])
    (pipeline,) = search("Pipeline", ("PipelineName", "Equals", project.name))
    assert pipeline["PipelineStatus"] == "Active"
    with pytest.raises(api.exceptions.ClientError, match="does not search FeatureGroup"):
        search("FeatureGroup", job)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({}, True),
        ({"Filters": [{"Name": "a", "Operator": "Exists"}]}, True),
        ({"Filters": [{"Name": "b", "Operator": "Exists"}]}, False),
        ({"Filters": [{"Name": "a", "Value": "1"}, {"Name": "b", "Value": "1"}]}, False),
        ({"Filters": [{"Name": "a", "Value": "1"}, {"Name": "b", "Value": "1"}], "Operator": "Or"}, True),
        ({"Filters": [{"Name": "a", "Operator": "In", "Value": "0,1"}]}, True),
        ({"Filters": [{"Name": "time", "Operator": "GreaterThan", "Value": "1970-01-01T00:00:10Z"}]}, True),
        ({"SubExpressions": [{"Filters": [{"Name": "a", "Operator": "NotEquals", "Value": "1"}]}]}, False),
        (
            {
                "NestedFilters": [
                    {
                        "NestedPropertyName": "list",
                        "Filters": [{"Name": "list.x", "Value": "1"}, {"Name": "list.y", "Value": "2"}],
                    }
                ]
            },
            False,
        ),
    ],
)
def test_expressions_combine_filters(expression: dict[str, Any], expected: bool) -> None:
    document = {"a": 1, "time": 100.5, "list": [{"x": 1, "y": 1}, {"x": 2, "y": 2}]}
    assert matches(expression, document) is expected


def test_properties_are_found_by_their_path() -> None:
    document = {"Tags": [{"Key": "owner", "Value": "brewer"}], "A": {"B": {"C": 1}}, "FinalMetricDataList": []}
    assert [value_at(document, path) for path in ("Tags.owner", "A.B.C", "Tags.none", "Metrics.mae", "Z")] == [
        "brewer",
        1,
        None,
        None,
        None,
    ]
