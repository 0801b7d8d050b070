"""What happens inside a job's container: inputs, the script, outputs.

    processing    inputs from S3 -> /opt/ml/processing/... -> the container's command -> outputs to S3
    training      channels and hyperparameters -> /opt/ml/input -> the script -> /opt/ml/model -> model.tar.gz

The image is not used here (there is no Docker): its command runs under this Python, whose scikit-learn is the image's.
"""

import json
import logging
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localaws import patterns
from localaws.crashpoints import crashpoint
from localaws.sagemaker import s3
from localaws.sagemaker.failures import JobFailed
from localaws.sagemaker.job_directory import JobDirectory
from localaws.sagemaker.service import now
from localaws.store import Document

DAY = 86_400
logger = logging.getLogger(__name__)
# Enters the next phase in the job's document: Downloading, Training, Uploading.
Phase = Callable[[str], None]


def run_processing(job: Document, place: JobDirectory, phase: Phase) -> None:
    """A processing job: inputs, command, outputs."""
    application = job["AppSpecification"]
    if "ContainerEntrypoint" not in application:
        raise JobFailed("ClientError: AppSpecification.ContainerEntrypoint is needed here, where no image is used.")
    phase("Downloading")
    for given in job.get("ProcessingInputs", []):
        if "S3Input" not in given:
            raise JobFailed(f"ClientError: the input {given['InputName']} is not in S3; nothing else is read here.")
        _download(given["S3Input"], given["S3Input"]["S3Uri"], place.inside(given["S3Input"]["LocalPath"]))
    outputs = job.get("ProcessingOutputConfig", {}).get("Outputs", [])
    for output in outputs:
        if "S3Output" not in output:
            raise JobFailed(
                f"ClientError: the output {output['OutputName']} is not S3's; nothing else is written here."
            )
        place.make(output["S3Output"]["LocalPath"])
    place.make("/opt/ml/output")
    crashpoint("job-inputs")
    command = [*application["ContainerEntrypoint"], *application.get("ContainerArguments", [])]
    environment = {"PROCESSING_JOB_NAME": job["ProcessingJobName"], **job.get("Environment", {})}
    phase("Processing")
    try:
        place.execute(command, environment, _limit(job), "/opt/ml/output/message")
    finally:
        said = place.text("/opt/ml/output/message")
        if said:
            job["ExitMessage"] = said[:1024]
    crashpoint("job-ended")
    phase("Uploading")
    for output in outputs:
        s3.upload(place.inside(output["S3Output"]["LocalPath"]), output["S3Output"]["S3Uri"])
    crashpoint("job-uploaded")


def run_training(job: Document, place: JobDirectory, phase: Phase) -> None:
    """A training job in script mode: what the SageMaker training toolkit does in the scikit-learn image."""
    given = {name: decoded(value) for name, value in job.get("HyperParameters", {}).items()}
    parameters = {name: value for name, value in given.items() if not name.startswith("sagemaker_")}
    for name in ("sagemaker_program", "sagemaker_submit_directory"):
        if name not in given:
            raise JobFailed(f"ClientError: the hyperparameter {name} is needed here, where no image is used.")
    phase("Downloading")
    channels = {}
    for channel in job.get("InputDataConfig", []):
        target = f"/opt/ml/input/data/{channel['ChannelName']}"
        source = channel["DataSource"]["S3DataSource"]
        _download(source, source["S3Uri"], place.inside(target))
        channels[channel["ChannelName"]] = target
    for path in ("/opt/ml/model", "/opt/ml/output/data"):
        place.make(path)
    _unpack(given["sagemaker_submit_directory"], place.make("/opt/ml/code"))
    config = place.make("/opt/ml/input/config")
    (config / "hyperparameters.json").write_text(json.dumps(job.get("HyperParameters", {})))
    crashpoint("job-inputs")
    command = ["python3", f"/opt/ml/code/{given['sagemaker_program']}"]
    for name, value in parameters.items():
        command += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    phase("Training")
    place.execute(command, training_environment(job, channels, parameters), _limit(job), "/opt/ml/output/failure")
    crashpoint("job-ended")
    job["FinalMetricDataList"] = final_metrics(job, place.log)
    phase("Uploading")
    destination = job["ModelArtifacts"]["S3ModelArtifacts"].removesuffix("/model.tar.gz")
    bucket, key = s3.split(job["ModelArtifacts"]["S3ModelArtifacts"])
    s3.client("s3").put_object(Bucket=bucket, Key=key, Body=s3.archive(place.inside("/opt/ml/model")))
    s3.upload(place.inside("/opt/ml/output/data"), f"{destination}/data")
    crashpoint("job-uploaded")


def _download(source: Document, uri: str, folder: Path) -> None:
    if source.get("S3DataType", "S3Prefix") != "S3Prefix":
        raise JobFailed(f"ClientError: S3DataType {source['S3DataType']} is not read here (have: S3Prefix).")
    s3.download(uri, folder)


def _limit(job: Document) -> float:
    return float(job.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DAY))


def training_environment(job: Document, channels: dict[str, str], parameters: Document) -> dict[str, str]:
    """The SM_* variables of SageMaker's training toolkit."""
    return {
        "TRAINING_JOB_NAME": job["TrainingJobName"],
        "SM_MODEL_DIR": "/opt/ml/model",
        "SM_OUTPUT_DATA_DIR": "/opt/ml/output/data",
        "SM_INPUT_DIR": "/opt/ml/input",
        "SM_CHANNELS": json.dumps(sorted(channels)),
        "SM_HPS": json.dumps(parameters),
        "SM_HOSTS": '["algo-1"]',
        "SM_CURRENT_HOST": "algo-1",
        "SM_NUM_GPUS": "0",
        **{f"SM_CHANNEL_{name.upper()}": path for name, path in channels.items()},
        **{f"SM_HP_{name.upper().replace('-', '_')}": str(value) for name, value in parameters.items()},
        **job.get("Environment", {}),
    }


def decoded(text: str) -> Any:
    """A hyperparameter as the toolkit reads it: JSON where it is JSON, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _unpack(uri: str, folder: Path) -> None:
    """Unpack a source directory (tar.gz in S3) into the code folder."""
    downloaded = folder.parent / "sourcedir"
    s3.download(uri, downloaded)
    for packed in downloaded.iterdir():
        try:
            with tarfile.open(packed) as tar:
                tar.extractall(folder, filter="data")
        except tarfile.TarError as error:
            raise JobFailed(f"ClientError: {uri} is not a tar archive that can be unpacked: {error}") from error


def final_metrics(job: Document, log: Path) -> list[Document]:
    """The last value that each metric definition's regular expression finds in the log.

    One that is not valid, does not end in time or does not find a number has no value.
    """
    text = log.read_text(errors="replace")
    found = []
    for metric in job["AlgorithmSpecification"].get("MetricDefinitions", []):
        try:
            values = patterns.compile(metric["Regex"]).findall(text)
            value = float(values[-1]) if values else None
        except (re.error, TimeoutError, TypeError, ValueError) as error:
            logger.warning("the metric %s is left out: %s %s", metric["Name"], type(error).__name__, error)
            continue
        if value is not None:
            found.append({"MetricName": metric["Name"], "Value": value, "Timestamp": now()})
    return found
