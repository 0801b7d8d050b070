"""Behaviour of the local SageMaker that a test may choose, because AWS does either or does it rarely.

    endpoint.control("sagemaker", ReusedToken="refuse")

The values are stored in the workspace. Without arguments the command returns them all.
"""

from localaws.store import Document, Store

KIND = "switch"
# Each switch with its values; the first is the default.
SWITCHES = {
    # The answer to a ClientRequestToken that comes again with other parameters, which AWS does not document: the
    # earlier request's answer, or a ConflictException.
    "ReusedToken": ("answer", "refuse"),
    # How the next update of an endpoint ends: as its model does, back on the old configuration with or without a
    # FailureReason (both InService), or as UpdateRollbackFailed. Applies once.
    "EndpointUpdate": ("normal", "roll-back", "roll-back-silently", "rollback-failed"),
}


def value(store: Store, name: str) -> str:
    """The value of a switch."""
    return str((store.get(KIND, name) or {}).get("Value", SWITCHES[name][0]))


def take(store: Store, name: str) -> str:
    """The value of a switch that applies once; sets it back to its default."""
    with store.transaction():
        chosen = value(store, name)
        store.delete(KIND, name)
    return chosen


def command(store: Store, arguments: Document) -> Document:
    """Set the given switches and return all of them; ValueError for a name or a value that does not exist."""
    for name, chosen in arguments.items():
        if name not in SWITCHES:
            raise ValueError(f"there is no switch {name!r} (have: {', '.join(SWITCHES)})")
        if chosen not in SWITCHES[name]:
            raise ValueError(f"{name} cannot be {chosen!r} (have: {', '.join(SWITCHES[name])})")
    for name, chosen in arguments.items():
        store.put(KIND, name, {"Value": chosen})
    return {name: value(store, name) for name in SWITCHES}
