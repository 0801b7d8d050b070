"""S3's objects and Lambda's code as files: on the disk before they are acknowledged, and checked when they are read.

An object is a file, and beside it `<name>.meta.json` holds its ETag, size and metadata. The file is replaced first. A
checksum of the file and one of the metadata are added to what MiniStack writes there.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import zlib
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from localaws.errors import ENVIRONMENT, ExpectedError
from localaws.ministack import patches

META, HALF = ".meta.json", ".tmp"
# The folder of earlier versions, which have no metadata of their own.
VERSIONS = ".versions"
# The end of the metadata: the checksum of the object's file, then that of all before it.
MD5 = re.compile("[0-9a-f]{32}")
logger = logging.getLogger("localaws.objects")
SEAL = re.compile(r', "content": (null|\d+), "checksum": (\d+)\}$')


class ObjectFiles:
    """The files of S3's buckets below one folder. Use `repair` before MiniStack is imported, which reads them then.

    notes: a folder with one file for each object whose file is being replaced: its new checksum and its path.
    """

    def __init__(self, folder: Path, notes: Path) -> None:
        self._folder = folder
        self._notes = notes
        # The checksum of each object's file.
        self._checksums: dict[str, int] = {}

    def install(self) -> None:
        """Take the place of MiniStack's reading and writing of these files."""
        s3 = patches.module("services.s3")
        persist = s3._persist_object

        def refuse_unwritten(bucket: str, key: str, obj: Any) -> None:
            persist(bucket, key, obj)
            # MiniStack logs a warning if it cannot write the file; it drops the body from memory if it can.
            if isinstance(obj, dict) and obj.get("body") is not None:
                raise OSError(errno.ENOSPC, f"s3://{bucket}/{key} could not be written: is the disk full?")

        def read(bucket: str, key: str, obj: dict[str, Any]) -> bytes:
            body = obj.get("body")
            return body if body is not None else self._read(str(s3._object_disk_path(bucket, key)))

        read_version = s3._version_body

        def read_checked_version(bucket: Any, name: str, key: str, version: dict[str, Any]) -> bytes | None:
            body: bytes | None = read_version(bucket, name, key, version)
            digest = version["etag"].strip('"')
            if (
                body is not None
                and MD5.fullmatch(digest)
                and digest != hashlib.md5(body, usedforsecurity=False).hexdigest()
            ):
                raise OSError(errno.EIO, f"version {version['version_id']} of s3://{name}/{key} is damaged")
            return body

        s3._persist_object, s3._read_body, s3._atomic_write = refuse_unwritten, read, self._write
        s3._version_body = read_checked_version
        _describe_errors(patches.module("app").SERVICE_HANDLERS)

    def repair(self) -> int:
        """Complete the objects that were being written when the endpoint was killed; return their number.

        Raises ExpectedError for an object whose metadata was changed or one of whose two files is missing.
        """
        for half in self._folder.rglob(f"*{HALF}"):
            if not half.with_name(half.name + META).exists():
                half.unlink(missing_ok=True)
        self._notes.mkdir(parents=True, exist_ok=True)
        repaired = sum([self._complete(note) for note in self._notes.iterdir()])
        for path in self._folder.rglob("*"):
            if path.is_dir():
                continue
            if path.name.endswith(META):
                self._read_metadata(path)
            elif VERSIONS not in path.parts and not path.with_name(path.name + META).exists():
                raise damaged(path, "an object (its metadata is missing)", self._folder.parent)
        return repaired

    def _read_metadata(self, beside: Path) -> None:
        content, seal = beside.with_name(beside.name.removesuffix(META)), self._seal(beside)
        if seal is None:
            raise damaged(beside, "the metadata of an object", self._folder.parent)
        if seal[1] != "null":
            if not content.exists():
                raise damaged(content, "an object (its file is missing)", self._folder.parent)
            self._checksums[str(content)] = int(seal[1])

    def _seal(self, beside: Path) -> re.Match[str] | None:
        """The end of metadata that are as they were written."""
        text = beside.read_text(errors="replace")
        seal = SEAL.search(text)
        return seal if seal and int(seal[2]) == _checksum(text[: seal.start()] + seal[1]) else None

    def _complete(self, note: Path) -> bool:
        """Complete an object from the note that its file was being replaced; return whether it had to be."""
        new, _, path = note.read_text().partition(" ")
        note.unlink()
        content, beside = Path(path), Path(path + META)
        if not content.exists() or str(zlib.crc32(content.read_bytes())) != new:
            return False
        if not beside.exists():
            # It was never acknowledged.
            content.unlink()
            return True
        seal = self._seal(beside)
        if seal is None or seal[1] == new:
            return False
        body = content.read_bytes()
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        found = json.loads(seal.string[: seal.start()] + "}")
        self._checksums[path] = int(new)
        self._write(str(beside), json.dumps(found | {"size": len(body), "etag": f'"{etag}"', "checksums": {}}))
        return True

    def _write(self, path: str, data: str | bytes, *, text: bool = False) -> None:
        """MiniStack's `_atomic_write`, with a checksum, and finished when the bytes are on the disk."""
        note = self._notes / hashlib.sha256(path.removesuffix(META).encode()).hexdigest()
        if isinstance(data, str):
            self._replace(path, self._sealed(path.removesuffix(META), data).encode())
            note.unlink(missing_ok=True)
        else:
            self._checksums[path] = zlib.crc32(data)
            if VERSIONS not in Path(path).parts:
                note.write_text(f"{self._checksums[path]} {path}")
            self._replace(path, data)

    def _replace(self, path: str, data: bytes) -> None:
        temporary = Path(path + HALF)
        try:
            with temporary.open("wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.chmod(0o600)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        temporary.replace(path)

    def _sealed(self, path: str, metadata: str) -> str:
        content = json.dumps(self._checksums.get(path) if Path(path).exists() else None)
        return f'{metadata[:-1]}, "content": {content}, "checksum": {_checksum(metadata[:-1] + content)}}}'

    def _read(self, path: str) -> bytes:
        body = Path(path).read_bytes()
        if zlib.crc32(body) != self._checksums.get(path, zlib.crc32(body)):
            raise OSError(errno.EIO, f"the object's file is damaged: {path}")
        return body


def _describe_errors(handlers: dict[str, Any]) -> None:
    """Let S3 answer with the reason when a file cannot be written or read."""
    handle = handlers["s3"]

    async def handle_described(*request: Any, **options: Any) -> Any:
        try:
            return await handle(*request, **options)
        except OSError as error:
            logger.error("S3 cannot answer: %s", error)
            message = escape(f"{error.strerror or error}")
            body = f"<Error><Code>InternalError</Code><Message>{message}</Message></Error>"
            return 500, {"Content-Type": "application/xml"}, body.encode()

    handlers["s3"] = handle_described


def check_code(folder: Path) -> None:
    """Raise ExpectedError for a Lambda's archive, a file named by its SHA-256, that was changed."""
    for path in folder.glob("*.zip"):
        with contextlib.suppress(FileNotFoundError):
            if hashlib.sha256(path.read_bytes()).hexdigest() != path.stem:
                raise damaged(path, "the code of a Lambda function", folder.parent.parent)


def damaged(path: Path, what: str, workspace: Path) -> ExpectedError:
    """The error for a file that was changed or deleted on the disk."""
    return ExpectedError(
        f"{what} is damaged",
        where=str(path),
        hint=f"put back a copy of it, or start again from nothing: rm -r {workspace}",
        code=ENVIRONMENT,
    )


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode(errors="surrogatepass"))
