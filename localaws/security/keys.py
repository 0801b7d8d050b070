"""The secret that belongs to an access key: the workspace's, a session's, or one that IAM or STS made here."""

import time
from typing import Any

from localaws.ministack import patches
from localaws.security import sessions
from localaws.security.credentials import Credentials
from localaws.security.signatures import Refused, Signature


class Keys:
    """The keys that a workspace accepts. key: its key pair. paste: the line that gives a shell its credentials."""

    def __init__(self, key: Credentials, paste: str) -> None:
        self.key = key
        self.paste = paste

    def find(self, signature: Signature) -> Credentials:
        """The credentials that a signature names; Refused for an unknown key, a wrong token or an expired session."""
        if signature.access_key_id == self.key.access_key_id:
            return self.key
        session = sessions.read(self.key, signature.access_key_id, signature.token) if signature.token else None
        if session:
            if session.expires < time.time():
                raise Refused("ExpiredTokenException", f"The session has expired. Paste: {self.paste}")
            _register(session)
            return session.credentials
        return self._issued(signature)

    def _issued(self, signature: Signature) -> Credentials:
        """A user's access key or a session of AssumeRole, which MiniStack holds."""
        evaluator: Any = patches.module("core.iam_evaluator")
        # MiniStack takes `test` and account ids for the root's.
        if not evaluator.is_root_access_key(signature.access_key_id):
            responses = patches.module("core.responses")
            account = evaluator.find_iam_access_key_account(signature.access_key_id)
            account = account or responses._account_from_sts_session(signature.access_key_id)
            found = evaluator.resolve_credential(
                signature.access_key_id, account or responses.get_account_id(), signature.token
            )
            if isinstance(found, evaluator.ResolvedCredential):
                return Credentials(found.access_key_id, found.secret_access_key, found.session_token)
            if found.code == "ExpiredTokenException":
                raise Refused(found.code, found.message)
        raise Refused(
            "UnrecognizedClientException",
            f"The access key {signature.access_key_id} is not one of this workspace. Paste: {self.paste}",
        )


def _register(session: sessions.Session) -> None:
    """Let MiniStack know the caller: GetCallerIdentity, policies and the account follow from it."""
    sts: Any = patches.module("services.sts")
    if session.credentials.access_key_id not in sts._sessions:
        record = {
            "Arn": session.arn,
            "UserId": f"{sts._role_id(session.role)}:{session.name}",
            "SecretAccessKey": session.credentials.secret_access_key,
            "SessionToken": session.credentials.session_token,
            "Expiration": session.expires,
            "AccountId": session.role.split(":")[4],
            "PrincipalType": "AssumedRole",
        }
        sts.register_session(session.credentials.access_key_id, record)


def give_lambdas_sessions() -> None:
    """Run each Lambda with a session of its role; MiniStack gives it the key of the endpoint itself."""

    def credentials(configuration: dict[str, Any]) -> dict[str, str]:
        role, name = configuration.get("Role", ""), configuration.get("FunctionName", "lambda")
        if role.count(":") < 5:
            role = "arn:aws:iam::000000000000:role/lambda"
        return sessions.of_role(role, name, sessions.WORKER_SECONDS).variables()

    for name in ("core.lambda_runtime", "services.lambda_svc"):
        patches.module(name).execution_credentials = credentials
