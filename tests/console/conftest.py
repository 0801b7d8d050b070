"""The console served on a free port, and a pipeline that is not this project's."""

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
import uvicorn

from benchmarks.support.definitions import Execution, Project, compare, condition, fail, parameter
from console.account import Account
from console.context import Console
from console.plugin import Plugin
from console.web import app
from pipelines.account.clients import Clients

# What a name may be, and what no page may run.
HOSTILE = "<script>alert(1)</script>"


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    text: str


class Site:
    """A served console, asked by hand: what a browser, another site or a script may send."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.port = console.port
        self.url = f"http://127.0.0.1:{console.port}"

    def send(self, method: str, path: str, headers: dict[str, str] | None = None, body: str = "") -> Answer:
        """One request with exactly these headers, and a right Host where none is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        sent = {"Host": f"127.0.0.1:{self.port}", **(headers or {})}
        if body:
            sent |= {"Content-Length": str(len(body.encode())), "Content-Type": "application/x-www-form-urlencoded"}
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders(body.encode() if body else None)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)

    def get(self, path: str) -> str:
        """A page's HTML; an AssertionError unless it is there."""
        answer = self.send("GET", path)
        assert answer.status == 200, (path, answer.status, answer.text[:2000])
        return answer.text

    def post(self, path: str, **form: str) -> Answer:
        """A form with its token, as the console's own pages send it."""
        return self.send("POST", path, {"Origin": self.url}, urlencode({"token": self.console.token.value, **form}))


@contextmanager
def served(client: Callable[[str], Any], *, plugin: Plugin | None = None, changes: bool = True) -> Iterator[Site]:
    """The console on a free port, in a thread."""
    console = Console(Account(client), plugin or Plugin(), changes=changes, where="tests")
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    console.port = listener.getsockname()[1]
    config = uvicorn.Config(app(console), log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    console.stopping = lambda: server.should_exit
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Site(console)
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture(scope="session")
def site(clients: Clients) -> Iterator[Site]:
    """The console of the shared endpoint, without a plug-in."""
    with served(lambda service: clients[service]) as found:
        yield found


class Foreign(NamedTuple):
    """A pipeline that is not this project's, with a run that succeeded and one that failed."""

    project: Project
    good: Execution
    bad: Execution


@pytest.fixture(scope="session")
def foreign(clients: Clients) -> Foreign:
    """Two steps, a condition with two branches, names and outputs that try to be markup."""
    project = Project(clients)
    script = """
        import sys
        print('reading')
        print('<b>not markup</b>')
        (OUTPUT / 'out' / 'text').write_text('made')
        if sys.argv[1] == 'bad':
            raise ValueError('row 7: no ' + 'hops')
    """
    steps = [
        project.processing("Make", script, outputs=("out",), arguments=({"Get": "Parameters.Mode"},)),
        condition(
            "Good",
            compare("Equals", {"Get": "Parameters.Mode"}, "good"),
            then=(project.processing("Use", "print('used')"),),
            other=(fail("Refuse", "it is not good"),),
        ),
    ]
    steps[1]["DependsOn"] = ["Make"]
    project.upsert(steps, (parameter("Mode", "String", "good"), parameter("Note", "String", HOSTILE)),
                   PipelineDescription=f"Description {HOSTILE}")  # fmt: skip
    good, bad = project.start().wait(), project.start({"Mode": "bad"}).wait()
    return Foreign(project, good, bad)


def without_tags(page: str) -> str:
    """A page's text, white space folded."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())
