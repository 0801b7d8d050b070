"""Run a sealed step that attacks this machine, and print what it reached: `python -m tests.support.sealed_step`.

tests/localaws/sagemaker/test_layouts.py starts it as another user and with other file systems mounted.
"""

import json
import socket
import sys
import tempfile
from pathlib import Path

from localaws.sagemaker import isolation, process

# Folders of the job's own; the home is that of the image's user.
OF_THE_JOB = {"/opt/ml", "/opt/tmp", "/dev/shm", "/tmp", "/home/sagemaker-user"}
SCRIPT = """
import json, os, socket, stat, subprocess, sys
port, *secrets = json.loads(sys.argv[1])
reached = {"written": [], "read": [path for path in secrets if os.path.exists(path) and open(path).read()]}
for line in open('/proc/self/mountinfo'):
    folder = line.split()[4].encode().decode('unicode_escape')
    path = os.path.join(folder, 'canary') if os.path.isdir(folder) else folder
    if os.path.exists(path) and stat.S_ISCHR(os.stat(path).st_mode):
        # /dev/null covers a hidden file.
        continue
    try:
        with open(path, 'a') as handle:
            handle.write('canary')
            reached["written"].append(folder)
    except OSError:
        pass
for path in ('/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/sys/kernel/uevent_helper'):
    if os.path.exists(path) and os.access(path, os.W_OK):
        try:
            open(path, 'w').close()
            reached["written"].append(path)
        except OSError:
            pass
reached["remounted"] = subprocess.run(['mount', '-o', 'remount,bind,rw', '/'], capture_output=True).returncode == 0
try:
    socket.create_connection(('127.0.0.1', port), 2)
    reached["network"] = True
except OSError:
    reached["network"] = False
print(json.dumps(reached))
"""


def main() -> int:
    """Print the level of isolation and, if it is sealed, what a step has reached."""
    if isolation.level() != isolation.SEALED:
        print(json.dumps({"level": isolation.describe()}))
        return 0
    # Not below /tmp, which a step has of its own.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, socket.create_server(("127.0.0.1", 0)) as server:
        job = Path(folder, "workspace", "jobs", "job")
        for name in ("ml", "scratch"):
            (job / name).mkdir(parents=True)
        (job.parents[1] / "workspace.json").write_text("{}")
        secret = job.parents[1] / "credentials.json"
        secret.write_text("secret")
        (job / "ml" / "step.py").write_text(SCRIPT)
        attack = json.dumps([server.getsockname()[1], str(secret), *sys.argv[1:]])
        ended = process.run(["python3", "/opt/ml/step.py", attack], {}, job, job / "log", limit_seconds=60)
        if ended != process.Ended(0):
            print((job / "log").read_text(), file=sys.stderr)
            return 1
        reached = json.loads((job / "log").read_text())
        reached["written"] = sorted({*reached["written"]} - OF_THE_JOB)
        print(json.dumps({"level": isolation.SEALED, **reached}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
