"""boto3 clients of an account or of the local endpoint, and botocore's errors as expected errors."""

import os
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from localaws.clients import Address, client
from localaws.errors import ENVIRONMENT, NOT_FOUND, RUN_FAILED, ExpectedError
from pipelines.cli.arguments import command_line, this_command

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"}
MISSING = {"ResourceNotFound", "ResourceNotFoundException", "NoSuchBucket", "NoSuchKey"}


# Points a shell at the local endpoint.
LOCAL_EXPORTS = 'eval "$(python -m localaws env)"'


class Clients:
    """boto3 clients of one account and region, each created on first use.

    endpoint: the local endpoint, whatever the environment configures. None: boto3's own configuration (credentials,
    AWS_ENDPOINT_URL, profile). attempts: how often a call of the local endpoint is tried.
    """

    def __init__(self, endpoint: Address | None = None, region: str | None = None, *, attempts: int = 5) -> None:
        os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
        self._made: dict[str, Any] = {}
        self._session: Any = None
        self._making = threading.Lock()
        self._endpoint = endpoint
        self._attempts = attempts
        # boto3 reads AWS_DEFAULT_REGION only; other AWS SDKs and the CLI v2 read both.
        self._region = region or os.environ.get("AWS_REGION")
        # Whether a read returns what was written before it, as the local endpoint's do and AWS's need not.
        self.consistent = endpoint is not None
        # What a command to paste needs to reach the same account: see pipelines.cli.arguments.target_flags.
        self.flags = ""

    @property
    def local(self) -> bool:
        """Whether a command named the local endpoint with --local."""
        return "--local" in self.flags

    def command(self, module: str, *words: str) -> str:
        """A command of this project on the same account or workspace, to paste."""
        # pipelines.local knows no account and has no --local.
        flags = self.flags.removeprefix("--local").strip() if module == "local" else self.flags
        return command_line(module, *words, flags=flags)

    def __getattr__(self, service: str) -> Any:
        if service.startswith("_"):
            raise AttributeError(service)
        return self[service]

    def __getitem__(self, service: str) -> Any:
        # A session is not for several threads, and making the same client in each of them takes a second.
        with self._making:
            if service not in self._made:
                self._made[service] = self._make(service)
            return self._made[service]

    def _make(self, service: str) -> Any:
        if self._endpoint:
            return client(self._endpoint.url, service, self._endpoint.credentials, attempts=self._attempts)
        import boto3

        try:
            self._session = self._session or boto3.session.Session(region_name=self._region)
            return self._session.client(service)
        except ValueError as error:
            raise ExpectedError(
                f"{error} (an endpoint is a URL such as http://127.0.0.1:4566)",
                where="AWS_ENDPOINT_URL or the endpoint URLs of the AWS configuration",
                hint="unset AWS_ENDPOINT_URL",
                code=ENVIRONMENT,
            ) from error

    @property
    def region(self) -> str:
        """The region the clients talk to."""
        return str(self.sts.meta.region_name)


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Raise botocore's errors as ExpectedError. doing: the activity, for its second line."""
    import botocore.exceptions as errors

    try:
        yield
    except errors.ClientError as error:
        raise _client_error(error, doing) from error
    except (errors.NoCredentialsError, errors.PartialCredentialsError, errors.ProfileNotFound) as error:
        raise ExpectedError(
            f"no AWS credentials: {error}",
            where=doing,
            hint=LOCAL_EXPORTS if asks_this_machine() else "aws configure",
            code=ENVIRONMENT,
        ) from error
    except errors.NoRegionError as error:
        raise ExpectedError(
            "no AWS region is set",
            where=doing,
            hint=LOCAL_EXPORTS if asks_this_machine() else "export AWS_REGION=eu-west-1",
            code=ENVIRONMENT,
        ) from error
    except (errors.EndpointConnectionError, errors.ConnectionError, errors.HTTPClientError) as error:
        local = is_loopback(error.kwargs.get("endpoint_url"))
        raise ExpectedError(
            f"the {'local endpoint' if local else 'service'} does not answer: {error}",
            where=doing,
            hint=command_line("local", "up") if local else this_command(),
            code=ENVIRONMENT,
        ) from error


def asks_this_machine() -> bool:
    """Whether this command's clients ask the local endpoint: by --local, or by a URL of the AWS configuration."""
    variables = [value for name, value in os.environ.items() if name.startswith("AWS_ENDPOINT_URL")]
    return "--local" in sys.argv or any(map(is_loopback, [*variables, *_configured_urls()]))


def _configured_urls() -> Iterator[str]:
    """The endpoint URLs of the AWS configuration file: those of the profile and of its services."""
    import botocore.exceptions
    import botocore.session

    session = botocore.session.Session()
    try:
        configuration, profile = session.full_config, session.get_scoped_config()
    except botocore.exceptions.BotoCoreError:
        return
    services = configuration.get("services", {}).get(profile.get("services"), {})
    for section in (profile, *services.values()):
        if isinstance(section, dict) and "endpoint_url" in section:
            yield section["endpoint_url"]


def is_loopback(url: str | None) -> bool:
    """Whether a URL names this machine."""
    host = urllib.parse.urlsplit(url or "").hostname
    return host is not None and (host in ("localhost", "::1") or host.startswith("127."))


def _client_error(error: Any, doing: str) -> ExpectedError:
    code = error.response["Error"].get("Code", "")
    message = error.response["Error"].get("Message", str(error))
    where = f"{error.operation_name} while {doing}"
    local = asks_this_machine()
    if code in DENIED:
        what = f"access denied (the roles in cloudformation/ list what is needed): {message}"
        hint = LOCAL_EXPORTS if local else "aws sts get-caller-identity"
        return ExpectedError(what, where=where, hint=hint, code=ENVIRONMENT)
    if code in EXPIRED:
        hint = LOCAL_EXPORTS if local else "aws sso login"
        return ExpectedError(f"the credentials are not valid: {message}", where=where, hint=hint, code=ENVIRONMENT)
    missing = code in MISSING or "does not exist" in message
    return ExpectedError(
        f"{code}: {message}", where=where, hint=this_command(), code=NOT_FOUND if missing else RUN_FAILED
    )
