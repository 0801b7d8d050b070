"""A step's process: what it can see and do, and that it always ends; at every level of isolation this machine has."""

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.support.crash import orphans
from localaws.sagemaker import isolation, launch, process

Run = Callable[..., process.Ended]
LIMIT = "import resource; resource.setrlimit(resource"


@pytest.fixture(params=["sealed", "forked", "plain"])
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each level in turn, those that this machine does not allow left out; forked is sealed, from the fork server."""
    wanted = isolation.PLAIN if request.param == "plain" else isolation.SEALED
    monkeypatch.setenv(launch.COLD, str(int(request.param != "forked")))
    if not allowed(wanted):
        pytest.skip(f"this machine does not allow the level {wanted!r}")
    monkeypatch.setattr(isolation, "level", lambda: wanted)
    yield wanted


@functools.cache
def allowed(level: str) -> bool:
    """Whether this machine has a level of isolation."""
    return level == isolation.PLAIN or not isolation.plain_because()


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job's folder."""
    for name in ("ml", "scratch"):
        (tmp_path / "job" / name).mkdir(parents=True)
    return tmp_path / "job"


@pytest.fixture
def run(job: Path, level: str) -> Run:
    """Runs a script as a step; `log` in the job's folder is its output."""

    def run(script: str, *arguments: str, seconds: float = 10, stop: threading.Event | None = None) -> process.Ended:
        code = job / "ml" / "code" / "step.py"
        code.parent.mkdir(exist_ok=True)
        code.write_text(textwrap.dedent(script))
        return process.run(
            ["python3", "/opt/ml/code/step.py", *arguments],
            {"STEP_HOME": "/opt/ml/model"},
            job,
            job / "log",
            limit_seconds=seconds,
            stop=(stop or threading.Event()).is_set,
        )

    return run


def test_a_step_works_in_its_own_opt_ml(run: Run, job: Path) -> None:
    script = """
        import os, sys, tempfile
        assert sys.argv[1] == os.environ['STEP_HOME']
        os.makedirs(sys.argv[1])
        open(os.path.join(sys.argv[1], 'model'), 'w').write('m')
        open(os.path.join(os.environ['HOME'], 'file'), 'w').close()
        with tempfile.NamedTemporaryFile() as file:
            file.write(b'x')
        print('done')
    """
    assert run(script, "/opt/ml/model") == process.Ended(0)
    assert (job / "ml" / "model" / "model").read_text() == "m"
    assert (job / "log").read_text() == "done\n"


def test_a_step_has_a_clean_environment(run: Run, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("PYTHONPATH", "/canary")
    assert run("import json, os; print(json.dumps(dict(os.environ)))") == process.Ended(0)
    variables = json.loads((job / "log").read_text())
    assert "canary" not in json.dumps(variables)
    allowed = {"PATH", "HOME", "TMPDIR", "LANG", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "STEP_HOME"}
    allowed |= {"PIP_NO_INDEX", "PIP_DISABLE_PIP_VERSION_CHECK", isolation.MARK}
    # The C library may add the last.
    assert set(variables) - {"LC_CTYPE"} == allowed


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("import sys; sys.exit(3)", 3),
        ("import os; os._exit(137)", 137),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
        ("import ctypes; ctypes.string_at(0)", 139),
        ("import os; os.abort()", 134),
        (f"{LIMIT}.RLIMIT_AS, (2**28,) * 2); bytearray(2**32)", 1),
        (f"{LIMIT}.RLIMIT_FSIZE, (1024,) * 2); file = open('x', 'wb'); file.write(bytes(4096)); file.close()", 1),
    ],
)
def test_however_a_step_dies_its_exit_code_is_a_containers(run: Run, script: str, code: int) -> None:
    assert run(script) == process.Ended(code)


