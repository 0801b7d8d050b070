"""What came of it, told: a run that has ended well or badly, a failure of the state machine itself, a skip.

Messages carry the attribute `outcome` (registered, finished, failed, skipped), by which subscriptions may filter.
"""

from typing import Any

from pipelines.authoring.step_functions import States, chain, format_


def failure(s: States) -> Any:
    """Tell that it failed, then fail with the same words."""
    end = s.fail("Failed", "$.error.Error", "$.error.Cause")
    message = "States.Format('{}: {}', $.error.Error, $.error.Cause)"
    # If even telling fails, the state machine's own alarm remains.
    return chain(s.publish("TellFailure", "failed", "Tapline: retrain failed", message, otherwise=end), end)


def run(s: States) -> Any:
    """Wait for the run's end and tell how it ended."""
    pause = s.wait("Pause", 30)
    describe = s.call(
        "RunStatus",
        "aws-sdk:sagemaker:describePipelineExecution",
        {"PipelineExecutionArn.$": "$.run.arn"},
        "$.status",
        {"now.$": "$.PipelineExecutionStatus"},
    )
    under_way = [(s.rule.StringEquals("$.status.now", status), pause) for status in ("Executing", "Stopping")]
    succeeded = (s.rule.StringEquals("$.status.now", "Succeeded"), success(s))
    # Failed, Stopped, CompletedWithFailures and whatever AWS may add: never waited for without end.
    return chain(pause, describe, s.choice("Ended", *under_way, succeeded, otherwise=failed_run(s)))


def success(s: States) -> Any:
    """The new model's own words, and what to do with it."""
    listed = s.call(
        "Registered",
        "aws-sdk:sagemaker:listPipelineExecutionSteps",
        {"PipelineExecutionArn.$": "$.run.arn", "SortOrder": "Ascending", "MaxResults": 100},
        "$.registered",
        {"arns.$": "$.PipelineExecutionSteps[?(@.StepName=='Register-RegisterModel')].Metadata.RegisterModel.Arn"},
    )
    described = s.call(
        "Model",
        "aws-sdk:sagemaker:describeModelPackage",
        {"ModelPackageName.$": "$.registered.arns[0]"},
        "$.model",
        {"version.$": "$.ModelPackageVersion", "description.$": "$.ModelPackageDescription"},
    )
    told = s.publish(
        "TellSuccess",
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
    trained = s.pass_(
        "Trained",
        {
            "decision": "trained",
            "reason.$": format_("{} new beers", "$.table.new_beers"),
            "run.$": "$.run.arn",
        },
    )
    none = s.publish(
        "TellNoModel",
        "finished",
        "Tapline: a run has ended without a model",
        format_("The run {} has succeeded and registered no model.", "$.run.arn"),
    )
    chain(none, trained)
    found = (s.present("$.registered.arns[0]"), chain(described, told, trained))
    return chain(listed, s.choice("HasModel", found, otherwise=none))


def failed_run(s: States) -> Any:
    """A run that ended without success: the first step that failed, and why."""
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
    return chain(listed, s.choice("WhichFailed", because, otherwise=chain(stopped, s.failed)))


def skip(s: States) -> Any:
    """Tell a skip to a topic of its own. One that cannot be told is still a skip."""
    end = s.succeed("Skipped")
    tell = s.publish("TellSkip", "skipped", "Tapline: nothing to train", "$.reason", topic="Skips", otherwise=end)
    return chain(tell, end)
