"""How far a step is kept from the rest of this machine, as far as the system allows it.

    sealed    its folder is /opt/ml; everything else is read-only, /tmp is its own, no network, no capabilities
    mounted   its folder is /opt/ml; nothing else is hindered
    rewritten every `/opt/ml` in its arguments and environment is rewritten to its folder (macOS, locked-down hosts)

Linux namespaces give the first two (util-linux's `unshare`); they also end every process that a step leaves behind.
A sealed step cannot break out by accident; it is no defence against code written to break out.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ML = "/opt/ml"
# Marks every process of a job, so that those outside a namespace are found, too.
MARK = "LOCALAWS_JOB"

# Both run in new namespaces: $1 is the job's folder, $2 what its scratch folder covers, the rest is the command. /opt
# may lack ml, so it is covered. The shell stays as the first process: when it ends, the system ends all others.
MOUNTED = """
set -e
job=$1; tmp=$2; shift 2
mount -t tmpfs none /opt
mkdir /opt/ml /opt/tmp
mount --bind "$job/ml" /opt/ml
mount --bind "$job/scratch" /opt/tmp
cd /opt/tmp
"""
# A mount keeps its options (an ordinary user may not drop them) and becomes read-only; the devices are a container's.
SEALED = (
    MOUNTED
    + """
mount --bind "$job/scratch" "$tmp"
mkdir /opt/dev
mount -t tmpfs none /opt/dev
for name in null zero full random urandom; do
    : > /opt/dev/$name
    mount --bind /dev/$name /opt/dev/$name
done
mkdir /opt/dev/shm
ln -s /proc/self/fd /opt/dev/fd
mount --move /opt/dev /dev
[ ! -d /sys/fs/cgroup ] || mount -t tmpfs -o ro none /sys/fs/cgroup
while read -r _ target _ options _; do
    case $target in
        *\\\\*) target=$(printf %b "$target") ;;
    esac
    case $target in
        /opt | /opt/* | /dev | /dev/* | /proc | "$tmp" | /sys/*) ;;
        /) mount -o "remount,bind,$options,ro" / ;;
        *) mount -o "remount,bind,$options,ro" "$target" 2>/dev/null || true ;;
    esac
done < /proc/self/mounts
set -- setpriv --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
"""
)
# Exits as a container does: 128 + the signal's number.
RUN = """
set +e
"$@"
exit $?
"""
LEVELS = {
    "sealed": (["--net", "--mount-proc"], SEALED + RUN),
    "mounted": ([], MOUNTED + RUN),
}


@functools.cache
def level() -> str:
    """The farthest level that works here, found by trying; `LOCALAWS_NAMESPACES=0` asks for none."""
    if os.environ.get("LOCALAWS_NAMESPACES") == "0" or not shutil.which("unshare"):
        return "rewritten"
    if _holds_python("/opt"):
        return "rewritten"
    return next((name for name in LEVELS if works(name)), "rewritten")


def _holds_python(folder: str) -> bool:
    """Whether covering the folder would hide the interpreter or its packages."""
    return any(Path(prefix).resolve().is_relative_to(folder) for prefix in (sys.prefix, sys.base_prefix))


def works(name: str) -> bool:
    """Whether a command can be run at this level."""
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(OSError, subprocess.TimeoutExpired):
        job = Path(folder)
        (job / "ml").mkdir()
        (job / "scratch").mkdir()
        touch = f"open('{ML}/touched', 'w').close(); open('/opt/tmp/touched', 'w').close()"
        tried = subprocess.run(
            [*enter(name, job), sys.executable, "-S", "-c", touch], capture_output=True, timeout=10, check=False
        )
        return tried.returncode == 0 and (job / "ml" / "touched").exists()
    return False


def enter(name: str, job: Path) -> list[str]:
    """The beginning of a command that runs what follows it at this level. job: holds the folders ml and scratch."""
    if name not in LEVELS:
        return _die_with_parent()
    flags, script = LEVELS[name]
    # --kill-child hands the end of `unshare` on to the first process inside.
    inside = ["unshare", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", *flags]
    temporary = "/opt/tmp" if _holds_python("/tmp") else "/tmp"
    return [*_die_with_parent(), *inside, "sh", "-c", script, "step", str(job), temporary]


@functools.cache
def _die_with_parent() -> list[str]:
    """Linux ends the command when the endpoint is killed; elsewhere `sweep` does at the next start."""
    if not sys.platform.startswith("linux") or not shutil.which("setpriv"):
        return []
    return ["setpriv", "--pdeathsig", "KILL"]


def sweep(folder: Path) -> int:
    """Kill what is left of jobs in or below `folder`, however it detached itself; returns the number of processes.

    Sees only processes of this user on a system with /proc; elsewhere there is nothing to do.
    """
    mark = f"{MARK}={folder}".encode()
    killed = 0
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            values = entry.read_bytes().split(b"\0")
            if any(value == mark or value.startswith(mark + b"/") for value in values):
                os.kill(int(entry.parent.name), signal.SIGKILL)
                killed += 1
    return killed