def test_a_step_that_hangs_is_ended_with_its_children_and_daemons(run: Run, job: Path) -> None:
    script = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(['sleep', '60'])
        subprocess.Popen(['sleep', '60'], start_new_session=True)
        print('begun')
        time.sleep(60)
    """
    assert run(script, seconds=3) == process.Ended(None, timed_out=True)
    assert (job / "log").read_text() == "begun\n"
    assert orphans(job) == []
    stop = threading.Event()
    threading.Timer(1, stop.set).start()
    assert run(script, stop=stop) == process.Ended(None, stopped=True)
    assert orphans(job) == []


def test_a_step_leaves_no_daemon_behind(run: Run, job: Path) -> None:
    script = """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(60)
            os._exit(0)
    """
    assert run(script) == process.Ended(0)
    deadline = time.monotonic() + 5
    while orphans(job) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert orphans(job) == []


@pytest.mark.parametrize("level", ["sealed", "forked"], indirect=True)
def test_a_sealed_step_can_write_nowhere_else(run: Run, job: Path, tmp_path: Path) -> None:
    home = Path(sys.prefix).parent
    outside = [home / "canary", tmp_path / "canary", Path("/canary"), Path("/etc/canary"), Path.home() / "canary"]
    script = """
        import subprocess, sys
        for path in sys.argv[1:]:
            try:
                open(path, 'w').write('canary')
            except OSError as error:
                print(error.strerror)
            else:
                print('written')
        # Its own temporary folder.
        open('/tmp/own', 'w').close()
        # It may not lift what holds it either.
        print(subprocess.run(['mount', '-o', 'remount,bind,rw', '/'], capture_output=True).returncode != 0)
    """
    assert run(script, *map(str, outside)) == process.Ended(0)
    assert [path for path in outside if path.exists()] == []
    printed = (job / "log").read_text().splitlines()
    # A step has a /tmp of its own: what it writes there, it writes nowhere else.
    refused = [text for path, text in zip(outside, printed, strict=False) if not path.is_relative_to("/tmp")]
    assert refused and set(refused) <= {"Read-only file system", "No such file or directory"}
    assert printed[-1] == "True"
    assert (job / "scratch" / "own").exists()


@pytest.mark.parametrize("level", ["sealed", "forked"], indirect=True)
def test_a_sealed_step_sees_what_it_runs_with_in_its_own_tmp(run: Run, job: Path) -> None:
    # The folder of the tests lies below /tmp, as a workspace or an interpreter may.
    packages = job.parent.parent / "packages"
    (packages / "abc").mkdir(parents=True, exist_ok=True)
    (packages / "abc" / "hops.py").write_text("BITTER = True")
    script = """
        import os, sys
        print(open(sys.argv[1] + '/abc/hops.py').read(), os.listdir(sys.argv[1] + '/..'))
        try:
            open(sys.argv[1] + '/abc/malt.py', 'w')
        except OSError as error:
            print(error.strerror)
    """
    assert run(script, str(packages)) == process.Ended(0)
    assert (job / "log").read_text().splitlines() == ["BITTER = True ['packages']", "Read-only file system"]


@pytest.mark.parametrize("level", ["sealed", "forked"], indirect=True)
def test_a_sealed_step_has_no_network_and_sees_no_other_process(run: Run, job: Path) -> None:
    script = """
        import os, socket, sys
        try:
            socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)
        except OSError as error:
            print(type(error).__name__)
        print(len([name for name in os.listdir('/proc') if name.isdigit()]) < 5)
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert run(script, str(server.getsockname()[1])) == process.Ended(0)
    assert (job / "log").read_text().splitlines() == ["ConnectionRefusedError", "True"]


