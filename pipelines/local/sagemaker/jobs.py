"""Processing and training jobs: from a step's Arguments to a finished job, as DescribeProcessingJob tells it.

    CreateProcessingJob   inputs from S3 -> /opt/ml/processing/... -> the container's command -> outputs to S3
    CreateTrainingJob     channels and hyperparameters -> /opt/ml/input -> the script -> /opt/ml/model -> model.tar.gz

The container image is not used here (there is no Docker): its command runs under this Python, whose scikit-learn is
the image's.
"""

import json
import re
import shutil
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.local import shapes
from pipelines.local.sagemaker import files, logs, process
from pipelines.local.sagemaker.service import Service, arn, in_window, not_found, now, page
from pipelines.local.store import Document

DAY = 86_400


class JobFailed(Exception):
    """A job ended without success. kind: the pipeline's retry exception type that fits, reason: FailureReason."""

    def __init__(self, reason: str, kind: str = "SageMaker.JOB_INTERNAL_ERROR") -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind


class JobStopped(Exception):
    """A job was ended because its execution is being stopped."""


class Job:
    """What one kind of job is called in the API, in ARNs and in CloudWatch Logs."""

    def __init__(self, operation: str, noun: str, run: Callable[[Document, "Workplace"], None]) -> None:
        self.kind = f"{noun.lower()}-job"
        self.name_member = f"{noun}JobName"
        self.arn_member = f"{noun}JobArn"
        self.status_member = f"{noun}JobStatus"
        self.describe = f"Describe{noun}Job"
        self.listing = f"List{noun}Jobs"
        self.summaries = f"{noun}JobSummaries"
        self.log_group = f"/aws/sagemaker/{noun}Jobs"
        self.create = operation
        self.run = run


class Workplace:
    """The folder of one job: ml/ is its /opt/ml, log is its output."""

    def __init__(self, root: Path, stop: threading.Event) -> None:
        self.root = root
        self.ml = root / "ml"
        self.log = root / "log"
        self.stop = stop
        shutil.rmtree(root, ignore_errors=True)
        self.ml.mkdir(parents=True)

    def inside(self, path: str) -> Path:
        """Where a container path such as /opt/ml/model lies on this machine."""
        if not path.startswith(process.ML):
            raise JobFailed(f"ClientError: {path} is not below {process.ML}.", "CLIENT")
        return self.ml / path.removeprefix(process.ML).lstrip("/")

    def execute(self, command: list[str], environment: dict[str, str], limit_seconds: float, message: str) -> None:
        """Run the command; raise JobFailed or JobStopped unless it ends with 0. message: where it may say why."""
        ended = process.run(command, environment, self.ml, self.log, limit_seconds=limit_seconds, stop=self.stop)
        if ended.stopped:
            raise JobStopped
        if ended.timed_out:
            raise JobFailed(f"The job ran longer than MaxRuntimeInSeconds ({limit_seconds:g} s) and was stopped.")
        if ended.exit_code:
            said = self.inside(message)
            why = said.read_text(errors="replace").strip() if said.is_file() else process.last_lines(self.log)
            raise JobFailed(f"AlgorithmError: {why[:900]}, exit code: {ended.exit_code}")


def run_processing(job: Document, place: Workplace) -> None:
    """A processing job: inputs, command, outputs."""
    for given in job.get("ProcessingInputs", []):
        source = given["S3Input"]
        files.download(source["S3Uri"], place.inside(source["LocalPath"]))
    outputs = job.get("ProcessingOutputConfig", {}).get("Outputs", [])
    for output in outputs:
        place.inside(output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)
    application = job["AppSpecification"]
    command = [*application["ContainerEntrypoint"], *application.get("ContainerArguments", [])]
    environment = {"PROCESSING_JOB_NAME": job["ProcessingJobName"], **job.get("Environment", {})}
    limit = job.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DAY)
    place.inside("/opt/ml/output").mkdir(parents=True, exist_ok=True)
    try:
        place.execute(command, environment, limit, "/opt/ml/output/message")
    finally:
        said = place.inside("/opt/ml/output/message")
        if said.is_file():
            job["ExitMessage"] = said.read_text(errors="replace")[:1024]
    for output in outputs:
        files.upload(place.inside(output["S3Output"]["LocalPath"]), output["S3Output"]["S3Uri"])


