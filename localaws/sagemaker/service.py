"""The API's front: finds the operation, checks the request as AWS would, answers in AWS's words."""

import asyncio
import base64
import json
import logging
import math
import sqlite3
import time
import uuid
from collections.abc import Callable
from typing import Any

from localaws import shapes
from localaws.errors import ExpectedError
from localaws.store import Document, Store

Handler = Callable[[Document], Document]
logger = logging.getLogger("localaws.sagemaker")

# AWS answers lists in pages; the API's default differs by operation and is not documented for all. 10 is the
# smallest seen, and a caller that forgets NextToken shall notice here rather than there.
PAGE = 10
# What the requests' members ...After and ...Before begin with, and what they are about.
WINDOWS = (("Created", "CreationTime"), ("CreationTime", "CreationTime"), ("LastModifiedTime", "LastModifiedTime"))


class ApiError(Exception):
    """An error as the API answers it: a code such as ValidationException, and a message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def validation_error(message: str) -> ApiError:
    """The error SageMaker gives for most wrong requests, missing model packages included."""
    return ApiError("ValidationException", message)


def not_found(message: str) -> ApiError:
    """The error for a missing pipeline, execution or job."""
    return ApiError("ResourceNotFound", message)


class Service:
    """Operations by name over one store; MiniStack calls `handle_request`, `reset` and the state functions."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._operations: dict[str, Handler] = {}

    def add(self, operations: dict[str, Handler]) -> None:
        """Serve these operations, named as the API names them."""
        self._operations.update(operations)

    def operations(self) -> list[str]:
        """The names of what is served."""
        return sorted(self._operations)

    async def handle_request(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> tuple[int, dict[str, str], bytes]:
        """Answer one HTTP request; the handlers block, so they run in a thread."""
        return await asyncio.to_thread(self._answer, headers.get("x-amz-target", ""), body)

    def call(self, operation: str, request: Document) -> Document:
        """Check the request against AWS's model and run the operation; raises ApiError."""
        handler = self._operations.get(operation)
        if handler is None:
            raise ApiError("UnknownOperationException", f"The local SageMaker does not offer {operation}.")
        wrong = list(shapes.problems(shapes.input_shape("sagemaker", operation), request))
        if wrong:
            errors = "error" if len(wrong) == 1 else "errors"
            raise validation_error(f"{len(wrong)} validation {errors} detected: {'; '.join(wrong)}")
        return handler(request)

    def _answer(self, target: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        operation = target.rpartition(".")[2]
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        try:
            request = json.loads(body or b"{}")
            answer = self.call(operation, request)
        except ApiError as error:
            return 400, headers, _error_body(error.code, error.message)
        except ValueError:
            return 400, headers, _error_body("SerializationException", "The request is not JSON.")
        except Exception as error:
            reference = uuid.uuid4().hex
            logger.exception("SageMaker.%s failed (%s)", operation, reference)
            return 500, headers, _error_body("InternalFailure", f"{_why(error)}See endpoint.log, {reference}.")
        return 200, headers, json.dumps(answer).encode()

    def get_state(self) -> Document:
        """MiniStack saves states at its end; ours is on disk already."""
        return {}

    def load_persisted_state(self, state: Document) -> None:
        """Nothing to load: the store is on disk."""

    def reset(self) -> None:
        """Forget everything, as MiniStack's reset asks."""
        self.store.clear()


def _why(error: Exception) -> str:
    """A full disk or a damaged file is for the caller to know; the rest is ours."""
    if isinstance(error, ExpectedError):
        return f"{error.what} ({error.where}). "
    return f"The workspace cannot be written: {error}. " if isinstance(error, sqlite3.OperationalError) else ""


def _error_body(code: str, message: str) -> bytes:
    return json.dumps({"__type": code, "message": message}).encode()


def now() -> float:
    """The present as the API writes it: epoch seconds with milliseconds."""
    return round(time.time(), 3)


def scope() -> tuple[str, str]:
    """(region, account) of the request being answered."""
    from ministack.core.responses import get_account_id, get_region

    return get_region(), get_account_id()


def arn(resource: str) -> str:
    """A SageMaker ARN in the request's region and account."""
    region, account = scope()
    return f"arn:aws:sagemaker:{region}:{account}:{resource}"


def here(documents: list[Document], member: str) -> list[Document]:
    """Those documents whose ARN, in `member`, is of the request's region and account."""
    prefix = arn("")
    return [document for document in documents if document[member].startswith(prefix)]


def page(
    documents: list[Document], request: Document, *, order: str = "Descending", by: str = "CreationTime"
) -> tuple[list[Document], Document]:
    """One page of documents, sorted, and {"NextToken": ...} when there is more.

    Documents come oldest first, which also orders those of the same millisecond.
    """
    ordered = sorted(documents, key=lambda document: document[by])
    if request.get("SortOrder", order) == "Descending":
        ordered.reverse()
    return cut(ordered, request)


def cut(ordered: list[Document], request: Document) -> tuple[list[Document], Document]:
    """The page that a request asks for, and {"NextToken": ...} when there is more."""
    start = _offset(request["NextToken"]) if request.get("NextToken") else 0
    end = start + request.get("MaxResults", PAGE)
    token = base64.urlsafe_b64encode(str(end).encode()).decode()
    return ordered[start:end], ({"NextToken": token} if end < len(ordered) else {})


def _offset(token: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise validation_error("The pagination token is invalid.") from error


def summaries(operation: str, member: str, documents: list[Document]) -> list[Document]:
    """Documents reduced to the summary structure of a List operation."""
    shape = shapes.output_shape("sagemaker", operation).members[member].member
    return [shapes.project(shape, document) for document in documents]


def in_window(request: Document, document: Document) -> bool:
    """Whether a document's times (epoch seconds) lie within those of the request: CreatedAfter and its like."""
    return all(
        request.get(f"{name}After", -math.inf) < document[member] < request.get(f"{name}Before", math.inf)
        for name, member in WINDOWS
        if f"{name}After" in request or f"{name}Before" in request
    )
