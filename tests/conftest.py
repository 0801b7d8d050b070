"""What every test has: no credentials, no way out of this machine, and one local endpoint for those that ask."""

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.aws import Clients
from pipelines.local import endpoint as endpoints
from pipelines.local.workspace import Workspace

# Set before any test's imports look for credentials; sub-processes inherit it.
for name in [name for name in os.environ if name.startswith(("AWS_", "SAGEMAKER_"))]:
    del os.environ[name]
os.environ.update(
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_DEFAULT_REGION="us-east-1",
)


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere but this machine fails the test that tries it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[endpoints.Endpoint]:
    """A local endpoint for all tests that ask for one; each works on names of its own."""
    workspace = Workspace(tmp_path_factory.mktemp("endpoint"))
    with endpoints.running(workspace, keep=False) as running:
        yield running


@pytest.fixture(scope="session")
def clients(endpoint: endpoints.Endpoint) -> Clients:
    """boto3 clients of the shared endpoint."""
    return Clients(endpoint.url)


@pytest.fixture
def failing(endpoint: endpoints.Endpoint) -> Iterator[Callable[..., None]]:
    """Let API calls of the shared endpoint fail: failing("sagemaker:StartPipelineExecution", times=2).

    times: None for every call until the test's end. More arguments as pipelines.local.faults has them.
    """
    ordered: list[str] = []

    def order(call: str, **arguments: Any) -> None:
        ordered.append(call)
        endpoint.control("faults", call=call, **arguments)

    yield order
    for call in ordered:
        endpoint.control("faults", call=call, times=0)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace of the test's own."""
    return Workspace(tmp_path / "workspace")
