"""What a killed endpoint must not lose, although MiniStack alone would.

    Saver            MiniStack's services (stacks, Lambdas, rules, ...) saved while they run, not only at the end
    refuse_damaged   a saved state that is not as it was written is an error, not an empty service
    sync_objects     an object is on the disk before it is acknowledged
    refuse_unsaved   an object that S3 could not write to the disk is an error, not a success
    mend_objects     what a kill in the middle of a write left of an object is made whole again

SageMaker's documents and Firehose's records are safe by themselves: they are stored before they are acknowledged.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

from localaws.crashpoints import crashpoint
from localaws.errors import ENVIRONMENT, ExpectedError
from localaws.ministack import patches
from localaws.workspace import read_json, write_atomically

# A change is on the disk after at most this long; one save takes about 50 ms after a run of the whole chain.
EVERY_SECONDS = 1.0
# A request's consequences (a stack's resources, a state machine's run) change state for a while after its answer.
ECHO_SECONDS = 10.0
# A new file that waits for the others, and the list of them that is written when all are there.
NEW, COMPLETE = ".new", "complete.list"
# How a saved state begins; the payload and a closing brace follow.
SEALED = re.compile(r'\{"__ministack_format__": (\d+), "sha256": "([0-9a-f]{64})", "payload": ')
READING = ("Describe", "List", "Get", "BatchGet", "Filter", "Head", "Query", "Scan")
logger = logging.getLogger("localaws.durable")


class Saver:
    """An ASGI application in front of another that saves MiniStack's state from time to time after changes."""

    def __init__(self, app: Any, folder: Path) -> None:
        self.app = app
        self.folder = folder
        self._changed_at = float("-inf")
        self._saved: dict[str, bytes] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._save_while_needed, name="saver", daemon=True)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)
        if scope["type"] == "http" and changes(scope):
            self._changed_at = time.monotonic()

    def start(self) -> None:
        """Begin to save."""
        self._thread.start()

    def close(self) -> None:
        """Leave the last save to MiniStack's own end."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def save(self) -> None:
        """Write the state of the services that has changed, all of it or nothing.

        A moment in which a stack is being made or changed is passed over: half a stack cannot be deployed again.
        """
        states = {}
        for service, get_state in _stacks_first(patches.module("app")._build_persistence_save_dict()):
            try:
                payload = get_state()
                states[service] = sealed(service, payload)
            except RuntimeError:
                # Changed while it was copied.
                payload = None
            if payload is None or _being_deployed(service, payload):
                self._changed_at = time.monotonic()
                return
        digests = {service: hashlib.sha256(text).digest() for service, text in states.items()}
        changed = {service: states[service] for service in states if self._saved.get(service) != digests[service]}
        replace_together(self.folder, {f"{service}.json": text for service, text in changed.items()})
        self._saved = digests

    def _save_while_needed(self) -> None:
        while not self._closing.wait(EVERY_SECONDS):
            if time.monotonic() - self._changed_at < ECHO_SECONDS:
                try:
                    self.save()
                except Exception:
                    logger.exception("the state could not be saved")


def changes(scope: dict[str, Any]) -> bool:
    """Whether a request may change something: it is neither a GET nor of an operation that reads."""
    if scope["method"] in ("GET", "HEAD", "OPTIONS") or scope["path"].startswith("/_"):
        return False
    headers = {name.lower(): value for name, value in scope["headers"]}
    operation = headers.get(b"x-amz-target", b"").decode(errors="replace").rpartition(".")[2]
    return not operation.startswith(READING)


def _stacks_first(services: dict[str, Any]) -> list[tuple[str, Any]]:
    """A stack that is complete when it is looked at has resources that are complete when they are looked at."""
    return sorted(services.items(), key=lambda item: item[0] != "cloudformation")


def _being_deployed(service: str, payload: dict[str, Any]) -> bool:
    if service != "cloudformation":
        return False
    statuses = {stack.get("StackStatus", "") for stack in payload["stacks"]._data.values()}
    return any(status.endswith("_IN_PROGRESS") for status in statuses - {"REVIEW_IN_PROGRESS"})


def replace_together(folder: Path, contents: dict[str, bytes]) -> None:
    """Replace several files of a folder so that a kill leaves all of the old or, after `finish_replacing`, the new."""
    for name, content in contents.items():
        write_synced(folder / f"{name}{NEW}", content)
    crashpoint("state-saving")
    if contents:
        write_atomically(folder / COMPLETE, {"files": sorted(contents)})
        crashpoint("state-replacing")
        finish_replacing(folder)


def finish_replacing(folder: Path) -> None:
    """Put the new files in place if all of them were written, else drop them."""
    complete = folder / COMPLETE
    for name in read_json(complete).get("files", []):
        with contextlib.suppress(FileNotFoundError):
            (folder / f"{name}{NEW}").replace(folder / name)
    complete.unlink(missing_ok=True)
    for half in folder.glob(f"*{NEW}"):
        half.unlink()


def sealed(service: str, payload: Any) -> bytes:
    """A service's state as MiniStack reads it, with a digest that it passes over."""
    persistence = patches.module("core.persistence")
    version = persistence._state_format_version(service)
    text = json.dumps(payload, default=persistence._json_default)
    return f'{{"__ministack_format__": {version}, "sha256": "{_digest(version, text)}", "payload": {text}}}'.encode()