def run_training(job: Document, place: Workplace) -> None:
    """A training job in script mode: what the SageMaker training toolkit does in the scikit-learn image."""
    given = {name: decoded(value) for name, value in job.get("HyperParameters", {}).items()}
    parameters = {name: value for name, value in given.items() if not name.startswith("sagemaker_")}
    channels = {}
    for channel in job.get("InputDataConfig", []):
        target = f"/opt/ml/input/data/{channel['ChannelName']}"
        files.download(channel["DataSource"]["S3DataSource"]["S3Uri"], place.inside(target))
        channels[channel["ChannelName"]] = target
    for path in ("/opt/ml/model", "/opt/ml/output/data", "/opt/ml/input/config"):
        place.inside(path).mkdir(parents=True, exist_ok=True)
    unpack(given["sagemaker_submit_directory"], place.inside("/opt/ml/code"))
    config = place.inside("/opt/ml/input/config")
    (config / "hyperparameters.json").write_text(json.dumps(job.get("HyperParameters", {})))
    command = ["python3", f"/opt/ml/code/{given['sagemaker_program']}"]
    for name, value in parameters.items():
        command += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    limit = job.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DAY)
    environment = training_environment(job, channels, parameters)
    place.execute(command, environment, limit, "/opt/ml/output/failure")
    job["FinalMetricDataList"] = final_metrics(job, place.log)
    destination = f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/output"
    bucket, key = files.split(f"{destination}/model.tar.gz")
    files.client("s3").put_object(Bucket=bucket, Key=key, Body=files.archive(place.inside("/opt/ml/model")))
    files.upload(place.inside("/opt/ml/output/data"), f"{destination}/data")
    job["ModelArtifacts"] = {"S3ModelArtifacts": f"{destination}/model.tar.gz"}
    job["SecondaryStatus"] = "Completed"


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


def unpack(uri: str, folder: Path) -> None:
    """Unpack a source directory (tar.gz in S3) into the code folder."""
    downloaded = folder.parent / "sourcedir"
    files.download(uri, downloaded)
    for packed in downloaded.iterdir():
        with tarfile.open(packed) as tar:
            tar.extractall(folder, filter="data")


def final_metrics(job: Document, log: Path) -> list[Document]:
    """The last value that each metric definition's regular expression finds in the log."""
    text = log.read_text(errors="replace")
    found = []
    for metric in job["AlgorithmSpecification"].get("MetricDefinitions", []):
        values = re.findall(metric["Regex"], text)
        if values:
            found.append({"MetricName": metric["Name"], "Value": float(values[-1]), "Timestamp": now()})
    return found


PROCESSING = Job("CreateProcessingJob", "Processing", run_processing)
TRAINING = Job("CreateTrainingJob", "Training", run_training)


class Jobs:
    """Runs jobs, keeps their documents, and answers Describe and List."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.store = service.store
        self.folder = folder
        for job in (PROCESSING, TRAINING):
            service.add({job.describe: self._describer(job), job.listing: self._lister(job)})

    def run(self, job: Job, name: str, arguments: Document, job_arn: str, stop: threading.Event) -> Document:
        """Run a job to its end and return its Describe document; raises JobFailed or JobStopped.

        arguments: the request of CreateProcessingJob or CreateTrainingJob without the name.
        """
        request = {job.name_member: name, **arguments}
        wrong = list(shapes.problems(shapes.input_shape("sagemaker", job.create), request))
        if wrong:
            raise JobFailed(f"ClientError: {'; '.join(wrong)}", "CLIENT")
        time = now()
        document = {**request, job.arn_member: job_arn, job.status_member: "InProgress", "CreationTime": time}
        document |= {"LastModifiedTime": time, f"{job.name_member.removesuffix('JobName')}StartTime": time}
        self.store.put(job.kind, job_arn, document)
        place = Workplace(self.folder / name, stop)
        try:
            with logs.following(place.log, job.log_group, f"{name}/algo-1-{int(time * 1000)}"):
                job.run(document, place)
            document[job.status_member] = "Completed"
        except files.MissingInput as error:
            document.update({job.status_member: "Failed", "FailureReason": f"ClientError: {error}"})
            raise JobFailed(f"ClientError: {error}", "CLIENT") from error
        except JobFailed as error:
            document.update({job.status_member: "Failed", "FailureReason": error.reason})
            raise
        except JobStopped:
            document[job.status_member] = "Stopped"
            raise
        except OSError as error:
            # A full disk, a vanished folder: the job failed, the endpoint goes on.
            document.update({job.status_member: "Failed", "FailureReason": f"InternalServerError: {error}"})
            raise JobFailed(f"InternalServerError: {error}") from error
        finally:
            document["LastModifiedTime"] = now()
            document[f"{job.name_member.removesuffix('JobName')}EndTime"] = now()
            self.store.put(job.kind, job_arn, document)
            shutil.rmtree(place.ml, ignore_errors=True)
        return document

    def _describer(self, job: Job) -> Callable[[Document], Document]:
        def describe(request: Document) -> Document:
            name = request[job.name_member]
            document = self.store.get(job.kind, arn(f"{job.kind}/{name}"))
            if document is None:
                raise not_found(f"Requested resource not found: {job.kind} {name}.")
            return shapes.project(shapes.output_shape("sagemaker", job.describe), document)

        return describe

    def _lister(self, job: Job) -> Callable[[Document], Document]:
        def listing(request: Document) -> Document:
            wanted, status = request.get("NameContains", ""), request.get("StatusEquals")
            found = [
                each
                for each in self.store.all(job.kind)
                if each[job.arn_member].startswith(arn(""))
                and wanted in each[job.name_member]
                and status in (None, each[job.status_member])
                and in_window(request, each)
            ]
            chosen, more = page(found, request)
            shape = shapes.output_shape("sagemaker", job.listing).members[job.summaries].member
            return {job.summaries: [shapes.project(shape, each) for each in chosen], **more}

        return listing
