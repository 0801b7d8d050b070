"""A script's requirements.txt: satisfied by what is installed, by a cached folder of its own, or refused in words.

A local run opens no connection to other machines. `LOCALAWS_INSTALL_REQUIREMENTS=1` in the environment of
`python -m localaws up` allows pip to install what is missing, once per content of the file.
"""

import hashlib
import importlib.metadata
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

from localaws.sagemaker.failures import JobFailed

SWITCH = "LOCALAWS_INSTALL_REQUIREMENTS"
FILE = "requirements.txt"
# The channel with the file of a function as a step, whose program has pip install it.
CHANNEL = "pre_exec_script_and_dependencies"
# Jobs that ask for the same at once share the one installation.
_INSTALLING = threading.Lock()


def problem(text: str) -> str:
    """Why the requirements are not satisfied and what to do; empty when they are or when pip may install them."""
    missing = list(_missing(text))
    if not missing or os.environ.get(SWITCH) == "1":
        return ""
    return (
        f"{FILE} asks for {', '.join(missing)}, not installed here. Try: "
        f"{sys.executable} -m pip install {' '.join(repr(each) for each in missing)}, or start the endpoint "
        f"with {SWITCH}=1, which lets pip install it into a folder of its own."
    )


def of_archive(content: bytes) -> str:
    """The text of the requirements.txt at the top of a source directory (tar.gz); empty when there is none."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                if member.isfile() and member.name.removeprefix("./") == FILE:
                    read = archive.extractfile(member)
                    return read.read().decode(errors="replace") if read else ""
    except (tarfile.TarError, OSError, EOFError):
        # The job that unpacks it fails with the reason.
        return ""
    return ""


def folder_for(text: str, cache: Path) -> Path | None:
    """The folder with the packages that are asked for and that this interpreter lacks; None when it lacks none.

    cache: the folder in which such folders are stored. Raises JobFailed.
    """
    if not any(_missing(text)):
        return None
    found = problem(text)
    if found:
        raise JobFailed(f"ClientError: {found}")
    target = cache / hashlib.sha256(f"{sys.version} {text}".encode()).hexdigest()[:16]
    with _INSTALLING:
        if not target.exists():
            _install(text, target)
    return target


def _install(text: str, target: Path) -> None:
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    (unfinished / FILE).write_text(text)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(unfinished), "-r"]
    done = subprocess.run([*command, str(unfinished / FILE)], capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(unfinished)
        raise JobFailed(f"ClientError: {FILE} cannot be installed: {done.stderr.strip()[-600:]}")
    unfinished.replace(target)


def _missing(text: str) -> Iterator[str]:
    """The requirements that what is installed does not satisfy."""
    from packaging.requirements import InvalidRequirement, Requirement

    for line in text.splitlines():
        wanted = line.partition(" #")[0].strip()
        if not wanted or wanted.startswith("#"):
            continue
        try:
            requirement = Requirement(wanted)
            if requirement.marker and not requirement.marker.evaluate():
                continue
            if importlib.metadata.version(requirement.name) not in requirement.specifier:
                yield wanted
        except (InvalidRequirement, importlib.metadata.PackageNotFoundError):
            # An option such as `-r other.txt`, or an address: pip's to read.
            yield wanted
