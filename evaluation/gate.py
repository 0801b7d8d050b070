"""The verdict: two figures, two thresholds and a sentence that says why."""

from collections.abc import Mapping
from typing import Any

# Stands for a figure that cannot be computed: on the wrong side of every threshold, and finite, as JSON needs it.
IMPASSABLE = 1e9


def judge(
    gain: Mapping[str, float],
    loss: Mapping[str, float] | None,
    leaked: int,
    min_relative_gain: float,
    max_champion_loss: float,
) -> dict[str, Any]:
    """The gate as it is written to evaluation.json.

    gain: the part by which the error is below the median's, with `value` and `low`, or empty when unknown.
    loss: the part by which it is above the champion's, likewise, or None without a champion.
    leaked: test beers whose recipe the candidate has trained on.
    """
    relative_gain = -IMPASSABLE if leaked else gain.get("low", -IMPASSABLE)
    champion_loss = 0.0 if loss is None else loss.get("value", IMPASSABLE)
    enough, harmless = relative_gain >= min_relative_gain, champion_loss <= max_champion_loss
    if leaked:
        reason = f"The candidate has trained on the recipes of {leaked} test beers, so the test says nothing."
    elif not gain:
        reason = "The error cannot be compared with the median's: one of them is not a finite number above 0."
    else:
        found = f"The error is {_percent(gain['value'])} below the median's ({_percent(relative_gain)} beyond noise)"
        if not enough:
            reason = f"{found}: less than the {_percent(min_relative_gain)} asked for."
        elif loss is None:
            reason = f"{found}; there is no champion to compare with."
        elif not loss:
            reason = f"{found}, but it cannot be compared with the champion's."
        elif not harmless:
            reason = f"{found}, but {_against(champion_loss)}: {_percent(max_champion_loss)} is allowed."
        else:
            reason = f"{found}; {_against(champion_loss)}."
    return {
        "relative_gain": relative_gain,
        "champion_loss": champion_loss,
        "min_relative_gain": min_relative_gain,
        "max_champion_loss": max_champion_loss,
        "passed": int(enough and harmless),
        "reason": reason,
    }


def _against(loss: float) -> str:
    if loss == 0:
        return "it equals the champion's"
    return f"it is {_percent(abs(loss))} {'above' if loss > 0 else 'below'} the champion's"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
