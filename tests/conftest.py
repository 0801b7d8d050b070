"""What every test has: no credentials and no way out of this machine.

And what tests of several modules ask for: one local endpoint, an endpoint to kill, a stream, an evaluation.
"""

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from xdist.scheduler import LoadFileScheduling

from benchmarks.support.crash import Victim
from benchmarks.support.definitions import Project
from benchmarks.support.faults import FakeKinesis
from ingestion import api, stream
from localaws import endpoint as endpoints
from localaws.workspace import Workspace
from pipelines.account.clients import Clients

# Set before any test's imports read credentials; sub-processes inherit it.
for name in [name for name in os.environ if name.startswith(("AWS_", "SAGEMAKER_"))]:
    del os.environ[name]
os.environ.update(
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_DEFAULT_REGION="us-east-1",
)


# Fixtures that start an endpoint, or a workspace for one; a test that asks for one of them needs the local AWS.
ENDPOINT_FIXTURES = {"endpoint", "enforcing", "folder", "strict", "troubled", "twice", "workplace", "workspace"}
# What takes seconds to make or to import, and the files that share it.
TOGETHER = {
    "SDK": {
        "tests/localaws/sagemaker/test_clients.py",
        "tests/pipelines/authoring/test_definition.py",
        "tests/pipelines/authoring/test_generate.py",
    },
    "site": {
        "tests/console/test_browser.py",
        "tests/console/test_pages.py",
        "tests/console/test_security.py",
    },
    "deployment": {
        "tests/pipelines/account/test_releases.py",
        "tests/pipelines/account/test_serving.py",
        "tests/pipelines/authoring/test_deploy.py",
    },
}


def pytest_xdist_auto_num_workers() -> int:
    """Three workers on two cores: a third of a test's time it waits for an endpoint, a step or a deadline."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores + cores // 2, 6)


class Together(LoadFileScheduling):
    """A file's tests run in one worker, and so do the files that share what takes long."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((name for name, files in TOGETHER.items() if file in files), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the local endpoint, so that `make test-fast` can leave it out, and run its files first.

    They take the longest: the workers end together when what is left at the end is short.
    """
    for item in items:
        if ENDPOINT_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.endpoint)
    slow = {item.path for item in items if item.get_closest_marker("endpoint")}
    items.sort(key=lambda item: item.path not in slow)


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
    return Clients(endpoint)


@pytest.fixture
def project(clients: Clients) -> Project:
    """A bucket and a pipeline of the test's own at the shared endpoint."""
    return Project(clients)


@pytest.fixture
def failing(endpoint: endpoints.Endpoint) -> Iterator[Callable[..., None]]:
    """Inject faults into the shared endpoint: failing("sagemaker:StartPipelineExecution", times=2).

    times: None for every call until the test's end. The other arguments are those of localaws.ministack.faults.
    """
    injected: list[str] = []

    def inject(call: str, **arguments: Any) -> None:
        injected.append(call)
        endpoint.control("faults", call=call, **arguments)

    yield inject
    for call in injected:
        endpoint.control("faults", call=call, times=0)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace of the test's own; its endpoints load what they need when they need it."""
    monkeypatch.setenv("LOCALAWS_COLD", "1")
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def victim(workspace: Workspace) -> Iterator[Victim]:
    """An endpoint of the test's own, to be killed and started again."""
    victim = Victim(workspace)
    yield victim
    if victim.alive:
        victim.down()


@pytest.fixture(scope="session")
def kinesis_session() -> boto3.Session:
    """A session for the clients of `kinesis` alone; making one for each test would take most of the time."""
    return boto3.Session("test", "test", region_name="eu-central-1")


@pytest.fixture
def kinesis(monkeypatch: pytest.MonkeyPatch, kinesis_session: boto3.Session) -> Iterator[FakeKinesis]:
    """A stream to collect into, and waits that are over at once."""
    for module in (api, stream):
        monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.001)
    with FakeKinesis() as server:
        monkeypatch.setenv("STREAM_NAME", "beers")
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", kinesis_session)
        yield server


@pytest.fixture(scope="session")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The evaluation of the workbench's model without a champion. Copy what you change."""
    # Imported late, as it puts the steps' folders on the path.
    from tests.support import beers

    return beers.evaluate(beers.workbench(), Path("nowhere"), tmp_path_factory.mktemp("evaluation"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    from tests.support.browser import CHROMIUM, FLAGS

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()
