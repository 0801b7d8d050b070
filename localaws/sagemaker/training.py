"""A training job's container: channels and hyperparameters in, the program, model.tar.gz and output out.

The program is the request's ContainerEntrypoint, a script in script mode, or AWS's XGBoost algorithm.
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html
"""

import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from localaws import patterns
from localaws.crashpoints import crashpoint
from localaws.sagemaker import archives, container_images, requirements, s3, toolkit
from localaws.sagemaker.algorithms import XGBOOST_TRAINING
from localaws.sagemaker.failures import JobFailed
from localaws.sagemaker.job_directory import JobDirectory, Phase
from localaws.sagemaker.service import now
from localaws.store import Document

CHECKPOINTS = "/opt/ml/checkpoints"
logger = logging.getLogger("localaws.sagemaker")
# The metrics that AWS's XGBoost images define by themselves, such as validation:rmse.
XGBOOST_METRIC = re.compile(r"#011(train|validation)-([\w@.-]+):([-+.\deE]+)")


@dataclass(frozen=True)
class Program:
    """What runs in the container, in which folder, with which variables."""

    command: list[str]
    folder: str = toolkit.CODE
    environment: dict[str, str] = field(default_factory=dict)


def run(job: Document, directory: JobDirectory, phase: Phase) -> None:
    """Run a training job; raises JobFailed or JobStopped."""
    specification = job["AlgorithmSpecification"]
    if specification.get("TrainingImage"):
        directory.note(container_images.report(specification["TrainingImage"]))
    phase("Downloading")
    for channel in job.get("InputDataConfig", []):
        _download(channel, directory.inside(f"{toolkit.INPUT}/data/{channel['ChannelName']}"))
    for path in (toolkit.CODE, toolkit.MODEL, f"{toolkit.OUTPUT}/data", f"{toolkit.OUTPUT}/intermediate"):
        directory.make(path)
    toolkit.write_configuration(directory.make(toolkit.CONFIG), job)
    checkpoints = job.get("CheckpointConfig", {}).get("S3Uri", "")
    if checkpoints and s3.keys_under(checkpoints):
        s3.download(checkpoints, directory.make(CHECKPOINTS))
    program = _program(job, directory)
    crashpoint("job-inputs")
    phase("Training")
    variables = {"TRAINING_JOB_NAME": job["TrainingJobName"], "TRAINING_JOB_ARN": job["TrainingJobArn"]}
    variables |= program.environment
    try:
        directory.execute(job, program.command, variables, message=f"{toolkit.OUTPUT}/failure", cwd=program.folder)
    finally:
        job["FinalMetricDataList"] = final_metrics(specification, directory.log)
        if checkpoints:
            s3.upload(directory.make(CHECKPOINTS), checkpoints)
    crashpoint("job-ended")
    phase("Uploading")
    _upload(job, directory)
    crashpoint("job-uploaded")


def _program(job: Document, directory: JobDirectory) -> Program:
    specification = job["AlgorithmSpecification"]
    hyperparameters = {name: toolkit.decoded(value) for name, value in job.get("HyperParameters", {}).items()}
    if "ContainerEntrypoint" in specification:
        command = [*specification["ContainerEntrypoint"], *specification.get("ContainerArguments", [])]
        file = directory.inside(f"{toolkit.INPUT}/data/{requirements.CHANNEL}/{requirements.FILE}")
        folder = requirements.folder_for(file.read_text(), directory.packages) if file.is_file() else None
        return Program(command, environment={"PYTHONPATH": str(folder)} if folder else {})
    if "sagemaker_program" in hyperparameters:
        return _script(job, hyperparameters, directory)
    image = container_images.parse(specification.get("TrainingImage", ""))
    if not image.is_xgboost:
        raise JobFailed(f"ClientError: {container_images.problem(image.uri, runs_own_program=True)}")
    version = ".".join(map(str, image.version))
    return Program(["python3", str(XGBOOST_TRAINING), "/opt/ml", version])


