"""Prints a request and its answer in the format of SageMaker's data capture, as one line of the log.

Serverless endpoints have no data capture; a log group has.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

import datetime
import json
import sys
import uuid

# CloudWatch accepts 256 KiB per log event; a larger request is printed without its data.
MOST_CHARACTERS = 100_000
ENCODINGS = {"application/json": "JSON", "text/csv": "CSV"}


def write(body: str, content_type: str, answer: str, accept: str) -> None:
    """Prints one line to stdout."""
    data = {
        "endpointInput": _side("INPUT", body, content_type),
        "endpointOutput": _side("OUTPUT", answer, accept),
    }
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = {"eventId": str(uuid.uuid4()), "inferenceTime": now}
    line = {"captureData": data, "eventMetadata": event, "eventVersion": "0"}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _side(mode: str, text: str, media_type: str) -> dict[str, object]:
    side: dict[str, object] = {"observedContentType": media_type, "mode": mode}
    if len(text) > MOST_CHARACTERS:
        side["omittedCharacters"] = len(text)
        text = ""
    return side | {"data": text, "encoding": ENCODINGS.get(media_type, "BASE64")}
