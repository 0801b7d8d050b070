"""SNS notifications of `retrain`: success, failure, skip.

Messages have the attribute `outcome` (registered, finished, failed, skipped), by which subscriptions can filter.
"""

from typing import Any

from pipelines.authoring.step_functions import StateMachine, chain, format_


def failure(s: StateMachine, machine: str = "retrain") -> Any:
    """Publish error and cause, then fail with them."""
    end = s.fail("Failed", "$.error.Error", "$.error.Cause")
    message = "States.Format('{}: {}', $.error.Error, $.error.Cause)"
    # Where publishing fails, the state machine's alarm remains.
    return chain(s.publish("NotifyFailure", "failed", f"Tapline: {machine} failed", message, otherwise=end), end)


def run(s: StateMachine) -> Any:
    """Wait for the end of the run, then publish its result."""
    pause = s.wait("WaitForRun", 30)
    describe = s.call(
        "RunStatus",
        "aws-sdk:sagemaker:describePipelineExecution",
        {"PipelineExecutionArn.$": "$.run.arn"},
        "$.status",
        {"now.$": "$.PipelineExecutionStatus"},
    )
    under_way = [(s.rule.StringEquals("$.status.now", status), pause) for status in ("Executing", "Stopping")]
    succeeded = (s.rule.StringEquals("$.status.now", "Succeeded"), success(s))
    # Any other status, also one that AWS may add, is an end: waiting on it might never end.
    return chain(pause, describe, s.choice("HasRunEnded", *under_way, succeeded, otherwise=failed_run(s)))


def success(s: StateMachine) -> Any:
    """Publish the new model's description and the command that shows it."""
    listed = s.call(
        "RegisterStep",
        "aws-sdk:sagemaker:listPipelineExecutionSteps",
        {"PipelineExecutionArn.$": "$.run.arn", "SortOrder": "Ascending", "MaxResults": 100},
        "$.registered",
        {"arns.$": "$.PipelineExecutionSteps[?(@.StepName=='Register-RegisterModel')].Metadata.RegisterModel.Arn"},
    )
    described = s.call(
        "RegisteredModel",
        "aws-sdk:sagemaker:describeModelPackage",
        {"ModelPackageName.$": "$.registered.arns[0]"},
        "$.model",
        {"version.$": "$.ModelPackageVersion", "description.$": "$.ModelPackageDescription"},
    )
    notify = s.publish(
        "NotifyModel",
        "registered",
        "Tapline: a new model waits for approval",
        format_(
            "Version {}. {} See and approve it: python -m pipelines.registry show {} (run {})",
            "$.model.version",
            "$.model.description",
            "$.model.version",
            "$.run.arn",
        ),
    )
    trained = s.pass_("Trained", {"decision": "trained", "reason.$": "$.why", "run.$": "$.run.arn"})
    none = s.publish(
        "NotifyNoModel",
        "finished",
        "Tapline: a run ended without a model",
        format_("The run {} succeeded and registered no model.", "$.run.arn"),
    )
    chain(none, trained)
    found = (s.present("$.registered.arns[0]"), chain(described, notify, trained))
    return chain(listed, s.choice("HasModel", found, otherwise=none))


def failed_run(s: StateMachine) -> Any:
    """A run that ended without success: the first failed step and its reason."""
    listed = s.call(
        "FailedSteps",
        "aws-sdk:sagemaker:listPipelineExecutionSteps",
        {"PipelineExecutionArn.$": "$.run.arn", "SortOrder": "Ascending", "MaxResults": 100},
        "$.steps",
        {
            "names.$": "$.PipelineExecutionSteps[?(@.StepStatus=='Failed')].StepName",
            "reasons.$": "$.PipelineExecutionSteps[?(@.StepStatus=='Failed')].FailureReason",
        },
    )
    stopped = s.pass_(
        "RunStopped",
        {
            "Error": "RunStopped",
            "Cause.$": format_("The run {} ended as {}.", "$.run.arn", "$.status.now"),
        },
        "$.error",
    )
    broken = s.pass_(
        "RunFailed",
        {
            "Error": "RunFailed",
            "Cause.$": format_("{}: {} ({})", "$.steps.names[0]", "$.steps.reasons[0]", "$.run.arn"),
        },
        "$.error",
    )
    because = (s.present("$.steps.reasons[0]"), chain(broken, s.failed))
    return chain(listed, s.choice("HasFailedStep", because, otherwise=chain(stopped, s.failed)))


def skip(s: StateMachine) -> Any:
    """Publish the reason of a skip to a topic of its own. A publish failure does not fail the execution."""
    end = s.succeed("Skipped")
    notify = s.publish("NotifySkip", "skipped", "Tapline: nothing to train", "$.reason", topic="Skips", otherwise=end)
    return chain(notify, end)
