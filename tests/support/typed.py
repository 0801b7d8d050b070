"""Whether a command line can be typed: parsed by the Makefile's targets, by our own parsers, by the AWS CLI's model."""

import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import botocore.session
from botocore import xform_name

ROOT = Path(__file__).parents[2]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
VARIABLES = set(re.findall(r"(?:\(|^)([A-Z]+)(?:\)| \?=)", (ROOT / "Makefile").read_text(), re.MULTILINE))

# What is typed besides this project's own commands and AWS's.
OTHERS = {"cd", "echo", "eval", "export", "gh", "git", "source", "unset"}
# The AWS CLI's own commands, which are no operations of a service.
CUSTOM = {
    ("cloudformation", "deploy"): {"template-file", "stack-name", "capabilities", "parameter-overrides"},
    ("s3", "ls"): {"recursive"},
}
EVERYWHERE = {"query", "output", "region", "cli-binary-format", "cli-read-timeout"}


def refused(command: str) -> str:
    """Why a command cannot be typed so; nothing where it can."""
    words = shlex.split(command.removeprefix(".venv/bin/"))
    match words:
        case ["make", *rest]:
            return refused_by_make(rest)
        case ["python", "-m", "json.tool", _]:
            return ""
        case ["python", "-m", module, *rest]:
            return refused_by_module(module, rest)
        case ["aws", "--endpoint-url"] | ["aws", "configure"] | ["aws", "sso", "login"]:
            return ""
        case ["aws", service, operation, *rest]:
            return refused_by_aws(service, operation, rest)
        case ["cat" | "rm", _] | ["rm", "-r", _] | ["kill", "-9", _] | ["pip", "install", "-e", _]:
            return ""
        case [name, *_]:
            return "" if name in OTHERS or name == "grep" else f"what is {name}?"
    return "empty"


def refused_by_make(rest: list[str]) -> str:
    unknown = [each for each in rest if each.split("=")[0] not in TARGETS | VARIABLES]
    return f"the Makefile knows no {', '.join(unknown)}" if unknown else ""


def refused_by_module(name: str, rest: list[str]) -> str:
    if importlib.util.find_spec(name) is None:
        return f"there is no module {name}"
    package = getattr(importlib.import_module(name), "__path__", None)
    module = importlib.import_module(f"{name}.__main__" if package else name)
    if not hasattr(module, "arguments"):
        return "" if not rest and hasattr(module, "main") else f"{name} takes no arguments"
    try:
        module.arguments().parse_args(rest)
    except SystemExit:
        # --help has been printed.
        return ""
    except Exception as error:
        # What a command's text leaves out, such as a version, is no fault of its name or flags.
        missing = re.search("required: (version|COMMAND)", str(error))
        return "" if missing else str(error).splitlines()[0].removeprefix("Error: ")
    return ""


def refused_by_aws(service: str, operation: str, rest: list[str]) -> str:
    flags = {word.removeprefix("--") for word in rest if word.startswith("--")}
    if (service, operation) in CUSTOM:
        known = CUSTOM[service, operation]
    else:
        model = botocore.session.get_session().get_service_model(
            {"stepfunctions": "stepfunctions"}.get(service, service)
        )
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        if operation not in operations:
            return f"{service} has no {operation}"
        shape = model.operation_model(operations[operation]).input_shape
        known = {xform_name(member, "-") for member in (shape.members if shape else ())} | {"max-items"}
    unknown = flags - known - EVERYWHERE
    return f"aws {service} {operation} has no {', '.join(sorted(unknown))}" if unknown else ""
