"""The state machine `retrain`: decide whether to train, take a snapshot, run the pipeline, tell how it ended.

    decide -> look at the table -> champion -> snapshot -> pipeline run -> tell

Nothing locks, so nothing can be left locked: every execution reads the latest pipeline run and starts the next with a
token made from it. Two executions that saw the same latest run make the same start, and the service runs it once; the
snapshot is shared in the same way, by Athena's own token.

A phase is a function that takes the state which follows it and returns its own first one, so the file reads from the
end to the beginning.
"""

from typing import Any

from pipelines.authoring import notifications, snapshot
from pipelines.authoring.step_functions import States, chain, format_

COMMENT = "New data -> decide -> snapshot -> pipeline run -> notification"
# A member of the execution's input: {"force": true} trains whatever the table holds, unless a run is under way.
FORCE = "force"


def states() -> Any:
    """The first state, wired to all others."""
    s = States()
    s.failed = notifications.failure(s)
    skipped = notifications.skip(s)
    training = champion(s, data(s, run(s, notifications.run(s))))
    return decide(s, look(s, training, skipped), skipped)


def run(s: States, then: Any) -> Any:
    """Start the pipeline on the data, once for all that have seen the same latest run."""
    start = s.call(
        "StartRun",
        "aws-sdk:sagemaker:startPipelineExecution",
        {
            "PipelineName": "${PipelineName}",
            "ClientRequestToken.$": "$.token.start",
            "PipelineExecutionDescription.$": format_("Data up to {}", "$.table.cut_off"),
            "PipelineParameters": [
                {"Name": "InputData", "Value.$": "$.data.uri"},
                {"Name": "CutOff", "Value.$": "$.table.cut_off"},
                {"Name": "Rows", "Value.$": "$.table.rows"},
                {"Name": "DistinctBeers", "Value.$": "States.Format('{}', $.table.beers)"},
                {"Name": "ChampionModel", "Value.$": "$.champion.uri"},
            ],
        },
        "$.run",
        {"arn.$": "$.PipelineExecutionArn"},
    )
    return chain(start, then)


def data(s: States, then: Any) -> Any:
    """The snapshot to train from: the last run's where the table is still the same, so that it is not done again."""
    # The hour lets a snapshot be taken anew; within it, the same question is the same query. Tokens are the account's,
    # so the pipeline's name keeps environments apart (start.py makes the same ones for a run by hand).
    token = s.pass_(
        "Token",
        {
            "snapshot.$": "States.Hash(States.Format('${PipelineName} {} {} {}', $.table.cut_off, $.table.rows,"
            " States.ArrayGetItem(States.StringSplit($$.State.EnteredTime, ':'), 0)), 'SHA-256')",
            "start.$": "States.Hash(States.Format('${PipelineName} {}', $.last.arn), 'SHA-256')",
        },
        "$.token",
    )
    taken = s.athena(
        "Snapshot",
        format_(snapshot.unload(), "$.table.cut_off", "$.token.snapshot"),
        "$.unload",
        # Another try is another query; with the same token Athena would answer with the one that has failed.
        token="States.Hash(States.Format('{} {}', $.token.snapshot, $$.State.RetryCount), 'SHA-256')",
    )
    new = s.pass_(
        "NewSnapshot",
        {"uri.$": "States.Format('s3://${ArtifactBucket}/snapshots/{}/', $.token.snapshot)"},
        "$.data",
    )
    taken = chain(taken, new, then)
    same = s.pass_("SameSnapshot", {"uri.$": "$.last.input[0]"}, "$.data")
    # Snapshots expire (SnapshotExpirationInDays).
    there = objects(s, "SnapshotObjects", "data.uri", taken)
    found = (s.rule.NumericGreaterThan("$.found.objects", 0), then)
    chain(same, there, s.choice("HasSnapshot", found, otherwise=taken))
    # In a table that is only added to, newest delivery and number of rows name the content.
    unchanged = s.rule.And(
        [
            s.present("$.last.input[0]"),
            s.present("$.last.cut_off[0]"),
            s.present("$.last.rows[0]"),
            s.rule.StringEqualsPath("$.last.cut_off[0]", "$.table.cut_off"),
            s.rule.StringEqualsPath("$.last.rows[0]", "$.table.rows"),
        ]
    )
    return chain(token, s.choice("SameData", (unchanged, same), otherwise=taken))


