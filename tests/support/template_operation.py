"""The project's rules on operation: logs, alarms, lost events, names, parameters, delivery and the table.

No linter sees these. A rule is a function from a template to its findings, one line each, beginning with the
logical id at fault; no finding means that the template follows it. Exceptions are data, each with its reason.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from ingestion import metrics, record
from pipelines.authoring import drift
from tests.support.cfn import Template, alarms, branches, references, resources, text, texts, walk

CLEANED, PARQUET, LANDING = "cleaned/", "cleaned/parquet/", "landing/"
DAY = "dt=!{timestamp:yyyy-MM-dd}/"

# Parameters without a default: only the outputs of other stacks and the keys of what was just uploaded.
NO_DEFAULT = {
    "ArtifactBucket": "output of the artifacts stack",
    "DataBucket": "output of the ingestion stack",
    "GlueDatabase": "output of the ingestion stack",
    "Workgroup": "output of the ingestion stack",
    "RetrainStateMachineArn": "output of the pipelines stack",
    "TopicArn": "output of the ingestion stack",
    "CodeKey": "named by the content of the Lambda zip",
    "RetrainDefinitionKey": "named by the content of the definition",
    "BackfillDefinitionKey": "named by the content of the definition",
    "DeployDefinitionKey": "named by the content of the definition",
    "ScoreDefinitionKey": "named by the content of the definition",
    "EvaluationCode": "named by the content of the code",
    "ImageUri": "differs between regions",
    "LoadDefinitionKey": "named by the content of the definition",
    "Repository": "only its owner knows it",
}

# Physical names; everything else is named by CloudFormation, so that environments share an account.
NO_STACK = "the name that CloudFormation makes has no stack, and no role could be limited to the environment's"
NAMED = {
    "Workgroup.Name": "AWS requires one; it is the stack's",
    "GoldWorkgroup.Name": "AWS requires one; it is the stack's",
    "Table.TableInput.Name": "what people write in queries; the database around it is the stack's own",
    "ParquetTable.TableInput.Name": "what people write in queries; the database around it is the stack's own",
    "Predictions.TableInput.Name": "what people write in queries; the database around it is an environment's",
    "Predictions.DatabaseName": "the database of the cleaned table, of another stack",
    "DeployLogs.LogGroupName": "its beginning keeps it out of the log policy; the rest is the stack's",
    "ScoreLogs.LogGroupName": "its beginning keeps it out of the log policy; the rest is the stack's",
    "Backfill.StateMachineName": NO_STACK,
    "BackfillLogs.LogGroupName": "its beginning keeps it out of the log policy; the rest is the stack's",
    "Load.StateMachineName": NO_STACK,
    "LoadLogs.LogGroupName": "its beginning keeps it out of the log policy; the rest is the stack's",
    "Retrain.StateMachineName": NO_STACK,
    "Deploy.StateMachineName": NO_STACK,
    "Front.Name": "AWS requires one; it is the stack's",
    "FrontStage.StageName": "part of the front's address; AWS requires one",
    "Score.StateMachineName": NO_STACK,
    "Dashboard.DashboardName": NO_STACK,
    "Database.DatabaseInput.Name": NO_STACK,
    "Boundary.ManagedPolicyName": "the environment's file names it",
    "RetrainLogs.LogGroupName": "its beginning keeps it out of the log policy; the rest is the stack's",
    "ModelPackageGroup.ModelPackageGroupName": "AWS requires one; it is a parameter",
}
# MetricName, DisplayName and the like name no resource.
_NAME = re.compile("(?!Metric|Display)[A-Za-z]*Name")

# What must log to a group of the stack, and the property that names it; a service's own group never expires.
LOGS = {
    "Lambda::Function": "LoggingConfig",
    "KinesisFirehose::DeliveryStream": "ExtendedS3DestinationConfiguration.CloudWatchLoggingOptions",
    "StepFunctions::StateMachine": "LoggingConfiguration",
}

# What must have an alarm, and on which metrics.
WATCHED = {
    "Kinesis::Stream": ("IncomingRecords", "GetRecords.IteratorAgeMilliseconds"),
    "KinesisFirehose::DeliveryStream": ("DeliveryToS3.DataFreshness", "DeliveryToS3.Success"),
    "Lambda::Function": ("Errors", "Throttles"),
    "SQS::Queue": ("ApproximateNumberOfMessagesVisible",),
    "StepFunctions::StateMachine": ("ExecutionsFailed", "ExecutionsTimedOut"),
}

# What the Lambdas count.
COUNTED = ("Clean", "Dropped", "Failed", "Flagged", "Fetched", "Sent", "Refused", "Retries")

# What the state machine `score` counts.
DRIFT = (drift.NAMESPACE, "DriftedColumns")

SQL_TYPES = {"integer": "bigint", "text": "string", "number": "double"}


def endless_logs(template: Template) -> list[str]:
    groups = dict(resources(template, "Logs::LogGroup"))
    found = [f"{name}: its logs never expire" for name, group in groups.items() if "RetentionInDays" not in group]
    for kind, path in LOGS.items():
        for name, value in resources(template, kind):
            for key in path.split("."):
                value = value.get(key, {})
            if not groups.keys() & references(value):
                found.append(f"{name}: does not log to a group of the stack")
    return found


def lost_events(template: Template) -> list[str]:
    """A target that cannot be reached loses the event unless it has a dead-letter queue."""
    targets = [(name, schedule["Target"]) for name, schedule in resources(template, "Scheduler::Schedule")]
    targets += [(name, each) for name, rule in resources(template, "Events::Rule") for each in rule["Targets"]]
    found = [f"{name}: no dead-letter queue" for name, target in targets if "DeadLetterConfig" not in target]
    found += [f"{name}: no limit to retries" for name, target in targets if "RetryPolicy" not in target]
    invoked = {function for _, target in targets for function in references(target["Arn"])}
    return found + [
        f"{name}: no dead-letter queue for what is invoked asynchronously"
        for name, function in resources(template, "Lambda::Function")
        if name in invoked and "DeadLetterConfig" not in function
    ]


def _only_of_machines(template: Template) -> set[str]:
    """Lambdas that state machines alone invoke."""

    def invoked(*kinds: str) -> set[str]:
        return set().union(*(references(value) for kind in kinds for _, value in resources(template, kind)))

    functions = {name for name, _ in resources(template, "Lambda::Function")}
    return functions & invoked("StepFunctions::StateMachine") - invoked(
        "Scheduler::Schedule", "Events::Rule", "KinesisFirehose::DeliveryStream"
    )


def unwatched(template: Template) -> list[str]:
    """A machine retries the Lambda that it alone invokes, and its own alarms are about what it gives up."""
    watched = {(metric, name) for _, metric, names in alarms(template) for name in names}
    return [
        f"{name}: no alarm on {metric}"
        for kind, wanted in WATCHED.items()
        for name, _ in resources(template, kind)
        for metric in wanted
        if (metric, name) not in watched and name not in _only_of_machines(template)
    ]


def mute_alarms(template: Template) -> list[str]:
    found = []
    for name, alarm in resources(template, "CloudWatch::Alarm"):
        for key in ("AlarmActions", "OKActions"):
            if texts(alarm.get(key, [])) not in (["${Topic}"], ["${TopicArn}"]):
                found.append(f"{name}: {key} do not go to the topic")
        if "AlarmDescription" not in alarm or "TreatMissingData" not in alarm:
            found.append(f"{name}: has no description, or no rule for missing data")
    return found


def unknown_metrics(template: Template) -> list[str]:
    """An alarm or a graph on a metric that the Lambdas do not count never has data."""
    shown = [(space, metric) for space, metric, _ in alarms(template)]
    for _, dashboard in resources(template, "CloudWatch::Dashboard"):
        for widget in json.loads(text(dashboard["DashboardBody"]))["widgets"]:
            shown += [(space, metric) for space, metric, *_ in widget["properties"]["metrics"]]
    return [
        f"{space}/{metric}: no Lambda counts that"
        for space, metric in shown
        if not space.startswith("AWS/")
        and (space, metric) != DRIFT
        and (space != metrics.NAMESPACE or metric not in COUNTED)
    ]


def unclear_parameters(template: Template) -> list[str]:
    found = []
    compared = {name for each in template.get("Conditions", {}).values() for name in _compared(each)}
    for name, parameter in template["Parameters"].items():
        if not parameter.get("Description"):
            found.append(f"{name}: has no description")
        if "Default" not in parameter and name not in NO_DEFAULT:
            found.append(f"{name}: has no default")
        if name in compared and "AllowedValues" not in parameter:
            found.append(f"{name}: decides a condition, and any value is allowed")
    return found


def _compared(condition: Template) -> set[str]:
    """Parameters compared with a word (a comparison with '' only asks whether a value was given)."""
    return {
        name
        for node in walk(condition)
        if isinstance(node, dict) and "Fn::Equals" in node and "" not in node["Fn::Equals"]
        for name in references(node)
    }


def physical_names(template: Template) -> list[str]:
    own = template["Resources"].keys()
    return [
        f"{path}: is a physical name"
        for path, value in names(template)
        if path not in NAMED and not own & references(value)
    ]


def names(template: Template) -> list[tuple[str, Any]]:
    """Path and value of the properties that name something: `RetrainLogs.LogGroupName`."""
    found = []
    for name, resource in template["Resources"].items():
        for key, value in resource.get("Properties", {}).items():
            if _NAME.fullmatch(key):
                found.append((f"{name}.{key}", value))
            elif isinstance(value, dict) and "Name" in value:
                found.append((f"{name}.{key}.Name", value["Name"]))
    return found


def deliveries(template: Template) -> list[str]:
    """Firehose's own rules, which it states only when a stack is created, and the care of what fails."""
    found = []
    for name, stream in resources(template, "KinesisFirehose::DeliveryStream"):
        target = stream["ExtendedS3DestinationConfiguration"]
        prefix, folder = target["Prefix"].removesuffix(DAY), target["Prefix"].split("/")[0]
        size = branches(target["BufferingHints"].get("SizeInMBs"))[0]
        if target["BufferingHints"].keys() != {"SizeInMBs", "IntervalInSeconds"}:
            found.append(f"{name}: gives one buffering hint without the other")
        if "DataFormatConversionConfiguration" in target and size not in range(64, 129):
            found.append(f"{name}: converts with a buffer that is not 64 to 128 MB")
        if "DataFormatConversionConfiguration" in target and target["CompressionFormat"] != "UNCOMPRESSED":
            found.append(f"{name}: compresses what Parquet has compressed")
        if target["Prefix"] != prefix + DAY:
            found.append(f"{name}: is not partitioned by day")
        if target.get("ErrorOutputPrefix") != f"errors/{folder}/!{{firehose:error-output-type}}/{DAY}":
            found.append(f"{name}: its error prefix is not by kind and day")
        processors = {each["Type"]: each for each in target.get("ProcessingConfiguration", {}).get("Processors", [])}
        for processor in [each for kind, each in processors.items() if kind == "Lambda"]:
            given = {each["ParameterName"]: each["ParameterValue"] for each in processor["Parameters"]}
            if (given.get("NumberOfRetries"), given.get("BufferSizeInMBs")) != ("3", "1"):
                found.append(f"{name}: does not try three times with batches whose answer fits 6 MB")
        if folder == "raw" and "AppendDelimiterToRecord" not in processors:
            found.append(f"{name}: its objects cannot be split into records")
    return found


