"""Retry policies of a step: which failures are tried again, how often, and after what pause."""

import time
from typing import Any

# A policy's names for the failures a job can have here; CLIENT (a wrong request) is never retried.
DEFAULTS = {"IntervalSeconds": 1, "BackoffRate": 2.0}


class Attempts:
    """Counts a step's tries. time_scale: local seconds per second of the policy's pauses."""

    def __init__(self, policies: list[dict[str, Any]], time_scale: float) -> None:
        self.policies = policies
        self.time_scale = time_scale
        self.count = 1
        self.began = time.monotonic()
        self._used = [0] * len(policies)

    def pause_before_next(self, kind: str) -> float | None:
        """Seconds to wait before the next try after a failure of this kind, or None when it is final."""
        for index, policy in enumerate(self.policies):
            kinds = policy["ExceptionType"]
            if kind not in (kinds if isinstance(kinds, list) else [kinds]):
                continue
            used = self._used[index]
            if "MaxAttempts" in policy and used >= policy["MaxAttempts"]:
                return None
            minutes = policy.get("ExpireAfterMin")
            if minutes is not None and time.monotonic() - self.began > minutes * 60 * self.time_scale:
                return None
            self._used[index] += 1
            self.count += 1
            merged = {**DEFAULTS, **policy}
            return float(merged["IntervalSeconds"] * merged["BackoffRate"] ** used * self.time_scale)
        return None
