"""The state machines by name, as ASL. The JSON is the contract; the SDK behind pipelines/states.py is the pen."""

from pipelines import retrain
from pipelines.states import HOUR, written

WORKFLOWS = ("retrain",)
TIMEOUT_SECONDS = 6 * HOUR


def definition(name: str) -> str:
    """A state machine's ASL as JSON, indented, ending in a newline; raises KeyError for an unknown name."""
    first, comment = {"retrain": (retrain.states, retrain.COMMENT)}[name]
    return written(first(), comment, TIMEOUT_SECONDS)