def prefixes(template: Template) -> list[str]:
    """Who writes the cleaned table, who reads it and who waits for it name the same prefix."""
    found = []
    for name, stream in resources(template, "KinesisFirehose::DeliveryStream"):
        target = stream["ExtendedS3DestinationConfiguration"]
        kinds = {each["Type"] for each in target.get("ProcessingConfiguration", {}).get("Processors", [])}
        own = PARQUET if "DataFormatConversionConfiguration" in target else CLEANED
        if "Lambda" in kinds and target["Prefix"] != own + DAY:
            found.append(f"{name}: does not write to {own}")
    for name, table in cleaned_tables(template):
        place = text(table["TableInput"]["StorageDescriptor"]["Location"])
        own = PARQUET if is_parquet(table) else CLEANED
        projection = {key: text(value) for key, value in table["TableInput"]["Parameters"].items()}
        wanted = {
            "projection.enabled": "true",
            "projection.dt.type": "date",
            "projection.dt.format": "yyyy-MM-dd",
            "storage.location.template": f"s3://${{DataBucket}}/{own}dt=${{!dt}}/",
        }
        if place != f"s3://${{DataBucket}}/{own}":
            found.append(f"{name}: does not lie in {own}")
        found += [f"{name}: {key} disagrees" for key in wanted if projection.get(key) != wanted[key]]
        if not projection.get("projection.dt.range", "").endswith(",NOW"):
            found.append(f"{name}: does not see new days")
    for name, rule in resources(template, "Events::Rule"):
        pattern = rule["EventPattern"]
        awaited = [[{"prefix": each}] for each in (CLEANED, LANDING)]
        if pattern["source"] == ["aws.s3"] and pattern["detail"]["object"]["key"] not in awaited:
            found.append(f"{name}: waits neither for {CLEANED} nor for {LANDING} alone")
    return found


