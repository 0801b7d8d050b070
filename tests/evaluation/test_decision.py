"""The gate's decision: which evidence passes, and the sentence that gives the reason."""

from typing import Any

import pytest

from tests.support.beers import module

gate = module("gate")


def share(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


GAIN = share(0.3, 0.2, 0.4)
NOBODY = "There is no champion: its folder is empty."
FOUND = "The error is 30.0 % below the median's (90 % interval: 20.0 to 40.0 % below)"
LIMITS = gate.Limits(min_relative_gain=0.1, max_champion_loss=0.05)
WORSE = [{"name": "high", "n": 40, "loss": 0.12, "p": 0.004}]


def evidence(**changed: Any) -> Any:
    usual: dict[str, Any] = {"gain": GAIN, "loss": None, "leaked": 0, "worse": [], "changed": False}
    return gate.Evidence(**usual | {"about_champion": NOBODY} | changed)


# The evidence, then the two figures, the failed criteria and the reason.
DECISIONS: dict[str, tuple[Any, float, float, list[str], str]] = {
    "enough, no champion": (evidence(), 0.2, 0, [], f"{FOUND}. {NOBODY}"),
    "enough, as good": (evidence(loss=share(0, 0, 0)), 0.2, 0, [], f"{FOUND}. It is equal to the champion's."),
    "enough, better": (
        evidence(loss=share(-0.1, -0.2, -0.05)),
        0.2,
        -0.1,
        [],
        f"{FOUND}. It is 10.0 % below the champion's (90 % interval: 5.0 to 20.0 % below).",
    ),
    "enough, a little worse": (
        evidence(loss=share(0.05, 0.01, 0.09)),
        0.2,
        0.05,
        [],
        f"{FOUND}. It is 5.0 % above the champion's (90 % interval: 1.0 to 9.0 % above).",
    ),
    "enough, but worse": (
        evidence(loss=share(0.06, -0.01, 0.13)),
        0.2,
        0.06,
        ["max_champion_loss"],
        f"{FOUND}. It is 6.0 % above the champion's (90 % interval: 1.0 % below to 13.0 % above): at most 5.0 % is "
        "allowed.",
    ),
    "enough, but perhaps much worse": (
        evidence(loss=share(0.04, -0.03, 0.12)),
        0.2,
        0.04,
        ["champion_loss_interval"],
        f"{FOUND}. It is 4.0 % above the champion's (90 % interval: 3.0 % below to 12.0 % above): the interval may end "
        "at 11.0 % above.",
    ),
    "a little worse than a champion that was already": (
        evidence(loss=share(0.03, 0.01, 0.05), champion_accumulated=0.08),
        0.2,
        0.03,
        ["accumulated_loss"],
        f"{FOUND}. It is 3.0 % above the champion's (90 % interval: 1.0 to 5.0 % above). Above the best version "
        "approved so far it is 11.2 %: at most 10.0 % is allowed.",
    ),
    "better than a champion that was worse": (
        evidence(loss=share(-0.1, -0.2, -0.05), champion_accumulated=0.08),
        0.2,
        -0.1,
        [],
        f"{FOUND}. It is 10.0 % below the champion's (90 % interval: 5.0 to 20.0 % below).",
    ),
    "worse in one class": (
        evidence(loss=share(-0.1, -0.2, -0.05), worse=WORSE),
        0.2,
        -0.1,
        ["no_class_worse"],
        f"{FOUND}. It is 10.0 % below the champion's (90 % interval: 5.0 to 20.0 % below). In the class high "
        "(40 beers) it is 12.0 % above the champion's, significantly (p = 0.004).",
    ),
    "within the noise": (
        evidence(gain=share(0.3, 0.09, 0.51)),
        0.09,
        0,
        ["min_relative_gain"],
        "The error is 30.0 % below the median's (90 % interval: 9.0 to 51.0 % below): a gain of 9.0 % beyond noise "
        f"where 10.0 % is required. {NOBODY}",
    ),
    "worse than the median and the champion": (
        evidence(gain=share(-0.1, -0.2, 0.04), loss=share(0.5, 0.4, 0.6)),
        -0.2,
        0.5,
        ["min_relative_gain", "max_champion_loss"],
        "The error is 10.0 % above the median's (90 % interval: 4.0 % below to 20.0 % above): a gain of -20.0 % beyond "
        "noise where 10.0 % is required. It is 50.0 % above the champion's (90 % interval: 40.0 to 60.0 % above): at "
        "most 5.0 % is allowed.",
    ),
    "no gain known": (
        evidence(gain={}),
        -1e9,
        0,
        ["min_relative_gain"],
        f"The error cannot be compared with the median's, which is 0. {NOBODY}",
    ),
    "no loss known": (
        evidence(loss={}),
        0.2,
        1e9,
        ["max_champion_loss"],
        f"{FOUND}. It cannot be compared with the champion's, which is 0.",
    ),
    "trained on the test": (
        evidence(leaked=3),
        -1e9,
        0,
        ["test_families_unseen", "min_relative_gain"],
        f"The candidate was trained on the families of 3 test beers, so the test is void. {NOBODY}",
    ),
    "another artifact than the approved one": (
        evidence(changed=True, about_champion="The champion's artifact is not the one that was approved."),
        0.2,
        1e9,
        ["max_champion_loss", "champion_unchanged"],
        f"{FOUND}. The champion's artifact is not the one that was approved.",
    ),
}


@pytest.mark.parametrize("given, gain, loss, failed, reason", DECISIONS.values(), ids=DECISIONS)
def test_the_gate_s_decision(given: Any, gain: float, loss: float, failed: list[str], reason: str) -> None:
    accumulated = given.accumulated(loss)
    assert gate.decide(given, LIMITS) == {
        "relative_gain": gain,
        "champion_loss": loss,
        "accumulated_loss": accumulated,
        "carried_loss": accumulated,
        "min_relative_gain": 0.1,
        "max_champion_loss": 0.05,
        "loosened": ["max_champion_loss"],
        "failed": failed,
        "passed": int(not failed),
        "override_reason": "none",
        "register": int(not failed),
        "reason": reason,
    }


def test_losses_since_the_best_version_add_up_and_end_with_a_better_one_or_an_override() -> None:
    carried, history = 0.0, []
    for loss in (0.02, 0.015, 0.02, -0.05):
        found = evidence(loss=share(loss, loss, loss), champion_accumulated=carried)
        decided = gate.decide(found, gate.Limits(0.0, 0.02))
        carried = decided["carried_loss"] if decided["passed"] else carried
        history.append((decided["passed"], round(decided["accumulated_loss"], 4)))
    assert history == [(1, 0.02), (1, 0.0353), (0, 0.056), (1, 0.0)]
    worse = evidence(loss=share(0.3, 0.2, 0.4), champion_accumulated=0.03)
    assert gate.decide(worse, LIMITS, override="agreed")["carried_loss"] == 0.0
    # An override of something else than the loss carries the loss on, and so does a champion that cannot be asked.
    other = evidence(loss=share(0.01, 0.01, 0.01), champion_accumulated=0.03, worse=WORSE)
    assert gate.decide(other, LIMITS, override="agreed")["carried_loss"] == pytest.approx(0.0403)
    assert gate.decide(evidence(champion_accumulated=0.03), LIMITS)["carried_loss"] == 0.03


def test_an_override_registers_and_keeps_the_failed_criteria() -> None:
    decided = gate.decide(evidence(leaked=3), LIMITS, override=" Agreed with\nthe brewery. ")
    assert (decided["passed"], decided["register"]) == (0, 1)
    assert decided["override_reason"] == "Agreed with the brewery."
    assert decided["failed"] == ["test_families_unseen", "min_relative_gain"]
    assert gate.decide(evidence(leaked=3), LIMITS, override=" \n")["register"] == 0
    assert gate.decide(evidence(), LIMITS, override="Agreed.")["override_reason"] == "none"


@pytest.mark.parametrize(
    "limits, loosened",
    [
        ((0.0, 0.02), []),
        ((0.1, 0.0), []),
        ((-0.1, 0.02), ["min_relative_gain"]),
        ((-0.1, 0.5), ["min_relative_gain", "max_champion_loss"]),
    ],
)
def test_a_looser_threshold_than_the_default_is_named(limits: tuple[float, float], loosened: list[str]) -> None:
    assert gate.decide(evidence(), gate.Limits(*limits))["loosened"] == loosened


def test_a_negative_loss_limit_without_a_champion_is_named_as_the_cause() -> None:
    decided = gate.decide(evidence(), gate.Limits(0.1, -1.0))
    assert decided["failed"] == ["max_champion_loss"]
    assert decided["reason"] == (
        f"{FOUND}. {NOBODY} MaxChampionLoss is -100.0 %: without a champion the loss is 0.0 %, so no model passes."
    )


@pytest.mark.parametrize(
    "sentence, end",
    [
        ("Two\nlines,\ta tab\x00 and\u202e more.", ". Two lines, a tab and more."),
        ("x" * 5000, "x..."),
    ],
)
def test_the_reason_is_one_line_that_a_description_can_hold(sentence: str, end: str) -> None:
    reason = gate.decide(evidence(about_champion=sentence), LIMITS)["reason"]
    assert reason.startswith(f"{FOUND}. ") and reason.endswith(end)
    assert reason.isprintable() and len(reason) <= 700
