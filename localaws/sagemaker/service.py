"""SageMaker's API: dispatches a request to its operation, validates it against AWS's model, encodes the answer."""

import asyncio
import base64
import contextvars
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
from localaws.ministack import patches
from localaws.store import Document, Store

Handler = Callable[[Document], Document]
logger = logging.getLogger("localaws.sagemaker")

# The default of MaxResults differs by operation and is not documented for all. 10 is the smallest that was seen:
# a caller that ignores NextToken fails here before it fails on AWS.
PAGE = 10
# The headers of the request that this thread answers.
_headers: contextvars.ContextVar[dict[str, str] | None] = contextvars.ContextVar("headers", default=None)
# The prefixes of the request members ...After and ...Before, and the time that each filters by.
WINDOWS = (("Created", "CreationTime"), ("CreationTime", "CreationTime"), ("LastModifiedTime", "LastModifiedTime"))


class ApiError(Exception):
    """An error answer of the API. code: for example ValidationException. status: HTTP's."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def validation_error(message: str) -> ApiError:
    """The error for most wrong requests, missing model packages included."""
    return ApiError("ValidationException", message)


def not_found(message: str) -> ApiError:
    """The error for a missing pipeline, execution or job."""
    return ApiError("ResourceNotFound", message)


class Service:
    """Operations by name over one store. MiniStack calls `handle_request`, `reset` and the state functions."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._operations: dict[str, Handler] = {}

    def add(self, operations: dict[str, Handler]) -> None:
        """Register handlers by the API's operation names."""
        self._operations.update(operations)

    def operations(self) -> list[str]:
        """The names of the registered operations."""
        return sorted(self._operations)

    async def handle_request(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> tuple[int, dict[str, str], bytes]:
        """Answer one HTTP request. Handlers block, so they run in a thread."""
        # The runtimes of feature stores, metrics and human review name their operations by method and path alone.
        operation = headers.get("x-amz-target", "").rpartition(".")[2] or f"{method} {path}"
        return await asyncio.to_thread(self._answer, operation, headers, body)

    def call(self, operation: str, request: Document) -> Document:
        """Validate the request against AWS's model and run the operation. Raises ApiError."""
        handler = self._operations.get(operation)
        if handler is None:
            raise ApiError("UnknownOperationException", f"The local SageMaker does not offer {operation}.")
        wrong = list(shapes.problems(shapes.input_shape("sagemaker", operation), request))
        if wrong:
            errors = "error" if len(wrong) == 1 else "errors"
            raise validation_error(f"{len(wrong)} validation {errors} detected: {'; '.join(wrong)}")
        return handler(request)

    def _answer(self, operation: str, given: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        _headers.set(given)
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        try:
            request = json.loads(body or b"{}")
            answer = self.call(operation, request)
        except ApiError as error:
            return error.status, headers, _error_body(error.code, error.message)
        except ValueError:
            return 400, headers, _error_body("SerializationException", "The request is not JSON.")
        except Exception as error:
            reference = uuid.uuid4().hex
            logger.exception("SageMaker.%s failed (%s)", operation, reference)
            return 500, headers, _error_body("InternalFailure", f"{_why(error)}See endpoint.log, {reference}.")
        return 200, headers, json.dumps(answer).encode()

    def get_state(self) -> Document:
        """The state that MiniStack saves at shutdown: none, the store is on disk."""
        return {}

    def load_persisted_state(self, state: Document) -> None:
        """Load nothing: the store is on disk."""

    def reset(self) -> None:
        """Delete every document: MiniStack's reset."""
        self.store.remove()


def _why(error: Exception) -> str:
    """The cause, for the caller, of a full disk or a damaged file; empty for an error in this code."""
    if isinstance(error, ExpectedError):
        return f"{error.what} ({error.where}). "
    return f"The workspace cannot be written: {error}. " if isinstance(error, sqlite3.OperationalError) else ""


def _error_body(code: str, message: str) -> bytes:
    return json.dumps({"__type": code, "message": message}).encode()


def now() -> float:
    """The current time as the API writes it: epoch seconds with milliseconds."""
    return round(time.time(), 3)


def scope() -> tuple[str, str]:
    """(region, account) of the current request."""
    from ministack.core.responses import get_account_id, get_region

    return get_region(), get_account_id()


def caller() -> Document:
    """Who sends the current request, as CreatedBy and LastModifiedBy have it; empty outside of a request.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UserContext.html
    """
    headers = _headers.get()
    if headers is None:
        return {}
    identity = patches.module("services.sts")._caller_identity(headers)
    return {"IamIdentity": {"Arn": identity["userArn"], "PrincipalId": identity["userId"]}}


def arn(resource: str) -> str:
    """A SageMaker ARN in the request's region and account."""
    region, account = scope()
    return f"arn:aws:sagemaker:{region}:{account}:{resource}"


def stored(store: Store, kind: str, name: str, noun: str) -> Document:
    """The stored document of a kind with a name in any case; ValidationException when there is none."""
    found_arn = arn(f"{kind}/{name.lower()}")
    found = store.get(kind, found_arn)
    if found is None:
        raise validation_error(f'Could not find {noun} "{found_arn}".')
    return found


def here(documents: list[Document], member: str) -> list[Document]:
    """The documents whose ARN, in `member`, is of the request's region and account."""
    prefix = arn("")
    return [document for document in documents if document[member].startswith(prefix)]


def page(
    documents: list[Document],
    request: Document,
    *,
    matches: Callable[[Document], bool] = lambda document: True,
    order: str = "Descending",
    by: str = "CreationTime",
) -> tuple[list[Document], Document]:
    """One page of documents, and {"NextToken": ...} when there are more.

    documents: oldest first, which also orders those of the same millisecond. matches: the request's filters, beside
    its times. AWS applies MaxResults before the filters: a page may be short or empty and still have a NextToken
    (https://github.com/boto/boto3/issues/2973).
    """
    ordered = sorted(documents, key=lambda document: document[by])
    if request.get("SortOrder", order) == "Descending":
        ordered.reverse()
    chosen, more = cut(ordered, request)
    return [each for each in chosen if in_window(request, each) and matches(each)], more


def cut(ordered: list[Document], request: Document) -> tuple[list[Document], Document]:
    """The page of a sorted list that a request asks for, and {"NextToken": ...} when there are more."""
    start = _offset(request["NextToken"]) if request.get("NextToken") else 0
    end = start + request.get("MaxResults", PAGE)
    token = base64.urlsafe_b64encode(str(end).encode()).decode()
    return ordered[start:end], ({"NextToken": token} if end < len(ordered) else {})


def listing(
    operation: str,
    documents: list[Document],
    request: Document,
    *,
    matches: Callable[[Document], bool] = lambda document: True,
    order: str = "Descending",
    by: str = "CreationTime",
) -> Document:
    """The whole answer of a List operation: one page (see `page`), each document reduced to the summary's members."""
    chosen, more = page(documents, request, matches=matches, order=order, by=by)
    members = shapes.output_shape("sagemaker", operation).members
    name = next(name for name, shape in members.items() if shape.type_name == "list")
    return {name: summaries(operation, name, chosen), **more}


def _offset(token: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise validation_error("The pagination token is invalid.") from error


def summaries(operation: str, member: str, documents: list[Document]) -> list[Document]:
    """Documents reduced to the members of a List operation's summary structure."""
    shape = shapes.output_shape("sagemaker", operation).members[member].member
    return [shapes.project(shape, document) for document in documents]


def in_window(request: Document, document: Document) -> bool:
    """Whether a document's times (epoch seconds) lie between the request's ...After and ...Before."""
    return all(
        request.get(f"{name}After", -math.inf) < document[member] < request.get(f"{name}Before", math.inf)
        for name, member in WINDOWS
        if f"{name}After" in request or f"{name}Before" in request
    )
