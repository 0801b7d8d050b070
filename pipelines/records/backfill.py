"""The backfill as a command: start the state machine `backfill` and follow it to its end."""

import json
import time

from localaws.errors import RUN_FAILED, ExpectedError
from pipelines.account import retraining
from pipelines.account.clients import aws_errors
from pipelines.account.stacks import Stacks
from pipelines.cli.output import Document
from pipelines.cli.progress import Progress

POLL_SECONDS = 0.5


def run(stacks: Stacks, page: int = 1) -> Document:
    """Put all pages from `page` on the stream; returns {"pages", "sent", "refused"}, or raises ExpectedError."""
    machine = stacks.output("ingestion", "BackfillStateMachineArn")
    stepfunctions = stacks.clients.stepfunctions
    with aws_errors("running the state machine backfill"), Progress().step("backfill") as step:
        started = stepfunctions.start_execution(stateMachineArn=machine, input=json.dumps({"page": page}))
        arn = str(started["executionArn"])
        step.update(arn.rpartition(":")[2])
        while (ended := retraining.final_status(stacks.clients, arn)) is None:
            time.sleep(POLL_SECONDS)
        if ended[0] != "SUCCEEDED":
            raise ExpectedError(
                f"the state machine backfill ended as {ended[0]}: {ended[1]}",
                where=arn,
                hint=stacks.clients.command("local" if stacks.clients.local else "records", "backfill"),
                code=RUN_FAILED,
            )
        result: Document = json.loads(stepfunctions.describe_execution(executionArn=arn)["output"])
    return result
