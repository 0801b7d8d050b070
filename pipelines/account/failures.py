"""Why a step failed, in one sentence: its own message without the services' wrapping, and the place in its code.

SageMaker wraps what a script reports, for example
`AlgorithmError: ExecuteUserScriptError: ExitCode 1 ErrorMessage "KeyError: 'abv'" Command "...", exit code: 1`.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

WRAPPING = re.compile(r"^(?:AlgorithmError|ExecuteUserScriptError|ClientError|Error|ExitCode \d+)\s*:?\s*")
EXIT_CODE = re.compile(r",? ?exit code: ?-?\d+\.?$")
QUOTED = re.compile(r'ErrorMessage "(.*?)"(?:\s+Command "|$)', re.DOTALL)
FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>\S+))?')
# Paths of code that is not the step's own.
FOREIGN = ("/var/runtime/", "/site-packages/", "/dist-packages/", "/lib/python", "<frozen")


class Failure(NamedTuple):
    """what: the message. where: the step's own second line, or "". advice: its third line, or ""."""

    what: str
    where: str = ""
    advice: str = ""


def unwrap(reason: str) -> Failure:
    """A step's FailureReason without the wrapping; a message of Error, Where and Try lines is taken apart."""
    text = EXIT_CODE.sub("", reason.strip())
    quoted = QUOTED.search(text)
    text = quoted[1] if quoted else text
    while (shorter := WRAPPING.sub("", text, count=1)) != text:
        text = shorter
    lines = re.split(r"(?:\n|\s\|\s|\\n)(?=(?:Where|Try): )", text)
    named = {line.partition(": ")[0]: line.partition(": ")[2] for line in lines[1:]}
    what, where, advice = (" ".join(each.split()) for each in (lines[0], named.get("Where", ""), named.get("Try", "")))
    return Failure(what, where, advice)


def own_frame(lines: Iterable[str]) -> str:
    """The innermost frame of own code among a traceback's lines: `train.py line 88, in main`; "" without one."""
    found = ""
    for line in lines:
        match = FRAME.match(line)
        if match and not any(part in match["file"] for part in FOREIGN):
            function = match["function"] or "<module>"
            found = f"{match['file'].rpartition('/')[2]} line {match['line']}, in {function}"
    return found


def traceback_message(log: Iterable[str]) -> str | None:
    """The last traceback of a log as `KeyError: 'abv' (train.py line 88, in main)`; None when there is none.

    The place is the innermost frame of the step's own code; frames of libraries are skipped.
    """
    found: str | None = None
    frames: list[str] | None = None
    for line in (each for message in log for each in message.splitlines()):
        if line.startswith("Traceback (most recent call last)"):
            frames = []
        elif frames is not None and (not line or line[0].isspace()):
            frames.append(line)
        elif frames is not None:
            frame = own_frame(frames)
            found, frames = line.strip() + (f" ({frame})" if frame else ""), None
    return found
