"""Model data and inference code of a container, from S3 into its /opt/ml."""

import os
import shutil
from pathlib import Path

from localaws.sagemaker import archives, container_images, requirements, s3
from localaws.sagemaker.algorithms import TENSORFLOW_SERVING, XGBOOST_SERVING
from localaws.sagemaker.failures import JobFailed
from localaws.sagemaker.job_directory import JobDirectory
from localaws.store import Document

# What SageMaker sets in every serving container.
ENVIRONMENT = {
    "SAGEMAKER_BASE_DIR": "/opt/ml",
    "SAGEMAKER_BIND_TO_PORT": "8080",
    "SAGEMAKER_SAFE_PORT_RANGE": "8080-8099",
}

# What the model server takes a request for that names neither; see model_server.
CONTENT_TYPE, ACCEPT = "LOCALAWS_DEFAULT_CONTENT_TYPE", "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
# The module with what the model server does where the code does not say; its own functions are scikit-learn's.
DEFAULTS, XGBOOST_DEFAULTS = "LOCALAWS_INFERENCE_DEFAULTS", "sagemaker_xgboost_container.serving"


class ModelDataError(Exception):
    """The model data cannot be fetched or unpacked; the text is the endpoint's FailureReason."""


def fetch(definition: Document, directory: JobDirectory) -> dict[str, str]:
    """Put model data and inference code in place; returns the environment of the container's process."""
    environment = {**ENVIRONMENT, **definition["Environment"]}
    model = directory.make("/opt/ml/model")
    if definition["Artifact"]:
        _place(definition["Artifact"], model)
    code = environment.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
    if code.startswith("s3://"):
        _place(code, directory.make("/opt/ml/code"))
        environment["SAGEMAKER_SUBMIT_DIRECTORY"] = "/opt/ml/code"
    image = container_images.parse(definition["Image"])
    if image.is_tensorflow_serving:
        environment |= _own_program(TENSORFLOW_SERVING, directory) | {CONTENT_TYPE: "", ACCEPT: "application/json"}
        environment["SAGEMAKER_SUBMIT_DIRECTORY"] = "/opt/ml/model/code"
    elif environment.get("SAGEMAKER_PROGRAM"):
        environment |= {DEFAULTS: XGBOOST_DEFAULTS} if image.is_xgboost else {}
    else:
        environment |= _own_program(XGBOOST_SERVING, directory)
        # The algorithm's own defaults; the toolkit's are JSON.
        environment |= {CONTENT_TYPE: "", ACCEPT: environment.get(ACCEPT, "text/csv")}
        environment["LOCALAWS_IMAGE_VERSION"] = ".".join(map(str, container_images.xgboost_version(image)))
    path = _packages(environment, directory) + container_images.package_folders(image.uri)
    return environment | ({"PYTHONPATH": os.pathsep.join(path)} if path else {})


def _own_program(program: Path, directory: JobDirectory) -> dict[str, str]:
    """Put the program that stands for the image's into the code folder; returns the variable that names it."""
    shutil.copyfile(program, directory.make("/opt/ml/code") / program.name)
    return {"SAGEMAKER_PROGRAM": program.name}


def _packages(environment: dict[str, str], directory: JobDirectory) -> list[str]:
    """The folder of what the code's requirements.txt asks for; the container installs it when it starts.

    Raises ModelDataError where a package is missing and may not be installed.
    """
    try:
        file = directory.inside(environment.get("SAGEMAKER_SUBMIT_DIRECTORY") or "/opt/ml/code") / requirements.FILE
        text = file.read_text(errors="replace") if file.is_file() else ""
        installed = requirements.folder_for(text, directory.packages)
    except JobFailed as failed:
        raise ModelDataError(str(failed)) from failed
    return [str(installed)] if installed else []


def runnable(definition: Document) -> bool:
    """Whether the container's image has a model server here: script mode, TensorFlow Serving, or AWS's XGBoost."""
    return not _problem(definition)


def refusal(definition: Document) -> str:
    """Why a container is not runnable."""
    return (
        f"The local SageMaker cannot serve the image {definition['Image']}: {_problem(definition)}. Inference code is "
        "named by SAGEMAKER_PROGRAM in the container's Environment."
    )


def _problem(definition: Document) -> str:
    image = container_images.parse(definition["Image"])
    own = not (definition["Environment"].get("SAGEMAKER_PROGRAM") or image.is_tensorflow_serving)
    return container_images.problem(image.uri, runs_own_program=own)


def _place(uri: str, folder: Path) -> None:
    """Copy the objects under an address into the folder; a tar archive is unpacked."""
    try:
        s3.download(uri, folder)
        for packed in [path for path in folder.iterdir() if path.name.endswith(".tar.gz")]:
            archives.unpack(packed, folder)
            packed.unlink()
    except (s3.MissingInput, archives.UnsafeArchive, OSError) as error:
        raise ModelDataError(
            f'Failed to download model data for container "container_1" from URL: "{uri}". Please ensure that there is '
            "an object located at the URL and that the role passed to CreateModel has permissions to download the "
            f"object. ({error})"
        ) from error
