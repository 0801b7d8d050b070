"""The verdict: two figures, two thresholds and a sentence or two that say why."""

from collections.abc import Mapping
from typing import Any

# Stands for a figure that cannot be computed: on the wrong side of every threshold, and finite, as JSON needs it.
IMPASSABLE = 1e9
LONGEST_REASON = 700  # Characters; the registry's description of a model holds 1,024, and not of the reason alone.


def judge(
    gain: Mapping[str, float],
    loss: Mapping[str, float] | None,
    leaked: int,
    about_champion: str,
    min_relative_gain: float,
    max_champion_loss: float,
) -> dict[str, Any]:
    """The gate as it is written to evaluation.json.

    gain: the part by which the error is below the median's, with `value`, `low` and `high`, or empty when unknown.
    loss: the part by which it is above the champion's, likewise, or None without a champion.
    leaked: test beers whose recipe the candidate has trained on.
    about_champion: a sentence that ends the reason when there is no champion to compare with.
    """
    relative_gain = -IMPASSABLE if leaked else gain.get("low", -IMPASSABLE)
    champion_loss = 0.0 if loss is None else loss.get("value", IMPASSABLE)
    enough, harmless = relative_gain >= min_relative_gain, champion_loss <= max_champion_loss
    if leaked:
        reason = f"The candidate has trained on the recipes of {leaked} test beers, so the test says nothing."
    elif not gain:
        reason = "The error cannot be compared with the median's, which is 0."
    else:
        reason = f"The error is {_beside(gain, 'median', sign=-1)}"
        if not enough:
            reason += (
                f": a gain of {_percent(relative_gain)} beyond noise where {_percent(min_relative_gain)} is asked for."
            )
        elif loss is None:
            reason += "."
        elif not loss:
            reason += ", but it cannot be compared with the champion's, which is 0."
        else:
            joint, end = ("and", "") if harmless else ("but", f": at most {_percent(max_champion_loss)} is allowed")
            reason += f", {joint} {_beside(loss, 'champion', sign=1)}{end}."
    return {
        "relative_gain": relative_gain,
        "champion_loss": champion_loss,
        "min_relative_gain": min_relative_gain,
        "max_champion_loss": max_champion_loss,
        "passed": int(enough and harmless),
        "reason": _plain(reason if loss is not None else f"{reason} {about_champion}"),
    }


def _beside(share: Mapping[str, float], whose: str, sign: int) -> str:
    """`30.0 % below the median's (90 % interval: 20.0 to 40.0 % below)`; sign: 1 when the share counts upwards."""
    if not any(share.values()):
        return f"equal to the {whose}'s"
    near, far = sorted((sign * share["low"], sign * share["high"]), key=abs)
    first, last = (near, far) if near * far > 0 else sorted((near, far))
    start = f"{100 * abs(first):.1f}" if near * far > 0 else _side(first)
    return f"{_side(sign * share['value'])} the {whose}'s (90 % interval: {start} to {_side(last)})"


def _side(share: float) -> str:
    return f"{_percent(abs(share))} {'above' if share > 0 else 'below'}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _plain(text: str) -> str:
    """One line of printable characters, not too long: an error's text within may come from anybody's archive."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 3] + "..."
