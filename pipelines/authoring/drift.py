"""The second half of the state machine `score`: what is asked and what arrived, compared with what was trained on.

    requests -> monitoring job -> drift alarm with the drifted columns -> metrics -> perhaps retrain

Requests to an endpoint on instances are captured in S3. A serverless endpoint has no data capture: its log has the same
lines, and at most PAGES x LINES of them are copied beside the result.
https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
"""

from typing import Any

from pipelines.authoring.processing_job import processing
from pipelines.authoring.step_functions import StateMachine, added, chain, expression

# Lines of a page: a state's input has at most 256 KiB. https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
LINES, PAGES = 100, 100
DAY = 86_400_000
NAMESPACE = "Tapline/Drift"
BUCKET = "${ArtifactBucket}"


def measure(s: StateMachine, then: Any) -> Any:
    """Collect the requests of yesterday and today (UTC), run the monitoring job, publish what has drifted."""
    check = job(s, publish(s, then))
    stamp = "$replace($substringBefore($now(), '.'), ':', '-')"
    begin = s.compute(
        "DriftCheck",
        drift=f"{{'uri': 's3://{BUCKET}/monitoring/' & {stamp} & '-' "
        "& $substring($hash($states.context.Execution.Id, 'SHA-256'), 0, 8) & '/'}",
        today=f"{{'uri': {captured('$millis()')}}}",
        yesterday=f"{{'uri': {captured(f'$millis() - {DAY}')}}}",
        since=f"$toMillis($substring($now(), 0, 10) & 'T00:00:00.000Z') - {DAY}",
        serving="'${Serving}'",
        pages="0",
        sources="[]",
    )
    on_instances = chain(captured_requests(s, "yesterday"), captured_requests(s, "today"), check)
    kind = s.choice(
        "RequestsOfKind",
        (s.rule.StringEquals("$.serving", "serverless"), logged_requests(s, check)),
        (s.rule.StringEquals("$.serving", "instance"), on_instances),
        otherwise=check,
    )
    return chain(begin, kind)


def captured(time: str) -> str:
    """The prefix of the data capture of a day. time: epoch milliseconds, a JSONata expression."""
    day = f"$fromMillis({time}, '[Y0001]/[M01]/[D01]')"
    return f"'s3://{BUCKET}/captures/${{EndpointName}}/AllTraffic/' & {day} & '/'"


def captured_requests(s: StateMachine, day: str) -> Any:
    """Add a day's prefix of the data capture to the sources if there is an object: a job's input must exist."""
    uri = f"$states.input.{day}.uri"
    return s.jsonata(
        f"Captured{day.capitalize()}",
        "aws-sdk:s3:listObjectsV2",
        {"Bucket": BUCKET, "Prefix": key(uri), "MaxKeys": 1},
        added(sources=f"$states.result.KeyCount > 0 ? $append($states.input.sources, [{uri}]) : $states.input.sources"),
    )


def logged_requests(s: StateMachine, then: Any) -> Any:
    """Copy the log's lines page by page; without a log group nothing was asked."""
    integration = "aws-sdk:cloudwatchlogs:filterLogEvents"
    request = {
        "LogGroupName": "/aws/sagemaker/Endpoints/${EndpointName}",
        "FilterPattern": '"captureData"',
        "StartTime": "{% $states.input.since %}",
        "Limit": LINES,
    }
    output = added(lines="[$states.result.Events.Message]", next="[$states.result.NextToken]")
    first = s.jsonata("LoggedRequests", integration, request, output, {"States.ALL": then})
    token = {"NextToken": "{% $states.input.next[0] %}"}
    more = s.jsonata("MoreLoggedRequests", integration, {**request, **token}, output, {"States.ALL": then})
    copy = s.jsonata(
        "CopyRequests",
        "aws-sdk:s3:putObject",
        {
            "Bucket": BUCKET,
            "Key": key("$states.input.drift.uri", "'requests/' & $string($states.input.pages) & '.json'"),
            # An object, as a text might be written with quotes.
            "Body": {"lines": "{% $states.input.lines %}"},
        },
        added(pages="$states.input.pages + 1", lines="[]", sources="[$states.input.drift.uri & 'requests/']"),
    )
    unread = s.rule.And([s.present("$.next[0]"), s.rule.NumericLessThan("$.pages", PAGES)])
    page = s.choice("HasMoreRequests", (unread, more), otherwise=then)
    read = s.choice("HasRequests", (s.present("$.lines[0]"), chain(copy, page)), otherwise=page)
    chain(more, read)
    return chain(first, read)


