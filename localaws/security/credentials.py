"""The workspace's key pair: made once, readable by its owner alone, valid as long as the workspace exists."""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import string
from dataclasses import dataclass
from pathlib import Path

from localaws.errors import ENVIRONMENT, ExpectedError, quoted

# The alphabet of AWS's access key ids.
ALPHABET = string.ascii_uppercase + "234567"
OTHERS = 0o077
# The header of a request to `/_localaws/` or `/_ministack/`, with `Credentials.control_token`.
TOKEN_HEADER = "X-Localaws-Token"


@dataclass(frozen=True)
class Credentials:
    """An access key, and the session token that belongs to a temporary one."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def variables(self) -> dict[str, str]:
        """The environment variables in which the AWS SDKs and the CLI read them."""
        found = {"AWS_ACCESS_KEY_ID": self.access_key_id, "AWS_SECRET_ACCESS_KEY": self.secret_access_key}
        return found | ({"AWS_SESSION_TOKEN": self.session_token} if self.session_token else {})

    def control_token(self) -> str:
        """What a request to `/_localaws/` or `/_ministack/` carries instead of a signature."""
        return derive(self, "control")


def derive(credentials: Credentials, purpose: str) -> str:
    """A secret for one purpose, made from the secret access key; the key cannot be computed from it."""
    return hmac.new(credentials.secret_access_key.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def create(path: Path) -> Credentials:
    """The key pair in a file, made with mode 0600 unless the file exists. Processes that race get the same one."""
    if not path.exists():
        pair = {
            "AccessKeyId": "AKIA" + "".join(secrets.choice(ALPHABET) for _ in range(16)),
            "SecretAccessKey": secrets.token_urlsafe(30),
        }
        new = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
                json.dump(pair, handle, indent=2)
                handle.flush()
                os.fsync(handle.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(new, path)
        finally:
            new.unlink()
    return load(path)


def load(path: Path) -> Credentials:
    """The key pair in a file; ExpectedError when it is missing, damaged, or readable by other users."""
    try:
        mode = path.stat().st_mode
        pair = json.loads(path.read_text(encoding="utf-8"))
        credentials = Credentials(pair["AccessKeyId"], pair["SecretAccessKey"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unusable(path, f"the workspace's access key cannot be read: {error}") from error
    if mode & OTHERS:
        raise _unusable(path, "other users can read the workspace's access key")
    return credentials


def of_this_process() -> Credentials:
    """The key pair in the environment variables: the workspace's, in the process that serves it."""
    variables = os.environ
    return Credentials(
        variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], variables.get("AWS_SESSION_TOKEN")
    )


def _unusable(path: Path, what: str) -> ExpectedError:
    # The next start makes another key; nothing that is stored depends on it.
    return ExpectedError(what, where=str(path), hint=f"rm {quoted(path)}", code=ENVIRONMENT)
