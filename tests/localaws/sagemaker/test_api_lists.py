"""Pages, filters, tags and request tokens of the local SageMaker's API."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

from benchmarks.support.definitions import ROLE, Project, condition, definition, fail, parameter
from localaws.endpoint import Endpoint
from tests.support.refusals import refusal

ROUNDS, STARTS = 15, 20


def test_lists_come_in_pages_and_whole(project: Project) -> None:
    api = project.clients.sagemaker
    project.upsert([fail("Step", "no")])
    arns = [project.start().arn for _ in range(25)]
    first = api.list_pipeline_executions(PipelineName=project.name)
    assert len(first["PipelineExecutionSummaries"]) == 10
    pages = api.get_paginator("list_pipeline_executions").paginate(PipelineName=project.name, MaxResults=7)
    listed = [each["PipelineExecutionArn"] for page in pages for each in page["PipelineExecutionSummaries"]]
    assert listed == arns[::-1]
    ascending = api.list_pipeline_executions(PipelineName=project.name, SortOrder="Ascending", MaxResults=2)
    assert [each["PipelineExecutionArn"] for each in ascending["PipelineExecutionSummaries"]] == arns[:2]


def test_maxresults_is_applied_before_the_filters(project: Project) -> None:
    api = project.clients.sagemaker
    group = {"ModelPackageGroupName": project.name}
    api.create_model_package_group(**group)
    for status in ("Approved", "Rejected", "PendingManualApproval"):
        api.create_model_package(**group, ModelApprovalStatus=status, ModelPackageDescription=status)
    wanted = {**group, "ModelApprovalStatus": "Approved", "SortBy": "CreationTime", "SortOrder": "Descending"}
    pages = list(api.get_paginator("list_model_packages").paginate(**wanted, PaginationConfig={"PageSize": 1}))
    versions = [[each["ModelPackageVersion"] for each in page["ModelPackageSummaryList"]] for page in pages]
    assert versions == [[], [], [1]]
    assert ["NextToken" in page for page in pages] == [True, True, False]
    assert api.list_model_packages(**wanted, MaxResults=100)["ModelPackageSummaryList"] != []


def test_tags_stay_until_their_pipeline_is_deleted(project: Project) -> None:
    api = project.clients.sagemaker
    project.upsert([fail("Step", "no")], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    arn = api.describe_pipeline(PipelineName=project.name)["PipelineArn"]
    api.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "3"}, {"Key": "c", "Value": "4"}])
    api.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert api.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "3"}, {"Key": "c", "Value": "4"}]
    api.delete_pipeline(PipelineName=project.name)
    gone = ("ValidationException", f"Could not find resource with ARN {arn}.")
    assert refusal(api.list_tags, ResourceArn=arn) == gone
    assert refusal(api.add_tags, ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}]) == gone
    project.upsert([fail("Step", "no")])
    assert api.list_tags(ResourceArn=arn)["Tags"] == []


def test_the_same_token_is_the_same_request(project: Project) -> None:
    api = project.clients.sagemaker
    token = uuid.uuid4().hex
    created = [
        api.create_pipeline(
            PipelineName=project.name,
            PipelineDefinition=definition([fail("S", "no")]),
            RoleArn=ROLE,
            ClientRequestToken=token,
        )["PipelineArn"]
        for _ in range(2)
    ]
    assert created[0] == created[1]
    runs = [project.start(ClientRequestToken=token) for _ in range(3)]
    assert len({run.arn for run in runs}) == 1
    runs[0].wait()
    for _ in range(2):
        api.retry_pipeline_execution(PipelineExecutionArn=runs[0].arn, ClientRequestToken=token)
    assert runs[0].wait().status == "Failed"


def test_a_token_with_other_parameters_is_answered_or_refused(project: Project, endpoint: Endpoint) -> None:
    project.upsert([fail("S", "no")], (parameter("N", "Integer", 1),))
    token = uuid.uuid4().hex
    first = project.start({"N": "1"}, ClientRequestToken=token)
    assert project.start({"N": "2"}, ClientRequestToken=token).arn == first.arn
    endpoint.control("sagemaker", ReusedToken="refuse")
    try:
        assert project.start({"N": "1"}, ClientRequestToken=token).arn == first.arn
        assert refusal(lambda: project.start({"N": "2"}, ClientRequestToken=token)) == (
            "ConflictException",
            "StartPipelineExecution was called with this token and other parameters before.",
        )
    finally:
        endpoint.control("sagemaker", ReusedToken="answer")


def test_simultaneous_starts_with_one_token_are_one_run(project: Project) -> None:
    project.upsert([condition("C")])
    rounds: list[set[str]] = []
    with ThreadPoolExecutor(STARTS) as pool:
        for _ in range(ROUNDS):
            token = uuid.uuid4().hex
            gate = threading.Barrier(STARTS)

            def start(gate: threading.Barrier = gate, token: str = token) -> str:
                gate.wait(10)
                return project.start(ClientRequestToken=token).arn

            rounds.append({each.result(30) for each in [pool.submit(start) for _ in range(STARTS)]})
    assert [len(arns) for arns in rounds] == [1] * ROUNDS
    assert len(set.union(*rounds)) == ROUNDS
    pages = project.clients.sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName=project.name)
    statuses = [each["PipelineExecutionStatus"] for page in pages for each in page["PipelineExecutionSummaries"]]
    assert len(statuses) == ROUNDS


def test_upserts_and_runs_at_once_leave_one_pipeline_and_whole_runs(project: Project) -> None:
    variants = [[fail(name, name), fail(name * 2, name)] for name in "ABCD"]
    project.upsert(variants[0])

    def work(index: int) -> set[str] | None:
        if index % 2:
            project.upsert(variants[index % 4])
            return None
        return set(project.start().wait().statuses())

    with ThreadPoolExecutor(8) as pool:
        done = [each.result(60) for each in [pool.submit(work, index) for index in range(24)]]
    whole = [{step["Name"] for step in variant} for variant in variants]
    assert [names for names in done if names is not None and names not in whole] == []
    listed = project.clients.sagemaker.list_pipelines(PipelineNamePrefix=project.name)["PipelineSummaries"]
    assert [each["PipelineName"] for each in listed] == [project.name]
