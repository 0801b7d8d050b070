"""The state machine `retrain`: decide whether to train, take a snapshot, run the pipeline, tell how it ended.

The only module that imports the Data Science SDK for Step Functions, and it imports it late. What it writes is ASL
with `${Placeholders}` that CloudFormation fills in (cloudformation/pipelines.yaml, DefinitionSubstitutions).

Nothing locks, so nothing can be left locked: every execution reads the latest pipeline run and starts the next with a
token made from it. Two executions that saw the same latest run make the same start, and the service runs it once; the
snapshot is shared in the same way, by Athena's own token.
"""

import json
from typing import Any

from pipelines import sdk, snapshot

WORKFLOWS = ("retrain",)
HOUR = 3600
# What a service may do better the second time, with its names in SDK integrations.
BUSY = ["States.Timeout", "States.TaskFailed"]


def definition(name: str) -> str:
    """A state machine's ASL as JSON, indented, ending in a newline; raises KeyError for an unknown name."""
    graph = {"retrain": retrain}[name]()
    return json.dumps(json.loads(graph.to_json()), indent=2) + "\n"


def format_(template: str, *values: str) -> str:
    """`States.Format('...', $.a)`: the template's own quotes and backslashes escaped, its {} left to be filled."""
    text = " ".join(template.split()).replace("\\", "\\\\").replace("'", "\\'")
    return f"States.Format('{text}', {', '.join(values)})"


def retrain() -> Any:
    """The state machine as the SDK's Graph."""
    with sdk.quiet():
        from stepfunctions.steps import Graph

    first = _States().chain()
    return Graph(
        first,
        comment="New data -> decide -> snapshot -> pipeline run -> notification",
        timeout_seconds=6 * HOUR,
    )


