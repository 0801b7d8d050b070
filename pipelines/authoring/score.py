"""The state machine `score`: the newest approved model answers every beer of the table, in the table `predictions`.

    wait for the turn -> newest approved package -> query the table -> snapshot -> processing job -> move the table

A run belongs to one model version and one state of the cleaned table. It has a prefix of its own, and a second start
for the same pair finds it there. One UpdateTable moves the table `predictions` to a complete run, so a reader sees all
of a run or all of the one before. Runs stay, as running queries read them.

Executions take turns, so that the table ends at the newest.
"""

from typing import Any

from pipelines.authoring import deploy, deploy_candidate, notifications, retrain_inputs, snapshot
from pipelines.authoring.step_functions import StateMachine, added, chain, expression, format_

COMMENT = "Newest approved model -> every beer of the table -> the table predictions"
HOME = "/opt/ml/processing"
# What UpdateTable takes of a described table. https://docs.aws.amazon.com/glue/latest/webapi/API_TableInput.html
TABLE_INPUT = ("Name", "Description", "TableType", "Parameters", "PartitionKeys", "StorageDescriptor")


def states() -> Any:
    """The first state, wired to all others."""
    s = StateMachine()
    s.failed = notifications.failure(s, "score")
    nothing = s.pass_("NothingToScore", {"decision": "skipped", "reason": "no model package is approved"})
    start = s.compute("Start", event="{'package': '', 'id': ''}", tried="[]")
    return chain(start, deploy.turn(s, deploy_candidate.newest_approved(s, table(s, move_table(s)), nothing)))


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
    arguments = processing(
        "score.py",
        inputs,
        {"predictions": "{% $states.input.run.uri %}"},
        [
            *("--sha256", "{% $states.input.package.sha256 %}"),
            *("--model-version", "{% $states.input.package.version %}"),
            *("--cut-off", "{% $states.input.table.cut_off %}"),
        ],
    )
    return chain(s.job("ScoreTable", arguments, added(decision="'scored'")), then)


def processing(script: str, inputs: dict[str, str], outputs: dict[str, str], arguments: list[str]) -> dict[str, Any]:
    """CreateProcessingJob's request. inputs, outputs: name, which is a folder of the container, -> S3 address.

    A name is used once in an account and region, so every try has a name of its own.
    """
    kms = "'${KmsKeyArn}' = '' ? {} : {'%s': '${KmsKeyArn}'}"
    tried = "$states.context.Execution.Id & ' ' & $string($states.context.State.RetryCount)"
    listed = ", ".join(
        f"{{'OutputName': '{name}', 'S3Output': {{'LocalPath': '{HOME}/output/{name}', 'S3UploadMode': 'EndOfJob', "
        f"'S3Uri': {address.strip('{%} ')}}}}}"
        for name, address in outputs.items()
    )
    cluster = "{'InstanceCount': 1, 'InstanceType': '${ScoringInstanceType}', 'VolumeSizeInGB': 30}"
    return {
        "ProcessingJobName": expression(f"'${{EndpointPrefix}}-score-' & $substring($hash({tried}, 'SHA-256'), 0, 10)"),
        "RoleArn": "${ScoringRoleArn}",
        "AppSpecification": {
            "ImageUri": "${ImageUri}",
            "ContainerEntrypoint": ["python3", f"{HOME}/input/code/{script}"],
            "ContainerArguments": arguments,
        },
        "ProcessingInputs": [
            {
                "InputName": name,
                "S3Input": {
                    "S3Uri": address,
                    "LocalPath": f"{HOME}/input/{name}",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
            for name, address in inputs.items()
        ],
        "ProcessingOutputConfig": expression(f"$merge([{{'Outputs': [{listed}]}}, {kms % 'KmsKeyId'}])"),
        "ProcessingResources": {"ClusterConfig": expression(f"$merge([{cluster}, {kms % 'VolumeKmsKeyId'}])")},
        "NetworkConfig": {"EnableNetworkIsolation": True},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }


def move_table(s: StateMachine) -> Any:
    """Point the table `predictions` at the run; one call, so no reader sees a part of it."""
    names = {"DatabaseName": "${GlueDatabase}", "Name": "${PredictionsTable}"}
    kept = ", ".join(f"'{name}'" for name in TABLE_INPUT)
    moved = f"""$merge([
        $sift($states.result.Table, function($v, $k) {{$k in [{kept}]}}),
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
        },
    )
    return chain(read, update, end)
