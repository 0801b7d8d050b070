"""Writes README.md beside this file: what of AWS is offered here, from the code and from AWS's own model.

python -m localaws.parity            write it
python -m localaws.parity --check    exit with 1 when it is stale
"""

import argparse
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from localaws import deviations, shapes
from localaws.athena import create_table_as, glue_api, hive, information_schema, statements, tables, writing
from localaws.deviations import Deviation
from localaws.ministack import step_functions
from localaws.sagemaker import conditions, steps
from localaws.sagemaker.component import SageMaker
from localaws.sagemaker.search import RESOURCES
from localaws.sagemaker.step_functions import JOBS, REQUESTS
from localaws.sagemaker.switches import SWITCHES
from localaws.workspace import Workspace

README = Path(__file__).with_name("README.md")
COMMAND = "python -m localaws.parity"
VERBS = re.compile(
    r"(AddTo|Add|Associate|Attach|BatchAdd|BatchDelete|BatchDescribe|BatchReboot|BatchReplace|Create|Delete|Deregister"
    r"|Describe|Detach|Disable|Disassociate|Enable|Extend|Get|Import|List|Put|Query|Register|Render|Retry|Search|Send"
    r"|Start|Stop|Update)(?=[A-Z])"
)
# https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html and, for the later ones,
# https://github.com/aws/sagemaker-python-sdk/blob/master/sagemaker-mlops/src/sagemaker/mlops/workflow/steps.py
STEP_TYPES = (
    "Processing",
    "Training",
    "Tuning",
    "AutoML",
    "Model",
    "RegisterModel",
    "Transform",
    "Condition",
    "Callback",
    "Lambda",
    "ClarifyCheck",
    "QualityCheck",
    "EMR",
    "EMRServerless",
    "NotebookJob",
    "EndpointConfig",
    "Endpoint",
    "InferenceComponent",
    "Lineage",
    "ForEach",
    "Cleanup",
    "Job",
    "Fail",
)
# A notebook job is a training step in the definition.
AS_ANOTHER = {"NotebookJob": "Training"}
# https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html#step-type-condition
CONDITIONS = (
    "Equals",
    "GreaterThan",
    "GreaterThanOrEqualTo",
    "LessThan",
    "LessThanOrEqualTo",
    "In",
    "Not",
    "Or",
)
STEP_FUNCTIONS = (
    step_functions.add_jsonpath_filters,
    step_functions.type_xml_answers,
    step_functions.publish_attributes,
    step_functions.end_overdue_executions,
    step_functions.leave_out_missing_outputs,
)


