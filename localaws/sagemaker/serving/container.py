"""One container of a model: its folder, its process, and HTTP requests to it."""

import contextlib
import http.client
import logging
import select
import shutil
import socket
import threading
import time
from collections import deque
from pathlib import Path

from localaws.sagemaker import logs, process
from localaws.sagemaker.job_directory import JobDirectory
from localaws.sagemaker.serving import model_data
from localaws.store import Document

SERVER = Path(__file__).with_name("model_server.py")
# The container answers /ping within 2 seconds and /invocations within 60:
# https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
PING_SECONDS, INVOCATION_SECONDS = 2.0, 60.0
STARTUP_SECONDS = 240.0
POLL_SECONDS = 0.02
# A process that ends, or a ping that fails, this often is no slow start.
FAILURES = 3
RESTART_SECONDS, LONGEST_RESTART_SECONDS = 0.1, 5.0
BACKLOG = 512
logger = logging.getLogger("localaws.sagemaker")


class Unhealthy(Exception):
    """A container did not pass the ping health check."""


class Container:
    """A container that is started again when its process ends.

    Its socket outlives the process: requests wait while the model is loaded again. definition: see models.resolve.
    root: a folder of its own. log_stream: group and stream.
    owner_arn: the endpoint, whose region has the log.
    """

    def __init__(self, definition: Document, root: Path, log_stream: tuple[str, str], owner_arn: str) -> None:
        self.definition = definition
        self.exits = 0
        self._root = root
        self._log = (*log_stream, owner_arn)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(BACKLOG)
        self._port = int(self._socket.getsockname()[1])
        # Open connections without a request.
        self._idle: deque[http.client.HTTPConnection] = deque()

    def start(self) -> None:
        """Fetch the model from S3 and start the process. Raises model_data.ModelDataError."""
        directory = JobDirectory(self._root, self._stopping.is_set)
        environment = model_data.fetch(self.definition, directory)
        server = directory.make("/opt/ml/server") / SERVER.name
        shutil.copyfile(SERVER, server)
        self._thread = threading.Thread(target=self._supervise, args=(directory, environment), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the process and remove its folder."""
        self._stopping.set()
        if self._thread:
            self._thread.join(timeout=10)
        self._socket.close()
        while self._idle:
            self._idle.pop().close()
        shutil.rmtree(self._root, ignore_errors=True)

    def wait_until_healthy(self, seconds: float = STARTUP_SECONDS) -> None:
        """Wait until /ping answers 200. Raises Unhealthy."""
        deadline, failures = time.monotonic() + seconds, 0
        while failures + self.exits < FAILURES and time.monotonic() < deadline and not self._stopping.is_set():
            try:
                if self.request("GET", "/ping", {}, b"", PING_SECONDS)[0] == 200:
                    return
                failures += 1
            except OSError:
                # Not listening yet, loading for longer than a ping, or ended: the deadline and `exits` count.
                pass
            time.sleep(POLL_SECONDS)
        raise Unhealthy

    def request(
        self, method: str, path: str, headers: dict[str, str], body: bytes, seconds: float
    ) -> tuple[int, dict[str, str], bytes]:
        """One HTTP request: status, headers in small letters, body. TimeoutError or another OSError without answer."""
        connection = self._connection(seconds)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        except http.client.HTTPException as error:
            connection.close()
            raise ConnectionResetError(str(error)) from error
        except OSError:
            connection.close()
            raise
        self._idle.append(connection)
        return answer

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        """An open connection, the one that was used last, or a new one."""
        with contextlib.suppress(IndexError):
            while connection := self._idle.pop():
                if connection.sock and not _readable(connection.sock):
                    connection.sock.settimeout(seconds)
                    return connection
                connection.close()
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=seconds)

    def _supervise(self, directory: JobDirectory, environment: dict[str, str]) -> None:
        """Run the process, again whenever it ends, until `stop`."""
        handle = self._socket.fileno()
        command = ["python3", f"/opt/ml/server/{SERVER.name}", str(handle)]
        with contextlib.suppress(OSError), logs.sending(directory.log, *self._log):
            while not self._stopping.is_set():
                process.run(
                    command,
                    environment,
                    directory.root,
                    directory.log,
                    limit_seconds=float("inf"),
                    stop=self._stopping.is_set,
                    pass_fds=(handle,),
                )
                self.exits += 1
                pause = min(RESTART_SECONDS * 2.0**self.exits, LONGEST_RESTART_SECONDS)
                self._stopping.wait(pause)


def _readable(connection: socket.socket) -> bool:
    """Whether the other side has closed a connection on which no answer is awaited."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
