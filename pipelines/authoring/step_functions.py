"""Building blocks of the state machines: tasks with Retry, Catch and a time limit, choices, notifications.

The only module that imports the Data Science SDK for Step Functions, and it imports it late. It writes ASL with
`${Placeholders}` that CloudFormation fills in (DefinitionSubstitutions). States are JSONPath unless they need more than
paths; those are JSONata (https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html).
"""

import itertools
import json
from typing import Any

from pipelines.authoring import sdk

HOUR = 3600
# Retried errors. The names of SDK integrations' errors all count as States.TaskFailed.
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
BUSY = ["States.Timeout", "States.TaskFailed"]
# A Lambda that has reached its concurrency, as when many files land at once.
BUSY_LAMBDA = "Lambda.TooManyRequestsException"


def written(first: Any, comment: str, timeout_seconds: int) -> str:
    """The ASL of the states that are reachable from `first`, as JSON, indented, ending in a newline."""
    with sdk.quiet():
        from stepfunctions.steps import Graph

    graph = Graph(first, comment=comment, timeout_seconds=timeout_seconds)
    return json.dumps(json.loads(graph.to_json()), indent=2) + "\n"


def format_(template: str, *values: str) -> str:
    """`States.Format('...', $.a)` with the template's quotes and backslashes escaped; `{}` are its places."""
    text = " ".join(template.split()).replace("\\", "\\\\").replace("'", "\\'")
    return f"States.Format('{text}', {', '.join(values)})"


def expression(text: str) -> str:
    """A JSONata expression on one line, as a field's value."""
    return "{% " + " ".join(text.split()) + " %}"


def added(**members: str) -> str:
    """An Output: the state's input with more members, each a JSONata expression."""
    pairs = ", ".join(f"'{name}': {text}" for name, text in members.items())
    return expression(f"$merge([$states.input, {{{pairs}}}])")


