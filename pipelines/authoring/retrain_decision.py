"""The first half of the state machine `retrain`: what the latest run knew, what the table holds, whether to train."""

from typing import Any

from pipelines.authoring import snapshot
from pipelines.authoring.step_functions import StateMachine, added, chain, format_

# A failed run is started again on the same data so many times, after RetryMinutes, twice that, and so on.
MAX_RETRIES = 5
SETTINGS = ("MinBeers", "MinNewBeers", "MinMinutesBetweenRuns", "RetryMinutes")
UNDER_WAY = ("Executing", "Stopping")
NO_RUN = "{'arn': 'none', 'start': '1970-01-01T00:00:00Z', 'failed': false}"
# Parameters of a run that another program started, where it gave none.
DEFAULTS = "{'InputData': '', 'CutOff': '', 'Rows': '', 'DistinctBeers': '0', 'Attempt': '0'}"


def latest_run(s: StateMachine, then: Any, skipped: Any) -> Any:
    """Skip while a run is under way; otherwise read the latest run: its parameters, and whether it failed."""
    settings = s.compute(
        "Settings",
        # Substitutions are texts.
        settings="{" + ", ".join(f"'{name}': $number('${{{name}}}')" for name in SETTINGS) + "}",
        given="$exists($states.input.parameters) ? $states.input.parameters : {}",
    )
    runs = s.jsonata(
        "LatestRuns",
        "aws-sdk:sagemaker:listPipelineExecutions",
        {"PipelineName": "${PipelineName}", "SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 100},
        added(
            runs=f"""{{
                'under_way': [$states.result.PipelineExecutionSummaries[PipelineExecutionStatus in {list(UNDER_WAY)}]
                    .PipelineExecutionArn],
                'latest': [$states.result.PipelineExecutionSummaries[0].{{
                    'arn': PipelineExecutionArn, 'start': StartTime, 'failed': PipelineExecutionStatus = 'Failed'}}]
            }}"""
        ),
    )
    none = chain(s.compute("NoRunYet", last=f"$merge([{DEFAULTS}, {NO_RUN}])"), then)
    reason = format_("a run is under way: {}", "$.runs.under_way[0]")
    choice = s.choice(
        "IsRunUnderWay",
        (s.present("$.runs.under_way[0]"), skip(s, "SkipUnderWay", reason, skipped)),
        (s.present("$.runs.latest[0]"), latest_parameters(s, then)),
        otherwise=none,
    )
    return chain(settings, runs, choice)


def latest_parameters(s: StateMachine, then: Any) -> Any:
    """The latest run's parameters. A run that the gate rejected has not failed: its data were trained on."""
    given = s.jsonata(
        "LatestParameters",
        "aws-sdk:sagemaker:listPipelineParametersForExecution",
        # The default is 10. https://docs.aws.amazon.com/sagemaker/latest/APIReference/
        {"PipelineExecutionArn": "{% $states.input.runs.latest[0].arn %}", "MaxResults": 100},
        added(
            last=f"$merge([{DEFAULTS}, $states.result.PipelineParameters.{{Name: Value}}, "
            "$states.input.runs.latest[0]])"
        ),
    )
    steps = s.jsonata(
        "LatestSteps",
        "aws-sdk:sagemaker:listPipelineExecutionSteps",
        {"PipelineExecutionArn": "{% $states.input.last.arn %}", "SortOrder": "Ascending", "MaxResults": 100},
        added(
            last="$merge([$states.input.last, {'failed': "
            "$not('Reject' in $states.result.PipelineExecutionSteps.StepName)}])"
        ),
    )
    failed = s.choice("HasLatestFailed", (s.is_true("$.last.failed"), chain(steps, then)), otherwise=then)
    return chain(given, failed)


def decide(s: StateMachine, then: Any, skipped: Any) -> Any:
    """Query the table; then train on it, train again on the data of a failed run, or skip with the reason."""
    query = s.athena("QueryTable", format_(snapshot.figures(), "$.last.DistinctBeers", "$.last.start"), "$.query")
    cell = "$states.result.ResultSet.Rows[1].Data[{}].VarCharValue".format
    table = s.jsonata(
        "ReadTable",
        "athena:getQueryResults",
        {"QueryExecutionId": "{% $states.input.query.id %}", "MaxResults": 2},
        added(
            table=f"""{{
                'beers': $number({cell(0)}), 'labelled': $number({cell(1)}), 'new_beers': $number({cell(2)}),
                'rows': {cell(3)}, 'cut_off': {cell(4)}, 'minutes': $number({cell(5)}),
                'first_day': {cell(6)}, 'last_day': {cell(7)}
            }}""",
            # A clock that was ahead: the time since the latest run is not known, and blocks nothing.
            minutes=f"$number({cell(5)}) < 0 ? 1000000000 : $number({cell(5)})",
            clock=f"$number({cell(5)}) < 0 ? '; the time since the latest run is unknown: its clock was ahead' : ''",
            backoff="$states.input.settings.RetryMinutes * $power(2, $number($states.input.last.Attempt))",
        ),
    )
    return chain(query, table, rules(s, then, skipped))


def rules(s: StateMachine, then: Any, skipped: Any) -> Any:
    """The decision on the figures of the table."""
    new = s.compute(
        "NewData", attempt="0", why="$string($states.input.table.new_beers) & ' new beers' & $states.input.clock"
    )
    chain(new, then)
    return s.choice(
        "IsWorthTraining",
        (s.present("$.given.InputData"), new),
        (s.rule.NumericEquals("$.table.beers", 0), no_beers(s, skipped)),
        (s.is_true("$.force"), new),
        (s.rule.NumericLessThanPath("$.minutes", "$.settings.MinMinutesBetweenRuns"), too_soon(s, skipped)),
        (s.rule.NumericLessThanPath("$.table.labelled", "$.settings.MinBeers"), too_few_labelled(s, skipped)),
        (s.rule.NumericGreaterThanEqualsPath("$.table.new_beers", "$.settings.MinNewBeers"), new),
        (s.is_true("$.last.failed"), retry(s, then, skipped)),
        otherwise=too_few_new(s, skipped),
    )


def retry(s: StateMachine, then: Any, skipped: Any) -> Any:
    """The data of a failed run again, after an exponential backoff, until MAX_RETRIES; then wait for new data."""
    again = s.compute(
        "RetryData",
        attempt="$number($states.input.last.Attempt) + 1",
        why=f"'retry ' & $string($number($states.input.last.Attempt) + 1) & "
        f"' of {MAX_RETRIES} on the same data' & $states.input.clock",
        table="$merge([$states.input.table, {'beers': $number($states.input.last.DistinctBeers), "
        "'rows': $states.input.last.Rows, 'cut_off': $states.input.last.CutOff}])",
    )
    chain(again, then)
    backoff = format_("the latest run failed {} minutes ago and is retried after {}", "$.table.minutes", "$.backoff")
    given_up = format_(
        f"the latest run failed after {MAX_RETRIES} retries; {{}} new beers since, {{}} are needed",
        "$.table.new_beers",
        "$.settings.MinNewBeers",
    )
    return s.choice(
        "IsRetryDue",
        (s.rule.StringEquals("$.last.Attempt", str(MAX_RETRIES)), skip(s, "SkipGivenUp", given_up, skipped)),
        (s.rule.StringEquals("$.last.CutOff", ""), too_few_new(s, skipped, "SkipUnknownData")),
        (s.rule.NumericLessThanPath("$.minutes", "$.backoff"), skip(s, "SkipBackoff", backoff, skipped)),
        otherwise=again,
    )


def no_beers(s: StateMachine, skipped: Any) -> Any:
    """Skip, even if forced: a snapshot of an empty table has no object, and a job's input must exist."""
    return chain(s.pass_("SkipNoBeers", {"decision": "skipped", "reason": "the table has no beers yet"}), skipped)


def too_soon(s: StateMachine, skipped: Any) -> Any:
    """Skip: the latest run has started not long ago."""
    reason = format_(
        "too soon: {} minutes since the latest run, {} are needed",
        "$.table.minutes",
        "$.settings.MinMinutesBetweenRuns",
    )
    return skip(s, "SkipTooSoon", reason, skipped)


def too_few_labelled(s: StateMachine, skipped: Any) -> Any:
    """Skip: Preprocess would fail with the same threshold, which the run gets as its parameter."""
    reason = format_("too few beers: {} with a bitterness, {} are needed", "$.table.labelled", "$.settings.MinBeers")
    return skip(s, "SkipFewLabelled", reason, skipped)


def too_few_new(s: StateMachine, skipped: Any, name: str = "SkipFewBeers") -> Any:
    """Skip: the table has hardly more beers than the latest run knew."""
    reason = format_(
        "too few new beers: {} since the latest run, {} are needed", "$.table.new_beers", "$.settings.MinNewBeers"
    )
    return skip(s, name, reason, skipped)


def skip(s: StateMachine, name: str, reason: str, skipped: Any) -> Any:
    """End the execution without a run, with the reason."""
    return chain(s.pass_(name, {"decision": "skipped", "reason.$": reason}), skipped)
