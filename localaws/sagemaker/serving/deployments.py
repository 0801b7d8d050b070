"""Deployments of endpoints: creation, blue/green updates with rollback, deletion, and serving again after a restart.

An update starts a new fleet beside the serving one and moves the traffic when the new one is healthy. When it is not,
or an alarm goes off, the endpoint is InService with its old configuration, as on AWS: only a caller who compares
EndpointConfigName notices.
"""

import contextvars
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from localaws.crashpoints import crashpoint
from localaws.sagemaker import events, isolation, tags
from localaws.sagemaker.s3 import client
from localaws.sagemaker.service import now
from localaws.sagemaker.serving.deployment_config import Steps, steps
from localaws.sagemaker.serving.fleet import Fleet, FleetFailed
from localaws.sagemaker.serving.traffic import Traffic
from localaws.sagemaker.serving.variants import summaries
from localaws.store import Document, Store

ENDPOINT = "endpoint"
LOG_GROUP = "/aws/sagemaker/Endpoints"
ALARM_POLL_SECONDS = 0.1
logger = logging.getLogger("localaws.sagemaker")


class Deployments:
    """The endpoints of this process.

    folder: for the containers. time_scale: local seconds per second of AWS's waits.
    """

    def __init__(self, store: Store, folder: Path, time_scale: float) -> None:
        self.store = store
        self.traffic: dict[str, Traffic] = {}
        self._folder = folder
        self._time_scale = time_scale
        self._closing = threading.Event()
        self._fleets: list[Fleet] = []

    def create(self, endpoint_arn: str) -> None:
        """Deploy a new endpoint (its document has the Target) in the background."""
        self.traffic[endpoint_arn] = Traffic()
        self._in_background(self._create, endpoint_arn)

    def update(self, endpoint_arn: str) -> None:
        """Deploy the Target of an endpoint's document in the background."""
        self._in_background(self._update, endpoint_arn)

    def delete(self, endpoint_arn: str) -> None:
        """End an endpoint and delete its document in the background."""
        self._in_background(self._delete, endpoint_arn)

    def change(self, endpoint_arn: str, status: str, **changes: object) -> None:
        """`set_status`, and send the event."""
        set_status(self.store, endpoint_arn, status, **changes)
        events.send(self.store)

    def recover(self) -> None:
        """After a restart: serve again, and resume what was under way."""
        isolation.sweep(self._folder)
        resumed = {
            "Creating": self._create,
            "Updating": self._update,
            "RollingBack": self._roll_back,
            "Deleting": self._delete,
        }
        for document in self.store.all(ENDPOINT):
            endpoint_arn, status = document["EndpointArn"], document["EndpointStatus"]
            self.traffic[endpoint_arn] = Traffic()
            if document.get("Serving") and status != "Deleting":
                fleet = self._fleet(document, document["Serving"])
                # Requests wait in the containers' sockets.
                self.traffic[endpoint_arn].route((fleet, 1.0))
                self._in_background(self._serve_again, endpoint_arn, fleet)
            if status in resumed:
                self._in_background(resumed[status], endpoint_arn)

    def close(self) -> None:
        """End every process; the documents stay as they are, for `recover`."""
        self._closing.set()
        for fleet in list(self._fleets):
            fleet.end()

    def _in_background(self, work: Callable[..., None], endpoint_arn: str, *arguments: object) -> None:
        from ministack.core import responses

        _, _, _, region, account, _ = endpoint_arn.split(":", 5)

        def run() -> None:
            with responses.request_scope(account, region):
                try:
                    work(endpoint_arn, *arguments)
                except Exception as error:
                    if not self._closing.is_set():
                        logger.exception("endpoint %s", endpoint_arn)
                        self._settle(endpoint_arn, f"InternalServerError: {error}")

        threading.Thread(target=contextvars.Context().run, args=(run,), name=endpoint_arn, daemon=True).start()

    def _settle(self, endpoint_arn: str, reason: str) -> None:
        """End a deployment that an unexpected error has interrupted, so that nobody waits for it."""
        document = self.store.get(ENDPOINT, endpoint_arn)
        if document and document.get("Serving"):
            self._roll_back(endpoint_arn, reason)
        elif document:
            self.change(endpoint_arn, "Failed", Target=None, FailureReason=reason)

    def _fleet(self, document: Document, plan: Document) -> Fleet:
        fleet = Fleet(plan, self._folder, f"{LOG_GROUP}/{document['EndpointName']}", document["EndpointArn"])
        self._fleets.append(fleet)
        return fleet

    def _drop(self, fleet: Fleet) -> None:
        fleet.stop()
        self._fleets.remove(fleet)

    def _healthy_fleet(self, document: Document, plan: Document) -> Fleet:
        """A new fleet that answers /ping. Raises FleetFailed."""
        fleet = self._fleet(document, plan)
        try:
            fleet.start()
            fleet.wait_until_healthy()
        except FleetFailed:
            self._drop(fleet)
            raise
        return fleet

    def _serve_again(self, endpoint_arn: str, fleet: Fleet) -> None:
        try:
            fleet.start()
        except FleetFailed as error:
            logger.error("endpoint %s: %s", endpoint_arn, error)

    def _create(self, endpoint_arn: str) -> None:
        document = self._stored(endpoint_arn)
        plan = document["Target"]
        try:
            fleet = self._healthy_fleet(document, plan)
        except FleetFailed as error:
            if not self._closing.is_set():
                self.change(endpoint_arn, "Failed", Target=None, FailureReason=str(error))
            return
        self.traffic[endpoint_arn].route((fleet, 1.0))
        self.change(endpoint_arn, "InService", Serving=plan, Target=None, **summaries(plan))

    def _update(self, endpoint_arn: str) -> None:
        document = self._stored(endpoint_arn)
        plan, chosen = document["Target"], document.get("Fault", "normal")
        traffic, blue = self.traffic[endpoint_arn], self.traffic[endpoint_arn].fleets[0]
        plan_steps = steps(document.get("DeploymentConfig"), _instances(plan))
        try:
            green = self._healthy_fleet(document, plan)
        except FleetFailed as error:
            if not self._closing.is_set():
                self._roll_back(endpoint_arn, str(error), chosen)
            return
        crashpoint("endpoint-updating")
        reason = self._move(traffic, blue, green, plan_steps) if chosen == "normal" else f"The switch is {chosen}."
        if self._closing.is_set():
            return
        if reason:
            traffic.route((blue, 1.0))
            self._roll_back(endpoint_arn, reason, chosen)
            self._drop(green)
            return
        self.change(endpoint_arn, "InService", **_updated(document, plan))
        crashpoint("endpoint-updated")
        self._drop(blue)

    def _move(self, traffic: Traffic, blue: Fleet, green: Fleet, plan: Steps) -> str:
        """Move the traffic step by step; returns the reason to roll back, or an empty text."""
        for share in plan.shares:
            traffic.route((blue, 1 - share), (green, share))
            reason = self._bake(plan.wait_seconds, plan.alarms)
            if reason:
                return reason
        return self._bake(plan.termination_seconds, plan.alarms)

    def _bake(self, seconds: float, alarms: list[str]) -> str:
        """Wait, scaled, while no alarm is in ALARM; returns the reason to roll back, or an empty text."""
        deadline = time.monotonic() + seconds * self._time_scale
        while not self._closing.is_set():
            found = client("cloudwatch").describe_alarms(AlarmNames=alarms)["MetricAlarms"] if alarms else []
            raised = [alarm["AlarmName"] for alarm in found if alarm["StateValue"] == "ALARM"]
            if raised:
                return f"One or more CloudWatch alarms are in ALARM state: {', '.join(raised)}."
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._closing.wait(min(left, ALARM_POLL_SECONDS))
        return ""

    def _roll_back(self, endpoint_arn: str, reason: str | None = None, chosen: str = "normal") -> None:
        """Put an endpoint whose update failed back to InService with its old configuration."""
        ended = dict.fromkeys(("Target", "DeploymentConfig", "Fault", "PendingDeploymentSummary"))
        if chosen == "rollback-failed":
            self.change(endpoint_arn, "UpdateRollbackFailed", **ended, FailureReason=reason)
            return
        if reason and chosen != "roll-back-silently":
            self.change(endpoint_arn, "RollingBack", FailureReason=reason)
        else:
            self.change(endpoint_arn, "RollingBack")
        self.change(endpoint_arn, "InService", **ended)

    def _delete(self, endpoint_arn: str) -> None:
        traffic = self.traffic.pop(endpoint_arn, Traffic())
        for fleet in traffic.fleets:
            self._drop(fleet)
        with self.store.transaction():
            tags.delete_all(self.store, endpoint_arn)
            self.store.delete(ENDPOINT, endpoint_arn)

    def _stored(self, endpoint_arn: str) -> Document:
        document = self.store.get(ENDPOINT, endpoint_arn)
        assert document is not None
        return document


def set_status(store: Store, endpoint_arn: str, status: str, **changes: object) -> None:
    """Set an endpoint's status and members of its document (None removes one), and store the event."""

    def apply(document: Document) -> None:
        document.update(changes, EndpointStatus=status, LastModifiedTime=now())
        for name in [name for name, value in changes.items() if value is None]:
            del document[name]

    with store.transaction():
        document = store.change(ENDPOINT, endpoint_arn, apply)
        events.endpoint_changed(store, document, tags.listed(store, endpoint_arn))


def _updated(document: Document, plan: Document) -> Document:
    """The changes of a finished update."""
    return {
        "EndpointConfigName": plan["EndpointConfigName"],
        "Serving": plan,
        "LastDeploymentConfig": document.get("DeploymentConfig"),
        **dict.fromkeys(("Target", "DeploymentConfig", "Fault", "PendingDeploymentSummary", "FailureReason")),
        **summaries(plan),
    }


def _instances(plan: Document) -> int:
    return int(plan["Variants"][0].get("InitialInstanceCount", 1))
