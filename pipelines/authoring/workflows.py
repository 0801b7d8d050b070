"""The state machines by name, as ASL JSON, which is the contract; step_functions.py writes it with the SDK."""

from pipelines.authoring import deploy, retrain, score
from pipelines.authoring.step_functions import HOUR, written

MACHINES = {
    "deploy": (deploy.states, deploy.COMMENT),
    "retrain": (retrain.states, retrain.COMMENT),
    "score": (score.states, score.COMMENT),
}
WORKFLOWS = tuple(MACHINES)
TIMEOUT_SECONDS = 6 * HOUR


def definition(name: str) -> str:
    """A state machine's ASL as JSON, indented, ending in a newline; raises KeyError for an unknown name."""
    first, comment = MACHINES[name]
    return written(first(), comment, TIMEOUT_SECONDS)
