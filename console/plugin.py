"""What a project may add to the console: cards, pages, labels, a form's fields, its own commands. All optional."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from starlette.responses import Response
from starlette.routing import Route

Document = dict[str, Any]


class Card(NamedTuple):
    """A card of the overview. state: "good", "bad", "busy" or "". chart: an SVG element or ""."""

    title: str
    text: str
    link: str = ""
    state: str = ""
    chart: str = ""


class Field(NamedTuple):
    """One field of an endpoint's try-out form. kind: "number" or "text"."""

    name: str
    label: str
    kind: str
    example: str = ""


class Action(NamedTuple):
    """A button on an endpoint's page. path: of one of the plug-in's `changes`; command: the line that does the same."""

    label: str
    path: str
    command: str


class Plugin:
    """The console without any project's additions; a project overrides what it has."""

    title = "SageMaker console"
    # (path, label) of further pages in the navigation.
    navigation: Sequence[tuple[str, str]] = ()
    # Exceptions of the project whose text is for people: a page shows it instead of failing.
    refusals: tuple[type[Exception], ...] = ()

    def routes(self, render: Callable[..., Response]) -> list[Route]:
        """Further pages. render(request, template, **context) makes a response; templates: see `folder`."""
        return []

    @property
    def folder(self) -> str:
        """A folder with further templates, or ""."""
        return ""

    def changes(self) -> dict[str, Callable[[], str]]:
        """Path of a form -> what it does; returns the path to show afterwards."""
        return {}

    def cards(self) -> list[Card]:
        """Further cards of the overview."""
        return []

    def first_step(self) -> str:
        """The command that makes the first pipeline, shown where there is none."""
        return "aws sagemaker create-pipeline help"

    def edge_labels(self, execution: Document) -> dict[tuple[str, str], str]:
        """(from step, to step) -> text on the graph's edge, such as a number of rows."""
        return {}

    def started_by(self, execution: Document) -> str:
        """What started an execution: "event", "schedule" or a person's name; "" where it cannot be known."""
        identity = execution.get("CreatedBy", {})
        arn = identity.get("IamIdentity", {}).get("Arn", "")
        return str(identity.get("UserProfileName") or arn.rpartition("/")[2])

    def start(self, pipeline: str, parameters: dict[str, str]) -> str | None:
        """Start an execution in the project's own way and return its ARN; None: StartPipelineExecution is called."""
        return None

    def report(self, package: Document) -> str:
        """The S3 address of a model package's evaluation report as HTML, or ""."""
        return str(package.get("CustomerMetadataProperties", {}).get("Report", ""))

    def release(self, package: Document) -> str:
        """The S3 prefix of everything that was made with a model package, or ""."""
        return ""

    def approval(self, package: Document) -> str:
        """What approving a model package does, in a sentence."""
        return (
            "Approving this version makes it the model that later ones are compared with; "
            "where a deployment listens to the registry, it is deployed."
        )

    def objection(self, package: Document, status: str, note: str) -> str:
        """Why a model package may not get an approval status with this note, or ""."""
        return ""

    def actions(self, endpoint: Document) -> Sequence[Action]:
        """Further buttons on an endpoint's page."""
        return ()

    def about(self, endpoint: Document) -> list[Card]:
        """What the project knows of an endpoint, such as its data's drift."""
        return []

    def fields(self, endpoint: Document) -> list[Field]:
        """The fields of an endpoint's try-out form; without any there is only a box for the body."""
        return []

    def body(self, values: dict[str, str]) -> str:
        """The request's body for a form's values."""
        return ""

    def answer_rows(self, text: str) -> list[Document]:
        """An endpoint's answer as rows of a table; [] where it is only shown as it is."""
        return []

    def command(self, action: str, **values: str) -> str:
        """The command line that does the same as a page (see COMMANDS for the actions)."""
        return COMMANDS[action].format(**{name: shlex.quote(value) for name, value in values.items()})


# Action -> the AWS CLI's line.
COMMANDS = {
    "overview": "aws sagemaker list-pipelines",
    "runs": "aws sagemaker list-pipeline-executions --pipeline-name {pipeline}",
    "run": "aws sagemaker list-pipeline-execution-steps --pipeline-execution-arn {arn}",
    "log": "aws logs filter-log-events --log-group-name {group} --log-stream-name-prefix {job}/",
    "start": "aws sagemaker start-pipeline-execution --pipeline-name {pipeline}",
    "stop": "aws sagemaker stop-pipeline-execution --pipeline-execution-arn {arn}",
    "retry": "aws sagemaker retry-pipeline-execution --pipeline-execution-arn {arn}",
    "compare_runs": "aws sagemaker list-pipeline-parameters-for-execution --pipeline-execution-arn {arn}",
    "models": "aws sagemaker list-model-packages --model-package-group-name {group}",
    "model": "aws sagemaker describe-model-package --model-package-name {arn}",
    "compare_models": "aws sagemaker describe-model-package --model-package-name {arn}",
    "report": "aws s3 cp {uri} report.html",
    "release": "aws s3 cp --recursive {uri} release",
    "approve": "aws sagemaker update-model-package --model-package-arn {arn} --model-approval-status Approved",
    "reject": "aws sagemaker update-model-package --model-package-arn {arn} --model-approval-status Rejected",
    "endpoints": "aws sagemaker list-endpoints",
    "endpoint": "aws sagemaker describe-endpoint --endpoint-name {endpoint}",
    "predict": "aws sagemaker-runtime invoke-endpoint --endpoint-name {endpoint} --content-type application/json"
    " --body fileb://request.json answer.json",
}
