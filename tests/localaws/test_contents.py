"""Long objects and uploads in parts, which go to the disk and come from it piece by piece."""

import hashlib
import io
import random
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws.endpoint import Endpoint
from pipelines.account.clients import Clients
from tests.support.memory import peak_memory

MB = 1 << 20


class Upload:
    """An upload in parts under a key of its own."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self.s3 = s3
        self.place = {"Bucket": bucket, "Key": uuid.uuid4().hex}
        self.upload = {**self.place, "UploadId": s3.create_multipart_upload(**self.place)["UploadId"]}

    def part(self, number: int, body: bytes) -> dict[str, Any]:
        """Send a part; its entry in the completion."""
        return {"PartNumber": number, "ETag": self.s3.upload_part(**self.upload, PartNumber=number, Body=body)["ETag"]}

    def complete(self, *entries: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.s3.complete_multipart_upload(
            **self.upload, MultipartUpload={"Parts": list(entries)}
        )
        return answer

    def read(self, **members: Any) -> bytes:
        content: bytes = self.s3.get_object(**self.place, **members)["Body"].read()
        return content


@pytest.fixture(scope="module")
def bucket(clients: Clients) -> str:
    name = f"contents-{uuid.uuid4().hex[:8]}"
    clients.s3.create_bucket(Bucket=name)
    return name


def random_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def test_parts_are_joined_in_their_order_and_read_whole_and_by_ranges(clients: Clients, bucket: str) -> None:
    upload = Upload(clients.s3, bucket)
    bodies = {2: random_bytes(5 * MB), 7: random_bytes(5 * MB + 1), 9: b"end"}
    # The last of two parts with one number counts.
    upload.part(7, b"replaced")
    entries = [upload.part(number, bodies[number]) for number in (9, 7, 2)][::-1]
    listed = clients.s3.list_parts(**upload.upload)["Parts"]
    assert [(each["PartNumber"], each["Size"]) for each in listed] == [(n, len(body)) for n, body in bodies.items()]
    with pytest.raises(ClientError, match="InvalidPart"):
        upload.complete(*entries, {"PartNumber": 10, "ETag": entries[0]["ETag"]})
    completed = upload.complete(*entries)
    digests = b"".join(hashlib.md5(body).digest() for body in bodies.values())
    whole = b"".join(bodies.values())
    assert completed["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    assert upload.read() == whole
    assert upload.read(Range=f"bytes={5 * MB - 2}-{5 * MB + 1}") == whole[5 * MB - 2 : 5 * MB + 2]
    assert upload.read(Range="bytes=1-") == whole[1:]
    assert upload.read(Range="bytes=-4") == whole[-4:]
    assert upload.read(PartNumber=7) == bodies[7]
    with pytest.raises(ClientError, match="InvalidRange"):
        upload.read(Range=f"bytes={len(whole)}-")
    head = clients.s3.head_object(**upload.place)
    assert (head["ContentLength"], head["ETag"]) == (len(whole), completed["ETag"])


def test_a_range_of_a_long_object_is_a_part_and_its_copy_has_its_checksum(clients: Clients, bucket: str) -> None:
    body = random_bytes(12 * MB)
    clients.s3.put_object(Bucket=bucket, Key="source", Body=body)
    upload = Upload(clients.s3, bucket)
    copied = clients.s3.upload_part_copy(
        **upload.upload, PartNumber=1, CopySource=f"{bucket}/source", CopySourceRange=f"bytes=1-{9 * MB}"
    )["CopyPartResult"]
    upload.complete({"PartNumber": 1, "ETag": copied["ETag"]}, upload.part(2, b"end"))
    assert upload.read() == body[1 : 9 * MB + 1] + b"end"
    clients.s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/source", ChecksumAlgorithm="SHA256")
    clients.s3.put_object(Bucket=bucket, Key="source", Body=b"overwritten")
    found = clients.s3.get_object(Bucket=bucket, Key="copy")
    assert hashlib.sha256(found["Body"].read()).digest() == hashlib.sha256(body).digest()


def test_an_upload_of_nothing_is_an_empty_object_and_an_aborted_one_is_none(clients: Clients, bucket: str) -> None:
    empty = Upload(clients.s3, bucket)
    assert empty.complete(empty.part(1, b""))["ETag"].endswith('-1"')
    assert empty.read() == b""
    aborted = Upload(clients.s3, bucket)
    entry = aborted.part(1, random_bytes(5 * MB))
    clients.s3.abort_multipart_upload(**aborted.upload)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        aborted.complete(entry)
    with pytest.raises(ClientError, match="NoSuchKey"):
        aborted.read()


def test_a_long_object_that_is_overwritten_while_it_is_read_is_read_to_its_end(clients: Clients, bucket: str) -> None:
    body = random_bytes(24 * MB)
    clients.s3.put_object(Bucket=bucket, Key="read", Body=body)
    reading = clients.s3.get_object(Bucket=bucket, Key="read")["Body"]
    begun = reading.read(MB)
    clients.s3.put_object(Bucket=bucket, Key="read", Body=b"other")
    assert begun + reading.read() == body


@pytest.mark.release
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures memory as Linux counts it")
def test_a_long_upload_and_download_do_not_go_through_the_memory(
    endpoint: Endpoint, clients: Clients, bucket: str, tmp_path: Path
) -> None:
    body = random_bytes(200 * MB)
    Path(f"/proc/{endpoint.pid}/clear_refs").write_text("5")
    before = peak_memory(endpoint.pid)
    clients.s3.upload_fileobj(io.BytesIO(body), bucket, "long")
    uploaded = peak_memory(endpoint.pid) - before
    clients.s3.download_file(bucket, "long", str(tmp_path / "long"))
    whole = clients.s3.get_object(Bucket=bucket, Key="long")["Body"].read()
    ended = peak_memory(endpoint.pid) - before
    assert whole == body == (tmp_path / "long").read_bytes()
    assert max(uploaded, ended) < 150 * MB, f"{uploaded // MB} MB, {ended // MB} MB"
