"""What AWS would refuse, found here: checks of the pipeline definition, the state machines and the roles' rights.

A check is a generator over a JSON document. It yields one list of findings for each item that it examines, empty where
the item is right, so that the caller can count the items. A finding is one line that begins with its address in the
JSON. No check calls a service or imports an authoring SDK; requests are validated against botocore's service models.
"""

from collections.abc import Iterator

from localaws.sagemaker.expressions import UnknownReference

Findings = Iterator[list[str]]


def guarded(results: Findings) -> Findings:
    """The results of a check; an exception on malformed JSON becomes a finding."""
    try:
        yield from results
    except (AttributeError, LookupError, TypeError, UnknownReference, ValueError) as error:
        yield [f"malformed ({type(error).__name__}: {error})"]


def findings(results: Findings) -> list[str]:
    """All findings of a check as one list."""
    return [finding for each in guarded(results) for finding in each]
