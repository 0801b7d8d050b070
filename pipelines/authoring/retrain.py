"""The state machine `retrain`: decide whether to train, take a snapshot, run the pipeline, notify.

    read the latest run -> query the table -> decide -> snapshot -> champion -> start the run -> wait -> notify

There is no lock: every execution reads the latest pipeline run and derives the start's ClientRequestToken from it, so
executions that read the same latest run send the same token and at most one of them starts a run.

Input, all optional: {"force": true} trains whatever the table holds, unless a run is under way; {"parameters": {...}}
are parameters of the run.

A phase is a function that takes the state after it and returns its own first state, so the file reads backwards.
"""

from typing import Any

from pipelines.authoring import notifications, retrain_decision, retrain_inputs
from pipelines.authoring.step_functions import StateMachine, added, chain, expression

COMMENT = "New data -> decide -> snapshot -> pipeline run -> notification"


def states() -> Any:
    """The first state, wired to all others."""
    s = StateMachine()
    s.failed = notifications.failure(s)
    skipped = notifications.skip(s)
    start = run(s, notifications.run(s), skipped)
    training = retrain_inputs.champion(s, retrain_inputs.data(s, start))
    return retrain_decision.latest_run(s, retrain_decision.decide(s, training, skipped), skipped)


def run(s: StateMachine, then: Any, skipped: Any) -> Any:
    """Start the pipeline. Where another execution has started the run for the same latest run, skip.

    AWS does not document the answer to a token that is used again with other parameters: the first run, which then has
    other data than ours, or an error.
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StartPipelineExecution.html
    """
    elsewhere = s.pass_(
        "SkipStartedElsewhere",
        {"decision": "skipped", "reason.$": "States.Format('another execution started the run {}', $.run.arn)"},
    )
    chain(elsewhere, skipped)
    started = s.jsonata(
        "StartedRun",
        "aws-sdk:sagemaker:listPipelineParametersForExecution",
        {"PipelineExecutionArn": "{% $states.input.run.arn %}", "MaxResults": 100},
        added(started="{'data': $merge($states.result.PipelineParameters.{Name: Value}).InputData}"),
    )
    ours = (s.rule.StringEqualsPath("$.started.data", "$.parameters.InputData"), then)
    chain(started, s.choice("IsOurRun", ours, otherwise=elsewhere))
    start = s.jsonata(
        "StartRun",
        "aws-sdk:sagemaker:startPipelineExecution",
        {
            "PipelineName": "${PipelineName}",
            "ClientRequestToken": expression("$hash('${PipelineName} ' & $states.input.last.arn, 'SHA-256')"),
            "PipelineExecutionDescription": expression("'Data up to ' & $states.input.parameters.CutOff"),
            "PipelineParameters": expression(
                "$each($states.input.parameters, function($v, $k) {{'Name': $k, 'Value': $v}})"
            ),
        },
        added(run="{'arn': $states.result.PipelineExecutionArn}"),
        otherwise=refused_start(s, elsewhere),
    )
    return chain(parameters(s), start, started)


def parameters(s: StateMachine) -> Any:
    """The run's parameters; those of the input take precedence."""
    return s.compute(
        "Parameters",
        parameters="""$merge([{
            'InputData': $states.input.data.uri,
            'CutOff': $states.input.table.cut_off,
            'Rows': $states.input.table.rows,
            'DistinctBeers': $string($states.input.table.beers),
            'MinBeers': $string($states.input.settings.MinBeers),
            'ChampionModel': $states.input.champion.uri,
            'ChampionSha256': $states.input.champion.sha256,
            'ChampionVersion': $states.input.champion.version,
            'ChampionAccumulatedLoss': $states.input.champion.loss,
            'Attempt': $string($states.input.attempt)
        }, $states.input.given])""",
    )


def refused_start(s: StateMachine, elsewhere: Any) -> Any:
    """After a refused start: there is a newer run, which another execution started, or the start has failed."""
    newest = s.jsonata(
        "NewestRun",
        "aws-sdk:sagemaker:listPipelineExecutions",
        {"PipelineName": "${PipelineName}", "SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 1},
        added(run="{'arn': $append($states.result.PipelineExecutionSummaries.PipelineExecutionArn, ['none'])[0]}"),
    )
    same = s.rule.Or([s.rule.StringEqualsPath("$.run.arn", "$.last.arn"), s.rule.StringEquals("$.run.arn", "none")])
    return chain(newest, s.choice("IsNewerRun", (same, s.failed), otherwise=elsewhere))
