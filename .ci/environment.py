"""Make a virtual environment and install packages into it, with progress: what `make` does before anything else.

    python3 .ci/environment.py FOLDER [pip install's arguments]

Runs on any Python 3, so that a wrong version is refused in words. Exit code 5 when it cannot be made.
"""

import os
import subprocess
import sys
import time

OLDEST = (3, 11)


def fail(what, where, hint):
    """Print an expected error's three lines and leave."""
    sys.stderr.write(f"\nError: {what}\nWhere: {where}\nTry: {hint}\n")
    sys.exit(5)


def show(text):
    """Progress on one line of a terminal, on a line of its own elsewhere."""
    terminal = sys.stderr.isatty()
    sys.stderr.write(("\r\033[K" if terminal else "") + text + ("" if terminal else "\n"))
    sys.stderr.flush()


def make(folder):
    """The environment itself."""
    command = [sys.executable, "-m", "venv", "--clear", folder]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode:
        lines = [line for line in made.stdout.splitlines() if line.strip()]
        hint = "apt-get install python3-venv" if "ensurepip" in made.stdout else "free some space, or another VENV=DIR"
        fail("no virtual environment can be made: " + (lines[0] if lines else "venv failed"), folder, hint)


def install(folder, arguments):
    """pip's installation; its last error when it fails."""
    pip = [os.path.join(folder, "bin", "python"), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    found, last, shown = 0, "", 0.0
    process = subprocess.Popen(pip, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    for line in process.stdout:
        if line.startswith("Collecting "):
            found += 1
            if time.time() - shown > (0.2 if sys.stderr.isatty() else 5.0):
                shown = time.time()
                show(f"  {found} packages found")
        elif line.startswith("Installing collected packages"):
            show("  installing {} packages".format(line.count(",") + 1))
        elif line.startswith("ERROR"):
            last = last or line[len("ERROR:") :].strip()
    if process.wait():
        hint = "make local, when the package index answers (python3 -m pip config list shows which one it is)"
        fail("the packages cannot be installed: " + (last or "pip failed"), folder, hint)


def main():
    """Make the environment and install."""
    folder, arguments = sys.argv[1], sys.argv[2:]
    if sys.version_info[:2] < OLDEST:
        have = "{}.{}".format(*sys.version_info[:2])
        fail("Python 3.11 or newer is needed, this is " + have, sys.executable, "make PYTHON=python3.12 local")
    began = time.time()
    sys.stderr.write(f"Setting up {folder}, once: one to four minutes\n")
    make(folder)
    install(folder, arguments)
    show(f"  set up in {time.time() - began:.0f} s")
    if sys.stderr.isatty():
        sys.stderr.write("\n")


if __name__ == "__main__":
    main()
