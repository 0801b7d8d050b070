"""Regular expressions of users end in time, wherever they are matched."""

import json
import time
from pathlib import Path

import pytest

from localaws import patterns
from localaws.sagemaker.training import final_metrics
from pipelines.account.clients import Clients
from tests.support.state_machines import ended, machine

EVIL, VICTIM = r"^(a|a)*$", "a" * 40 + "!"


def test_a_search_that_would_not_end_raises_in_time() -> None:
    with pytest.raises(TimeoutError):
        patterns.compile(EVIL).search(VICTIM)


def test_an_invalid_pattern_raises_what_re_raises() -> None:
    with pytest.raises(patterns.error):
        patterns.compile("(")


def test_a_metric_whose_expression_finds_no_number_in_time_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"mae=1.5\nmae=2.5\nname=hops\n{VICTIM}\n")
    expressions = {
        "mae": r"mae=([\d.]+)",
        "evil": EVIL,
        "invalid": "(",
        "text": "name=(.*)",
        "groups": "(mae)=(.*)",
        "none": "rmse=(.*)",
    }
    definitions = [{"Name": name, "Regex": expression} for name, expression in expressions.items()]
    metrics = final_metrics({"MetricDefinitions": definitions}, log)
    assert [(each["MetricName"], each["Value"]) for each in metrics] == [("mae", 2.5)]


JSONATA = {
    "QueryLanguage": "JSONata",
    "StartAt": "S",
    "States": {"S": {"Type": "Pass", "Output": "{% $match($states.input.text, /" + EVIL + "/) %}", "End": True}},
}
JSONPATH = {
    "StartAt": "S",
    "States": {"S": {"Type": "Pass", "InputPath": f"$.texts[?(@.text =~ /{EVIL}/)]", "End": True}},
}


@pytest.mark.parametrize("definition", [JSONATA, JSONPATH], ids=["JSONata", "JSONPath"])
def test_an_expression_of_a_state_machine_that_would_not_end_fails_it(
    clients: Clients, definition: dict[str, object]
) -> None:
    given = json.dumps({"text": VICTIM, "texts": [{"text": VICTIM}]})
    started = clients.stepfunctions.start_execution(stateMachineArn=machine(clients, definition), input=given)
    began = time.monotonic()
    clients.sqs.list_queues()
    assert time.monotonic() - began < 1
    assert ended(clients, started["executionArn"])["status"] == "FAILED"
