"""The project's local endpoint: AWS on this machine, with the Punk API's stand-in as an extension."""

from collections.abc import Iterator
from contextlib import contextmanager

from localaws import endpoint
from localaws.endpoint import Endpoint
from localaws.workspace import Workspace

EXTENSIONS = ("pipelines.local.punk_api:PunkApi",)


def start(workspace: Workspace, port: int = 0) -> Endpoint:
    """Start an endpoint that goes on after this process."""
    started, _ = endpoint.start(workspace, port=port, detached=True, extensions=EXTENSIONS)
    return started


@contextmanager
def running(workspace: Workspace, *, keep: bool, port: int = 0) -> Iterator[Endpoint]:
    """The workspace's endpoint: the one that is up, or a new one that stops at the end unless `keep`."""
    with endpoint.running(workspace, keep=keep, port=port, extensions=EXTENSIONS) as found:
        yield found


def api_url(found: Endpoint) -> str:
    """The base URL of the Punk API's stand-in, version 2, as the collector's stack takes it."""
    return f"{found.addresses['punk_api']}/v2"