def champion(s: States, then: Any) -> Any:
    """The latest approved model, when there is one and its artifact can be found."""
    packages = s.call(
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
    describe = s.call(
        "ChampionModel",
        "aws-sdk:sagemaker:describeModelPackage",
        {"ModelPackageName.$": "$.approved.arns[0]"},
        "$.champion",
        {"uri.$": "$.InferenceSpecification.Containers[0].ModelDataUrl"},
    )
    none = chain(s.pass_("NoChampion", {"uri": "${NoChampionUri}"}, "$.champion"), then)
    # A job whose input is not there fails before it begins, and a champion that is gone must not block its successor.
    # One that may not be looked at is another matter: to leave it out would open the gate.
    lost = chain(s.pass_("LostChampion", {"uri": "${LostChampionUri}"}, "$.champion"), then)
    there = objects(s, "ChampionArtifact", "champion.uri", lost)
    found = (s.rule.NumericGreaterThan("$.found.objects", 0), then)
    chain(describe, there, s.choice("HasArtifact", found, otherwise=lost))
    return chain(packages, s.choice("HasChampion", (s.present("$.approved.arns[0]"), describe), otherwise=none))


def objects(s: States, name: str, uri: str, none: Any) -> Any:
    """Whether anything lies at an S3 address, by its name in the state's input; none: where no bucket leads."""
    address = f"$states.input.{uri}"
    return s.jsonata(
        name,
        "aws-sdk:s3:listObjectsV2",
        {
            "Bucket": f"{{% $split({address}, '/')[2] %}}",
            "Prefix": f"{{% $substringAfter($substringAfter({address}, 's3://'), '/') %}}",
            "MaxKeys": 1,
        },
        "{% $merge([$states.input, {'found': {'objects': $states.result.KeyCount}}]) %}",
        {"S3.NoSuchBucketException": none},
    )


def look(s: States, then: Any, skipped: Any) -> Any:
    """Count the beers, then skip for a reason or go on."""
    query = s.athena("Look", format_(snapshot.LOOK, "$.last.beers", "$.last.start"), "$.look")
    cell = "$.ResultSet.Rows[1].Data[{}].VarCharValue".format
    result = s.call(
        "LookResult",
        "athena:getQueryResults",
        {"QueryExecutionId.$": "$.look.id", "MaxResults": 2},
        "$.table",
        {
            "beers.$": f"States.StringToJson({cell(0)})",
            "new_beers.$": f"States.StringToJson({cell(1)})",
            "rows.$": cell(2),
            "cut_off.$": cell(3),
            "minutes.$": f"States.StringToJson({cell(4)})",
        },
    )
    forced = s.rule.And([s.present(f"$.{FORCE}"), s.rule.BooleanEquals(f"$.{FORCE}", True)])
    too_soon = format_(
        "too soon: {} minutes since the last run, {} are asked for",
        "$.table.minutes",
        "$.settings.MinMinutesBetweenRuns",
    )
    too_few = format_(
        "too few new beers: {} since the last successful run, {} are asked for",
        "$.table.new_beers",
        "$.settings.MinNewBeers",
    )
    worth = s.choice(
        "WorthIt",
        (forced, then),
        (
            s.rule.NumericLessThanPath("$.table.minutes", "$.settings.MinMinutesBetweenRuns"),
            skip(s, "SkipTooSoon", too_soon, skipped),
        ),
        (
            s.rule.NumericLessThanPath("$.table.new_beers", "$.settings.MinNewBeers"),
            skip(s, "SkipFewBeers", too_few, skipped),
        ),
        otherwise=then,
    )
    return chain(query, result, worth)


def decide(s: States, then: Any, skipped: Any) -> Any:
    """Skip while a run is under way; otherwise find what the last run, and the last that succeeded, knew."""
    settings = s.pass_(
        "Settings",
        # Substituted values are texts; numbers are made here, once.
        {
            "MinNewBeers.$": "States.StringToJson('${MinNewBeers}')",
            "MinMinutesBetweenRuns.$": "States.StringToJson('${MinMinutesBetweenRuns}')",
        },
        "$.settings",
    )
    last_runs = s.call(
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
    nothing: dict[str, Any] = {"beers": "0", "input": [], "cut_off": [], "rows": []}
    no_run = s.pass_("NoRunYet", {"arn": "none", "start": "1970-01-01T00:00:00Z", **nothing}, "$.last")
    chain(no_run, then)
    under_way = s.choice(
        "UnderWay",
        (
            s.present("$.runs.under_way[0]"),
            skip(s, "SkipUnderWay", format_("a run is under way: {}", "$.runs.under_way[0]"), skipped),
        ),
        otherwise=s.choice("RanBefore", (s.present("$.runs.arns[0]"), last_run(s, then)), otherwise=no_run),
    )
    return chain(settings, last_runs, under_way)


def last_run(s: States, then: Any) -> Any:
    """What the last run was given, and how many beers the last that succeeded knew."""

    def given(name: str, arn: str, result: str, **members: str) -> Any:
        selector = {f"{key}.$": f"$.PipelineParameters[?(@.Name=='{each}')].Value" for key, each in members.items()}
        integration = "aws-sdk:sagemaker:listPipelineParametersForExecution"
        # AWS answers a few at a time unless asked for all.
        return s.call(name, integration, {"PipelineExecutionArn.$": arn, "MaxResults": 100}, result, selector)

    last = s.pass_(
        "LastRun",
        {
            "arn.$": "$.runs.arns[0]",
            "start.$": "$.runs.starts[0]",
            "beers": "0",
            "input.$": "$.given.input",
            "cut_off.$": "$.given.cut_off",
            "rows.$": "$.given.rows",
        },
        "$.last",
    )
    success_ = given("LastSuccess", "$.runs.succeeded[0]", "$.success", beers="DistinctBeers")
    counted = s.copy("LastSuccessBeers", "$.success.beers[0]", "$.last.beers")
    known = (s.present("$.success.beers[0]"), chain(counted, then))
    chain(success_, s.choice("BeersKnown", known, otherwise=then))
    before = s.choice("SucceededBefore", (s.present("$.runs.succeeded[0]"), success_), otherwise=then)
    first = given("LastGiven", "$.runs.arns[0]", "$.given", input="InputData", cut_off="CutOff", rows="Rows")
    return chain(first, last, before)


def skip(s: States, name: str, reason: str, skipped: Any) -> Any:
    """End well without a run, and say why."""
    return chain(s.pass_(name, {"decision": "skipped", "reason.$": reason}), skipped)
