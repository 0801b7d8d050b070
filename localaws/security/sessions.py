"""Sessions of assumed roles: temporary credentials made from the workspace's key, without a call of the endpoint.

A session's token states the role and the end, signed with the key. So the endpoint knows every session without
storing any, and sessions survive its restarts; those of AssumeRole itself are MiniStack's and end with its process.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass

from localaws.security.credentials import ALPHABET, Credentials, derive, of_this_process

# The longest session of a role at AWS: 12 hours.
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
SECONDS = 12 * 3600
# Lambda renews the credentials of its workers; MiniStack sets them once, when a worker starts.
WORKER_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True)
class Session:
    """A role's session. role: its ARN. name: the session's name. expires: epoch seconds."""

    role: str
    name: str
    expires: float
    credentials: Credentials

    @property
    def arn(self) -> str:
        """The caller's ARN, as GetCallerIdentity returns it."""
        account, role_name = self.role.split(":")[4], self.role.rpartition("/")[2]
        return f"arn:aws:sts::{account}:assumed-role/{role_name}/{self.name}"


def mint(key: Credentials, role: str, name: str, seconds: float = SECONDS) -> Credentials:
    """Temporary credentials of a role. key: the workspace's key pair. role: an ARN. name: the session's, 64 at most."""
    claims = {"role": role, "name": name[:64], "expires": int(time.time() + seconds), "id": secrets.token_hex(8)}
    content = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
    return _credentials(key, content)


def _credentials(key: Credentials, content: str) -> Credentials:
    digest = hashlib.sha256(content.encode()).digest()
    access_key = "ASIA" + "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:16])
    secret = derive(key, f"session secret {content}")
    return Credentials(access_key, secret, f"{content}.{derive(key, f'session token {content}')}")


def read(key: Credentials, access_key_id: str, token: str) -> Session | None:
    """The session that a token names, expired or not; None unless the key has signed it for this access key."""
    content = token.rpartition(".")[0]
    made = _credentials(key, content)
    if made.access_key_id != access_key_id or not hmac.compare_digest(str(made.session_token), token):
        return None
    claims = json.loads(base64.urlsafe_b64decode(content))
    return Session(claims["role"], claims["name"], claims["expires"], made)


def of_role(role: str, name: str, seconds: float = SECONDS) -> Credentials:
    """Temporary credentials of a role, minted in the process that serves the workspace."""
    return mint(of_this_process(), role, name, seconds)
