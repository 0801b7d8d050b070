"""The environment of every process of a local run, made from nothing.

The user's AWS configuration (profiles, credentials, endpoint URLs, regions), proxies, locale and interpreter options
do not reach it: a variable is passed on only if it is named here.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

# What the interpreter needs to start and to find the same packages.
PASSED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
# The switches of this package, such as LOCALAWS_LOG_LEVEL.
OWN_PREFIX = "LOCALAWS_"
# The AWS SDKs take the empty files for the user's configuration, and ask no EC2 instance for credentials.
NO_CONFIGURATION = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def clean(home: Path, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that a new process starts with. home: its home and temporary directory."""
    variables = {name: inherited[name] for name in PASSED if name in inherited}
    variables |= {name: value for name, value in inherited.items() if name.startswith(OWN_PREFIX)}
    system = variables.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    return variables | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{system}",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        # A folder that is read-only to the endpoint, or a project's checkout, stays as it is.
        "PYTHONDONTWRITEBYTECODE": "1",
        **NO_CONFIGURATION,
    }
