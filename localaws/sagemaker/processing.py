"""A processing job's container: inputs from S3, the command, outputs to S3.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator

from localaws.crashpoints import crashpoint
from localaws.sagemaker import container_images, logs, requirements, s3, toolkit
from localaws.sagemaker.failures import JobFailed
from localaws.sagemaker.job_directory import JobDirectory, Phase
from localaws.store import Document

SOURCE = "sourcedir.tar.gz"
CONFIG, MESSAGE = "/opt/ml/config", "/opt/ml/output/message"
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
# The members of the request that processingjobconfig.json holds.
CONFIGURED = [
    "ProcessingJobArn",
    "ProcessingJobName",
    "AppSpecification",
    "Environment",
    "NetworkConfig",
    "ProcessingInputs",
    "ProcessingOutputConfig",
    "ProcessingResources",
    "RoleArn",
    "StoppingCondition",
]


def run(job: Document, directory: JobDirectory, phase: Phase) -> None:
    """Run a processing job, its instances one after another; raises JobFailed or JobStopped."""
    application = job["AppSpecification"]
    if "ContainerEntrypoint" not in application:
        raise JobFailed(f"ClientError: {container_images.problem(application['ImageUri'], runs_own_program=True)}.")
    directory.note(container_images.report(application["ImageUri"]))
    for output in _outputs(job):
        if "S3Output" not in output:
            name = output["OutputName"]
            raise JobFailed(f"ClientError: the output {name} is not S3's; nothing else is written here.")
    count = job["ProcessingResources"]["ClusterConfig"]["InstanceCount"]
    for number in range(count):
        with _instance(job, directory, number) as own:
            _run_instance(job, own, phase, (number, count))


@contextlib.contextmanager
def _instance(job: Document, directory: JobDirectory, number: int) -> Iterator[JobDirectory]:
    """The folder of an instance, whose log is sent on; the first has the job's own."""
    if not number:
        yield directory
        return
    name = directory.root.name
    own = JobDirectory(directory.root.with_name(f"{name}.{toolkit.host(number)}"), directory.stop)
    stream = f"{name}/{toolkit.host(number)}-{int(job['CreationTime'] * 1000)}"
    try:
        with logs.sending(own.log, LOG_GROUP, stream, job["ProcessingJobArn"]):
            yield own
    finally:
        shutil.rmtree(own.root)


def _run_instance(job: Document, directory: JobDirectory, phase: Phase, shard: s3.Shard) -> None:
    """Inputs, command and outputs of one instance."""
    phase("Downloading")
    for given in job.get("ProcessingInputs", []):
        _download(given, directory, shard)
    for output in _outputs(job):
        directory.make(output["S3Output"]["LocalPath"])
    directory.make("/opt/ml/output")
    _write_configuration(job, directory, shard)
    crashpoint("job-inputs")
    application = job["AppSpecification"]
    command = [*application["ContainerEntrypoint"], *application.get("ContainerArguments", [])]
    environment = {"PROCESSING_JOB_NAME": job["ProcessingJobName"], **_packages(job, directory)}
    phase("Processing")
    try:
        directory.execute(job, command, environment, message=MESSAGE)
    finally:
        message = directory.text(MESSAGE)
        if message:
            job["ExitMessage"] = message[:1024]
    crashpoint("job-ended")
    phase("Uploading")
    for output in _outputs(job):
        s3.upload(directory.inside(output["S3Output"]["LocalPath"]), output["S3Output"]["S3Uri"])
    crashpoint("job-uploaded")


def _outputs(job: Document) -> list[Document]:
    return list(job.get("ProcessingOutputConfig", {}).get("Outputs", []))


def _download(given: Document, directory: JobDirectory, shard: s3.Shard) -> None:
    source = given.get("S3Input")
    if source is None:
        name = given["InputName"]
        raise JobFailed(f"ClientError: the input {name} is not S3's; nothing else is read here.")
    if "LocalPath" not in source:
        raise JobFailed(f"ClientError: the input {given['InputName']} has no LocalPath.")
    sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
    # An instance may have no object.
    s3.download_source(source, directory.make(source["LocalPath"]), shard if sharded else s3.WHOLE)


def _packages(job: Document, directory: JobDirectory) -> dict[str, str]:
    """PYTHONPATH with what the source directory of a FrameworkProcessor asks for; its script then has pip check it."""
    paths = [given["S3Input"]["LocalPath"] for given in job.get("ProcessingInputs", [])]
    archives = [directory.inside(path) / SOURCE for path in paths]
    texts = [requirements.of_archive(each.read_bytes()) for each in archives if each.is_file()]
    folders = [requirements.folder_for(text, directory.packages) for text in texts]
    found = os.pathsep.join(str(each) for each in folders if each)
    return {"PYTHONPATH": found} if found else {}


def _write_configuration(job: Document, directory: JobDirectory, shard: s3.Shard) -> None:
    folder = directory.make(CONFIG)
    files = {
        "processingjobconfig": {name: job[name] for name in CONFIGURED if name in job},
        "resourceconfig": {
            "current_host": toolkit.host(shard[0]),
            "hosts": [toolkit.host(number) for number in range(shard[1])],
        },
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
