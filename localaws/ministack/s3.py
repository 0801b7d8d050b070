"""S3 as AWS has it, where MiniStack differs: the default KMS key, ranges of versions, checksums of copies, events.

And the parts of an upload, which MiniStack joins in memory.
"""

import contextvars
import hashlib
import json
import types
from typing import Any

from localaws.contents import LONG_BYTES, Joined
from localaws.ministack.patches import module

# The version of which an event is made.
VERSION: contextvars.ContextVar[str | None] = contextvars.ContextVar("VERSION", default=None)


def install() -> None:
    """Patch MiniStack's S3."""
    _accept_default_kms_key()
    _read_ranges_of_versions()
    _checksum_copies()
    _join_on_the_disk()
    _name_versions_in_events()


def _accept_default_kms_key() -> None:
    """S3's `aws:kms` without a key id means the account's aws/s3 key; MiniStack answers 400 instead."""
    s3 = module("services.s3")
    original = s3._resolve_sse_write_headers
    key = "x-amz-server-side-encryption-aws-kms-key-id"

    def resolve(headers: dict[str, str], bucket_name: str) -> Any:
        if headers.get("x-amz-server-side-encryption") == "aws:kms" and not headers.get(key):
            headers = {**headers, key: "alias/aws/s3"}
        return original(headers, bucket_name)

    s3._resolve_sse_write_headers = resolve


def _read_ranges_of_versions() -> None:
    """GetObject with a VersionId and a Range returns the range; MiniStack returns the whole version.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    s3 = module("services.s3")
    original = s3._get_object

    def get_object(bucket: str, key: str, headers: dict[str, str], query: dict[str, Any] | None = None) -> Any:
        status, answered, body = original(bucket, key, headers, query)
        if status != 200 or not headers.get("range"):
            return status, answered, body
        found = s3._parse_range(headers["range"], len(body))
        if found is None:
            return s3._error("InvalidRange", "The requested range is not satisfiable", 416, f"/{bucket}/{key}")
        cut = body[found[0] : found[1] + 1]
        ranged = {name: value for name, value in answered.items() if not name.lower().startswith("x-amz-checksum")}
        ranged |= {"Content-Length": str(len(cut)), "Content-Range": f"bytes {found[0]}-{found[1]}/{len(body)}"}
        return 206, ranged, cut

    s3._get_object = get_object


def _checksum_copies() -> None:
    """CopyObject with ChecksumAlgorithm: S3 computes the copy's checksum and returns it; MiniStack ignores it.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    """
    s3 = module("services.s3")
    original = s3._copy_object

    def copy(bucket: str, key: str, headers: dict[str, str]) -> Any:
        algorithm = headers.get("x-amz-checksum-algorithm")
        if not algorithm:
            return original(bucket, key, headers)
        status, answered, body = original(bucket, key, {**headers, "x-amz-sdk-checksum-algorithm": algorithm})
        stored = s3._ensure_bucket(bucket)["objects"][key]["checksums"] if status == 200 else {}
        found = "".join(f"<Checksum{name}>{value}</Checksum{name}>" for name, value in stored.items())
        return status, answered, body.replace(b"</CopyObjectResult>", f"{found}</CopyObjectResult>".encode())

    s3._copy_object = copy


def _name_versions_in_events() -> None:
    """EventBridge's event of a versioned object has its version-id; MiniStack leaves it out.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """
    s3, eventbridge = module("services.s3"), module("services.eventbridge")
    fire, dispatch = s3._fire_s3_event, eventbridge._dispatch_event

    def fire_of_version(*args: Any, version_id: str | None = None, **options: Any) -> None:
        # In a thread of the event's own.
        VERSION.set(version_id)
        fire(*args, version_id=version_id, **options)

    def dispatch_with_version(event: dict[str, Any], *rest: Any) -> Any:
        if event.get("Source") == "aws.s3" and (version := VERSION.get()):
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version
            event = {**event, "Detail": json.dumps(detail)}
        return dispatch(event, *rest)

    s3._fire_s3_event, eventbridge._dispatch_event = fire_of_version, dispatch_with_version


class _StandIn(bytes):
    """Stands for a part that is joined: its content is the part's number, its length the part's own."""

    size: int
    etag: str

    def __len__(self) -> int:
        return self.size


NUMBER_BYTES = 5


def _join_on_the_disk() -> None:
    """CompleteMultipartUpload joins stand-ins for the parts; the object gets the parts, one after the other."""
    s3 = module("services.s3")
    original = s3._complete_multipart_upload

    def md5(content: bytes) -> Any:
        if isinstance(content, _StandIn):
            return types.SimpleNamespace(digest=lambda: bytes.fromhex(content.etag))
        return hashlib.md5(content, usedforsecurity=False)

    def complete(bucket: str, key: str, body: bytes, query: Any, headers: Any = None) -> Any:
        parts = s3._multipart_uploads.get(s3._qp(query, "uploadId"), {}).get("parts", {})
        bodies = {number: part["body"] for number, part in parts.items()}

        def replicate(bucket: str, key: str, object_: dict[str, Any], numbers: bytes) -> None:
            wanted = [numbers[start : start + NUMBER_BYTES] for start in range(0, len(numbers), NUMBER_BYTES)]
            joined = Joined([bodies[int(number)] for number in wanted])
            object_["size"] = len(joined)
            object_["body"] = joined if len(joined) > LONG_BYTES else bytes(joined)
            s3._maybe_replicate(bucket, key, object_, object_["body"])

        def record(bucket: str, key: str, prior: Any, object_: dict[str, Any], numbers: bytes) -> Any:
            return s3._record_object_version(bucket, key, prior, object_, object_["body"])

        replaced = {"_maybe_replicate": replicate, "_record_object_version": record}
        names = {**vars(s3), **replaced, "hashlib": types.SimpleNamespace(md5=md5)}
        for number, part in parts.items():
            part["body"] = _StandIn(b"%*d" % (NUMBER_BYTES, number))
            part["body"].size, part["body"].etag = part["size"], part["etag"].strip('"')
        try:
            return types.FunctionType(original.__code__, names)(bucket, key, body, query, headers)
        finally:
            # Of an upload that goes on after a refusal.
            for number, part in parts.items():
                part["body"] = bodies[number]

    s3._complete_multipart_upload = complete
