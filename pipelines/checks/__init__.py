"""What AWS would refuse, found here: checks of the pipeline definition, the state machines and the roles' rights.

A check is a function from JSON (and what else it is told) to lists of findings, one list for each thing it looked at,
so that the number looked at can be told as well. A finding is one line that begins with its address in the JSON.
No check reaches a service or imports an SDK for authoring; the judge of requests is botocore's service model.
"""

from collections.abc import Iterator

from localaws.sagemaker.expressions import UnknownReference

Looked = Iterator[list[str]]


def guarded(looked: Looked) -> Looked:
    """What a check looked at; where the JSON is so malformed that the check stumbles, that is what it found."""
    try:
        yield from looked
    except (AttributeError, LookupError, TypeError, UnknownReference, ValueError) as error:
        yield [f"malformed ({type(error).__name__}: {error})"]


def findings(looked: Looked) -> list[str]:
    """Everything that a check found."""
    return [finding for each in guarded(looked) for finding in each]
