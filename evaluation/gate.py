"""The gate: criteria with figures and thresholds, and a sentence or two with the reason."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# Stands for a figure that cannot be computed: on the wrong side of every threshold, and finite, as JSON needs it.
IMPASSABLE = 1e9
LONGEST_REASON = 700  # Characters; a model package's description holds 1,024, and not of the reason alone.
NO_OVERRIDE = "none"
# Thresholds of a run that names none. A looser one is shown as such.
DEFAULTS = {"min_relative_gain": 0.0, "max_champion_loss": 0.02}
# The upper end of the loss's 90 % interval may be above the limit by so much: noise between models of one kind stays
# below it, while a 10 % worse model of another kind passes in 2 % of cases instead of 5 %.
NOISE = 0.06
# The loss to the best version approved so far may be so many limits: candidates that are each a little worse than the
# one before would otherwise lose as much as they like.
ACCUMULATED_LIMITS = 2
LOSS_CRITERIA = ("max_champion_loss", "champion_loss_interval", "accumulated_loss")


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

    @property
    def accumulated(self) -> float:
        """The largest loss to the best version approved so far."""
        return ACCUMULATED_LIMITS * max(self.max_champion_loss, 0.0)


class Evidence(NamedTuple):
    """What the gate decides on.

    gain: the share by which the error is below the median's, {value, low, high}, or empty when it is unknown.
    loss: the share by which it is above the champion's, likewise, or None without a champion.
    leaked: test beers whose family the candidate was trained on.
    worse: the slices in which the candidate is significantly worse than the champion.
    changed: whether the champion's artifact is not the approved one.
    about_champion: a sentence that ends the reason when there is no comparison.
    champion_accumulated: the champion's own loss to the best version approved before it.
    """

    gain: Mapping[str, float]
    loss: Mapping[str, float] | None
    leaked: int
    worse: Sequence[Mapping[str, Any]]
    changed: bool
    about_champion: str
    champion_accumulated: float = 0.0

    def accumulated(self, loss: float) -> float:
        """The candidate's loss to the best version approved so far, for its loss to the champion.

        On the same beers the factors telescope: their product is the comparison with that version itself.
        """
        known = self.loss and not self.changed
        return max(0.0, (1 + self.champion_accumulated) * (1 + loss) - 1) if known else self.champion_accumulated


def decide(evidence: Evidence, limits: Limits, override: str = "") -> dict[str, Any]:
    """The gate as evaluation.json holds it.

    `passed` is whether no criterion failed; `register` is 1 when it passed or `override` gives a reason to register
    the model in spite of `failed`.
    """
    gain = -IMPASSABLE if evidence.leaked else evidence.gain.get("low", -IMPASSABLE)
    loss = _loss(evidence)
    accumulated = evidence.accumulated(loss)
    failed = _failed(evidence, limits, gain, loss)
    # A model that passes is registered for that.
    reason = _plain(override)[:200] if failed else ""
    return {
        "relative_gain": gain,
        "champion_loss": loss,
        "accumulated_loss": accumulated,
        # A person who overrides a loss accepts it: the successors are compared with that version.
        "carried_loss": 0.0 if reason and not {*LOSS_CRITERIA}.isdisjoint(failed) else accumulated,
        **limits._asdict(),
        "loosened": limits.loosened,
        "failed": failed,
        "passed": int(not failed),
        "override_reason": reason or NO_OVERRIDE,
        "register": int(not failed or bool(reason)),
        "reason": _plain(" ".join(_sentences(evidence, limits, gain, loss, failed))),
    }


def _failed(evidence: Evidence, limits: Limits, gain: float, loss: float) -> list[str]:
    """The criteria that do not hold; of those on the loss the first."""
    upper = (evidence.loss or {}).get("high", loss)
    about_data = {
        "test_families_unseen": bool(evidence.leaked),
        "min_relative_gain": gain < limits.min_relative_gain,
    }
    about_loss = {
        "max_champion_loss": loss > limits.max_champion_loss,
        "champion_loss_interval": upper > limits.max_champion_loss + NOISE,
        "accumulated_loss": evidence.accumulated(loss) > limits.accumulated,
    }
    about_champion = {"no_class_worse": bool(evidence.worse), "champion_unchanged": evidence.changed}
    return [*_true(about_data), *_true(about_loss)[:1], *_true(about_champion)]


def _true(criteria: Mapping[str, bool]) -> list[str]:
    return [name for name, failed in criteria.items() if failed]


def _loss(evidence: Evidence) -> float:
    if evidence.changed:
        return IMPASSABLE
    return 0.0 if evidence.loss is None else evidence.loss.get("value", IMPASSABLE)


def _sentences(evidence: Evidence, limits: Limits, gain: float, loss: float, failed: Sequence[str]) -> list[str]:
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
    return [first, *_about_loss(evidence, limits, loss, failed), *map(_about_slice, evidence.worse)]


def _about_loss(evidence: Evidence, limits: Limits, loss: float, failed: Sequence[str]) -> list[str]:
    most = _percent(limits.max_champion_loss)
    if evidence.loss is None or evidence.changed:
        cause = f"MaxChampionLoss is {most}: without a champion the loss is 0.0 %, so no model passes."
        return [evidence.about_champion, *([cause] if limits.max_champion_loss < 0 else [])]
    if not evidence.loss:
        return ["It cannot be compared with the champion's, which is 0."]
    grown, allowed = _percent(evidence.accumulated(loss)), _percent(limits.accumulated)
    ends = {
        "max_champion_loss": f": at most {most} is allowed.",
        "champion_loss_interval": f": the interval may end at {_percent(limits.max_champion_loss + NOISE)} above.",
        "accumulated_loss": f". Above the best version approved so far it is {grown}: at most {allowed} is allowed.",
    }
    end = next((text for name, text in ends.items() if name in failed), ".")
    return [f"It is {_compared(evidence.loss, 'champion', sign=1)}{end}"]


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
