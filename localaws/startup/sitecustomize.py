"""Python imports this module at the start of a program that has its folder on PYTHONPATH.

The SageMaker SDK (v2 and v3) creates its STS client with `https://sts.<region>.amazonaws.com`, which no environment
variable changes. Here such a client is created for AWS_ENDPOINT_URL instead. The program's code stays as it is.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


def redirect_clients(module: Any) -> None:
    """botocore.session: a client for an address of AWS is one for the local endpoint."""
    create = module.Session.create_client

    def create_client(self: Any, *arguments: Any, **options: Any) -> Any:
        given = options.get("endpoint_url")
        if given and str(urlsplit(given).hostname).endswith(AWS_DOMAINS):
            options["endpoint_url"] = os.environ["AWS_ENDPOINT_URL"]
        return create(self, *arguments, **options)

    module.Session.create_client = create_client


def validate_once(module: Any) -> None:
    """sagemaker.utils: the SDK validates its unchanged configuration again for every value it reads, 0.1 s each."""
    seen: set[str] = set()
    validate = module.validate_sagemaker_config

    def validate_new(sagemaker_config: Any = None) -> None:
        text = repr(sagemaker_config)
        if text not in seen:
            validate(sagemaker_config)
            seen.add(text)

    module.validate_sagemaker_config = validate_new


CHANGES: dict[str, Callable[[Any], None]] = {
    "botocore.session": redirect_clients,
    "sagemaker.utils": validate_once,
}


class Changing(importlib.abc.MetaPathFinder):
    """Lets the other finders find a module of CHANGES, and changes it after its import."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in CHANGES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute, change = spec.loader.exec_module, CHANGES[name]

            def exec_module(module: ModuleType) -> None:
                execute(module)
                change(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def load_the_next() -> None:
    """Run the sitecustomize module that Python would have imported without this one."""
    here = str(Path(__file__).parent)
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", [each for each in sys.path if each != here])
    if spec is not None and spec.loader is not None and spec.origin != __file__:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


if os.environ.get("AWS_ENDPOINT_URL"):
    sys.meta_path.insert(0, Changing())
load_the_next()
