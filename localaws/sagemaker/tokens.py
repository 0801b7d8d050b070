"""ClientRequestToken: a request that comes again with the token of an earlier one gets the earlier one's answer.

Callers look a token up and remember it in the same transaction as their change, so racing requests are one request.
"""

from localaws.store import Document, Store

KIND = "token"


def remembered(store: Store, operation: str, resource: str, token: str | None) -> Document | None:
    """The answer that a request for this resource with this token got, or None."""
    return store.get(KIND, f"{operation} {resource} {token}") if token else None


def remember(store: Store, operation: str, resource: str, token: str | None, answer: Document) -> Document:
    """Keep the answer for the next request with the same token; returns it."""
    if token:
        store.put(KIND, f"{operation} {resource} {token}", answer)
    return answer


def forget(store: Store, resource: str) -> None:
    """Drop the tokens of a resource that is deleted: its name may be used anew."""
    store.delete_where(KIND, containing=f" {resource} ")