def cleaned_tables(template: Template) -> list[tuple[str, Template]]:
    """The cleaned table; the table of the predictions has no partitions."""
    return [each for each in resources(template, "Glue::Table") if "PartitionKeys" in each[1]["TableInput"]]


def is_parquet(table: Template) -> bool:
    """Whether a Glue table reads Parquet."""
    return bool(table["TableInput"]["Parameters"]["classification"] == "parquet")


def columns(template: Template) -> list[str]:
    """The record's columns: typed as Parquet; as CSV all text, for its SerDe fails on an empty number."""
    found = []
    typed = [(column.name, SQL_TYPES[column.kind]) for column in record.COLUMNS]
    for name, table in cleaned_tables(template):
        storage = table["TableInput"]["StorageDescriptor"]
        listed = [(each["Name"], each["Type"]) for each in storage["Columns"]]
        if is_parquet(table):
            found += [f"{name}: as Parquet, its columns are not the record's"] if listed != typed else []
        else:
            found += [f"{name}: {wrong}" for wrong in _csv_columns(storage, listed, typed)]
        for each, column in zip(storage["Columns"], record.COLUMNS, strict=False):
            if not each["Comment"].endswith(column.unit):
                found.append(f"{name}: the comment on {each['Name']} does not end with its unit")
    return found


