"""A script's requirements.txt: satisfied by what is installed, by a cached folder of its own, or refused in words.

A local run opens no connection to other machines. `LOCALAWS_INSTALL_REQUIREMENTS=1` in the environment of
`python -m localaws up` allows pip to install what is missing, once per content of the file.
"""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from localaws.sagemaker.failures import JobFailed

SWITCH = "LOCALAWS_INSTALL_REQUIREMENTS"


def folder_for(file: Path, cache: Path) -> Path | None:
    """The folder with the packages that the file asks for and this interpreter lacks; None when it lacks none.

    cache: the folder in which such folders are stored. Raises JobFailed.
    """
    text = file.read_text(errors="replace")
    missing = list(_missing(text))
    if not missing:
        return None
    if os.environ.get(SWITCH) != "1":
        raise JobFailed(
            f"ClientError: requirements.txt asks for {', '.join(missing)}, not installed here. Try: "
            f"{sys.executable} -m pip install {' '.join(repr(each) for each in missing)}, or start the endpoint "
            f"with {SWITCH}=1, which lets pip install it into a folder of its own."
        )
    target = cache / hashlib.sha256(f"{sys.version} {text}".encode()).hexdigest()[:16]
    if not target.exists():
        _install(file, target)
    return target


def _install(file: Path, target: Path) -> None:
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(unfinished), "-r", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise JobFailed(f"ClientError: requirements.txt cannot be installed: {done.stderr.strip()[-600:]}")
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
