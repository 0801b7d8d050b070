"""The state machines by name, as ASL JSON, which is the contract; step_functions.py writes it with the SDK."""

from pipelines.authoring import backfill, deploy, load, retrain, score
from pipelines.authoring.step_functions import HOUR, written

MACHINES = {
    "backfill": (backfill.states, backfill.COMMENT),
    "deploy": (deploy.states, deploy.COMMENT),
    "load": (load.states, load.COMMENT),
    "retrain": (retrain.states, retrain.COMMENT),
    "score": (score.states, score.COMMENT),
}
WORKFLOWS = tuple(MACHINES)
TIMEOUT_SECONDS = 6 * HOUR
# A file may have terabytes, a catalogue as many pages as it likes.
TIMEOUTS = {"load": 14 * 24 * HOUR, "backfill": 14 * 24 * HOUR}


def definition(name: str) -> str:
    """A state machine's ASL as JSON, indented, ending in a newline; raises KeyError for an unknown name."""
    first, comment = MACHINES[name]
    return written(first(), comment, TIMEOUTS.get(name, TIMEOUT_SECONDS))
