"""What runs around a step's command, in processes of its own: namespaces, mounts, and the report of the exit code.

    supervisor    reports the exit code; sealed: has entered new user, mount, process, network and IPC namespaces
      init        sealed only: mounts, then the first process of the process namespace; its end ends all others
        command   without capabilities

The standard library alone is imported, so that this starts in milliseconds. Messages on the control socket are lines
of JSON: {"pid"}, {"listening": port} with the listening socket attached, {"exit"}, {"error"}.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Spec = dict[str, Any]
ML, TEMPORARY = "/opt/ml", "/opt/tmp"
# The user of the images of notebook jobs, whose driver needs the home.
HOMES, IMAGE_USER = "/home", "sagemaker-user"
DEVICES = ("null", "zero", "full", "random", "urandom")
# Constants of Linux's headers: sched.h, mount.h, prctl.h, capability.h, sockios.h, if.h.
NEW_NAMESPACES = 0x10000000 | 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000
MS_RDONLY, MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 0x1, 0x1000, 0x2000, 0x4000, 0x40000
MS_SAFE = 0x2 | 0x4 | 0x8
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
CAPABILITY_VERSION = 0x20080522
SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8914, 0x41
NOT_FOUND, NOT_EXECUTABLE = 127, 126
_libc = ctypes.CDLL(None, use_errno=True)


def main(descriptor: int) -> None:
    """Run the command whose specification comes on the control socket, in this process's place."""
    control = socket.socket(fileno=descriptor)
    spec = receive(control)
    supervise(spec, control)
    execute(spec)


def supervise(spec: Spec, control: socket.socket) -> None:
    """Fork the command; returns in the command's process alone, which is inside its namespaces by then.

    spec: command, environment, cwd, sealed, and for a sealed command ml, scratch, staging (folders of this machine),
    visible (paths below /tmp, which scratch covers), hidden (paths), port (of the relay, or 0).
    """
    _die_with_parent()
    try:
        if spec["sealed"]:
            _enter_namespaces()
    except OSError as error:
        _fail(control, error)
    child = os.fork()
    if child:
        send(control, {"exit": _wait_for(child)})
        os._exit(0)
    if spec["sealed"]:
        _die_with_parent()
        try:
            _mount_all(spec)
            _start_loopback()
            if spec["port"]:
                _listen(control, spec["port"])
        except OSError as error:
            _fail(control, error)
        command = os.fork()
        if command:
            os._exit(_wait_for(command))
        _drop_capabilities()
    control.close()


def execute(spec: Spec) -> None:
    """Become the command."""
    command, environment = spec["command"], spec["environment"]
    try:
        os.chdir(spec["cwd"])
        os.execvpe(command[0], command, environment)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}: {error.filename}\n".encode())
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE)


def send(control: socket.socket, message: dict[str, Any]) -> None:
    """Send one message; the endpoint may be gone."""
    with contextlib.suppress(OSError):
        control.sendall(json.dumps(message).encode() + b"\n")


def receive(control: socket.socket) -> Any:
    """The next message; ends this process when the endpoint has closed the socket."""
    line = b""
    while not line.endswith(b"\n"):
        chunk = control.recv(65_536)
        if not chunk:
            os._exit(0)
        line += chunk
    return json.loads(line)


def _fail(control: socket.socket, error: OSError) -> None:
    send(control, {"error": f"{error.strerror}: {error.filename}" if error.filename else str(error)})
    os._exit(1)


