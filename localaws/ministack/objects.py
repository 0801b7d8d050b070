"""S3's objects: the content of each version is a file of its own, its metadata a row of the store.

A row holds what MiniStack knows about a key: the object, its versions, tags and ACLs. It is committed after its files
are written and before the request is acknowledged; files that no row names are deleted. The place of the content in
MiniStack's records holds the file's name and checksum, and the content is checked when it is read.
"""

import errno
import hashlib
import re
import shutil
import sqlite3
import tempfile
import uuid
from pathlib import Path
from typing import Any

from localaws.contents import LONG_BYTES, Content, Stored, crc32, pieces
from localaws.crashpoints import crashpoint
from localaws.errors import ENVIRONMENT, ExpectedError
from localaws.ministack import patches
from localaws.store import Store
from localaws.values import dump, load

KIND = "object"
# What MiniStack stores by bucket, key and version.
BY_VERSION = ("_object_tags", "_object_acl", "_object_annotations", "_object_retention", "_object_legal_hold")
# In place of a content: the file's name and checksum.
File = tuple[str, int]
# A file cannot have a second name there: on another disk, or on one without such names.
NO_LINK = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK)


class Objects:
    """The objects of all buckets: rows in a store, and files in a folder.

    Raises ExpectedError if the store is damaged or a file is missing.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self._store = Store(path)
        self._folder = folder
        self._s3 = patches.module("services.s3")
        # Long files that were read to their end, as each range would do again: checksum, size and time of the change.
        self._verified: dict[str, tuple[int, int, int]] = {}

    def install(self) -> None:
        """Take the place of MiniStack's files, and give S3 what is stored."""
        s3, reset = self._s3, self._s3.reset
        s3._persist_object = s3._persist_delete_marker = s3._persist_version_state = self._save
        s3._delete_persisted_object = self._save
        for name in ("_persist_displaced_version", "_delete_version_file", "_delete_persisted_bucket"):
            setattr(s3, name, lambda *args: None)
        s3._read_body = lambda bucket, key, obj: self._content(obj.get("body"))
        s3._version_body = lambda record, bucket, key, version: self._content(version.get("data"))

        patches.module("services.athena")._materialize_table_files = self._link_files

        def reset_stored() -> None:
            reset()
            self._store.remove()
            self._delete(self._present())

        s3.reset = reset_stored
        named = set().union(*(self._restore(place, body) for _, place, body in self._store.rows()))
        present = self._present()
        if missing := named - present:
            raise damaged(self._folder / missing.pop(), "an object (its file is missing)", self._folder.parent)
        self._delete(present - named)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _present(self) -> set[str]:
        return {path.name for path in self._folder.iterdir()}

    def _restore(self, place: bytes, body: bytes) -> set[str]:
        """Give S3 what a row holds; returns the names of its files."""
        (account, bucket, key), record = load(place), load(body)
        new = {"created": self._s3.now_iso(), "objects": {}, "region": None}
        if record["object"] is not None:
            self._s3._buckets._data.setdefault((account, bucket), new)["objects"][key] = record["object"]
        if record["versions"]:
            self._s3._object_versions._data[account, (bucket, key)] = record["versions"]
        for name in BY_VERSION:
            for version, value in record[name].items():
                getattr(self._s3, name)._data[account, (bucket, key, version)] = value
        return _files(record)

    def _save(self, bucket: str, key: str, *rest: Any) -> None:
        """Store what S3 has of a key by now. If it cannot, this raises, and S3 has again what is stored."""
        place = dump((self._s3.get_account_id(), bucket, key))
        stored = self._store.rows("kind = ? AND key = ?", KIND, place)
        record = self._record(bucket, key)
        try:
            self._write_files(record)
            crashpoint("object-written")
            if record["object"] is None and not record["versions"]:
                self._store.delete(KIND, place)
            else:
                self._store.write(KIND, place, dump(record))
        except (OSError, sqlite3.Error):
            self._s3._buckets[bucket]["objects"].pop(key, None)
            self._s3._object_versions.pop((bucket, key), None)
            for _, _, body in stored:
                self._restore(place, body)
            raise
        for _, _, body in stored:
            self._delete(_files(load(body)) - _files(record))

    def _record(self, bucket: str, key: str) -> dict[str, Any]:
        """What S3 has of a key. A delete marker hides the object, which S3 drops a little later."""
        s3 = self._s3
        versions = s3._object_versions.get((bucket, key)) or []
        hidden = bool(versions) and versions[-1].get("is_delete_marker")
        found = None if hidden else s3._buckets[bucket]["objects"].get(key)
        record: dict[str, Any] = {"object": found, "versions": versions}
        identifiers = [None, *(each["version_id"] for each in versions)]
        for name in BY_VERSION:
            values = {version: getattr(s3, name).get((bucket, key, version)) for version in identifiers}
            record[name] = {version: value for version, value in values.items() if value is not None}
        return record

    def _write_files(self, record: dict[str, Any]) -> None:
        """Write each content that is not in a file yet, and put the file in its place."""
        written: dict[int, tuple[bytes | Content, File]] = {}
        for holder, member in _holders(record):
            content = holder[member]
            if not isinstance(content, tuple):
                if id(content) not in written:
                    written[id(content)] = (content, self._write(content))
                holder[member] = written[id(content)][1]

    def _write(self, content: bytes | Content) -> File:
        path = self._folder / uuid.uuid4().hex
        try:
            # Not synchronized, as S3 answers all requests in one thread: a kill loses nothing, a power cut may.
            with path.open("xb") as handle:
                for piece in pieces(content):
                    handle.write(piece)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path.name, crc32(content)

    def _content(self, found: "bytes | Content | File | None") -> "bytes | Content | None":
        """The content in a file, verified; a long one is read again as it is used."""
        if not isinstance(found, tuple):
            return found
        name, checksum = found
        path = self._folder / name
        found_at = path.stat()
        state = (checksum, found_at.st_size, found_at.st_mtime_ns)
        long = found_at.st_size > LONG_BYTES
        content = Stored(path.open("rb"), 0, found_at.st_size) if long else path.read_bytes()
        if self._verified.get(name) != state:
            if crc32(content) != checksum:
                raise OSError(errno.EIO, f"the object's file is damaged: {path}")
            if long:
                self._verified[name] = state
        return content

    def _link_files(self, location: str, folders: list[str]) -> list[str]:
        """A table's objects as files in a new folder, one more name for each content, sorted by key.

        folders: gets the new folder. `_` and `.` hide an object or a folder, as in Athena.
        """
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        found = self._s3._buckets.get(bucket) or {"objects": {}}
        root = tempfile.mkdtemp(prefix="ministack-athena-")
        folders.append(root)
        files = []
        for key, each in sorted(each for each in list(found["objects"].items()) if each[0].startswith(prefix)):
            below = key.removeprefix(prefix)
            if not key.endswith("/") and not re.search(r"(^|/)[_.]", below):
                path = Path(root, below)
                path.parent.mkdir(parents=True, exist_ok=True)
                if self.link(each.get("body"), path):
                    files.append(str(path))
        return files

    def link(self, body: Any, path: Path) -> bool:
        """Give a content a name; False if it was deleted meanwhile. On another disk it is copied."""
        try:
            content = self._content(body)
            if not isinstance(body, tuple):
                path.write_bytes(bytes(content or b""))
            else:
                path.hardlink_to(self._folder / body[0])
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
            shutil.copyfile(self._folder / body[0], path)
        return True

    def _delete(self, names: set[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)
            self._verified.pop(name, None)


def _holders(record: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """The records that hold a content, and the member that holds it."""
    held = [] if record["object"] is None else [(record["object"], "body")]
    return held + [(version, "data") for version in record["versions"] if version.get("data") is not None]


def _files(record: dict[str, Any]) -> set[str]:
    return {holder[member][0] for holder, member in _holders(record)}


def check_code(folder: Path) -> None:
    """Raise ExpectedError for a Lambda's archive, a file named by its SHA-256, that was changed."""
    for path in folder.glob("*.zip"):
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