def job(s: StateMachine, then: Any) -> Any:
    """The processing job evaluation/monitor.py, and its result."""
    request = processing(
        "monitor.py",
        {
            "code": f"s3://{BUCKET}/${{PipelineName}}/${{EvaluationCode}}",
            "model": "{% $states.input.package.model %}",
            "predictions": "{% $states.input.run.uri %}",
        },
        {"drift": "{% $states.input.drift.uri %}"},
        [
            *("--sha256", "{% $states.input.package.sha256 %}"),
            *("--model-version", "{% $states.input.package.version %}"),
            *("--trained-up-to", "{% $states.input.package.cut_off %}"),
        ],
        more="$states.input.sources",
    )
    read = s.jsonata(
        "ReadDrift",
        "aws-sdk:s3:getObject",
        {"Bucket": BUCKET, "Key": key("$states.input.drift.uri", "'drift.json'")},
        added(
            found="""{
                'drifted': [$parse($states.result.Body).drifted],
                'values': [$parse($states.result.Body).values],
                'sentence': $parse($states.result.Body).sentence
            }"""
        ),
    )
    return chain(s.job("MeasureDrift", request, "{% $states.input %}"), read, then)


def publish(s: StateMachine, then: Any) -> Any:
    """The alarm's state with the drifted columns as its reason, the metrics that keep it so, and perhaps retrain.

    The reason is in the alarm's notification. It is set before the metrics are put: on them the alarm changes its state
    by itself, with a reason that names no column.
    """
    alarm = s.jsonata(
        "SetDriftAlarm",
        "aws-sdk:cloudwatch:setAlarmState",
        {
            "AlarmName": "${DriftAlarm}",
            "StateValue": "{% $exists($states.input.found.drifted[0]) ? 'ALARM' : 'OK' %}",
            "StateReason": "{% $substring($states.input.found.sentence, 0, 1000) %}",
        },
        "{% $states.input %}",
    )
    endpoint = "{'Name': 'EndpointName', 'Value': '${EndpointName}'}"
    dimensions = f"[{endpoint}, {{'Name': 'Source', 'Value': $v.source}}, {{'Name': 'Column', 'Value': $v.column}}]"
    datum = f"{{'MetricName': 'Drift', 'Value': $v.value, 'Dimensions': {dimensions}}}"
    columns = f"$map($states.input.found.values, function($v) {{{datum}}})"
    drifted = (
        f"{{'MetricName': 'DriftedColumns', 'Dimensions': [{endpoint}], 'Value': $count($states.input.found.drifted)}}"
    )
    metrics = s.jsonata(
        "PutDriftMetrics",
        "aws-sdk:cloudwatch:putMetricData",
        {"Namespace": NAMESPACE, "MetricData": expression(f"$append([{drifted}], {columns})")},
        added(retrain="'${DriftStartsRetrain}' = 'true' and $exists($states.input.found.drifted[0])"),
    )
    request = {"StateMachineArn": "${RetrainArn}", "Input": '{"source": "drift"}'}
    retrain = chain(s.call("StartRetrain", "aws-sdk:sfn:startExecution", request, None), then)
    return chain(alarm, metrics, s.choice("StartsRetrain", (s.is_true("$.retrain"), retrain), otherwise=then))


def key(uri: str, more: str = "") -> str:
    """The key of an S3 address in the state's input, with a JSONata expression behind it."""
    path = f"$substringAfter($substringAfter({uri}, 's3://'), '/')"
    return expression(f"{path} & {more}" if more else path)