def _script(job: Document, hyperparameters: Document, directory: JobDirectory) -> Program:
    code = directory.make(toolkit.CODE)
    source = str(hyperparameters.get("sagemaker_submit_directory", ""))
    if source.startswith("s3://"):
        _unpack(source, code)
    elif source:
        # A channel that holds the code, as images with EnableNetworkIsolation get it.
        _unpack_files(directory.inside(source), code, source)
    image = job["AlgorithmSpecification"].get("TrainingImage", "")
    name = str(hyperparameters["sagemaker_program"])
    if container_images.parse(image).is_xgboost and (code / f"{name}.py").is_file():
        # These images run a module.
        name += ".py"
    if not (code / name).is_file():
        raise JobFailed(f"ClientError: sagemaker_program {name!r} is not in {source or toolkit.CODE}.")
    path = [toolkit.CODE]
    if (code / requirements.FILE).is_file():
        text = (code / requirements.FILE).read_text(errors="replace")
        installed = requirements.folder_for(text, directory.packages)
        path += [str(installed)] if installed else []
    path += container_images.package_folders(image)
    variables = toolkit.environment(job, hyperparameters) | {"PYTHONPATH": os.pathsep.join(path)}
    given = toolkit.arguments(toolkit.script_parameters(hyperparameters))
    return Program(toolkit.command(name, code, given), environment=variables)


def _unpack(uri: str, code: Path) -> None:
    """Unpack a source directory (tar.gz in S3) into the code folder."""
    downloaded = code.parent / "sourcedir"
    s3.download(uri, downloaded)
    _unpack_files(downloaded, code, uri)


def _unpack_files(folder: Path, code: Path, source: str) -> None:
    for packed in [folder] if folder.is_file() else sorted(folder.iterdir()):
        try:
            archives.unpack(packed, code)
        except archives.UnsafeArchive as error:
            raise JobFailed(f"ClientError: {source} is not a tar archive that can be unpacked: {error}") from error


def _download(channel: Document, folder: Path) -> None:
    name, source = channel["ChannelName"], channel["DataSource"].get("S3DataSource")
    if source is None or source.get("S3DataType", "S3Prefix") not in ("S3Prefix", "ManifestFile"):
        raise JobFailed(f"ClientError: the channel {name} is no S3Prefix or ManifestFile; nothing else is read here.")
    if channel.get("InputMode") == "Pipe":
        raise JobFailed(f"ClientError: InputMode Pipe of the channel {name} does not work here (have: File, FastFile).")
    s3.download_source(source, folder)


def _upload(job: Document, directory: JobDirectory) -> None:
    """Upload the model, and what the script left in /opt/ml/output/data as output.tar.gz.

    https://docs.aws.amazon.com/sagemaker/latest/dg/model-train-storage.html
    """
    artifact, model = job["ModelArtifacts"]["S3ModelArtifacts"], directory.inside(toolkit.MODEL)
    if artifact.endswith("/"):
        # OutputDataConfig.CompressionType NONE.
        s3.upload(model, artifact)
    else:
        s3.put(artifact, s3.archive(model))
    data = directory.inside(f"{toolkit.OUTPUT}/data")
    if any(data.iterdir()):
        s3.put(f"{artifact.rstrip('/').rpartition('/')[0]}/output.tar.gz", s3.archive(data))


def final_metrics(specification: Document, log: Path) -> list[Document]:
    """The last value of every metric in the log: of the request's definitions, or of XGBoost's own.

    A definition that is not valid, does not end in time or does not find a number has no value.
    """
    # CloudWatch shows a tab as #011, and definitions are written for what it shows.
    text = log.read_text(errors="replace").replace("\t", "#011") if log.exists() else ""
    found: dict[str, float] = {}
    if container_images.parse(specification.get("TrainingImage", "")).is_xgboost:
        found = {f"{data}:{name}": float(value) for data, name, value in XGBOOST_METRIC.findall(text)}
    for metric in specification.get("MetricDefinitions", []):
        try:
            pattern = patterns.compile(metric["Regex"])
            values = pattern.findall(text) or pattern.findall(text.replace("#011", "\t"))
            found |= {metric["Name"]: float(values[-1])} if values else {}
        except (re.error, TimeoutError, TypeError, ValueError) as error:
            logger.warning("the metric %s is left out: %s %s", metric["Name"], type(error).__name__, error)
    time = now()
    return [{"MetricName": name, "Value": value, "Timestamp": time} for name, value in found.items()]
