"""Callback steps: each waits with a token until an API call answers for it.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-steps-types.html#step-type-callback
"""

import queue
import secrets
import string
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from localaws.sagemaker.failures import JobFailed, JobStopped
from localaws.sagemaker.service import Service, not_found
from localaws.store import Document

TOKEN_CHARACTERS = 10
POLL_SECONDS = 0.05
# What the API call brought: the output parameters, or the failure.
Answers = queue.Queue[Document | JobFailed]


class Callbacks:
    """Handlers of SendPipelineExecutionStepSuccess and SendPipelineExecutionStepFailure, and the steps that wait."""

    def __init__(self, service: Service) -> None:
        self._waiting: dict[str, tuple[str, Answers]] = {}
        service.add(
            {
                "SendPipelineExecutionStepSuccess": self.succeed,
                "SendPipelineExecutionStepFailure": self.fail,
            }
        )

    @contextmanager
    def waiting(self, execution_arn: str) -> Iterator[tuple[str, Answers]]:
        """A new token, valid while inside, and the queue of its answers."""
        alphabet = string.ascii_letters + string.digits
        token, answers = "".join(secrets.choice(alphabet) for _ in range(TOKEN_CHARACTERS)), Answers()
        self._waiting[token] = (execution_arn, answers)
        try:
            yield token, answers
        finally:
            del self._waiting[token]

    def succeed(self, request: Document) -> Document:
        """SendPipelineExecutionStepSuccess."""
        outputs = {each["Name"]: each["Value"] for each in request.get("OutputParameters", [])}
        return self._answer(request["CallbackToken"], outputs)

    def fail(self, request: Document) -> Document:
        """SendPipelineExecutionStepFailure."""
        reason = request.get("FailureReason", "The callback step was reported as failed.")
        return self._answer(request["CallbackToken"], JobFailed(reason))

    def _answer(self, token: str, answer: Document | JobFailed) -> Document:
        if token not in self._waiting:
            raise not_found(f"No callback step waits with the token {token}.")
        execution_arn, answers = self._waiting[token]
        answers.put(answer)
        return {"PipelineExecutionArn": execution_arn}


def wait_for(answers: Answers, stop: threading.Event) -> Document:
    """The output parameters that the call brings; raises JobFailed or JobStopped."""
    while not stop.is_set():
        try:
            answer = answers.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
        if isinstance(answer, JobFailed):
            raise answer
        return answer
    raise JobStopped