def _wait_for(child: int) -> int:
    """Reap until the child ends; its exit code as a container gives it: 128 + the signal's number."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _call(function: Callable[..., int], *arguments: Any, about: str = "") -> None:
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about or None)


def _die_with_parent() -> None:
    if hasattr(_libc, "prctl"):
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _enter_namespaces() -> None:
    user, group = os.getuid(), os.getgid()
    _call(_libc.unshare, NEW_NAMESPACES, about="namespaces")
    _die_with_parent()
    for file, content in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path("/proc/self", file).write_text(content)


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    _call(
        _libc.mount,
        *(text.encode() or None for text in (source, target, kind)),
        ctypes.c_ulong(flags),
        data.encode() or None,
        about=target,
    )


def _bind(source: str, target: str, flags: int = 0) -> None:
    _mount(source, target, "", MS_BIND | flags)


def _set_read_only(target: str, value: bool, *, recursive: bool = False) -> None:
    """Change mounts as a whole or not at all; an ordinary remount would drop or refuse the options of some."""
    attributes = struct.pack("QQQQ", int(value), int(not value), 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    arguments = (SYS_MOUNT_SETATTR, AT_FDCWD, target.encode(), flags, buffer, ctypes.c_size_t(len(attributes)))
    _call(_libc.syscall, *arguments, about=target)


def _mount_all(spec: Spec) -> None:
    """The job's folders, a container's devices, and everything else read-only or hidden."""
    _mount("", "/", "", MS_REC | MS_PRIVATE)
    _mount("proc", "/proc", "proc", MS_SAFE)
    _add_to(spec["staging"], "/opt", {"ml": spec["ml"], "tmp": spec["scratch"]})
    writable = [ML, TEMPORARY, "/dev/shm", "/tmp"]
    if os.path.isdir(HOMES) and not os.path.islink(HOMES):
        _add_to(spec["staging"], HOMES, {IMAGE_USER: spec["scratch"]})
        writable.append(f"{HOMES}/{IMAGE_USER}")
    with _staged(spec["staging"], "/dev") as staging:
        _make_devices(staging)
    _cover_sys()
    _cover_tmp(spec["visible"])
    for path in spec["hidden"]:
        if os.path.isdir(path):
            _mount("none", path, "tmpfs", MS_RDONLY | MS_SAFE)
        elif os.path.exists(path):
            _bind("/dev/null", path)
    _set_read_only("/", True, recursive=True)
    for path in writable:
        _set_read_only(path, False)


@contextlib.contextmanager
def _staged(staging: str, target: str) -> Iterator[str]:
    """An empty file system to fill, which then covers the target."""
    _mount("none", staging, "tmpfs", MS_SAFE & ~0x4, "mode=755")
    yield staging
    _mount(staging, target, "", MS_MOVE)


def _add_to(staging: str, folder: str, added: dict[str, str]) -> None:
    """The folder as it is, with folders of the job's added. added: name -> where it is."""
    with _staged(staging, folder) as staged:
        for entry in os.scandir(folder):
            if entry.name in added:
                continue
            target = f"{staged}/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), target)
            elif entry.is_dir():
                os.mkdir(target)
                _bind(entry.path, target, MS_REC)
        for name, source in added.items():
            os.mkdir(f"{staged}/{name}")
            _bind(source, f"{staged}/{name}")


def _cover_tmp(visible: list[str]) -> None:
    """The job's own /tmp, in which the visible paths are as they were."""
    originals = {path: os.open(path, os.O_PATH) for path in visible}
    _bind(TEMPORARY, "/tmp")
    for path, original in originals.items():
        os.makedirs(path, exist_ok=True)
        _bind(f"/proc/self/fd/{original}", path, MS_REC)
        os.close(original)


def _make_devices(folder: str) -> None:
    for name in DEVICES:
        Path(folder, name).touch()
        _bind(f"/dev/{name}", f"{folder}/{name}")
    os.mkdir(f"{folder}/shm")
    _mount("none", f"{folder}/shm", "tmpfs", MS_SAFE, "mode=1777")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{folder}/{name}")


def _cover_sys() -> None:
    """/sys holds the processors alone, which numerical libraries count there."""
    processors = "/sys/devices/system/cpu"
    original = os.open(processors, os.O_PATH) if os.path.isdir(processors) else None
    _mount("none", "/sys", "tmpfs", MS_SAFE)
    if original is not None:
        os.makedirs(processors)
        # Some kernels refuse it; the libraries have other ways to count.
        with contextlib.suppress(OSError):
            _bind(f"/proc/self/fd/{original}", processors)
        os.close(original)


def _start_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP_RUNNING))


def _listen(control: socket.socket, port: int) -> None:
    """Listen where the endpoint listens outside, and hand the socket out: the endpoint accepts on it."""
    with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
        message = json.dumps({"listening": port}).encode() + b"\n"
        socket.send_fds(control, [message], [listener.fileno()])


def _drop_capabilities() -> None:
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    capability = 0
    while _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    header = ctypes.create_string_buffer(struct.pack("Ii", CAPABILITY_VERSION, 0))
    _call(_libc.capset, header, ctypes.create_string_buffer(24), about="capabilities")
