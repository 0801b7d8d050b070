"""The state machine `load`: a file under landing/ -> its chunks, side by side -> rows and failed records -> its counts.

    plan the chunks -> load them (a Distributed Map, whose children have histories of their own) -> sum up -> notify

Input: the event of an object under landing/, of which {"detail": {"object": {"key", "version-id"}}} is read. Every step
can be repeated: a file that is loaded has no chunks, and a chunk goes on where it was.
"""

from typing import Any

from pipelines.authoring import notifications
from pipelines.authoring.step_functions import StateMachine, chain

COMMENT = "A file under landing/ -> chunks -> rows of the cleaned table"
# Chunks at the same time; the Lambda reserves as many executions.
CONCURRENCY = 4
# A Lambda's longest invocation, and a little more.
LAMBDA_SECONDS = 930


def states() -> Any:
    """The first state, wired to all others."""
    s = StateMachine()
    s.failed = notifications.failure(s, "load")
    plan = s.invoke(
        "Plan",
        "${Loader}",
        {"action": "plan", "object.$": "$$.Execution.Input.detail.object", "execution.$": "$$.Execution.Id"},
        "$.plan",
        {"file.$": "$.Payload.file", "status.$": "$.Payload.status", "chunks.$": "$.Payload.chunks"},
        # A large CSV file is read for the rows with which its chunks begin.
        timeout_seconds=LAMBDA_SECONDS,
    )
    finish = end(s)
    each = {"action": "chunk", "file.$": "$.plan.file", "chunk.$": "$$.Map.Item.Value"}
    chunks = s.map_("LoadChunks", chunk(s), "$.plan.chunks", each, CONCURRENCY)
    chain(chunks, finish)
    skipped = (s.rule.StringEquals("$.plan.status", "Skipped"), s.succeed("Skipped"))
    some = (s.present("$.plan.chunks[0]"), chunks)
    return chain(plan, s.choice("IsToBeLoaded", skipped, some, otherwise=finish))


def chunk(s: StateMachine) -> Any:
    """Of one chunk: invoke the Lambda until it has read the chunk to its end."""
    load = s.invoke(
        "LoadChunk",
        "${Loader}",
        {"action": "chunk", "file.$": "$.file", "chunk.$": "$.chunk"},
        "$.progress",
        {"done.$": "$.Payload.done"},
        timeout_seconds=LAMBDA_SECONDS,
        fails_the_map=True,
    )
    done = (s.is_true("$.progress.done"), s.succeed("ChunkLoaded", "$.progress.done"))
    return chain(load, s.choice("IsChunkLoaded", done, otherwise=load))


def end(s: StateMachine) -> Any:
    """Sum up the chunks, and notify of a refused file."""
    names = ("file", "status", "refused", "records", "clean", "dropped", "failed", "repeated")
    finish = s.invoke(
        "Finish",
        "${Loader}",
        {"action": "finish", "file.$": "$.plan.file"},
        "$",
        {f"{name}.$": f"$.Payload.{name}" for name in names},
        timeout_seconds=LAMBDA_SECONDS,
    )
    loaded = s.succeed("Loaded")
    message = "States.Format('{} is refused: {}', $.file, $.refused)"
    notify = chain(s.publish("NotifyRefusal", "refused", "Tapline: a file is refused", message), loaded)
    refused = (s.rule.StringEquals("$.status", "Refused"), notify)
    return chain(finish, s.choice("IsRefused", refused, otherwise=loaded))
