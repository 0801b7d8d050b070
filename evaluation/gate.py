"""The gate: criteria with figures and thresholds, and a sentence or two with the reason."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# Stands for a figure that cannot be computed: on the wrong side of every threshold, and finite, as JSON needs it.
IMPASSABLE = 1e9
LONGEST_REASON = 700  # Characters; a model package's description holds 1,024, and not of the reason alone.
NO_OVERRIDE = "none"
# Thresholds of a run that names none. A looser one is shown as such.
DEFAULTS = {"min_relative_gain": 0.0, "max_champion_loss": 0.02}


class Limits(NamedTuple):
    """The thresholds: shares of the median's and of the champion's error."""

    min_relative_gain: float
    max_champion_loss: float

    @property
    def loosened(self) -> list[str]:
        """The thresholds that let more pass than the defaults do."""
        looser = {
            "min_relative_gain": self.min_relative_gain < DEFAULTS["min_relative_gain"],
            "max_champion_loss": self.max_champion_loss > DEFAULTS["max_champion_loss"],
        }
        return [name for name, loose in looser.items() if loose]


class Evidence(NamedTuple):
    """What the gate decides on.

    gain: the share by which the error is below the median's, {value, low, high}, or empty when it is unknown.
    loss: the share by which it is above the champion's, likewise, or None without a champion.
    leaked: test beers whose family the candidate was trained on.
    worse: the slices in which the candidate is significantly worse than the champion.
    changed: whether the champion's artifact is not the approved one.
    about_champion: a sentence that ends the reason when there is no comparison.
    """

    gain: Mapping[str, float]
    loss: Mapping[str, float] | None
    leaked: int
    worse: Sequence[Mapping[str, Any]]
    changed: bool
    about_champion: str


def decide(evidence: Evidence, limits: Limits, override: str = "") -> dict[str, Any]:
    """The gate as evaluation.json holds it.

    `passed` is whether no criterion failed; `register` is 1 when it passed or `override` gives a reason to register
    the model in spite of `failed`.
    """
    gain = -IMPASSABLE if evidence.leaked else evidence.gain.get("low", -IMPASSABLE)
    loss = _loss(evidence)
    failed = {
        "test_families_unseen": bool(evidence.leaked),
        "min_relative_gain": gain < limits.min_relative_gain,
        "max_champion_loss": loss > limits.max_champion_loss,
        "no_class_worse": bool(evidence.worse),
        "champion_unchanged": evidence.changed,
    }
    reason = _plain(override)[:200]
    passed = not any(failed.values())
    return {
        "relative_gain": gain,
        "champion_loss": loss,
        **limits._asdict(),
        "loosened": limits.loosened,
        "failed": [name for name, bad in failed.items() if bad],
        "passed": int(passed),
        "override_reason": reason or NO_OVERRIDE,
        "register": int(passed or bool(reason)),
        "reason": _plain(" ".join(_sentences(evidence, limits, gain, loss))),
    }


def _loss(evidence: Evidence) -> float:
    if evidence.changed:
        return IMPASSABLE
    return 0.0 if evidence.loss is None else evidence.loss.get("value", IMPASSABLE)


def _sentences(evidence: Evidence, limits: Limits, gain: float, loss: float) -> list[str]:
    """The reason: the gain, then the loss, then the slices."""
    least = _percent(limits.min_relative_gain)
    if evidence.leaked:
        first = f"The candidate was trained on the families of {evidence.leaked} test beers, so the test is void."
    elif not evidence.gain:
        first = "The error cannot be compared with the median's, which is 0."
    else:
        first = f"The error is {_compared(evidence.gain, 'median', sign=-1)}"
        missed = gain < limits.min_relative_gain
        first += f": a gain of {_percent(gain)} beyond noise where {least} is required." if missed else "."
    return [first, *_about_loss(evidence, limits, loss), *map(_about_slice, evidence.worse)]


def _about_loss(evidence: Evidence, limits: Limits, loss: float) -> list[str]:
    most = _percent(limits.max_champion_loss)
    if evidence.loss is None or evidence.changed:
        cause = f"MaxChampionLoss is {most}: without a champion the loss is 0.0 %, so no model passes."
        return [evidence.about_champion, *([cause] if limits.max_champion_loss < 0 else [])]
    if not evidence.loss:
        return ["It cannot be compared with the champion's, which is 0."]
    sentence = f"It is {_compared(evidence.loss, 'champion', sign=1)}"
    return [f"{sentence}: at most {most} is allowed." if loss > limits.max_champion_loss else f"{sentence}."]


def _about_slice(slice_: Mapping[str, Any]) -> str:
    return (
        f"In the class {slice_['name']} ({slice_['n']} beers) it is {_percent(slice_['loss'])} above the champion's, "
        f"significantly (p = {slice_['p']:.3f})."
    )


def _compared(share: Mapping[str, float], whose: str, sign: int) -> str:
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
    """One line of printable characters, not too long: an error's text may come from anyone's archive."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 3] + "..."
