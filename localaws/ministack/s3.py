"""S3 as AWS has it, where MiniStack differs: the default KMS key, ranges of versions, checksums of copies."""

from typing import Any

from localaws.ministack.patches import module


def install() -> None:
    """Patch MiniStack's S3."""
    _accept_default_kms_key()
    _read_ranges_of_versions()
    _checksum_copies()


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
