"""Retry policies of a step: which failures are tried again, how often, and after what pause."""

import time
from typing import Any

# What AWS takes for a member that a policy leaves out.
DEFAULTS = {"IntervalSeconds": 1, "BackoffRate": 2.0, "MaxAttempts": 5}


class Attempts:
    """Counts a step's tries. time_scale: local seconds per second of the policy's pauses.

    Each policy counts its own retries; the first that names a failure's kind decides.
    """

    def __init__(self, policies: list[dict[str, Any]], time_scale: float) -> None:
        self.policies = policies
        self.time_scale = time_scale
        self.count = 1
        self.began = time.monotonic()
        self._used = [0] * len(policies)

    def pause_before_next(self, kind: str | None) -> float | None:
        """Seconds to wait before the next try after a failure of this kind, or None when it is final."""
        for index, policy in enumerate(self.policies):
            if kind in kinds(policy):
                return self._next(index, policy)
        return None

    def _next(self, index: int, policy: dict[str, Any]) -> float | None:
        used = self._used[index]
        minutes = policy.get("ExpireAfterMin")
        # A policy has a number of tries or a time; without either, the default number holds.
        if minutes is None or "MaxAttempts" in policy:
            if used >= policy.get("MaxAttempts", DEFAULTS["MaxAttempts"]):
                return None
        elif time.monotonic() - self.began > minutes * 60 * self.time_scale:
            return None
        self._used[index] += 1
        self.count += 1
        merged = {**DEFAULTS, **policy}
        return float(merged["IntervalSeconds"] * merged["BackoffRate"] ** used * self.time_scale)


def kinds(policy: dict[str, Any]) -> list[str]:
    """The exception types a policy is for; the JSON may hold one or a list."""
    named = policy["ExceptionType"]
    return named if isinstance(named, list) else [named]
