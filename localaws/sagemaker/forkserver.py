"""A process that has loaded what steps import, and forks them: a step begins in milliseconds instead of a second.

It is single-threaded, and a forked step is isolated as any other (see sandbox). `serve` runs in the process itself,
`Forkserver` is the endpoint's side. Requests on the control socket are one byte with two descriptors: the step's own
control socket and its log.
"""

import gc
import importlib
import os
import signal
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from localaws.sagemaker import sandbox

# Numerical libraries start their threads in the step, not here.
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
OURS = (__file__, sandbox.__file__, "<string>")


def serve(descriptor: int, root: str, modules: list[str]) -> None:
    """Fork steps until the endpoint closes the socket; returns in a step's process, when its program has ended."""
    control = socket.socket(fileno=descriptor)
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    gc.collect()
    gc.freeze()
    # The system reaps the supervisors.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        received, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not received:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            _begin(descriptors[0], descriptors[1], root)
            return
        for each in descriptors:
            os.close(each)


def _begin(control_descriptor: int, log: int, root: str) -> None:
    """Become the step whose specification comes on its control socket."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)
    control = socket.socket(fileno=control_descriptor)
    sandbox.send(control, {"pid": os.getpid()})
    spec = sandbox.receive(control)
    sandbox.supervise(spec, control)
    os.chdir(spec["cwd"])
    os.environ.clear()
    os.environ.update(spec["environment"])
    _clean_up(root)
    _run(spec["command"][1], spec["command"][1:])


def _clean_up(root: str) -> None:
    """Leave nothing of this package, of the server's threads and of its random numbers to the step."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "localaws"]:
        del sys.modules[name]
    sys.path.remove(root)
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "threadpoolctl" in sys.modules:
        processors = len(os.sched_getaffinity(0))
        for library in sys.modules["threadpoolctl"].ThreadpoolController().lib_controllers:
            library.set_num_threads(processors)


def _run(script: str, arguments: list[str]) -> None:
    """Run a script as `python3 script arguments` does; what it raises goes up to the interpreter."""
    sys.argv = arguments
    path = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    sys.path[0:1] = [str(Path(script).absolute().parent), *path]
    module = ModuleType("__main__")
    module.__dict__.update(__file__=script, __builtins__=__builtins__, __cached__=None)
    sys.modules["__main__"] = module
    sys.excepthook = _print_own_frames
    try:
        source = Path(script).read_bytes()
    except OSError as error:
        # As the interpreter does it.
        sys.stderr.write(f"{sys.executable}: can't open file {script!r}: [Errno {error.errno}] {error.strerror}\n")
        raise SystemExit(2) from None
    exec(compile(source, script, "exec", dont_inherit=True), module.__dict__)


def _print_own_frames(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    """Print an exception as the interpreter does, without the frames around the script."""
    while traceback and traceback.tb_frame.f_code.co_filename in OURS:
        traceback = traceback.tb_next
    sys.__excepthook__(kind, error.with_traceback(traceback), traceback)
