"""The states that our state machines are made of, each in the house's way: calls are retried, timed and caught.

The only module that imports the Data Science SDK for Step Functions, and it imports it late. What it writes is ASL
with `${Placeholders}` that CloudFormation fills in (DefinitionSubstitutions).
"""

import itertools
import json
from typing import Any

from pipelines.authoring import sdk

HOUR = 3600
# What a service may do better the second time, with its names in SDK integrations.
BUSY = ["States.Timeout", "States.TaskFailed"]


def written(first: Any, comment: str, timeout_seconds: int) -> str:
    """The ASL of the states that `first` leads to, as JSON, indented, ending in a newline."""
    with sdk.quiet():
        from stepfunctions.steps import Graph

    graph = Graph(first, comment=comment, timeout_seconds=timeout_seconds)
    return json.dumps(json.loads(graph.to_json()), indent=2) + "\n"


def format_(template: str, *values: str) -> str:
    """`States.Format('...', $.a)`: the template's own quotes and backslashes escaped, its {} left to be filled."""
    text = " ".join(template.split()).replace("\\", "\\\\").replace("'", "\\'")
    return f"States.Format('{text}', {', '.join(values)})"


class States:
    """Makes states. failed: where a call leads that has failed for good, with what happened in $.error."""

    def __init__(self) -> None:
        with sdk.quiet():
            from stepfunctions import steps

        self.steps = steps
        self.failed: Any = None

    def call(
        self,
        name: str,
        integration: str,
        parameters: dict[str, Any],
        result_path: str | None,
        selector: dict[str, Any] | None = None,
        *,
        timeout_seconds: int = 60,
        otherwise: Any = None,
    ) -> Any:
        """A service call, tried again while the service is busy.

        selector: the members of the answer that are kept at result_path; None there throws the answer away.
        otherwise: where a call leads that fails for good, as if it had not been made (default: to `failed`).
        """
        task = self._task(name, integration, timeout_seconds)
        where = None if otherwise else "$.error"
        task.add_catch(_catch(["States.ALL"], otherwise or self.failed, ResultPath=where))
        task = _with(task, Parameters=parameters, ResultPath=result_path)
        return _with(task, ResultSelector=selector) if selector else task

    def jsonata(
        self, name: str, integration: str, arguments: dict[str, Any], output: str, expected: dict[str, Any]
    ) -> Any:
        """A service call whose request needs more than paths: arguments and output are JSONata (`{% ... %}`).

        expected: error -> the state to which it leads, as if the call had not been made.
        """
        task = self._task(name, integration, 60)
        for error, state in expected.items():
            task.add_catch(_catch([error], state, Output="{% $states.input %}"))
        keep = "{% $merge([$states.input, {'error': $states.errorOutput}]) %}"
        task.add_catch(_catch(["States.ALL"], self.failed, Output=keep))
        return _with(task, QueryLanguage="JSONata", Arguments=arguments, Output=output)

    def athena(self, name: str, query: str, result: str, token: str | None = None) -> Any:
        """Run a query to its end; the workgroup decides where results go and how much may be scanned."""
        parameters = {"QueryString.$": query, "WorkGroup": "${Workgroup}"}
        if token:
            parameters["ClientRequestToken.$"] = token
        selector = {"id.$": "$.QueryExecution.QueryExecutionId"}
        return self.call(name, "athena:startQueryExecution.sync", parameters, result, selector, timeout_seconds=HOUR)

    def publish(
        self, name: str, outcome: str, subject: str, message: str, *, topic: str = "TopicArn", otherwise: Any = None
    ) -> Any:
        """Publish to a topic. outcome: the message attribute by which subscriptions may filter."""
        parameters = {
            "TopicArn": f"${{{topic}}}",
            "Subject": subject,
            "Message.$": message,
            "MessageAttributes": {"outcome": {"DataType": "String", "StringValue": outcome}},
        }
        return self.call(name, "sns:publish", parameters, None, otherwise=otherwise)

    def pass_(self, name: str, parameters: dict[str, Any], result_path: str = "$") -> Any:
        """A state that puts a value together."""
        return self.steps.Pass(name, parameters=parameters, result_path=result_path)

    def copy(self, name: str, path: str, result_path: str) -> Any:
        """A state that puts what is at one path at another."""
        return self.steps.Pass(name, input_path=path, result_path=result_path)

    def wait(self, name: str, seconds: int) -> Any:
        """A state that waits."""
        return self.steps.Wait(name, seconds=seconds)

    def succeed(self, name: str) -> Any:
        """The end of an execution that has nothing more to do."""
        return self.steps.Succeed(name)

    def fail(self, name: str, error: str, cause: str) -> Any:
        """The end of an execution that has failed; error and cause are paths."""
        return _with(self.steps.Fail(name), ErrorPath=error, CausePath=cause)

    def choice(self, name: str, *rules: tuple[Any, Any], otherwise: Any) -> Any:
        """A state that goes where the first rule that holds leads. rules: (rule, state)."""
        state = self.steps.Choice(name)
        for rule, target in rules:
            state.add_choice(rule, target)
        state.default_choice(otherwise)
        return state

    @property
    def rule(self) -> Any:
        """The comparisons of a choice."""
        return self.steps.choice_rule.ChoiceRule

    def present(self, path: str) -> Any:
        """The rule that a path leads to something."""
        return self.rule.IsPresent(path, True)

    def _task(self, name: str, integration: str, timeout_seconds: int) -> Any:
        task = self.steps.Task(name, resource=f"arn:aws:states:::{integration}", timeout_seconds=timeout_seconds)
        retry = self.steps.Retry(error_equals=BUSY, interval_seconds=2, max_attempts=4, backoff_rate=2.0)
        task.add_retry(_with(retry, JitterStrategy="FULL", MaxDelaySeconds=60))
        return task


def _catch(errors: list[str], state: Any, **where: Any) -> Any:
    from stepfunctions.steps import Catch

    return _with(Catch(error_equals=errors, next_step=state), **where)


def _with(block: Any, **fields: Any) -> Any:
    """Fields of ASL that the SDK does not know (its last release is of 2022) on one of its blocks."""
    original = block.to_dict

    def to_dict() -> dict[str, Any]:
        return {**original(), **fields}

    block.to_dict = to_dict
    return block


def chain(*states: Any) -> Any:
    """Each state leads to the next; returns the first."""
    for state, following in itertools.pairwise(states):
        state.next(following)
    return states[0]
