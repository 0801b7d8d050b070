"""Programs of a person's own on the local endpoint: their environment, and running them to their end."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from localaws import clients, startup
from localaws.endpoint import DEVELOPER, Endpoint
from localaws.environment import NO_CONFIGURATION
from localaws.errors import NOT_FOUND, ExpectedError
from localaws.security import sessions

# What would lead a program to the user's account, or change how the SDKs reach the endpoint.
FOREIGN = ("AWS_", "SAGEMAKER_", "BOTO_", "BOTOCORE_")
DIRECT = "127.0.0.1,localhost"
TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", '
    '"Principal": {"Service": "sagemaker.amazonaws.com"}}]}'
)
# The image of functions as steps that name none: AWS's with the endpoint's own Python.
IMAGE = "000000000000.dkr.ecr.{region}.amazonaws.com/sagemaker-base-python-{major}{minor}:1.0"
VERSION = {"major": sys.version_info.major, "minor": sys.version_info.minor}
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


def variables(endpoint: Endpoint, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that a program on the endpoint needs, in addition to its own environment without `foreign`.

    Its credentials are a session of the role LocalDeveloper, which SageMaker's `get_execution_role` accepts.
    """
    paths = [str(startup.FOLDER)]
    paths += [each for each in inherited.get("PYTHONPATH", "").split(os.pathsep) if each not in ("", *paths)]
    return {
        **endpoint.variables(),
        **NO_CONFIGURATION,
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(startup.SAGEMAKER_CONFIG),
        "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": str(startup.SAGEMAKER_CONFIG),
        # As in Studio, which names its own image: the SDK has a default for functions as steps with Python 3.10 alone.
        "SAGEMAKER_INTERNAL_IMAGE_URI": IMAGE.format(region=endpoint.variables()["AWS_REGION"], **VERSION),
        # A proxy stands between no program and this machine itself.
        "NO_PROXY": DIRECT,
        "no_proxy": DIRECT,
        "PYTHONPATH": os.pathsep.join(paths),
    }


def foreign(inherited: Mapping[str, str] = os.environ) -> list[str]:
    """The names of the variables that a program on the endpoint must not have."""
    return sorted(name for name in inherited if name.startswith(FOREIGN))


def add_role(endpoint: Endpoint) -> None:
    """Create the role whose session the programs have, unless it exists."""
    iam = clients.client(endpoint.url, "iam", endpoint.credentials)
    name = DEVELOPER.rpartition("/")[2]
    try:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, MaxSessionDuration=sessions.SECONDS)
    except iam.exceptions.EntityAlreadyExistsException:
        return
    iam.attach_role_policy(RoleName=name, PolicyArn=ADMINISTRATOR)


def start(endpoint: Endpoint, command: list[str]) -> "subprocess.Popen[bytes]":
    """Start a program on the endpoint; its input and output are this process's."""
    add_role(endpoint)
    inherited = {name: value for name, value in os.environ.items() if name not in foreign()}
    try:
        return subprocess.Popen(command, env=inherited | variables(endpoint))
    except (FileNotFoundError, PermissionError) as error:
        raise ExpectedError(
            f"{command[0]} cannot be run: {error.strerror}",
            where="PROGRAM",
            hint="python -m localaws exec python -c 'print(1)'",
            code=NOT_FOUND,
        ) from error


def finish(process: "subprocess.Popen[bytes]") -> int:
    """Wait for a program; returns its exit code as a shell does. Ctrl-C reaches the program, which ends in its way."""
    while True:
        try:
            code = process.wait()
            return code if code >= 0 else 128 - code
        except KeyboardInterrupt:
            if process.poll() is None and not sys.stdin.isatty():
                process.send_signal(signal.SIGINT)
