"""Updates of an endpoint: traffic moves without a failed request, and what fails leaves the old configuration."""

import json
import threading
from typing import Any

import pytest

from benchmarks.support.crash import Victim
from benchmarks.support.definitions import until
from localaws.endpoint import Endpoint
from tests.support.served import INSTANCE, SUM, Served

BROKEN = "def model_fn(folder): raise ValueError('the file is damaged')"
NO_IMPORT = "import not_installed_anywhere"
PING = (
    "The primary container for production variant AllTraffic did not pass the ping health check. Please check "
    "CloudWatch logs for this endpoint."
)
CANARY = {
    "TrafficRoutingConfiguration": {
        "Type": "CANARY",
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        "WaitIntervalInSeconds": 200,
    },
    "TerminationWaitInSeconds": 0,
}


class Load:
    """Requests from several threads until the end of the block. answers: model -> number; failures: texts."""

    def __init__(self, served: Served, threads: int = 4) -> None:
        self.served = served
        self.answers: dict[str, int] = {}
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send) for _ in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while not self._stop.is_set():
            try:
                model = self.served.predict(1)["model"]
            except Exception as failure:
                self.failures.append(str(failure))
                return
            with self._lock:
                self.answers[model] = self.answers.get(model, 0) + 1


def test_an_update_moves_the_traffic_without_a_failed_request(served: Served) -> None:
    served.create(served.config("first"))
    with Load(served) as load:
        until(lambda: load.answers.get("first", 0) > 50, "requests before the update")
        updated = served.update(served.config("second"))
        until(lambda: load.answers.get("second", 0) > 50, "requests after the update")
    assert load.failures == []
    assert (updated["EndpointStatus"], updated["EndpointConfigName"]) == ("InService", f"{served.name}-second")
    assert served.predict(1)["model"] == "second"


@pytest.mark.parametrize("script", [BROKEN, pytest.param(NO_IMPORT, marks=pytest.mark.release)])
def test_a_model_that_cannot_be_loaded_leaves_the_old_one_in_service(served: Served, script: str) -> None:
    served.create(served.config("first"))
    rolled_back = served.update(served.config("broken", script))
    assert (rolled_back["EndpointStatus"], rolled_back["EndpointConfigName"]) == ("InService", f"{served.name}-first")
    assert rolled_back["FailureReason"] == PING
    assert served.predict(1)["model"] == "first"
    # The next update is no different for it.
    assert "FailureReason" not in served.update(served.config("second"))


def test_a_new_endpoint_whose_model_cannot_be_loaded_has_failed(served: Served) -> None:
    failed = served.create(served.config("broken", BROKEN))
    assert (failed["EndpointStatus"], failed["FailureReason"]) == ("Failed", PING)
    with pytest.raises(served.api.exceptions.ClientError, match="Cannot update endpoint"):
        served.update(served.config("second"))


# A rollback with its reason is above; the tests of the state machine deploy have one without.
@pytest.mark.parametrize(
    ("switch", "status", "config", "has_reason"),
    [
        pytest.param("roll-back", "InService", "first", True, marks=pytest.mark.release),
        pytest.param("roll-back-silently", "InService", "first", False, marks=pytest.mark.release),
        ("rollback-failed", "UpdateRollbackFailed", "first", True),
    ],
)
def test_a_switch_lets_the_next_update_fail(
    served: Served, endpoint: Endpoint, switch: str, status: str, config: str, has_reason: bool
) -> None:
    served.create(served.config("first"))
    endpoint.control("sagemaker", EndpointUpdate=switch)
    ended = served.update(served.config("second"))
    assert (ended["EndpointStatus"], ended["EndpointConfigName"]) == (status, f"{served.name}-{config}")
    assert ("FailureReason" in ended) == has_reason
    assert served.predict(1)["model"] == "first"
    if status == "InService":
        assert served.update(f"{served.name}-second")["EndpointConfigName"] == f"{served.name}-second"


def test_a_canary_gets_its_share_and_then_everything(served: Served) -> None:
    served.create(served.config("first", on=INSTANCE))
    config = served.config("second", on=INSTANCE)
    with Load(served) as load:
        served.api.update_endpoint(
            EndpointName=served.name, EndpointConfigName=config, DeploymentConfig={"BlueGreenUpdatePolicy": CANARY}
        )
        pending = served.api.describe_endpoint(EndpointName=served.name)["PendingDeploymentSummary"]
        until(lambda: load.answers.get("second", 0) > 10, "the canary's answers")
        before = load.answers["first"]
        until(lambda: load.answers["first"] > before, "answers of the old fleet beside the canary's")
        updated = served.settled()
    assert load.failures == []
    assert pending["EndpointConfigName"] == config
    assert updated["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"] == 0
    assert {served.predict(1)["model"] for _ in range(10)} == {"second"}


