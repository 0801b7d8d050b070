"""What one request, one Lambda or one error may take of the machine."""

import io
from pathlib import Path

import pytest

from benchmarks.support.crash import Victim
from benchmarks.support.definitions import until
from benchmarks.support.streams import Streams
from localaws import endpoint as endpoints
from localaws.endpoint import Endpoint
from localaws.errors import ExpectedError
from localaws.log_limit import LimitedLog


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


@pytest.mark.parametrize("killed", [False, True])
def test_what_a_lambda_started_ends_with_the_endpoint(victim: Victim, killed: bool) -> None:
    victim.up()
    found = endpoints.find(victim.workspace)
    assert found is not None
    streams = Streams(found)
    answer = streams.lambdas.invoke(FunctionName=streams.function(CHILD))
    process = int(answer["Payload"].read())
    assert Path(f"/proc/{process}").exists()
    if killed:
        victim.kill()
        victim.up()
    else:
        victim.down()
    until(lambda: not Path(f"/proc/{process}/cmdline").exists() or is_zombie(process), "the child's end")


def is_zombie(process: int) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].startswith("Z")


def test_the_endpoint_may_open_as_many_files_as_the_system_allows(endpoint: Endpoint) -> None:
    limits = Path(f"/proc/{endpoint.pid}/limits").read_text()
    _, _, _, soft, hard, _ = next(line for line in limits.splitlines() if line.startswith("Max open files")).split()
    assert soft == hard
