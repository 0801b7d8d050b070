"""Start a run by hand, on the table as it is now and beside the approved model, as the state machine retrain does."""

import hashlib
import time
import uuid
from datetime import UTC, datetime

from pipelines.account import s3
from pipelines.account.clients import Clients, aws_errors
from pipelines.account.stacks import Stacks
from pipelines.authoring import archives, snapshot
from pipelines.cli.errors import NOT_FOUND, RUN_FAILED, ExpectedError

LOOK_SECONDS = 0.2
Values = dict[str, str]


def start(clients: Clients, stacks: Stacks, given: Values) -> str:
    """Start the deployed pipeline; returns the execution's ARN. given: parameters; data and champion are found if not.

    Raises ExpectedError where there are no beers, no pipeline, or a query fails.
    """
    name = stacks.output("pipelines", "PipelineName")
    values = dict(given)
    if "InputData" not in values:
        values = {**data(clients, stacks), **values}
    if "ChampionModel" not in values:
        values |= champion(clients, stacks)
    with aws_errors(f"starting the pipeline {name}"):
        started = clients.sagemaker.start_pipeline_execution(
            PipelineName=name,
            ClientRequestToken=uuid.uuid4().hex,
            PipelineParameters=[{"Name": key, "Value": value} for key, value in values.items()],
        )
    return str(started["PipelineExecutionArn"])


def data(clients: Clients, stacks: Stacks) -> Values:
    """A snapshot of the cleaned table as parameters of a run: the last run's where the table is still the same."""
    name = stacks.output("pipelines", "PipelineName")
    bucket = stacks.output("artifacts", "ArtifactBucket")
    epoch = "1970-01-01T00:00:00Z"
    beers, _, rows, cut_off, _ = query(clients, stacks, snapshot.filled(snapshot.LOOK, "0", epoch))
    if beers == "0":
        raise ExpectedError(
            "the cleaned table holds no beers yet",
            where=f"{stacks.output('ingestion', 'GlueDatabase')}.{stacks.output('ingestion', 'GlueTable')}",
            hint="wait for the schedule, or collect every beer at once: invoke "
            f'{stacks.output("ingestion", "CollectorName")} with {{"mode":"catalogue"}}',
            code=NOT_FOUND,
        )
    values = {"CutOff": cut_off, "Rows": rows, "DistinctBeers": beers}
    last = latest(clients, name)
    if last.items() >= {"CutOff": cut_off, "Rows": rows}.items() and s3.exists(clients, last["InputData"]):
        return {"InputData": last["InputData"], **values}
    # As the state machine names it (retrain.py), so that both share a snapshot of the same hour.
    hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
    token = hashlib.sha256(f"{name} {cut_off} {rows} {hour}".encode()).hexdigest()
    taken = snapshot.filled(snapshot.unload(), cut_off, token).replace("${ArtifactBucket}", bucket)
    query(clients, stacks, taken, hashlib.sha256(f"{token} 0".encode()).hexdigest())
    return {"InputData": f"s3://{bucket}/snapshots/{token}/", **values}


def latest(clients: Clients, name: str) -> Values:
    """The parameters of the pipeline's latest run; {} when there is none."""
    with aws_errors(f"reading the last run of {name}"):
        runs = clients.sagemaker.list_pipeline_executions(PipelineName=name, SortOrder="Descending", MaxResults=1)
        for run in runs["PipelineExecutionSummaries"]:
            listed = clients.sagemaker.list_pipeline_parameters_for_execution(
                PipelineExecutionArn=run["PipelineExecutionArn"], MaxResults=100
            )
            return {each["Name"]: each["Value"] for each in listed["PipelineParameters"]}
    return {}


def query(clients: Clients, stacks: Stacks, text: str, token: str | None = None) -> list[str]:
    """Run a query of the workgroup to its end; returns the cells of its first row, [] without one."""
    names = {name: stacks.output("ingestion", name) for name in ("GlueDatabase", "GlueTable")}
    for name, value in names.items():
        text = text.replace(f"${{{name}}}", value)
    with aws_errors(f"querying {names['GlueDatabase']}.{names['GlueTable']}"):
        query_id = clients.athena.start_query_execution(
            QueryString=text,
            WorkGroup=stacks.output("ingestion", "Workgroup"),
            ClientRequestToken=token or uuid.uuid4().hex,
        )["QueryExecutionId"]
        while True:
            status = clients.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]
            if status["State"] not in ("QUEUED", "RUNNING"):
                break
            time.sleep(LOOK_SECONDS)
        if status["State"] != "SUCCEEDED":
            raise ExpectedError(
                f"the query ended as {status['State']}: {status.get('StateChangeReason', 'no reason given')}",
                where=f"Athena query {query_id} on {names['GlueDatabase']}.{names['GlueTable']}",
                hint=f"aws athena get-query-execution --query-execution-id {query_id}",
                code=RUN_FAILED,
            )
        found = clients.athena.get_query_results(QueryExecutionId=query_id, MaxResults=2)["ResultSet"]["Rows"]
    return [cell.get("VarCharValue", "") for row in found[1:] for cell in row["Data"]]


def champion(clients: Clients, stacks: Stacks) -> Values:
    """The approved model's address as a parameter, so that a run by hand is measured against it too."""
    group = stacks.output("pipelines", "ModelPackageGroupName")
    with aws_errors(f"looking for an approved model in {group}"):
        listed = clients.sagemaker.list_model_packages(
            ModelPackageGroupName=group, ModelApprovalStatus="Approved", SortOrder="Descending", MaxResults=1
        )["ModelPackageSummaryList"]
        if not listed:
            return {}
        approved = clients.sagemaker.describe_model_package(ModelPackageName=listed[0]["ModelPackageArn"])
    uri = str(approved["InferenceSpecification"]["Containers"][0]["ModelDataUrl"])
    if not s3.exists(clients, uri):
        # Otherwise Evaluate would fail before it begins: a job's input has to be there.
        uri = f"s3://{stacks.output('artifacts', 'ArtifactBucket')}/{archives.LOST_CHAMPION.folder}"
    return {"ChampionModel": uri}