class _States:
    """The states, each a method that returns it wired to what follows, last one first."""

    def __init__(self) -> None:
        from stepfunctions import steps

        self.steps = steps
        self.failed = self.fail()

    def chain(self) -> Any:
        """Settings -> ... -> the end."""
        run = self.snapshot_and_run()
        settings = self.pass_(
            "Settings",
            # Substituted values are texts; numbers are made here, once.
            {
                "MinNewBeers.$": "States.StringToJson('${MinNewBeers}')",
                "MinMinutesBetweenRuns.$": "States.StringToJson('${MinMinutesBetweenRuns}')",
            },
            "$.settings",
        )
        last_runs = self.call(
            "LastRuns",
            "aws-sdk:sagemaker:listPipelineExecutions",
            {
                "PipelineName": "${PipelineName}",
                "SortBy": "CreationTime",
                "SortOrder": "Descending",
                "MaxResults": 100,
            },
            "$.runs",
            {
                "under_way.$": "$.PipelineExecutionSummaries[?(@.PipelineExecutionStatus=='Executing'"
                " || @.PipelineExecutionStatus=='Stopping')].PipelineExecutionArn",
                "succeeded.$": "$.PipelineExecutionSummaries[?(@.PipelineExecutionStatus=='Succeeded')]"
                ".PipelineExecutionArn",
                "arns.$": "$.PipelineExecutionSummaries[*].PipelineExecutionArn",
                "starts.$": "$.PipelineExecutionSummaries[*].StartTime",
            },
        )
        settings.next(last_runs)
        under_way = self.choice("UnderWay")
        last_runs.next(under_way)
        under_way.add_choice(
            self.present("$.runs.under_way[0]"),
            self.skip("SkipUnderWay", format_("a run is under way: {}", "$.runs.under_way[0]")),
        )
        look = self.look(run)
        no_run = self.pass_("NoRunYet", {"arn": "none", "start": "1970-01-01T00:00:00Z", "beers": "0"}, "$.last")
        no_run.next(look)
        last = self.pass_("LastRun", {"arn.$": "$.runs.arns[0]", "start.$": "$.runs.starts[0]", "beers": "0"}, "$.last")
        succeeded = self.choice("SucceededBefore")
        last.next(succeeded)
        succeeded.add_choice(self.present("$.runs.succeeded[0]"), self.last_success(look))
        succeeded.default_choice(look)
        ran = self.choice("RanBefore")
        ran.add_choice(self.present("$.runs.arns[0]"), last)
        ran.default_choice(no_run)
        under_way.default_choice(ran)
        return settings

    def last_success(self, then: Any) -> Any:
        """How many beers the last successful run knew."""
        read = self.call(
            "LastSuccess",
            "aws-sdk:sagemaker:listPipelineParametersForExecution",
            {"PipelineExecutionArn.$": "$.runs.succeeded[0]"},
            "$.success",
            {"beers.$": "$.PipelineParameters[?(@.Name=='DistinctBeers')].Value"},
        )
        keep = self.pass_(
            "LastSuccessBeers",
            {"arn.$": "$.last.arn", "start.$": "$.last.start", "beers.$": "$.success.beers[0]"},
            "$.last",
        )
        read.next(keep)
        keep.next(then)
        return read

    def look(self, run: Any) -> Any:
        """Count the beers, then skip for a reason or run."""
        query = self.athena("Look", format_(snapshot.LOOK, "$.last.beers", "$.last.start"), "$.look")
        cell = "$.ResultSet.Rows[1].Data[{}].VarCharValue".format
        result = self.call(
            "LookResult",
            "athena:getQueryResults",
            {"QueryExecutionId.$": "$.look.id", "MaxResults": 2},
            "$.table",
            {
                "beers.$": f"States.StringToJson({cell(0)})",
                "new_beers.$": f"States.StringToJson({cell(1)})",
                "cut_off.$": cell(2),
                "minutes.$": f"States.StringToJson({cell(3)})",
            },
        )
        query.next(result)
        worth = self.choice("WorthIt")
        result.next(worth)
        rule = self.steps.choice_rule.ChoiceRule
        worth.add_choice(
            rule.NumericLessThanPath("$.table.minutes", "$.settings.MinMinutesBetweenRuns"),
            self.skip(
                "SkipTooSoon",
                format_(
                    "too soon: {} minutes since the last run, {} are asked for",
                    "$.table.minutes",
                    "$.settings.MinMinutesBetweenRuns",
                ),
            ),
        )
        worth.add_choice(
            rule.NumericLessThanPath("$.table.new_beers", "$.settings.MinNewBeers"),
            self.skip(
                "SkipFewBeers",
                format_(
                    "too few new beers: {} since the last successful run, {} are asked for",
                    "$.table.new_beers",
                    "$.settings.MinNewBeers",
                ),
            ),
        )
        worth.default_choice(run)
        return query

    def snapshot_and_run(self) -> Any:
        """Champion, snapshot, start, wait, end."""
        packages = self.call(
            "Champion",
            "aws-sdk:sagemaker:listModelPackages",
            {
                "ModelPackageGroupName": "${ModelPackageGroupName}",
                "ModelApprovalStatus": "Approved",
                "SortBy": "CreationTime",
                "SortOrder": "Descending",
                "MaxResults": 1,
            },
            "$.approved",
            {"arns.$": "$.ModelPackageSummaryList[*].ModelPackageArn"},
        )
        known = self.choice("HasChampion")
        packages.next(known)
        # The hour lets a snapshot that failed be tried anew; within it, the same question is the same query. Tokens
        # are the account's, so the pipeline's name keeps environments apart.
        token = self.pass_(
            "Token",
            {
                "snapshot.$": "States.Hash(States.Format('${PipelineName} {} {} {}', $.last.arn, $.table.cut_off,"
                " States.ArrayGetItem(States.StringSplit($$.State.EnteredTime, ':'), 0)), 'SHA-256')",
                "start.$": "States.Hash(States.Format('${PipelineName} {}', $.last.arn), 'SHA-256')",
            },
            "$.token",
        )
        describe = self.call(
            "ChampionModel",
            "aws-sdk:sagemaker:describeModelPackage",
            {"ModelPackageName.$": "$.approved.arns[0]"},
            "$.champion",
            {"uri.$": "$.InferenceSpecification.Containers[0].ModelDataUrl"},
        )
        none = self.pass_("NoChampion", {"uri": "${DefaultChampionUri}"}, "$.champion")
        known.add_choice(self.present("$.approved.arns[0]"), describe)
        known.default_choice(none)
        describe.next(token)
        none.next(token)
        take = self.athena(
            "Snapshot",
            format_(snapshot.SNAPSHOT, "$.table.cut_off", "$.token.snapshot"),
            "$.unload",
            token="$.token.snapshot",
        )
        token.next(take)
        start = self.call(
            "StartRun",
            "aws-sdk:sagemaker:startPipelineExecution",
            {
                "PipelineName": "${PipelineName}",
                "ClientRequestToken.$": "$.token.start",
                "PipelineExecutionDescription.$": format_("Data up to {}", "$.table.cut_off"),
                "PipelineParameters": [
                    {
                        "Name": "InputData",
                        "Value.$": "States.Format('s3://${ArtifactBucket}/snapshots/{}/', $.token.snapshot)",
                    },
                    {"Name": "CutOff", "Value.$": "$.table.cut_off"},
                    {"Name": "DistinctBeers", "Value.$": "States.Format('{}', $.table.beers)"},
                    {"Name": "ChampionModel", "Value.$": "$.champion.uri"},
                ],
            },
            "$.run",
            {"arn.$": "$.PipelineExecutionArn"},
        )
        take.next(start)
        start.next(self.follow())
        return packages

    def follow(self) -> Any:
        """Wait for the run's end and tell how it ended."""
        pause = self.steps.Wait("Pause", seconds=30)
        describe = self.call(
            "RunStatus",
            "aws-sdk:sagemaker:describePipelineExecution",
            {"PipelineExecutionArn.$": "$.run.arn"},
            "$.status",
            {"now.$": "$.PipelineExecutionStatus"},
        )
        pause.next(describe)
        ended = self.choice("Ended")
        describe.next(ended)
        rule = self.steps.choice_rule.ChoiceRule
        for status in ("Executing", "Stopping"):
            ended.add_choice(rule.StringEquals("$.status.now", status), pause)
        told = self.notify(
            "TellSuccess",
            "Tapline: a new model waits for approval",
            format_(
                "The run {} has registered a model. See and approve it: python -m pipelines.registry list",
                "$.run.arn",
            ),
        )
        told.next(
            self.pass_(
                "Trained",
                {
                    "decision": "trained",
                    "reason.$": format_("{} new beers", "$.table.new_beers"),
                    "run.$": "$.run.arn",
                },
            )
        )
        ended.add_choice(rule.StringEquals("$.status.now", "Succeeded"), told)
        # Failed, Stopped, CompletedWithFailures and whatever AWS may add: never waited for without end.
        ended.default_choice(self.failed_run())
        return pause

    def failed_run(self) -> Any:
        """A run that ended without success: the first step that failed, and why."""
        listed = self.call(
            "FailedSteps",
            "aws-sdk:sagemaker:listPipelineExecutionSteps",
            {"PipelineExecutionArn.$": "$.run.arn", "SortOrder": "Ascending", "MaxResults": 100},
            "$.failed",
            {
                "names.$": "$.PipelineExecutionSteps[?(@.StepStatus=='Failed')].StepName",
                "reasons.$": "$.PipelineExecutionSteps[?(@.StepStatus=='Failed')].FailureReason",
            },
        )
        which = self.choice("WhichFailed")
        listed.next(which)
        stopped = self.pass_(
            "RunStopped",
            {
                "Error": "RunStopped",
                "Cause.$": format_("The run {} ended as {}.", "$.run.arn", "$.status.now"),
            },
            "$.error",
        )
        stopped.next(self.failed)
        broken = self.pass_(
            "RunFailed",
            {
                "Error": "RunFailed",
                "Cause.$": format_("{}: {} ({})", "$.failed.names[0]", "$.failed.reasons[0]", "$.run.arn"),
            },
            "$.error",
        )
        broken.next(self.failed)
        which.add_choice(self.present("$.failed.reasons[0]"), broken)
        which.default_choice(stopped)
        return listed

    def fail(self) -> Any:
        """Tell that it failed, then fail with the same words."""
        end = _with(self.steps.Fail("Failed"), ErrorPath="$.error.Error", CausePath="$.error.Cause")
        # If even telling fails, the state machine's own alarm remains.
        tell = self.call(
            "TellFailure",
            "sns:publish",
            {
                "TopicArn": "${TopicArn}",
                "Subject": "Tapline: retrain failed",
                "Message.$": "States.Format('{}: {}', $.error.Error, $.error.Cause)",
            },
            "$.told",
            catch=False,
        )
        tell.add_catch(self.steps.Catch(error_equals=["States.ALL"], result_path="$.told", next_step=end))
        tell.next(end)
        return tell

    def notify(self, name: str, subject: str, message: str) -> Any:
        """Publish to the notifications topic."""
        return self.call(
            name,
            "sns:publish",
            {"TopicArn": "${TopicArn}", "Subject": subject, "Message.$": message},
            "$.told",
        )

    def athena(self, name: str, query: str, result: str, token: str | None = None) -> Any:
        """Run a query to its end; the workgroup decides where results go and how much may be scanned."""
        parameters = {"QueryString.$": query, "WorkGroup": "${Workgroup}"}
        if token:
            parameters["ClientRequestToken.$"] = token
        selector = {"id.$": "$.QueryExecution.QueryExecutionId"}
        return self.call(name, "athena:startQueryExecution.sync", parameters, result, selector, timeout_seconds=HOUR)

    def call(
        self,
        name: str,
        integration: str,
        parameters: dict[str, Any],
        result_path: str,
        selector: dict[str, Any] | None = None,
        *,
        timeout_seconds: int = 60,
        catch: bool = True,
    ) -> Any:
        """A service call that is retried when the service is busy and, in the end, tells and fails."""
        task = self.steps.Task(
            name,
            resource=f"arn:aws:states:::{integration}",
            parameters=parameters,
            result_path=result_path,
            timeout_seconds=timeout_seconds,
        )
        retry = self.steps.Retry(error_equals=BUSY, interval_seconds=2, max_attempts=4, backoff_rate=2.0)
        task.add_retry(_with(retry, JitterStrategy="FULL", MaxDelaySeconds=60))
        if catch:
            task.add_catch(self.steps.Catch(error_equals=["States.ALL"], result_path="$.error", next_step=self.failed))
        return _with(task, ResultSelector=selector) if selector else task

    def choice(self, name: str) -> Any:
        """A choice state."""
        return self.steps.Choice(name)

    def present(self, path: str) -> Any:
        """The rule that a path leads to something."""
        return self.steps.choice_rule.ChoiceRule.IsPresent(path, True)

    def pass_(self, name: str, parameters: dict[str, Any], result_path: str = "$") -> Any:
        """A state that puts a value together."""
        return self.steps.Pass(name, parameters=parameters, result_path=result_path)

    def skip(self, name: str, reason: str) -> Any:
        """End well without a run, and say why."""
        return self.pass_(name, {"decision": "skipped", "reason.$": reason})


def _with(block: Any, **fields: Any) -> Any:
    """Fields of ASL that the SDK does not know (its last release is of 2022) on one of its blocks."""
    original = block.to_dict

    def to_dict() -> dict[str, Any]:
        return {**original(), **fields}

    block.to_dict = to_dict
    return block
