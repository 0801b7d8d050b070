"""Batch transform: a model's containers answer the records of objects in S3; the answers are objects beside them.

An input object `a.csv` becomes `a.csv.out`. An object with a record that the model refuses has no output, and the job
has failed; the other objects are transformed all the same.

https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html
"""

import gzip
import json
import uuid
from collections.abc import Iterator

from localaws.sagemaker import s3
from localaws.sagemaker.failures import JobFailed, JobStopped
from localaws.sagemaker.job_directory import JobDirectory, Phase
from localaws.sagemaker.jobs import JobKind
from localaws.sagemaker.models import containers_of, model_of
from localaws.sagemaker.records import Processing
from localaws.sagemaker.service import validation_error
from localaws.sagemaker.serving import model_data
from localaws.sagemaker.serving.container import Container, Unhealthy
from localaws.sagemaker.serving.model_data import ModelDataError
from localaws.store import Document, Store

MEGABYTE = 1 << 20
MAX_PAYLOAD_IN_MB, TIMEOUT_SECONDS = 6, 600


class BadRecord(Exception):
    """A model did not answer a payload; the text is a line of the data log."""


class Transforms:
    """Runs transform jobs with the models of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.kind = JobKind("Transform", self.run, check=self.check)

    def check(self, request: Document) -> None:
        """Refuse a CreateTransformJob request that cannot run."""
        for container in containers_of(self.store, model_of(self.store, request["ModelName"])):
            if not model_data.runnable(container):
                raise validation_error(model_data.refusal(container))
        source, output = request["TransformInput"], request["TransformOutput"]
        if source.get("SplitType", "None") not in ("None", "Line"):
            raise validation_error(f"The local SageMaker does not offer SplitType {source['SplitType']}.")
        if source["DataSource"]["S3DataSource"]["S3DataType"] != "S3Prefix":
            raise validation_error("The local SageMaker reads the S3DataType S3Prefix only.")
        joins = request.get("DataProcessing", {}).get("JoinSource", "None") != "None"
        if joins and source.get("SplitType", "None") != output.get("AssembleWith", "None"):
            raise validation_error("JoinSource needs the same SplitType and AssembleWith.")

    def run(self, job: Document, directory: JobDirectory, phase: Phase) -> None:
        """Transform every object. Raises JobFailed or JobStopped."""
        phase("Starting")
        containers = self._containers(job, directory)
        try:
            for container in containers:
                container.start()
            for container in containers:
                container.wait_until_healthy()
            _transform_all(job, directory, containers)
        except ModelDataError as error:
            raise JobFailed(f"ClientError: {error}") from error
        except Unhealthy as error:
            raise JobFailed("AlgorithmError: the model did not pass the ping health check; its log has more") from error
        finally:
            for container in containers:
                container.stop()

    def _containers(self, job: Document, directory: JobDirectory) -> list[Container]:
        found = []
        for number, definition in enumerate(containers_of(self.store, model_of(self.store, job["ModelName"]))):
            environment = {**definition["Environment"], **_environment(job), **job.get("Environment", {})}
            stream = (self.kind.log_group, f"{job['TransformJobName']}/i-{uuid.uuid4().hex[:17]}")
            root = directory.scratch / str(number)
            found.append(Container({**definition, "Environment": environment}, root, stream, job["TransformJobArn"]))
        return found


def _environment(job: Document) -> dict[str, str]:
    """The environment variables of a container in a batch transform."""
    strategy = {"MultiRecord": "MULTI_RECORD", "SingleRecord": "SINGLE_RECORD"}[job.get("BatchStrategy", "MultiRecord")]
    return {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_BATCH_STRATEGY": strategy,
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(job.get("MaxPayloadInMB", MAX_PAYLOAD_IN_MB)),
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(job.get("MaxConcurrentTransforms", 1)),
    }


def _transform_all(job: Document, directory: JobDirectory, containers: list[Container]) -> None:
    uri = job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    bucket, prefix = s3.split(uri)
    keys = [key for key in s3.keys_under(uri) if not key.endswith("/")]
    if not keys:
        raise s3.MissingInput(f'No S3 objects found under S3 URL "{uri}" given in input data source.')
    failed = False
    with directory.log.open("a") as log:
        for key in keys:
            inside = key.removeprefix(prefix).lstrip("/") if key != prefix else key.rpartition("/")[2]
            try:
                content = _transformed(job, directory, containers, s3.read_object(bucket, key))
            except BadRecord as error:
                log.write(f"[sagemaker logs]: {bucket}/{key}: {error}\n")
                failed = True
                continue
            target, folder = s3.split(job["TransformOutput"]["S3OutputPath"])
            s3.client("s3").put_object(
                Bucket=target, Key=f"{folder.rstrip('/')}/{inside}.out".lstrip("/"), Body=content
            )
    if failed:
        raise JobFailed("AlgorithmError: See job logs for more information")


def _transformed(job: Document, directory: JobDirectory, containers: list[Container], content: bytes) -> bytes:
    """The output object of an input object. Raises BadRecord or JobStopped."""
    source, output = job["TransformInput"], job["TransformOutput"]
    if source.get("CompressionType") == "Gzip":
        content = gzip.decompress(content)
    processing = Processing(job)
    whole = b""
    for payload in _payloads(job, content):
        if directory.stop():
            raise JobStopped
        try:
            answer = _answer(job, containers, processing.filtered(payload))
            answer = processing.joined(payload, answer)
        except ValueError as error:
            raise BadRecord(f"ClientError: {error}") from error
        whole += answer
        if output.get("AssembleWith") == "Line" and not whole.endswith(b"\n"):
            whole += b"\n"
    return whole


def _payloads(job: Document, content: bytes) -> Iterator[bytes]:
    """The bodies of the requests: the whole object, one line each, or as many lines as fit."""
    limit = job.get("MaxPayloadInMB", MAX_PAYLOAD_IN_MB) * MEGABYTE or len(content)
    pieces = [content]
    if job["TransformInput"].get("SplitType") == "Line":
        pieces = [line for line in content.splitlines(keepends=True) if line.strip()]
    alone = job.get("BatchStrategy") == "SingleRecord"
    payload = b""
    for piece in pieces:
        if len(piece) > limit:
            raise BadRecord(f"ClientError: a record of {len(piece)} bytes exceeds MaxPayloadInMB.")
        if payload and (alone or len(payload) + len(piece) > limit):
            yield payload
            payload = b""
        payload += piece
    if payload:
        yield payload


def _answer(job: Document, containers: list[Container], payload: bytes) -> bytes:
    """The last container's answer, which alone gets Accept. Raises BadRecord."""
    settings = job.get("ModelClientConfig", {})
    accept, content_type = job["TransformOutput"].get("Accept"), job["TransformInput"].get("ContentType")
    for container in containers:
        given = {"Accept": accept if container is containers[-1] else None, "Content-Type": content_type}
        headers = {name: value for name, value in given.items() if value}
        for retries_left in reversed(range(settings.get("InvocationsMaxRetries", 0) + 1)):
            try:
                seconds = float(settings.get("InvocationsTimeoutInSeconds", TIMEOUT_SECONDS))
                status, answered, body = container.request("POST", "/invocations", headers, payload, seconds)
            except OSError as error:
                status, answered, body = 500, {}, str(error).encode()
            if status < 500 or not retries_left:
                break
        if status >= 400:
            text = json.dumps(body.decode(errors="replace"))
            raise BadRecord(f"Bad HTTP status received from algorithm: {status} {text}")
        payload, content_type = body, answered.get("content-type", content_type)
    return payload
