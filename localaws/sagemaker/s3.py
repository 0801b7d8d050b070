"""Objects in and out of a job's folders, through S3's own API at the local endpoint."""

import functools
import gzip
import io
import json
import os
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

from localaws import clients
from localaws.security import credentials

# The objects of one instance: every so many, from its number.
Shard = tuple[int, int]
WHOLE: Shard = (0, 1)
# The bucket is in the host's name or begins the path.
HTTPS = re.compile(r"https://(?:([a-z0-9][a-z0-9.-]+)\.)?s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?/(.+)")


class MissingInput(Exception):
    """An input has no object under its S3 address; SageMaker ends such a job with a ClientError."""


@functools.cache
def client(service: str, region: str = clients.REGION) -> Any:
    """A boto3 client of the endpoint this process serves."""
    key = credentials.of_this_process()
    # A failure within one process has a reason that a retry does not remove.
    return clients.client(os.environ["AWS_ENDPOINT_URL"], service, key, attempts=1, region=region)


def split(uri: str) -> tuple[str, str]:
    """`s3://bucket/a/b` -> ("bucket", "a/b")."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def from_https(url: str) -> str:
    """`https://bucket.s3.us-east-1.amazonaws.com/a/b` and `https://s3.amazonaws.com/bucket/a/b` -> `s3://bucket/a/b`.

    Anything else stays as it is. https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    """
    found = HTTPS.fullmatch(url)
    return "s3://" + "/".join(filter(None, found.groups())) if found else url


def read_object(bucket: str, key: str) -> bytes:
    """One object's bytes; MissingInput when it is not there."""
    s3 = client("s3")
    try:
        body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except (s3.exceptions.NoSuchKey, s3.exceptions.NoSuchBucket) as error:
        raise MissingInput(f"There is no object s3://{bucket}/{key}.") from error
    return body


def keys_under(uri: str) -> list[str]:
    """The keys that begin with the address's key, as S3Prefix inputs match them; none in a bucket that is missing."""
    bucket, prefix = split(uri)
    s3 = client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    try:
        return [item["Key"] for answer in pages for item in answer.get("Contents", [])]
    except s3.exceptions.NoSuchBucket:
        return []


def download(uri: str, folder: Path, shard: Shard = WHOLE) -> int:
    """Copy the objects under `uri` into `folder`, keeping what follows the last slash of the address.

    Returns the number of objects, those of other shards included; raises MissingInput when there is none.
    """
    bucket, prefix = split(uri)
    keys = [key for key in keys_under(uri) if not key.endswith("/")]
    if not keys:
        raise MissingInput(f'No S3 objects found under S3 URL "{uri}" given in input data source.')
    base = prefix if prefix in keys else prefix.rstrip("/") + "/"
    for key in keys[shard[0] :: shard[1]]:
        inside = key.removeprefix(base) if key != prefix else key.rpartition("/")[2]
        target = folder / inside.lstrip("/")
        if not target.resolve().is_relative_to(folder.resolve()):
            raise MissingInput(f'The key "{key}" leads out of the input folder.')
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as handle:
            shutil.copyfileobj(client("s3").get_object(Bucket=bucket, Key=key)["Body"], handle)
    return len(keys)


def download_source(source: dict[str, Any], folder: Path, shard: Shard = WHOLE) -> None:
    """Copy what an S3DataSource or S3Input names: a prefix, or a manifest's objects beside their relative paths.

    Raises MissingInput. https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html
    """
    if source.get("S3DataType", "S3Prefix") == "S3Prefix":
        download(source["S3Uri"], folder, shard)
        return
    entries = _manifest(source["S3Uri"])
    prefix = next((each["prefix"] for each in entries if isinstance(each, dict)), "")
    for entry in [each for each in entries if isinstance(each, str)][shard[0] :: shard[1]]:
        target = (folder / entry).parent
        if not target.resolve().is_relative_to(folder.resolve()):
            raise MissingInput(f'The manifest\'s "{entry}" leads out of the input folder.')
        download(f"{prefix}{entry}", target)


def _manifest(uri: str) -> list[Any]:
    """A manifest: [{"prefix": "s3://bucket/folder/"}, "a.csv", "deeper/b.csv"]."""
    try:
        found = json.loads(read_object(*split(uri)))
        valid = isinstance(found, list) and all(isinstance(each, str) or "prefix" in each for each in found)
    except (ValueError, TypeError):
        valid = False
    if not valid:
        raise MissingInput(f"The manifest {uri} is no list of a prefix and relative paths.")
    return list(found)


def upload(folder: Path, uri: str) -> int:
    """Copy every file below `folder` under `uri`; returns their number."""
    bucket, prefix = split(uri)
    # A link would carry a file of this machine into S3.
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    for path in found:
        key = f"{prefix.rstrip('/')}/{path.relative_to(folder).as_posix()}".lstrip("/")
        client("s3").put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    return len(found)


def put(uri: str, content: bytes) -> None:
    """Store one object."""
    bucket, key = split(uri)
    client("s3").put_object(Bucket=bucket, Key=key, Body=content)


def archive(folder: Path) -> bytes:
    """`folder` as a tar.gz that is the same bytes for the same content, whenever and wherever it is made."""
    raw = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size = path.stat().st_size
            entry.mode = 0o644
            with path.open("rb") as content:
                tar.addfile(entry, content)
    return raw.getvalue()
