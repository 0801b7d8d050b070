"""Servers of a project's own that run in the endpoint's process, such as the stand-in of an API that its Lambdas call.

    python -m localaws up --extension pipelines.local.punk_api:PunkApi

An extension is a class without arguments, named `module:Class`. The workspace remembers which ones it was started with.
"""

import importlib
from typing import Protocol

from localaws.control import Command
from localaws.errors import WRONG_USAGE, ExpectedError


class Extension(Protocol):
    """name: the key of its address in endpoint.json. commands: further `/_localaws/<command>` requests."""

    name: str
    commands: dict[str, Command]

    def start(self, port: int) -> str:
        """Listen on 127.0.0.1 at this port (0: a free one); return the base URL. Raises OSError for a taken port."""

    def stop(self) -> None:
        """Stop listening."""


def load(name: str) -> Extension:
    """An instance of the class that `module:Class` names; ExpectedError when there is none."""
    module, _, attribute = name.partition(":")
    try:
        extension: Extension = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ExpectedError(
            f"the extension {name!r} cannot be loaded: {error}",
            where="--extension",
            hint="name an importable class as --extension module:Class",
            code=WRONG_USAGE,
        ) from error
    return extension
