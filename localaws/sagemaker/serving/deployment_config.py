"""DeploymentConfig of UpdateEndpoint: validated, and as the steps in which traffic moves to the new fleet.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html
"""

import math
from typing import NamedTuple

from localaws.sagemaker.service import validation_error
from localaws.store import Document

ALL_AT_ONCE, CANARY, LINEAR = "ALL_AT_ONCE", "CANARY", "LINEAR"
STEP_MEMBER = {CANARY: "CanarySize", LINEAR: "LinearStepSize"}
# (least, most) share of the fleet.
LIMITS = {CANARY: (0.0, 0.5), LINEAR: (0.1, 0.5), "ROLLING": (0.05, 0.5)}


class Steps(NamedTuple):
    """shares: of the new fleet, one per step, the last is 1. Seconds are AWS's, not scaled. alarms: names."""

    shares: list[float]
    wait_seconds: float
    termination_seconds: float
    alarms: list[str]


def steps(config: Document | None, instances: int) -> Steps:
    """The steps of a deployment to a fleet of so many instances. Raises ValidationException for a wrong config."""
    config = config or {}
    alarms = [alarm["AlarmName"] for alarm in config.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
    if "BlueGreenUpdatePolicy" in config and "RollingUpdatePolicy" in config:
        raise validation_error("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified.")
    if "RollingUpdatePolicy" in config:
        policy = config["RollingUpdatePolicy"]
        share = _share("ROLLING", "MaximumBatchSize", policy["MaximumBatchSize"], instances)
        found = Steps(_cumulated(share), policy["WaitIntervalInSeconds"], 0, alarms)
        return _within(found, policy)
    policy = config.get("BlueGreenUpdatePolicy", {})
    routing = policy.get("TrafficRoutingConfiguration", {"Type": ALL_AT_ONCE, "WaitIntervalInSeconds": 0})
    shares = [1.0]
    if routing["Type"] != ALL_AT_ONCE:
        member = STEP_MEMBER[routing["Type"]]
        if member not in routing:
            raise validation_error(f"TrafficRoutingConfiguration of type {routing['Type']} needs {member}.")
        share = _share(routing["Type"], member, routing[member], instances)
        shares = _cumulated(share) if routing["Type"] == LINEAR else [share, 1.0]
    found = Steps(shares, routing["WaitIntervalInSeconds"], policy.get("TerminationWaitInSeconds", 0), alarms)
    return _within(found, policy)


def _share(kind: str, member: str, size: Document, instances: int) -> float:
    """A step's size as a share of the fleet, in whole instances."""
    count = size["Value"] if size["Type"] == "INSTANCE_COUNT" else math.ceil(instances * size["Value"] / 100)
    least, most = LIMITS[kind]
    share = float(count) / instances
    asked = share if size["Type"] == "INSTANCE_COUNT" else size["Value"] / 100
    if not least <= asked <= most or share > most:
        raise validation_error(
            f"{member} must be between {least:.0%} and {most:.0%} of the fleet's capacity; it is {count} of "
            f"{instances} instances."
        )
    return share


def _cumulated(share: float) -> list[float]:
    count = math.ceil(round(1 / share, 9))
    return [min(1.0, share * number) for number in range(1, count)] + [1.0]


def _within(found: Steps, policy: Document) -> Steps:
    limit = policy.get("MaximumExecutionTimeoutInSeconds")
    waits = found.wait_seconds * len(found.shares) + found.termination_seconds
    if limit is not None and limit <= waits:
        raise validation_error(f"MaximumExecutionTimeoutInSeconds must exceed the waits of {waits:g} seconds.")
    return found
