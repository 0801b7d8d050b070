"""What one request, one Lambda or one error may take of the machine."""

import base64
import functools
import hashlib
import io
import random
import resource
import socket
import time
import zlib
from pathlib import Path

import pytest
import requests
from botocore.exceptions import ClientError

from benchmarks.support.crash import Victim, wait_until_saved
from benchmarks.support.definitions import until
from benchmarks.support.streams import Streams
from localaws import endpoint as endpoints
from localaws.endpoint import Endpoint
from localaws.errors import ExpectedError
from localaws.log_limit import LimitedLog
from pipelines.account.clients import Clients
from tests.support.memory import peak_memory


def test_a_command_with_a_long_body_is_refused(endpoint: Endpoint) -> None:
    with pytest.raises(ExpectedError):
        endpoint.control("status", padding="x" * 10**8)
    assert endpoint.control("status")["pid"] == endpoint.pid


def test_a_log_takes_so_much_a_minute_and_counts_the_rest() -> None:
    now = 0.0
    stream = io.StringIO()
    log = LimitedLog(stream, limit=10, clock=lambda: now)
    for _ in range(5):
        log.write("abc\n")
    now = 61.0
    log.write("next\n")
    log.finish()
    assert stream.getvalue() == "abc\nabc\n\n(12 characters of the log were left out: too many in a minute)\nnext\n"


CHILD = """
import subprocess
def handler(event, context):
    return subprocess.Popen(["sleep", "300"], start_new_session=True).pid
"""


def test_what_a_lambda_started_ends_with_the_endpoint_however_it_ends(victim: Victim) -> None:
    found = endpoints.find(victim.up().workspace)
    assert found is not None
    function = Streams(found).function(CHILD)
    wait_until_saved(victim.workspace, function.rpartition(":")[2])
    for end in (victim.kill, victim.down):
        process = int(victim.clients["lambda"].invoke(FunctionName=function)["Payload"].read())
        assert Path(f"/proc/{process}").exists()
        end()
        if end == victim.kill:
            victim.up()
        until(functools.partial(has_ended, process), "the child's end")


@pytest.mark.release
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits another process, which Linux allows")
def test_an_endpoint_whose_descriptors_run_out_reports_it_briefly_and_recovers(victim: Victim) -> None:
    victim.up()
    endpoint = endpoints.find(victim.workspace)
    assert endpoint is not None
    # What is imported in the background has been.
    time.sleep(3)
    port, used = int(endpoint.url.rpartition(":")[2]), len(list(Path(f"/proc/{endpoint.pid}/fd").iterdir()))
    _, hard = resource.prlimit(endpoint.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(endpoint.pid, resource.RLIMIT_NOFILE, (used + 10, hard))
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
    until(lambda: "Too many open files" in victim.workspace.log.read_text(), "the report")
    time.sleep(5)
    for each in connections:
        each.close()
    until(lambda: endpoints.find(victim.workspace), "an answer")
    assert endpoint.control("status")["pid"] == endpoint.pid
    assert victim.workspace.log.read_text().count("Too many open files") < 20


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures memory as Linux counts it")
@pytest.mark.parametrize("size", [pytest.param(20 << 20), pytest.param(1 << 30, marks=pytest.mark.release)])
def test_a_long_object_goes_to_the_disk_and_not_through_the_memory(
    endpoint: Endpoint, clients: Clients, tmp_path: Path, size: int
) -> None:
    clients.s3.create_bucket(Bucket="long")
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size - 1)
        file.write(b"!")
    Path(f"/proc/{endpoint.pid}/clear_refs").write_text("5")
    before = peak_memory(endpoint.pid)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
        file.seek(0)
        answer = clients.s3.put_object(Bucket="long", Key="key", Body=file, ChecksumAlgorithm="CRC32")
    assert peak_memory(endpoint.pid) - before < 100 << 20
    assert answer["ETag"] == f'"{digest}"'
    head = clients.s3.head_object(Bucket="long", Key="key", ChecksumMode="ENABLED")
    assert base64.b64decode(head["ChecksumCRC32"]) == crc32_of(path)
    found = clients.s3.get_object(Bucket="long", Key="key", Range=f"bytes={size - 3}-")
    assert (found["Body"].read(), found["ContentRange"]) == (b"\0\0!", f"bytes {size - 3}-{size - 1}/{size}")


def crc32_of(path: Path) -> bytes:
    total = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            total = zlib.crc32(piece, total)
    return total.to_bytes(4, "big")


def test_long_parts_and_long_coded_bodies_are_stored_as_they_are(clients: Clients, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(11 << 20)
    (tmp_path / "long").write_bytes(content)
    clients.s3.create_bucket(Bucket="parts")
    clients.s3.upload_file(str(tmp_path / "long"), "parts", "parts")
    clients.s3.put_object(Bucket="parts", Key="sha256", Body=content, ChecksumAlgorithm="SHA256")
    for key in ("parts", "sha256"):
        assert clients.s3.get_object(Bucket="parts", Key=key)["Body"].read() == content
    url = clients.s3.generate_presigned_url("put_object", Params={"Bucket": "parts", "Key": "presigned"})
    assert requests.put(url, data=content, timeout=60).status_code == 200
    assert clients.s3.get_object(Bucket="parts", Key="presigned")["Body"].read() == content


def test_a_long_body_that_breaks_off_stores_nothing(endpoint: Endpoint, clients: Clients) -> None:
    clients.s3.create_bucket(Bucket="broken")
    url = clients.s3.generate_presigned_url("put_object", Params={"Bucket": "broken", "Key": "key"})
    host, _, path = url.removeprefix("http://").partition("/")
    with socket.create_connection(("127.0.0.1", int(endpoint.url.rpartition(":")[2]))) as connection:
        connection.sendall(f"PUT /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {20 << 20}\r\n\r\n".encode())
        connection.sendall(bytes(6 << 20))
    assert "Contents" not in clients.s3.list_objects_v2(Bucket="broken")
    with pytest.raises(ClientError):
        clients.s3.get_object(Bucket="broken", Key="key")


def has_ended(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text().rpartition(") ")[2].startswith("Z")


def test_the_endpoint_may_open_as_many_files_as_the_system_allows(endpoint: Endpoint) -> None:
    limits = Path(f"/proc/{endpoint.pid}/limits").read_text()
    _, _, _, soft, hard, _ = next(line for line in limits.splitlines() if line.startswith("Max open files")).split()
    assert soft == hard
