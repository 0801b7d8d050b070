"""ClientRequestToken: a request that comes again with its token gets the first answer and changes nothing.

A caller reads and stores a token in the transaction of its change, so that racing requests are one request.
"""

import hashlib
import json

from localaws.sagemaker import switches
from localaws.sagemaker.service import ApiError
from localaws.store import Document, Store

KIND = "token"
MEMBERS = ("ClientRequestToken", "ClientToken")


def earlier_answer(store: Store, operation: str, resource: str, request: Document) -> Document | None:
    """The answer that an earlier request with the same token got, or None.

    Raises ConflictException for one with other parameters when the switch ReusedToken is on.
    """
    stored = store.get(KIND, _key(operation, resource, request)) if _token(request) else None
    if stored is None:
        return None
    if stored["Request"] != _digest(request) and switches.value(store, "ReusedToken") == "refuse":
        raise ApiError("ConflictException", f"{operation} was called with this token and other parameters before.")
    answer: Document = stored["Answer"]
    return answer


def save_answer(store: Store, operation: str, resource: str, request: Document, answer: Document) -> Document:
    """Store the answer for the next request with the same token; returns it."""
    if _token(request):
        store.put(KIND, _key(operation, resource, request), {"Answer": answer, "Request": _digest(request)})
    return answer


def delete_all(store: Store, resource: str) -> None:
    """Delete the tokens of a deleted resource: its name may be used again."""
    store.delete_where(KIND, containing=f" {resource} ")


def _token(request: Document) -> str | None:
    return next((request[member] for member in MEMBERS if request.get(member)), None)


def _key(operation: str, resource: str, request: Document) -> str:
    return f"{operation} {resource} {_token(request)}"


def _digest(request: Document) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
