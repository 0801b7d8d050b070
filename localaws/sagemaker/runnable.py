"""What of a pipeline cannot run on this machine, found before its execution starts.

Images, instance counts and source directories may be parameters, so they are known when an execution is asked for. One
that depends on another step's result is checked when the step runs.
"""

import shutil
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from localaws.sagemaker import container_images, graph, launch, requirements, s3
from localaws.sagemaker.expressions import Scope, UnknownReference
from localaws.sagemaker.hyperparameters import not_offered
from localaws.sagemaker.isolation import ML
from localaws.sagemaker.processing import SOURCE
from localaws.sagemaker.service import validation_error
from localaws.sagemaker.toolkit import decoded
from localaws.store import Document

# A command of AWS's images -> the package that has it: what runs a notebook job.
COMMANDS = {"amazon_sagemaker_scheduler": "sagemaker-headless-execution-driver"}


def require(definition: Document, parameters: Mapping[str, Any]) -> None:
    """Raise ApiError when a step cannot run here; the message names the step, its image and what to install."""
    found = [f"Steps.{name}: {problem}" for name, problem in problems(definition, parameters)]
    if found:
        raise validation_error("The local SageMaker cannot run this pipeline. " + "; ".join(found))


def problems(definition: Document, parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(step name, problem) for every step that cannot run here."""
    known = Known(parameters)
    for step in graph.steps(definition):
        arguments = step.get("Arguments", {})
        match step["Type"]:
            case "Processing":
                found = _processing_problems(known, arguments)
            case "Training":
                found = _training_problems(known, arguments)
            case "Tuning":
                found = [*_tuning_problems(known, arguments), *filter(None, [not_offered(arguments)])]
            case _:
                found = []
        yield from ((step["Name"], each) for each in found)


def require_processing(request: Document) -> None:
    """Raise ApiError for a processing job that cannot run here."""
    _require_job(_processing_problems(Known({}), request))


def require_training(request: Document) -> None:
    """Raise ApiError for a training job that cannot run here."""
    _require_job(_training_problems(Known({}), request))


def require_tuning(request: Document) -> None:
    """Raise ApiError for a tuning job whose training jobs cannot run here."""
    _require_job(_tuning_problems(Known({}), request))


def _require_job(found: list[str]) -> None:
    if found:
        raise validation_error(f"The local SageMaker cannot run this job: {'; '.join(found)}")


class Known:
    """Values of a definition as far as they are known before a step has run."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._scope = Scope(parameters, {}, {}, self._no_file)

    def get(self, value: Any, *path: str) -> Any:
        """A member of a request by its path, or None when it is missing or not known yet."""
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        try:
            return self._scope.resolve(value)
        except UnknownReference:
            return None

    def _no_file(self, step: str, file: str) -> Any:
        raise UnknownReference(f"{step} has not run")


def _processing_problems(known: Known, arguments: Document) -> list[str]:
    application = arguments.get("AppSpecification", {})
    image = known.get(application, "ImageUri")
    sources = [known.get(each, "S3Input", "S3Uri") for each in arguments.get("ProcessingInputs", [])]
    found = [
        container_images.problem(image, runs_own_program="ContainerEntrypoint" not in application) if image else "",
        _command_problem(known, application.get("ContainerEntrypoint")),
        *(_source_problem(uri) for uri in sources if str(uri).endswith(f"/{SOURCE}")),
    ]
    return [each for each in found if each]


def _training_problems(known: Known, arguments: Document) -> list[str]:
    specification = arguments.get("AlgorithmSpecification", {})
    given = arguments.get("HyperParameters") or arguments.get("StaticHyperParameters") or {}
    own = "ContainerEntrypoint" not in specification and "sagemaker_program" not in given
    image = known.get(specification, "TrainingImage")
    found = [
        container_images.problem(image, runs_own_program=own) if image else "",
        _command_problem(known, specification.get("ContainerEntrypoint")),
        _count_problem(known.get(arguments, "ResourceConfig", "InstanceCount")),
        *(_channel_problem(known, each) for each in arguments.get("InputDataConfig", [])),
        _source_problem(known.get(given, "sagemaker_submit_directory")),
    ]
    if "AlgorithmName" in specification:
        found.append("an AlgorithmName of the Marketplace cannot run here")
    return [each for each in found if each]


def _tuning_problems(known: Known, arguments: Document) -> list[str]:
    definitions = arguments.get("TrainingJobDefinitions") or [arguments.get("TrainingJobDefinition", {})]
    return [each for one in definitions for each in _training_problems(known, one)]


def _command_problem(known: Known, entrypoint: Any) -> str:
    """The image's command where this machine has none of its name; one below /opt/ml comes with the job's data."""
    command = known.get(entrypoint[0]) if isinstance(entrypoint, list) and entrypoint else None
    path = launch.variables("/tmp")["PATH"]
    if not isinstance(command, str) or command.startswith(f"{ML}/") or shutil.which(command, path=path):
        return ""
    package = COMMANDS.get(command)
    advice = f" Try: {sys.executable} -m pip install {package}" if package else ""
    return f"the image's command {command} is not installed here.{advice}"


def _count_problem(count: Any) -> str:
    wanted = decoded(count) if isinstance(count, str) else count
    more = isinstance(wanted, int) and wanted > 1
    return f"InstanceCount {wanted}: a training job has one instance here" if more else ""


def _source_problem(uri: Any) -> str:
    """What a source directory in S3 asks for and is not installed; empty when it is not there yet."""
    address = decoded(uri) if isinstance(uri, str) else uri
    if not isinstance(address, str) or not address.startswith("s3://"):
        return ""
    return requirements.problem(requirements.of_archive(_content(address)))


def _content(uri: str) -> bytes:
    """An object; nothing when it is not there, which the job itself fails with."""
    try:
        return s3.read_object(*s3.split(uri))
    except s3.MissingInput:
        return b""


def _channel_problem(known: Known, channel: Any) -> str:
    uri = known.get(channel, "DataSource", "S3DataSource", "S3Uri")
    if channel.get("ChannelName") == requirements.CHANNEL and isinstance(uri, str):
        file = _content(f"{uri.rstrip('/')}/{requirements.FILE}")
        return requirements.problem(file.decode(errors="replace"))
    if known.get(channel, "InputMode") != "Pipe":
        return ""
    return f"InputMode Pipe of the channel {channel.get('ChannelName')} does not work here (have: File, FastFile)"