# Alarms are evaluated against the clock, which a busy machine stretches.
@pytest.mark.release
def test_an_alarm_rolls_the_canary_back(served: Served) -> None:
    served.create(served.config("first", on=INSTANCE))
    served.clients.cloudwatch.put_metric_alarm(
        AlarmName=served.name,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[
            {"Name": "EndpointName", "Value": served.name},
            {"Name": "VariantName", "Value": "AllTraffic"},
        ],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    failing = SUM.replace("return {'model': name", "raise ValueError(name); return {'model': name")
    policy = {
        "BlueGreenUpdatePolicy": {
            **CANARY,
            "TrafficRoutingConfiguration": {**CANARY["TrafficRoutingConfiguration"], "WaitIntervalInSeconds": 3600},
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": served.name}]},
    }
    served.api.update_endpoint(
        EndpointName=served.name,
        EndpointConfigName=served.config("failing", failing, on=INSTANCE),
        DeploymentConfig=policy,
    )

    def failed() -> bool:
        try:
            served.predict(1)
        except served.runtime.exceptions.ModelError:
            return True
        return False

    until(failed, "the canary's failure")
    rolled_back = served.settled()
    assert rolled_back["EndpointConfigName"] == f"{served.name}-first"
    assert rolled_back["FailureReason"] == f"One or more CloudWatch alarms are in ALARM state: {served.name}."
    assert {served.predict(1)["model"] for _ in range(10)} == {"first"}


def test_status_changes_are_events(served: Served) -> None:
    queue = served.clients.sqs.create_queue(QueueName=served.name)["QueueUrl"]
    arn = served.clients.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"detail-type": ["SageMaker Endpoint State Change"], "detail": {"EndpointName": [served.name]}}
    served.clients.events.put_rule(Name=served.name, EventPattern=json.dumps(pattern))
    served.clients.events.put_targets(Rule=served.name, Targets=[{"Id": "1", "Arn": arn}])
    served.create(served.config("first"))
    served.update(served.config("second"))
    served.delete()
    found: list[Any] = []

    def all_there() -> bool:
        received = served.clients.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        found.extend(json.loads(each["Body"])["detail"] for each in received.get("Messages", []))
        return len(found) >= 5

    until(all_there, "the events")
    found.sort(key=lambda detail: detail["LastModifiedTime"])
    assert [(each["EndpointStatus"], each["EndpointConfigName"].rpartition("-")[2]) for each in found] == [
        ("CREATING", "first"),
        ("IN_SERVICE", "first"),
        ("UPDATING", "first"),
        ("IN_SERVICE", "second"),
        ("DELETING", "second"),
    ]


@pytest.mark.parametrize("point", [pytest.param("endpoint-updating", marks=pytest.mark.release), "endpoint-updated"])
def test_a_killed_endpoint_serves_again_after_its_start(victim: Victim, point: str) -> None:
    served = Served(victim.up(point).clients)
    served.create(served.config("first"))
    served.api.update_endpoint(EndpointName=served.name, EndpointConfigName=served.config("second"))
    victim.wait_until_dead()
    again = Served(victim.up().clients)
    again.name = served.name
    assert again.predict(1)["model"] in ("first", "second")
    ended = again.settled()
    assert (ended["EndpointStatus"], ended["EndpointConfigName"]) == ("InService", f"{served.name}-second")
    assert again.predict(1)["model"] == "second"
    again.delete()


def test_models_and_configurations_may_go_while_their_endpoint_serves(served: Served) -> None:
    config = served.config("first")
    served.create(config)
    served.api.delete_model(ModelName=config)
    served.api.delete_endpoint_config(EndpointConfigName=config)
    assert served.predict(1)["model"] == "first"
    # AWS needs the old configuration to roll back to.
    with pytest.raises(served.api.exceptions.ClientError, match=f'endpoint-config/{config}"'):
        served.update(served.config("second"))


def test_an_update_may_keep_the_weights_and_counts(served: Served) -> None:
    served.create(served.config("first", on=INSTANCE))
    served.api.update_endpoint_weights_and_capacities(
        EndpointName=served.name,
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 5, "DesiredWeight": 3}],
    )
    served.settled()
    updated = served.update(
        served.config("second", on=INSTANCE),
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
    )
    (variant,) = updated["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (5, 1.0)
