"""An environment with a small pipeline, and a way to put beers into its table: what tests of `retrain` run on."""

import json
import time
import uuid
from typing import Any

from benchmarks.support.definitions import parameter, until
from pipelines import deploy
from pipelines.account.clients import Clients
from pipelines.account.stacks import Environment, Stacks, environment
from pipelines.account.upsert import deployed
from pipelines.authoring.parameters import PARAMETERS
from pipelines.cli.output import Document

DEADLINE_SECONDS = 60
# How long no execution must run: an object's event starts one within milliseconds.
IDLE_SECONDS = 0.5
# Stacks that `retrain` needs; a test of the others deploys them.
NEEDED = ("artifacts", "ingestion", "pipelines")


class Account:
    """One environment's stacks, with a pipeline that the test defines."""

    def __init__(self, clients: Clients, name: str = "", **parameters: str) -> None:
        self.clients = clients
        self.name = name or f"flow{uuid.uuid4().hex[:8]}"
        dev = environment("dev")
        names = {"PipelineName": f"tapline-ibu-{self.name}", "ModelPackageGroupName": f"tapline-ibu-{self.name}"}
        values = {"NewDataState": "DISABLED", "MinBeers": "1", "RetryMinutes": "0", **names, **parameters}
        stacks = {**dev.parameters, "pipelines": {**dev.parameters["pipelines"], **values}}
        self.stacks = Stacks(clients, Environment(self.name, stacks, dev.tags))
        for stack in NEEDED:
            self.stacks.deploy_one(stack)
        self.pipeline = names["PipelineName"]
        self.machine = self.stacks.output("pipelines", "RetrainStateMachineArn")
        self.inbox = self.subscribe(self.name, self.stacks.output("ingestion", "TopicArn"))
        self.skips = self.subscribe(f"{self.name}-skips", self.stacks.output("pipelines", "SkipsTopicArn"))

    def subscribe(self, name: str, topic: str) -> str:
        """Create a queue that receives what is published to a topic; returns its URL."""
        queue = self.clients.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self.clients.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
        self.clients.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])
        return str(queue)

    def upsert(self, *steps: Document) -> None:
        """Create or update the environment's pipeline with these steps."""
        definition = {
            "Version": "2020-12-01",
            "Parameters": [parameter(each.name, each.type, each.default) for each in PARAMETERS],
            "Steps": list(steps),
        }
        request = {"PipelineName": self.pipeline, "PipelineDefinition": json.dumps(definition)}
        if deployed(self.clients, self.pipeline):
            self.clients.sagemaker.update_pipeline(**request)
            return
        role = self.stacks.output("pipelines", "PipelineRoleArn")
        self.clients.sagemaker.create_pipeline(**request, RoleArn=role, ClientRequestToken=uuid.uuid4().hex)

    def deliver(self, first: int, count: int, stamp: str = "2026-11-20-12-00-00") -> None:
        """Put an object of `count` beers, ids from `first`, into the cleaned table, named as Firehose names it."""
        rows = "".join(f"{id_},Beer {id_},5.2,40,1010,1050,20,10,4.4\n" for id_ in range(first, first + count))
        key = f"cleaned/dt={stamp[:10]}/stream-1-{stamp}-{uuid.uuid4()}.csv"
        self.clients.s3.put_object(Bucket=self.stacks.output("ingestion", "DataBucket"), Key=key, Body=rows.encode())

    def start(self, **given: Any) -> str:
        """Start the state machine, as the event of a new object does; given: its input."""
        started = self.clients.stepfunctions.start_execution(stateMachineArn=self.machine, input=json.dumps(given))
        return str(started["executionArn"])

    def result(self, execution: str) -> tuple[str, Document]:
        """Wait for an execution's end; returns (status, output or {"Error", "Cause"})."""

        def ended() -> Document | None:
            found: Document = self.clients.stepfunctions.describe_execution(executionArn=execution)
            return None if found["status"] == "RUNNING" else found

        described = until(ended, f"the end of {execution}")
        error = {"Error": described.get("error"), "Cause": described.get("cause")}
        return described["status"], json.loads(described["output"]) if "output" in described else error

    def run(self, **given: Any) -> tuple[str, Document]:
        """Start the state machine and wait for its end, as `result` does."""
        return self.result(self.start(**given))

    def history(self, execution: str) -> list[str]:
        """Wait for an execution's end; returns the states that it entered, in order."""
        self.result(execution)
        pages = self.clients.stepfunctions.get_paginator("get_execution_history").paginate(executionArn=execution)
        entered = [event.get("stateEnteredEventDetails") for page in pages for event in page["events"]]
        return [each["name"] for each in entered if each]

    def runs(self) -> list[Document]:
        """The pipeline's runs, oldest first."""
        pages = self.clients.sagemaker.get_paginator("list_pipeline_executions").paginate(
            PipelineName=self.pipeline, SortOrder="Ascending"
        )
        return [each for page in pages for each in page["PipelineExecutionSummaries"]]

    def parameters(self, run: Document) -> dict[str, str]:
        """The parameters of a run."""
        listed = self.clients.sagemaker.list_pipeline_parameters_for_execution(
            PipelineExecutionArn=run["PipelineExecutionArn"], MaxResults=100
        )
        return {each["Name"]: each["Value"] for each in listed["PipelineParameters"]}

    def notifications(self) -> list[tuple[str, str]]:
        """(subject, message) of what was published to the notifications topic since the last call."""
        return [(body["Subject"], body["Message"]) for body in self.messages(self.inbox)]

    def messages(self, queue: str) -> list[Document]:
        """The messages that a queue received since the last call, oldest first."""
        found = []
        while messages := self.clients.sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=0
        ).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"]))
                self.clients.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    def settle(self) -> None:
        """Wait until no execution of the state machine has run for IDLE_SECONDS."""
        idle_since = time.monotonic()
        deadline = idle_since + 10 * DEADLINE_SECONDS
        while time.monotonic() - idle_since < IDLE_SECONDS:
            assert time.monotonic() < deadline, "the state machine keeps running"
            if self.clients.stepfunctions.list_executions(
                stateMachineArn=self.machine, statusFilter="RUNNING", maxResults=1
            )["executions"]:
                idle_since = time.monotonic()
            time.sleep(0.05)

    def remove(self) -> None:
        """Delete everything."""
        deploy.delete(self.stacks, data=True, unprotect=False, show=lambda name, outcome: None)


GOOD: Document = {
    "Name": "CheckQuality",
    "Type": "Condition",
    "Arguments": {
        "Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}],
        "IfSteps": [],
        "ElseSteps": [],
    },
}
BAD: Document = {"Name": "Reject", "Type": "Fail", "Arguments": {"ErrorMessage": "not good enough"}}