@pytest.mark.parametrize("level", ["sealed", "forked"], indirect=True)
def test_a_sealed_step_changes_no_kernel_setting_and_sees_no_secrets(
    run: Run, job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Outside of /tmp, which a step has of its own.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as outside:
        home, workspace = Path(outside, "home"), Path(outside, "workspace")
        for secret in (home / ".ssh/id", home / ".aws/credentials", workspace / "key", workspace / "jobs/other/ml/x"):
            secret.parent.mkdir(parents=True, exist_ok=True)
            secret.write_text("secret")
        (home / ".netrc").write_text("secret")
        (workspace / "workspace.json").write_text("{}")
        shutil.copytree(job, workspace / "jobs/job")
        monkeypatch.setenv("HOME", str(home))
        script = """
            import os, sys
            for path in ('/proc/sys/kernel/core_pattern', '/sys/kernel/uevent_helper', '/proc/sysrq-trigger'):
                try:
                    open(path, 'w').write('canary')
                except OSError:
                    continue
                print('written', path)
            for folder in sys.argv[1:]:
                for path, _, names in os.walk(folder):
                    print(*(open(os.path.join(path, name)).read() for name in names), end='')
        """
        code = workspace / "jobs/job/ml/step.py"
        code.write_text(textwrap.dedent(script))
        command = ["python3", "/opt/ml/step.py", str(home), str(workspace)]
        log = workspace / "log"
        assert process.run(command, {}, workspace / "jobs/job", log) == process.Ended(0)
        assert log.read_text().strip() == ""


@pytest.mark.parametrize("level", ["sealed", "forked"], indirect=True)
def test_every_file_system_is_read_only_to_a_sealed_step(run: Run, job: Path) -> None:
    script = """
        import os
        writable = set()
        for line in open('/proc/self/mountinfo'):
            target, options = line.split()[4:6]
            if 'ro' not in options.split(','):
                writable.add(target)
        print(*sorted(writable - {os.environ['TMPDIR'], '/tmp'}))
    """
    assert run(script) == process.Ended(0)
    assert (job / "log").read_text().split() == ["/dev/shm", "/home/sagemaker-user", "/opt/ml"]


def test_a_step_that_cannot_be_sealed_does_not_run(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if isolation.plain_because():
        pytest.skip("this machine does not seal steps")
    mounts = isolation.mounts(job)
    monkeypatch.setattr(isolation, "mounts", lambda job: mounts | {"scratch": "/not/there"})
    with pytest.raises(OSError, match="No such file or directory"):
        process.run(["python3", "-c", "print('ran')"], {}, job, job / "log", sealed=True)
    assert (job / "log").read_text() == ""


def test_forked_steps_share_no_random_numbers_and_no_modules(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if isolation.plain_because():
        pytest.skip("steps are forked where they are sealed")
    monkeypatch.setenv(launch.COLD, "0")
    (job / "ml" / "step.py").write_text(
        "import numpy, random, sys; print(numpy.random.rand(), random.random(), 'localaws' in sys.modules)"
    )
    for _ in range(2):
        assert process.run(["python3", "/opt/ml/step.py"], {}, job, job / "log", sealed=True) == process.Ended(0)
    first, second = [line.split() for line in (job / "log").read_text().splitlines()]
    assert (first[0] != second[0], first[1] != second[1], first[2], second[2]) == (True, True, "False", "False")


def test_a_script_whose_environment_is_read_at_the_start_is_not_forked() -> None:
    spec = {"sealed": True, "command": [sys.executable, "step.py"], "environment": {"PYTHONPATH": "/opt/ml/code"}}
    assert launch.can_be_forked(spec)
    for name in ("PYTHONHASHSEED", "OMP_NUM_THREADS", "LD_PRELOAD"):
        assert not launch.can_be_forked({**spec, "environment": {name: "1"}})
    assert not launch.can_be_forked({**spec, "environment": {"PYTHONPATH": "/opt/ml/code:/packages"}})
    assert not launch.can_be_forked({**spec, "command": ["/bin/sh", "-c", "true"]})
    assert not launch.can_be_forked({**spec, "sealed": False})


def test_a_step_may_use_several_processes(run: Run, job: Path) -> None:
    script = """
        from concurrent.futures import ProcessPoolExecutor
        if __name__ == '__main__':
            with ProcessPoolExecutor(2) as pool:
                print(sum(pool.map(abs, range(-5, 0))))
    """
    assert run(script) == process.Ended(0)
    assert (job / "log").read_text() == "15\n"


def test_only_its_last_lines_say_why_a_step_failed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"first\n" + b"x" * 20_000 + b"\n\n one \ntwo\xff\n\n")
    assert process.last_lines(log, count=2) == "one | two\N{REPLACEMENT CHARACTER}"
    assert process.last_lines(tmp_path / "none") == ""


def test_no_isolation_is_had_for_the_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALAWS_NAMESPACES", "0")
    isolation.plain_because.cache_clear()
    assert (isolation.level(), isolation.plain_because()) == ("plain", "LOCALAWS_NAMESPACES is 0")
    isolation.plain_because.cache_clear()


def test_a_sweep_ends_the_jobs_of_its_folder_only(tmp_path: Path) -> None:
    jobs = {name: tmp_path / name for name in ("ours", "others")}
    steps = {
        name: subprocess.Popen(["sleep", "60"], env={**os.environ, isolation.MARK: f"{folder}/job"})
        for name, folder in jobs.items()
    }
    try:
        assert isolation.sweep(jobs["ours"]) == 1
        assert steps["ours"].wait(5) == -9
        assert steps["others"].poll() is None
    finally:
        for step in steps.values():
            step.kill()
            step.wait()
