"""The gate's verdict: which gain and loss pass, and the sentence that says why."""

from typing import Any

import pytest

from tests.support.beers import module

gate = module("gate")


def share(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


GAIN = share(0.3, 0.2, 0.4)
NOBODY = "There is no champion: its folder is empty."
FOUND = "The error is 30.0 % below the median's (90 % interval: 20.0 to 40.0 % below)"
ABOVE = "6.0 % above the champion's (90 % interval: 1.0 % below to 13.0 % above)"
# Gain, loss and leaked beers, then the two figures, the verdict and the reason.
JUDGED: dict[str, tuple[Any, Any, int, float, float, int, str]] = {
    "enough, no champion": (GAIN, None, 0, 0.2, 0, 1, f"{FOUND}. {NOBODY}"),
    "enough, as good": (GAIN, share(0, 0, 0), 0, 0.2, 0, 1, f"{FOUND}, and equal to the champion's."),
    "enough, better": (
        GAIN,
        share(-0.1, -0.2, -0.05),
        0,
        0.2,
        -0.1,
        1,
        f"{FOUND}, and 10.0 % below the champion's (90 % interval: 5.0 to 20.0 % below).",
    ),
    "enough, a little worse": (
        GAIN,
        share(0.05, 0.01, 0.09),
        0,
        0.2,
        0.05,
        1,
        f"{FOUND}, and 5.0 % above the champion's (90 % interval: 1.0 to 9.0 % above).",
    ),
    "enough, but worse": (
        GAIN,
        share(0.06, -0.01, 0.13),
        0,
        0.2,
        0.06,
        0,
        f"{FOUND}, but {ABOVE}: at most 5.0 % is allowed.",
    ),
    "just enough": (
        share(0.3, 0.1, 0.5),
        None,
        0,
        0.1,
        0,
        1,
        f"The error is 30.0 % below the median's (90 % interval: 10.0 to 50.0 % below). {NOBODY}",
    ),
    "within the noise": (
        share(0.3, 0.09, 0.51),
        None,
        0,
        0.09,
        0,
        0,
        "The error is 30.0 % below the median's (90 % interval: 9.0 to 51.0 % below): a gain of 9.0 % beyond noise "
        f"where 10.0 % is asked for. {NOBODY}",
    ),
    "worse than the median": (
        share(-0.1, -0.2, 0.04),
        share(0.5, 0.4, 0.6),
        0,
        -0.2,
        0.5,
        0,
        "The error is 10.0 % above the median's (90 % interval: 4.0 % below to 20.0 % above): a gain of -20.0 % beyond "
        "noise where 10.0 % is asked for.",
    ),
    "no gain known": ({}, None, 0, -1e9, 0, 0, f"The error cannot be compared with the median's, which is 0. {NOBODY}"),
    "no loss known": (
        GAIN,
        {},
        0,
        0.2,
        1e9,
        0,
        f"{FOUND}, but it cannot be compared with the champion's, which is 0.",
    ),
    "trained on the test": (
        GAIN,
        None,
        3,
        -1e9,
        0,
        0,
        f"The candidate has trained on the recipes of 3 test beers, so the test says nothing. {NOBODY}",
    ),
}


@pytest.mark.parametrize("gained, lost, leaked, gain, loss, passed, reason", JUDGED.values(), ids=JUDGED)
def test_the_gate_s_verdict(
    gained: Any, lost: Any, leaked: int, gain: float, loss: float, passed: int, reason: str
) -> None:
    assert gate.judge(gained, lost, leaked, NOBODY, min_relative_gain=0.1, max_champion_loss=0.05) == {
        "relative_gain": gain,
        "champion_loss": loss,
        "min_relative_gain": 0.1,
        "max_champion_loss": 0.05,
        "passed": passed,
        "reason": reason,
    }
    assert passed == int(gain >= 0.1 and loss <= 0.05)


@pytest.mark.parametrize(
    "sentence, end",
    [
        ("Two\nlines,\ta tab\x00 and\u202e more.", ". Two lines, a tab and more."),
        ("x" * 5000, "x..."),
    ],
)
def test_the_reason_is_one_line_that_a_description_can_hold(sentence: str, end: str) -> None:
    reason = gate.judge(GAIN, None, 0, sentence, 0.1, 0.05)["reason"]
    assert reason.startswith(f"{FOUND}. ") and reason.endswith(end)
    assert reason.isprintable() and len(reason) <= 700
