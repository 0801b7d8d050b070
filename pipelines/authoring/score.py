"""The state machine `score`: the newest approved model answers every beer of the table, in the table `predictions`.

    wait for the turn -> newest approved package -> query the table -> snapshot -> scoring job -> move the table
    -> requests -> monitoring job -> drift alarm and metrics (drift.py)

A run belongs to one model version and one state of the cleaned table. It has a prefix of its own, and a second start
for the same pair finds it there. One UpdateTable moves the table `predictions` to a complete run, so a reader sees all
of a run or all of the one before. Runs stay, as running queries read them.

Executions take turns, so that the table ends at the newest.
"""

from typing import Any

from pipelines.authoring import deploy, deploy_candidate, drift, notifications, retrain_inputs, snapshot
from pipelines.authoring.processing_job import processing
from pipelines.authoring.step_functions import StateMachine, added, chain, format_

COMMENT = "Newest approved model -> every beer of the table -> the table predictions -> drift"
# What UpdateTable takes of a described table. https://docs.aws.amazon.com/glue/latest/webapi/API_TableInput.html
TABLE_INPUT = ("Name", "Description", "TableType", "Parameters", "PartitionKeys", "StorageDescriptor")


def states() -> Any:
    """The first state, wired to all others."""
    s = StateMachine()
    s.failed = notifications.failure(s, "score")
    nothing = s.pass_("NothingToScore", {"decision": "skipped", "reason": "no model package is approved"})
    start = s.compute("Start", event="{'package': '', 'id': ''}", tried="[]", stop="false")
    version = "$string($states.result.ModelPackageVersion)"
    newest = deploy_candidate.newest_approved(s, table(s, move_table(s)), nothing, version)
    return chain(start, deploy.turn(s, newest))


def table(s: StateMachine, then: Any) -> Any:
    """Query the table; where the run is not there yet, take a snapshot and score it."""
    query = s.athena("QueryTable", format_(snapshot.figures(), "0", "'1970-01-01T00:00:00Z'"), "$.query")
    cell = "$states.result.ResultSet.Rows[1].Data[{}].VarCharValue".format
    read = s.jsonata(
        "ReadTable",
        "athena:getQueryResults",
        {"QueryExecutionId": "{% $states.input.query.id %}", "MaxResults": 2},
        added(
            table=f"{{'beers': $number({cell(0)}), 'rows': {cell(3)}, 'cut_off': {cell(4)}, "
            f"'first_day': {cell(6)}, 'last_day': {cell(7)}}}"
        ),
    )
    # The newest delivery and the number of rows identify the content of a table to which rows are only added.
    run = s.compute(
        "Run",
        run="{'uri': 's3://${ArtifactBucket}/predictions/v' & $states.input.package.version & '-' "
        "& $substring($hash($states.input.table.cut_off & ' ' & $states.input.table.rows, 'SHA-256'), 0, 16) & '/'}",
        decision="'unchanged'",
    )
    scored = retrain_inputs.take_snapshot(s, snapshot.unload("delivered", "arrived"), job(s, then))
    there = retrain_inputs.objects(s, "RunObjects", "run.uri")
    found = (s.rule.NumericGreaterThan("$.found.objects", 0), then)
    chain(run, there, s.choice("IsScored", found, otherwise=scored))
    empty = s.pass_("SkipNoBeers", {"decision": "skipped", "reason": "the table has no beers yet"})
    has_beers = (s.rule.NumericEquals("$.table.beers", 0), empty)
    return chain(query, read, s.choice("HasBeers", has_beers, otherwise=run))


def job(s: StateMachine, then: Any) -> Any:
    """The processing job evaluation/score.py, without network, on the snapshot and the package's artifact."""
    inputs = {
        "code": "s3://${ArtifactBucket}/${PipelineName}/${EvaluationCode}",
        "model": "{% $states.input.package.model %}",
        "data": "{% $states.input.data.uri %}",
    }
    request = processing(
        "score.py",
        inputs,
        {"predictions": "{% $states.input.run.uri %}"},
        [
            *("--sha256", "{% $states.input.package.sha256 %}"),
            *("--model-version", "{% $states.input.package.version %}"),
            *("--cut-off", "{% $states.input.table.cut_off %}"),
        ],
    )
    return chain(s.job("ScoreTable", request, added(decision="'scored'")), then)


def move_table(s: StateMachine) -> Any:
    """Point the table `predictions` at the run; one call, so no reader sees a part of it."""
    names = {"DatabaseName": "${GlueDatabase}", "Name": "${PredictionsTable}"}
    named = ", ".join(f"'{name}'" for name in TABLE_INPUT)
    moved = f"""$merge([
        $sift($states.result.Table, function($v, $k) {{$k in [{named}]}}),
        {{'StorageDescriptor': $merge([$states.result.Table.StorageDescriptor, {{'Location': $states.input.run.uri}}])}}
    ])"""
    read = s.jsonata("PredictionsTable", "aws-sdk:glue:getTable", names, added(predictions=moved))
    update = s.jsonata(
        "MovePredictions",
        "aws-sdk:glue:updateTable",
        {
            "DatabaseName": "${GlueDatabase}",
            "TableInput": "{% $states.input.predictions %}",
            "SkipArchive": True,
        },
        "{% $states.input %}",
    )
    end = s.pass_(
        "Scored",
        {
            "decision.$": "$.decision",
            "version.$": "$.package.version",
            "uri.$": "$.run.uri",
            "beers.$": "$.table.beers",
            "cut_off.$": "$.table.cut_off",
            "drift": {"drifted.$": "$.found.drifted", "sentence.$": "$.found.sentence", "uri.$": "$.drift.uri"},
        },
    )
    return chain(read, update, drift.measure(s, end))