def offered() -> set[str]:
    """The SageMaker operations that this package serves."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace")
        workspace.create()
        sagemaker = SageMaker(workspace, time_scale=1.0)
        operations = set(sagemaker.service.operations())
        sagemaker.service.store.close()
    return operations


def noun(operation: str) -> str:
    """The resource that an operation is about: TrainingJob for ListTrainingJobs."""
    name = VERBS.sub("", operation, count=1)
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name


def render() -> str:
    """The whole README."""
    every, served = set(shapes.service_model("sagemaker").operation_names), offered()
    sections = {
        "## SageMaker operations": _operations_section(every, served),
        "## Pipelines": _steps(),
        "## Step Functions and SageMaker": _step_functions(),
        "## Known deviations from AWS": [*_deviations(deviations.SAGEMAKER), "", _switches()],
        "## Where this package differs from MiniStack": [],
        "### Firehose": _deviations(deviations.FIREHOSE),
        "### Athena": [*_athena(), "", *_deviations(deviations.ATHENA)],
        "### Step Functions": [f"- {(patch.__doc__ or '').splitlines()[0]}" for patch in STEP_FUNCTIONS],
    }
    lines = ["# AWS on one machine: what is offered", ""]
    lines += [f"Written by `{COMMAND}`; do not edit. The list of operations is botocore's model of SageMaker.", ""]
    for heading, content in sections.items():
        lines += [heading, "", *content, *([""] if content else [])]
    return "\n".join(lines)


def _operations_section(every: set[str], served: set[str]) -> list[str]:
    refused = every - served
    recorded = {operation for operation in served if noun(operation) in deviations.RECORDED}
    return [
        f"Of SageMaker's {len(every)} operations, {len(served - recorded)} are executed, {len(recorded)} only store "
        f"and return what they are given, and {len(refused)} are refused with `UnknownOperationException` and the "
        "operation's name.",
        "",
        *_operations(served, refused),
        "",
        f"Refused, as their whole resource is: {', '.join(_only_refused(served, refused))}.",
        "",
        "`sagemaker-runtime`: InvokeEndpoint is executed; InvokeEndpointAsync and InvokeEndpointWithResponseStream are "
        f"refused. Search covers {', '.join(RESOURCES)}.",
    ]


def _step_functions() -> list[str]:
    requests = ", ".join(f"`{name}{'[.sync]' if name in JOBS else ''}`" for name in REQUESTS)
    return [
        "`aws-sdk:sagemaker:*` reaches every operation above, `aws-sdk:sagemakerruntime:invokeEndpoint` every "
        f"endpoint. Optimised integrations: {requests}.",
    ]


def _athena() -> list[str]:
    hive_statements = [words.upper() for words, run in hive.STATEMENTS.items() if run is not hive.refuse]
    names = sorted({*statements.STATEMENTS, *hive_statements, "CREATE EXTERNAL TABLE"})
    return [
        f"- Statements that run: {', '.join(f'`{name}`' for name in names)}. Others are refused by name: MERGE, "
        "UPDATE, DELETE, OPTIMIZE, VACUUM and everything else of Iceberg's; EXPLAIN, PREPARE, EXECUTE.",
        f"- CREATE TABLE AS takes {', '.join(f'`{name}`' for name in sorted(create_table_as.PROPERTIES))}, writes "
        f"{' or '.join(create_table_as.FORMATS)}, at most {writing.MOST_PARTITIONS} partitions.",
        f"- Tables are read in these formats: {', '.join((tables.OPEN_CSV, tables.LAZY_SIMPLE, tables.PARQUET))}.",
        f"- `information_schema` has {', '.join(f'`{name}`' for name in information_schema.COLUMNS)}.",
        f"- Operations of Glue's that MiniStack lacks: {', '.join(sorted(glue_api.OPERATIONS))}.",
    ]


def _switches() -> str:
    found = "; ".join(f"`{name}` ({', '.join(values)})" for name, values in SWITCHES.items())
    return f"Switches of `/_localaws/sagemaker`, for tests: {found}."


def _operations(served: set[str], refused: set[str]) -> list[str]:
    """A table by resource, of those with an operation that is served."""
    rows: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for operation in sorted(served | refused):
        resource = noun(operation)
        status = "refused" if operation in refused else "recorded" if resource in deviations.RECORDED else "executed"
        rows[resource][status].append(operation)
    lines = ["| resource | executed | recorded only | refused |", "|---|---|---|---|"]
    for resource, found in sorted(rows.items()):
        if found["executed"] or found["recorded"]:
            remark = deviations.RECORDED.get(resource, "")
            recorded = ", ".join(found["recorded"]) + (f" ({remark})" if remark else "")
            lines.append(
                f"| {resource} | {', '.join(found['executed'])} | {recorded} | {', '.join(found['refused'])} |"
            )
    return lines


def _only_refused(served: set[str], refused: set[str]) -> list[str]:
    """The operations of resources without an operation that is served."""
    known = {noun(operation) for operation in served}
    return sorted(operation for operation in refused if noun(operation) not in known)


def _steps() -> list[str]:
    runnable = [name for name in STEP_TYPES if AS_ANOTHER.get(name, name) in steps.RUNNABLE]
    others = [name for name in STEP_TYPES if name not in runnable]
    known = [*conditions.COMPARISONS, "In", "Not", "Or"]
    return [
        f"- Step types that run: {', '.join(runnable)}.",
        f"- Step types that CreatePipeline and UpdatePipeline refuse, naming the step: {', '.join(others)}.",
        f"- Conditions: {', '.join(name for name in CONDITIONS if name in known)}.",
        "- Functions: Get (Parameters, Execution, Steps), Std:Join, Std:JsonGet. Anything else is passed as it is.",
    ]


def _deviations(found: Iterable[Deviation]) -> list[str]:
    return ["| here | because |", "|---|---|", *(f"| {each.what} | {each.why} |" for each in found)]


def main(argv: list[str] | None = None) -> int:
    """Write the README, or check it."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 when the file is stale")
    given = parser.parse_args(argv)
    text = render()
    if not given.check:
        README.write_text(text)
        return 0
    if not README.exists() or README.read_text() != text:
        print(f"{README.name} is stale; run: {COMMAND}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
