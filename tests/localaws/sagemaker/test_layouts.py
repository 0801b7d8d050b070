"""A sealed step reaches nothing of this machine, for any user and any layout of file systems."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from localaws.sagemaker import isolation

MAY_MOUNT = bool(shutil.which("unshare")) and not isolation.plain_because()
# What libmount writes for mounts with options of its own; its presence must not change how a step is sealed.
UTAB = "mkdir -p /run/mount; mount -t tmpfs none /run/mount; echo 'SRC=none TARGET=/srv ATTRS=x' > /run/mount/utab; "
LAYOUTS = {
    "a disk of its own for /home, with a secret": 'mount -t tmpfs none "$1"; mkdir "$1/.ssh"; echo s > "$1/.ssh/id"; ',
    "a disk in a disk, and utab": "mount -t tmpfs none /mnt; mkdir /mnt/in; mount -t tmpfs none /mnt/in; " + UTAB,
}
OTHER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
USERS = {"root": ["unshare", "--mount"], "another user": [*OTHER, "unshare", "--map-root-user", "--mount"]}


def interpreter(user: str) -> str:
    """A Python that the user may execute: this one may lie in root's home."""
    for path in (sys.executable, "/usr/bin/python3"):
        # By way of a shell, as setpriv itself may still execute what the user may not.
        probe = ["sh", "-c", '"$0" -S -c "import sys; sys.exit(sys.version_info < (3, 11))"', path]
        if subprocess.run([*OTHER[: 4 * (user != "root")], *probe], capture_output=True, check=False).returncode == 0:
            return path
    pytest.skip("no Python from 3.11 that another user may execute")


@pytest.mark.release
@pytest.mark.skipif(not MAY_MOUNT, reason="this machine does not seal steps")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("user", USERS)
def test_a_sealed_step_reaches_nothing_on_any_layout(user: str, layout: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user and to mount")
    script = LAYOUTS[layout] + 'cd "$2"; HOME="$1" exec "$3" -S -m tests.support.sealed_step "$1/.ssh/id"'
    command = [*USERS[user], "sh", "-e", "-c", script, "sh", "/home", os.getcwd(), interpreter(user)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found == {"level": "sealed", "written": [], "read": [], "remounted": False, "network": False}
