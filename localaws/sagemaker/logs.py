"""A job's output in CloudWatch Logs while it runs, as SageMaker sends it."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localaws.sagemaker.s3 import client

EVERY_SECONDS = 0.5
logger = logging.getLogger("localaws.sagemaker")


@contextmanager
def sending(log: Path, group: str, stream: str, job_arn: str) -> Iterator[None]:
    """While inside, send what is appended to the file `log` to the log stream; the rest at the end."""
    ended = threading.Event()
    sender = threading.Thread(target=_send_until, args=(log, group, stream, job_arn.split(":")[3], ended), daemon=True)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()


def _send_until(log: Path, group: str, stream: str, region: str, ended: threading.Event) -> None:
    api = client("logs", region)
    position = 0
    try:
        for create in (
            lambda: api.create_log_group(logGroupName=group),
            lambda: api.create_log_stream(logGroupName=group, logStreamName=stream),
        ):
            try:
                create()
            except api.exceptions.ResourceAlreadyExistsException:
                continue
        while not ended.wait(EVERY_SECONDS):
            position = _send(api, log, group, stream, position, whole=False)
        _send(api, log, group, stream, position, whole=True)
    except Exception:
        # The log file itself stays in the job's folder, so the job does not fail.
        logger.exception("the log of %s could not be sent", stream)


def _send(api: Any, log: Path, group: str, stream: str, position: int, *, whole: bool) -> int:
    """Send the finished lines after `position` (with whole: all) and return the new position."""
    if not log.exists():
        return position
    with log.open("rb") as handle:
        handle.seek(position)
        data = handle.read()
    if not whole:
        data = data[: data.rfind(b"\n") + 1]
    lines = [line for line in data.decode(errors="replace").splitlines() if line.strip()]
    stamp = int(time.time() * 1000)
    for start in range(0, len(lines), 1000):
        batch = [{"timestamp": stamp, "message": line} for line in lines[start : start + 1000]]
        api.put_log_events(logGroupName=group, logStreamName=stream, logEvents=batch)
    return position + len(data)
