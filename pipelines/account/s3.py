"""Objects in S3 by their address, `s3://bucket/key`."""

import json

from pipelines.account.clients import Clients, aws_errors
from pipelines.cli.output import Document


def split(uri: str) -> tuple[str, str]:
    """(bucket, key) of an S3 address; the key is "" where the address names a bucket."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def read(clients: Clients, uri: str) -> bytes:
    """An object's content."""
    bucket, key = split(uri)
    with aws_errors(f"reading {uri}"):
        content: bytes = clients.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def read_json(clients: Clients, uri: str) -> Document:
    """The JSON object that an object holds."""
    content: Document = json.loads(read(clients, uri))
    return content


def exists(clients: Clients, uri: str) -> bool:
    """Whether an object lies at an S3 address or under it."""
    bucket, key = split(uri)
    with aws_errors(f"listing {uri}"):
        return bool(clients.s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)["KeyCount"])


def objects(clients: Clients, uri: str) -> list[str]:
    """The addresses of all objects under an S3 address."""
    bucket, prefix = split(uri)
    with aws_errors(f"listing {uri}"):
        pages = clients.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [f"s3://{bucket}/{each['Key']}" for page in pages for each in page.get("Contents", [])]


def write(clients: Clients, uri: str, content: bytes) -> None:
    """Put an object."""
    bucket, key = split(uri)
    with aws_errors(f"writing {uri}"):
        clients.s3.put_object(Bucket=bucket, Key=key, Body=content)