class StateMachine:
    """Makes the states of one state machine. failed: the target of a task's Catch; the error is in $.error there."""

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
        """A service call with retries.

        selector: members of the response that are stored at result_path; with None there the response is dropped.
        otherwise: the state after a call that fails for good, with the input unchanged (default: `failed`).
        """
        task = self._task(name, integration, timeout_seconds)
        where = None if otherwise else "$.error"
        task.add_catch(_catch(["States.ALL"], otherwise or self.failed, ResultPath=where))
        task = _with(task, Parameters=parameters, ResultPath=result_path)
        return _with(task, ResultSelector=selector) if selector else task

    def jsonata(
        self,
        name: str,
        integration: str,
        arguments: dict[str, Any],
        output: str,
        expected: dict[str, Any] | None = None,
        *,
        otherwise: Any = None,
        attempts: int = 4,
    ) -> Any:
        """A service call whose arguments and output are JSONata; attempts: of the retry.

        expected: error -> next state, with the input unchanged. otherwise: the state after any other error, which is
        added to the input as `error` (default: `failed`).
        """
        task = self._task(name, integration, 60, attempts)
        for error, state in (expected or {}).items():
            task.add_catch(_catch([error], state, Output="{% $states.input %}"))
        if "States.ALL" not in (expected or {}):
            task.add_catch(_catch(["States.ALL"], otherwise or self.failed, Output=added(error="$states.errorOutput")))
        return _with(task, QueryLanguage="JSONata", Arguments=arguments, Output=output)

    def job(self, name: str, arguments: dict[str, Any], output: str) -> Any:
        """A processing job, run to its end. A failed one is tried once more, under another name.

        https://docs.aws.amazon.com/step-functions/latest/dg/connect-sagemaker.html
        """
        task = self._task(name, "sagemaker:createProcessingJob.sync", HOUR, attempts=1)
        task.add_catch(_catch(["States.ALL"], self.failed, Output=added(error="$states.errorOutput")))
        return _with(task, QueryLanguage="JSONata", Arguments=arguments, Output=output)

    def compute(self, name: str, **members: str) -> Any:
        """A Pass state that adds members, each a JSONata expression, to its input."""
        return _with(self.steps.Pass(name), QueryLanguage="JSONata", Output=added(**members))

    def invoke(
        self,
        name: str,
        function: str,
        payload: dict[str, Any],
        result_path: str,
        selector: dict[str, Any],
        *,
        timeout_seconds: int = 60,
        fails_the_map: bool = False,
    ) -> Any:
        """Invoke a Lambda.

        selector: members of $.Payload, its answer. fails_the_map: the Map around it catches the error.
        """
        task = self._task(name, "lambda:invoke", timeout_seconds, throttled=BUSY_LAMBDA)
        if not fails_the_map:
            task.add_catch(_catch(["States.ALL"], self.failed, ResultPath="$.error"))
        parameters = {"FunctionName": function, "Payload": payload}
        return _with(task, Parameters=parameters, ResultSelector=selector, ResultPath=result_path)

    def map_(
        self, name: str, first: Any, items: str, item: dict[str, Any], concurrency: int, result_path: str | None = None
    ) -> Any:
        """A Distributed Map: the states from `first` on, for each item, in executions with histories of their own.

        item: the input of each (ItemSelector). What all of them return together has at most 256 KB.
        https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
        """
        state = self.steps.Map(name, iterator=first, max_concurrency=concurrency)
        state.add_catch(_catch(["States.ALL"], self.failed, ResultPath="$.error"))
        processor = {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            **self.steps.Graph(first).to_dict(),
        }
        fields = {"ItemsPath": items, "ItemSelector": item, "ItemProcessor": processor, "Label": name}
        return _with(state, **fields, ResultPath=result_path, Iterator=None)

    def athena(self, name: str, query: str, result: str, token: str | None = None) -> Any:
        """Run a query to its end; stores its id and text. The workgroup sets the results' location and the limits."""
        parameters = {
            "QueryString.$": query,
            "WorkGroup": "${Workgroup}",
            "QueryExecutionContext": {"Database": "${GlueDatabase}"},
        }
        if token:
            parameters["ClientRequestToken.$"] = token
        selector = {"id.$": "$.QueryExecution.QueryExecutionId", "text.$": "$.QueryExecution.Query"}
        return self.call(name, "athena:startQueryExecution.sync", parameters, result, selector, timeout_seconds=HOUR)

    def publish(
        self, name: str, outcome: str, subject: str, message: str, *, topic: str = "TopicArn", otherwise: Any = None
    ) -> Any:
        """Publish to a topic. outcome: a message attribute, by which subscriptions can filter.

        https://docs.aws.amazon.com/sns/latest/dg/sns-message-filtering.html
        """
        parameters = {
            "TopicArn": f"${{{topic}}}",
            "Subject": subject,
            "Message.$": message,
            "MessageAttributes": {"outcome": {"DataType": "String", "StringValue": outcome}},
        }
        return self.call(name, "sns:publish", parameters, None, otherwise=otherwise)

    def pass_(self, name: str, parameters: dict[str, Any], result_path: str = "$") -> Any:
        """A Pass state that makes a value from JSONPaths."""
        return self.steps.Pass(name, parameters=parameters, result_path=result_path)

    def wait(self, name: str, seconds: int) -> Any:
        """A Wait state."""
        return self.steps.Wait(name, seconds=seconds)

    def succeed(self, name: str, output_path: str | None = None) -> Any:
        """The end of an execution that has nothing more to do. output_path: the path of its output ($)."""
        state = self.steps.Succeed(name)
        return _with(state, OutputPath=output_path) if output_path else state

    def fail(self, name: str, error: str, cause: str) -> Any:
        """The end of a failed execution; error and cause are paths."""
        return _with(self.steps.Fail(name), ErrorPath=error, CausePath=cause)

    def choice(self, name: str, *rules: tuple[Any, Any], otherwise: Any) -> Any:
        """A Choice state. rules: (rule, next state), the first that matches is taken."""
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
        """The rule that a path exists."""
        return self.rule.IsPresent(path, True)

    def is_true(self, path: str) -> Any:
        """The rule that a path exists and is true."""
        return self.rule.And([self.present(path), self.rule.BooleanEquals(path, True)])

    def _task(self, name: str, integration: str, timeout_seconds: int, attempts: int = 4, throttled: str = "") -> Any:
        """A task with its retries. throttled: an error that is retried for a day."""
        task = self.steps.Task(name, resource=f"arn:aws:states:::{integration}", timeout_seconds=timeout_seconds)
        for errors, most in (([throttled], 2880), (BUSY, attempts)):
            if errors != [""]:
                retry = self.steps.Retry(error_equals=errors, interval_seconds=2, max_attempts=most, backoff_rate=2.0)
                task.add_retry(_with(retry, JitterStrategy="FULL", MaxDelaySeconds=60))
        return task


def _catch(errors: list[str], state: Any, **where: Any) -> Any:
    from stepfunctions.steps import Catch

    return _with(Catch(error_equals=errors, next_step=state), **where)


def _with(block: Any, **fields: Any) -> Any:
    """Add fields of ASL that the SDK does not know (its last release is of 2022) to one of its blocks.

    An Iterator of None takes out what the SDK calls an ItemProcessor.
    """
    original = block.to_dict

    def to_dict() -> dict[str, Any]:
        found = {**original(), **fields}
        return {name: value for name, value in found.items() if (name, value) != ("Iterator", None)}

    block.to_dict = to_dict
    return block


def chain(*states: Any) -> Any:
    """Each state is followed by the next; returns the first."""
    for state, following in itertools.pairwise(states):
        state.next(following)
    return states[0]