def seal_the_last_save(folder: Path) -> None:
    """Let MiniStack's save at its end write the same form; by itself it would write none that can be checked."""

    def save(service: str, payload: Any) -> None:
        try:
            new = folder / f"{service}.json{NEW}"
            write_synced(new, sealed(service, payload))
            new.replace(folder / f"{service}.json")
        except Exception:
            logger.exception("the state of %s could not be saved", service)

    patches.module("core.persistence").save_state = save


def refuse_damaged(folder: Path) -> None:
    """Raise ExpectedError for a saved state that was changed or cut; MiniStack would begin with an empty service."""
    for path in sorted(folder.glob("*.json")):
        text = path.read_bytes().decode(errors="replace")
        found = SEALED.match(text)
        if not found or not text.endswith("}") or found[2] != _digest(found[1], text[found.end() : -1]):
            raise ExpectedError(
                f"the saved state of {path.stem} is damaged",
                where=str(path),
                hint=f"put back a copy of it, or begin anew: rm -r {folder.parent}",
                code=ENVIRONMENT,
            )


def _digest(version: object, text: str) -> str:
    return hashlib.sha256(f"{version} {text}".encode()).hexdigest()


def write_synced(path: Path, content: bytes) -> None:
    """Write a file that is on the disk, not only on its way there, when this returns."""
    with path.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())


def sync_objects() -> None:
    """Let S3 acknowledge an object when it is on the disk; MiniStack renames what may still be on its way."""

    def write(path: str, data: str | bytes, *, text: bool = False) -> None:
        temporary = Path(f"{path}.tmp")
        try:
            write_synced(temporary, data.encode() if isinstance(data, str) else data)
            temporary.chmod(0o600)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        temporary.replace(path)

    patches.module("services.s3")._atomic_write = write


def refuse_unsaved() -> None:
    """Let S3's PutObject fail when the object cannot be written; MiniStack logs a warning and answers 200."""
    s3 = patches.module("services.s3")
    original = s3._persist_object

    def persist(bucket: str, key: str, obj: Any) -> None:
        original(bucket, key, obj)
        # MiniStack drops the body from memory once it is on the disk.
        if isinstance(obj, dict) and obj.get("body") is not None:
            raise OSError(errno.ENOSPC, f"s3://{bucket}/{key} could not be written to the disk")

    s3._persist_object = persist


def mend_objects(folder: Path) -> int:
    """Make objects whole that were overwritten when the endpoint was killed; returns their number.

    An object's file is replaced first, then the file beside it that holds its size and digest. A file that is newer
    than the one beside it was not finished: its size and digest are taken anew.
    """
    for half in folder.rglob("*.tmp"):
        if not half.with_name(f"{half.name}.meta.json").exists():
            half.unlink(missing_ok=True)
    mended = 0
    for beside in folder.rglob("*.meta.json"):
        content = beside.with_name(beside.name.removesuffix(".meta.json"))
        with contextlib.suppress(OSError, ValueError):
            if content.stat().st_mtime_ns > beside.stat().st_mtime_ns:
                told = json.loads(beside.read_text())
                body = content.read_bytes()
                digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
                write_atomically(beside, {**told, "size": len(body), "etag": f'"{digest}"', "checksums": {}})
                mended += 1
    return mended
