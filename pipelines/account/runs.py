"""The executions of an environment's pipeline: successful, failed, rejected and stopped ones."""

import itertools
import time
import uuid
from collections.abc import Callable, Iterator

from localaws.errors import CONFLICT, NOT_FOUND, ExpectedError
from pipelines.account import executions, failures, logs, model_packages, s3
from pipelines.account.clients import Clients, aws_errors
from pipelines.account.executions import UNFINISHED, run_id
from pipelines.cli.output import Document

LATEST = "latest"
POLL_SECONDS = 0.5


class Runs:
    """The executions of one pipeline."""

    def __init__(self, clients: Clients, pipeline: str) -> None:
        self.clients = clients
        self.pipeline = pipeline

    def summaries(self) -> Iterator[Document]:
        """The executions as ListPipelineExecutions returns them, newest first; further pages are read when needed."""
        with aws_errors(f"listing the runs of {self.pipeline}"):
            pages = self.clients.sagemaker.get_paginator("list_pipeline_executions").paginate(
                PipelineName=self.pipeline, SortBy="CreationTime", SortOrder="Descending"
            )
            for page in pages:
                yield from page["PipelineExecutionSummaries"]

    def newest(self, limit: int) -> tuple[list[Document], bool]:
        """(The newest `limit` executions with what became of them, whether there are more)."""
        found = list(itertools.islice(self.summaries(), limit + 1))
        return [self.row(each) for each in found[:limit]], len(found) > limit

    def row(self, summary: Document) -> Document:
        """An execution in one line."""
        with aws_errors("listing steps"):
            steps = executions.steps(self.clients, summary["PipelineExecutionArn"])
        return {
            "run": run_id(summary["PipelineExecutionArn"]),
            "status": summary["PipelineExecutionStatus"],
            "started": f"{summary['StartTime']:%Y-%m-%d %H:%M:%S}",
            "seconds": _seconds(steps),
            "result": result(summary["PipelineExecutionStatus"], steps),
        }

    def find(self, text: str) -> str:
        """The ARN of the execution that `text` names: its ARN, its id, a unique beginning of the id, or `latest`."""
        if text.startswith("arn:"):
            return text
        ids: dict[str, str] = {}
        for each in self.summaries():
            arn = each["PipelineExecutionArn"]
            if text in (LATEST, run_id(arn), each.get("PipelineExecutionDisplayName")):
                return str(arn)
            ids[run_id(arn)] = arn
        found = [arn for name, arn in ids.items() if text and name.startswith(text)]
        if len(found) == 1:
            return found[0]
        if found:
            what = f"{len(found)} runs begin with {text}: {', '.join(map(run_id, found))}"
        else:
            what = f"there is no run {text} (newest: {', '.join(list(ids)[:3]) or 'none'})"
        raise ExpectedError(
            what, where=f"pipeline {self.pipeline}", hint=self.clients.command("runs", "list"), code=NOT_FOUND
        )

    def describe(self, arn: str) -> Document:
        """{"run", "steps", "parameters", "metrics", "gate"}; the last two are None without an evaluation."""
        with aws_errors(f"reading {arn}"):
            described = self.clients.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
            steps = executions.steps(self.clients, arn)
        evaluation = self.evaluation(steps)
        package = executions.registered_arn(steps)
        status = described["PipelineExecutionStatus"]
        return {
            "run": {
                "id": run_id(arn),
                "arn": arn,
                "status": status,
                "started": described["CreationTime"].isoformat(timespec="seconds"),
                "seconds": _seconds(steps),
                "result": result(status, steps),
                "model_package": package,
            },
            "steps": [self._step(step) for step in steps],
            "parameters": self.parameters(arn),
            "metrics": evaluation and model_packages.rounded_metrics(evaluation),
            "gate": evaluation and {name: evaluation["gate"][name] for name in ("passed", "reason")},
        }

    def parameters(self, arn: str) -> dict[str, str]:
        """Every parameter of an execution with its value."""
        with aws_errors(f"reading the parameters of {arn}"):
            pages = self.clients.sagemaker.get_paginator("list_pipeline_parameters_for_execution").paginate(
                PipelineExecutionArn=arn
            )
            return {each["Name"]: each["Value"] for page in pages for each in page["PipelineParameters"]}

    def evaluation(self, steps: list[Document]) -> Document | None:
        """The evaluation.json that one of the steps wrote, of a rejected model too; None when there is none."""
        for step in steps:
            if executions.step_name(step) == "Evaluate" and step["StepStatus"] == "Succeeded":
                name = step["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
                with aws_errors(f"reading the job {name}"):
                    job = self.clients.sagemaker.describe_processing_job(ProcessingJobName=name)
                uris = {
                    each["OutputName"]: each["S3Output"]["S3Uri"] for each in job["ProcessingOutputConfig"]["Outputs"]
                }
                address = f"{uris['evaluation'].rstrip('/')}/evaluation.json"
                return s3.read_json(self.clients, address) if s3.exists(self.clients, address) else None
        return None

    def _step(self, step: Document) -> Document:
        failure = executions.step_failure(self.clients, step).what if step["StepStatus"] == "Failed" else None
        return {**executions.summary(step), "reused": bool(step.get("CacheHitResult")), "failure": failure}

    def log(self, arn: str, name: str | None) -> tuple[str, Iterator[str]]:
        """(Step, its log's messages). name: the step; None takes the failed one, else the last one with a log.

        Raises ExpectedError for an unknown step and for one without a log.
        """
        with aws_errors(f"listing the steps of {arn}"):
            steps = executions.steps(self.clients, arn)
        with_log = [step for step in steps if logs.job(step)]
        step = self._named(arn, steps, name) if name else executions.failed_step(with_log)
        step = step or next(reversed(with_log), None)
        found = logs.job(step) if step else None
        if step is None or found is None:
            names = ", ".join(map(executions.step_name, with_log)) or "none"
            raise ExpectedError(
                f"step {name} has no log" if name else "no step of the run has a log",
                where=f"run {run_id(arn)} (steps with a log: {names})",
                hint=self.clients.command("runs", "show", run_id(arn)),
                code=NOT_FOUND,
            )
        return executions.step_name(step), logs.lines(self.clients, *found)

    def _named(self, arn: str, steps: list[Document], name: str) -> Document:
        for step in steps:
            if name.lower() in (step["StepName"].lower(), executions.step_name(step).lower()):
                return step
        raise ExpectedError(
            f"no step {name} has begun (have: {', '.join(map(executions.step_name, steps)) or 'none'})",
            where=f"run {run_id(arn)}",
            hint=self.clients.command("runs", "show", run_id(arn)),
            code=NOT_FOUND,
        )

    def stop(self, arn: str) -> Document:
        """Stop an execution and wait until it has ended; returns {"run", "before", "status"}."""
        before = self.status(arn)
        if before not in UNFINISHED:
            raise ExpectedError(
                f"the run has ended already: {before}",
                where=f"run {run_id(arn)}",
                hint=self.clients.command("runs", "show", run_id(arn)),
                code=CONFLICT,
            )
        with aws_errors(f"stopping {arn}"):
            if before == "Executing":
                self.clients.sagemaker.stop_pipeline_execution(
                    PipelineExecutionArn=arn, ClientRequestToken=uuid.uuid4().hex
                )
            while (status := self.status(arn)) in UNFINISHED:
                time.sleep(POLL_SECONDS)
        return {"run": run_id(arn), "before": before, "status": status}

    def retry(self, arn: str, show: Callable[[str], None]) -> Document:
        """Resume a failed or stopped execution at the steps that did not succeed, and wait for its end.

        Returns {"arn", "status", "steps"}; raises ExpectedError when it cannot be retried or fails again.
        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_RetryPipelineExecution.html
        """
        before = self.status(arn)
        if before not in ("Failed", "Stopped"):
            raise ExpectedError(
                f"only a failed or stopped run can be retried, and this one is {before}",
                where=f"run {run_id(arn)}",
                hint=self.clients.command("runs", "show", run_id(arn)),
                code=CONFLICT,
            )
        with aws_errors(f"retrying {arn}"):
            self.clients.sagemaker.retry_pipeline_execution(
                PipelineExecutionArn=arn, ClientRequestToken=uuid.uuid4().hex
            )
        execution = executions.wait(self.clients, arn, show, POLL_SECONDS)
        if execution["status"] != "Succeeded":
            raise executions.failure(self.clients, arn)
        return execution

    def status(self, arn: str) -> str:
        """PipelineExecutionStatus."""
        with aws_errors(f"reading {arn}"):
            described = self.clients.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        return str(described["PipelineExecutionStatus"])


def result(status: str, steps: list[Document]) -> str:
    """What an execution ended with: `version 3`, `rejected: ...`, `Train: KeyError: 'abv'`, or the step that runs."""
    package = executions.registered_arn(steps)
    if package:
        return f"version {package.rpartition('/')[2]}"
    failed = executions.failed_step(steps)
    if failed:
        name, failure = executions.step_name(failed), failures.unwrap(failed.get("FailureReason", "no reason given"))
        return f"{'rejected' if name == 'Reject' else name}: {failure.what}"
    if status in UNFINISHED:
        return ", ".join(executions.step_line(step) for step in steps[-1:])
    return ""


def _seconds(steps: list[Document]) -> float | None:
    """From the first step's start to the last one's end; None while a step runs or none has begun."""
    ends = [step.get("EndTime") for step in steps]
    starts = [step["StartTime"] for step in steps if "StartTime" in step]
    known = [end for end in ends if end is not None]
    return round((max(known) - min(starts)).total_seconds(), 1) if starts and len(known) == len(ends) else None
