"""Queries on the tables of an environment, by Athena."""

import time
import uuid

from pipelines.account.clients import aws_errors
from pipelines.account.stacks import Stacks
from pipelines.cli.output import Document

POLL_SECONDS = 0.1


def run(stacks: Stacks, text: str, most: int) -> Document:
    """Run one statement; {"columns": [...], "rows": [[text, ...], ...]} with `most` rows at most, or {"error": why}."""
    athena = stacks.clients.athena
    with aws_errors("querying the table"):
        query = athena.start_query_execution(
            QueryString=text,
            WorkGroup=stacks.output("ingestion", "Workgroup"),
            QueryExecutionContext={"Database": stacks.output("ingestion", "GlueDatabase")},
            ClientRequestToken=uuid.uuid4().hex,
        )["QueryExecutionId"]
        while True:
            status = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
            if status["State"] not in ("QUEUED", "RUNNING"):
                break
            time.sleep(POLL_SECONDS)
        if status["State"] != "SUCCEEDED":
            return {"error": status.get("StateChangeReason", status["State"])}
        # The first row of a result is its header.
        result = athena.get_query_results(QueryExecutionId=query, MaxResults=most + 1)["ResultSet"]
    rows = [[cell.get("VarCharValue", "") for cell in row["Data"]] for row in result["Rows"]]
    return {"columns": [each["Name"] for each in result["ResultSetMetadata"]["ColumnInfo"]], "rows": rows[1:]}
