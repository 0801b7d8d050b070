"""Data capture: requests and answers of an endpoint in S3, as JSON lines.

<DestinationS3Uri>/<endpoint>/<variant>/yyyy/mm/dd/hh/mm-ss-mmm-<id>.jsonl
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

import base64
import datetime
import json
import logging
import random
import threading
import uuid
from collections import defaultdict

from localaws.sagemaker import s3
from localaws.sagemaker.serving.fleet import Fleet, Variant
from localaws.sagemaker.serving.periodic import Periodic
from localaws.store import Document

# AWS writes after minutes.
EVERY_SECONDS = 1.0
logger = logging.getLogger("localaws.sagemaker")


class Capture:
    """Collects captured requests and writes them to S3 in the background."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = defaultdict(list)
        self._lock = threading.Lock()
        self.thread = Periodic("data-capture", EVERY_SECONDS, self.write)

    def add(
        self,
        endpoint: str,
        fleet: Fleet,
        variant: Variant,
        request_headers: dict[str, str],
        request: bytes,
        answer_type: str,
        answer: bytes,
    ) -> None:
        """Capture one answered request, if the configuration asks for it."""
        config = fleet.plan["DataCaptureConfig"]
        if not config or not config.get("EnableCapture", True):
            return
        if random.uniform(0, 100) >= config["InitialSamplingPercentage"]:
            return
        moment = datetime.datetime.now(datetime.UTC)
        modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        data = {}
        if modes & {"Input", "InputAndOutput"}:
            data["endpointInput"] = _side("INPUT", request_headers.get("content-type", ""), request, config)
        if modes & {"Output", "InputAndOutput"}:
            data["endpointOutput"] = _side("OUTPUT", answer_type, answer, config)
        metadata = {"eventId": str(uuid.uuid4()), "inferenceTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
        if "x-amzn-sagemaker-inference-id" in request_headers:
            metadata["inferenceId"] = request_headers["x-amzn-sagemaker-inference-id"]
        folder = f"{config['DestinationS3Uri'].rstrip('/')}/{endpoint}/{variant.name}/{moment:%Y/%m/%d/%H}"
        line = json.dumps({"captureData": data, "eventMetadata": metadata, "eventVersion": "0"})
        with self._lock:
            self._lines[folder].append(line)

    def write(self) -> None:
        """Write what is collected, one object per folder."""
        with self._lock:
            collected, self._lines = self._lines, defaultdict(list)
        for folder, lines in collected.items():
            moment = datetime.datetime.now(datetime.UTC)
            name = f"{moment:%M-%S}-{moment.microsecond // 1000:03}-{uuid.uuid4()}.jsonl"
            bucket, key = s3.split(f"{folder}/{name}")
            try:
                s3.client("s3").put_object(Bucket=bucket, Key=key, Body="".join(f"{line}\n" for line in lines).encode())
            except Exception:
                logger.exception("%d captured requests could not be written to %s", len(lines), folder)


def _side(mode: str, content_type: str, body: bytes, config: Document) -> Document:
    """One side of a captured request: as text for the content types that the configuration lists, else in base64."""
    types = config.get("CaptureContentTypeHeader", {})
    encoding = "BASE64"
    for name, member in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
        if content_type.partition(";")[0].strip() in types.get(member, []):
            encoding = name
    data = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode(errors="replace")
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}