def _csv_columns(storage: Template, listed: list[tuple[str, str]], typed: list[tuple[str, str]]) -> list[str]:
    found = []
    if listed != [(each, "string") for each, _ in typed]:
        found.append("as CSV, its columns are not the record's, all strings")
    if [each["Comment"].split(":")[0] for each in storage["Columns"]] != [kind for _, kind in typed]:
        found.append("as CSV, a comment does not begin with the column's type")
    if storage["SerdeInfo"]["Parameters"] != {"separatorChar": ",", "quoteChar": '"', "escapeChar": "\t"}:
        found.append("reads CSV otherwise than RFC 4180")
    return found


def runtimes(template: Template) -> list[str]:
    """Python 3.13 has support until 2029-06-30; Firehose waits five minutes for an answer, a state machine longer."""
    found = []
    for name, function in resources(template, "Lambda::Function"):
        if (function["Runtime"], function.get("Architectures")) != ("python3.13", ["arm64"]):
            found.append(f"{name}: does not run on python3.13 and arm64")
        longest = 15 if name in _only_of_machines(template) else 5
        if not 3 < function.get("Timeout", 3) <= 60 * longest:
            found.append(f"{name}: its timeout is the default of 3 s, or over {longest} min")
    return found


RULES: tuple[Callable[[Template], list[str]], ...] = (
    endless_logs,
    lost_events,
    unwatched,
    mute_alarms,
    unknown_metrics,
    unclear_parameters,
    physical_names,
    deliveries,
    prefixes,
    columns,
    runtimes,
)
