"""AWS on one machine, for any project. This file is valid for old interpreters, to refuse them in words."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    found = ".".join(map(str, sys.version_info[:2]))
    sys.stderr.write(
        f"Error: Python 3.11 or newer is needed, this is Python {found}\n"
        f"Where: {sys.executable}\n"
        "Try: python3.11 -m venv .venv && .venv/bin/pip install -e '.[local]'\n"
    )
    sys.exit(5)
