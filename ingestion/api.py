"""Client of the Punk API over HTTP, bounded in time, bytes, tries and redirects.

A try takes at most 3 s to connect, 5 s between two reads and 15 s in total, also when the answer drips in.
Network errors, 429 and 5xx are retried, three tries in total, after a backoff with full jitter or the time of
Retry-After (up to 10 s). Any other answer is final: beers, or a reason from REFUSED or `http_<status>`.
"""

import contextlib
import email.utils
import json
import queue
import socket
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from ingestion.retry import Deadline, full_jitter

CONNECT_SECONDS, READ_SECONDS, TRY_SECONDS = 3.0, 5.0, 15.0
TRIES, REDIRECTS = 3, 3
FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS, MAX_RETRY_AFTER_SECONDS = 0.5, 4.0, 10.0
MAX_BODY_BYTES = 2 * 2**20
MAX_RECORD_BYTES = 2**20

REFUSED = {
    "redirected": "a redirect to another scheme, host or port, or one too many",
    "answer_too_large": "a body of more than MAX_BODY_BYTES, counted after decompression",
    "bad_encoding": "a body whose Content-Encoding is unknown or does not decode",
    "not_json": "a body that is not JSON, for example HTML or half an answer",
    "api_message": "an API's error or notice instead of a beer",
    "not_an_object": "a value that is not an object where a beer should be",
    "not_a_beer": "an object with neither id nor name",
    "non_finite": "a beer with NaN or Infinity, which JSON does not have",
    "too_large": "a beer of more than MAX_RECORD_BYTES, which Kinesis does not take",
}
MESSAGE_KEYS = frozenset({"statusCode", "error", "message", "detail"})


class ApiError(Exception):
    """The API did not answer in all tries; the text has the URL and the last cause, in one line."""


class Record(NamedTuple):
    """A record for the stream: the partition key, and the beer's JSON in UTF-8 on one line, without a newline."""

    key: str
    data: bytes


@dataclass
class Answer:
    """The beers in an answer, what was refused by reason, and how many entries it had (an object is one).

    content: what a repeated page is recognised by; None when the answer is not a list or has no entry.
    """

    records: list[Record] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    entries: int = 0
    content: bytes | None = None


class _Refused(Exception):
    """An answer that is final and holds no beers; carries the reason."""


class _Late(Exception):
    """The time of a try is over before the answer has ended."""


class _TryAgain(Exception):
    """An error that is retried: why, and how many seconds the API asks to wait."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class Api:
    """The API at one base URL. retries counts the tries after the first, over all calls."""

    def __init__(self, base_url: str, deadline: Deadline) -> None:
        self.base_url = base_url.rstrip("/")
        self.deadline = deadline
        self.retries = 0

    def fetch(self, path: str) -> Answer:
        """The beers at `path`, for example `beers/random`; raises ApiError when all tries fail."""
        url = f"{self.base_url}/{path}"
        for attempt in range(TRIES):
            try:
                return parse_answer(_get(url, min(TRY_SECONDS, self.deadline.left())))
            except _Refused as refusal:
                return Answer(refused=Counter([str(refusal)]))
            except _TryAgain as fault:
                why, wait = str(fault), fault.retry_after
            if wait is None:
                wait = full_jitter(attempt, FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS)
            if attempt + 1 == TRIES or not self.deadline.wait(min(wait, MAX_RETRY_AFTER_SECONDS)):
                break
            self.retries += 1
        raise ApiError(f"no answer from {url} in {attempt + 1} of {TRIES} tries: {why}")


def parse_answer(body: bytes) -> Answer:
    """The records of a list of beers or of one beer, and the reasons for what is refused."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return Answer(refused=Counter(["not_json"]))
    content = sha256(body).digest() if isinstance(value, list) and value else None
    answer = Answer(entries=len(value) if isinstance(value, list) else 1, content=content)
    for beer in value if isinstance(value, list) else [value]:
        record = _record(beer)
        if isinstance(record, Record):
            answer.records.append(record)
        else:
            answer.refused[record] += 1
    return answer


def _record(beer: Any) -> Record | str:
    """The beer as a record, or the reason why it is refused."""
    if not isinstance(beer, dict):
        return "not_an_object"
    if "id" not in beer and "name" not in beer:
        return "not_a_beer" if MESSAGE_KEYS.isdisjoint(beer) else "api_message"
    try:
        data = _json_line(beer)
    except ValueError:
        return "non_finite"
    except RecursionError:
        return "not_json"
    key = _partition_key(beer, data)
    return Record(key, data) if len(data) + len(key.encode()) <= MAX_RECORD_BYTES else "too_large"


def _json_line(beer: dict[str, Any]) -> bytes:
    layout: Any = {"allow_nan": False, "separators": (",", ":")}
    try:
        return json.dumps(beer, ensure_ascii=False, **layout).encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8; escaped it stays evidence of what the API sent.
        return json.dumps(beer, **layout).encode()


def _partition_key(beer: dict[str, Any], data: bytes) -> str:
    """The beer's id, else a hash of its content: Kinesis wants 1 to 256 characters."""
    beer_id = beer.get("id")
    if isinstance(beer_id, int | str) and not isinstance(beer_id, bool):
        key = str(beer_id)
        if 0 < len(key) <= 256 and key.isprintable():
            return key
    return sha256(data).hexdigest()


def _get(url: str, seconds: float) -> bytes:
    """The body at `url`, read in a thread: an answer may drip in for hours without any read timing out."""
    results: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
    deadline = Deadline(seconds)
    late = _TryAgain(f"no whole answer within {seconds:.0f} s")
    adapter = _Adapter()

    def read() -> None:
        try:
            with contextlib.closing(adapter):
                results.put(_read(url, adapter, deadline))
        except _Late:
            results.put(late)
        except (OSError, HTTPException, urllib3.exceptions.HTTPError) as error:
            results.put(_TryAgain(type(error).__name__))
        except Exception as error:
            results.put(error)

    threading.Thread(target=read, name="answer", daemon=True).start()
    try:
        result = results.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        # The thread ends with the connection; without this a dripping head would hold both for hours.
        adapter.cut_off()
        raise late from None
    if isinstance(result, Exception):
        raise result
    return result


class _Adapter(requests.adapters.HTTPAdapter):
    """Sends requests over connections that another thread can cut off.

    Not a session: it would read a redirect's body to its end, and take proxies and passwords from the environment.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sockets: list[socket.socket] = []
        pools = self.poolmanager.pool_classes_by_scheme
        self.poolmanager.pool_classes_by_scheme = {scheme: self._recorded(pool) for scheme, pool in pools.items()}

    def cut_off(self) -> None:
        """Shut the connections down: what waits for an answer on them fails."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connections."""
        super().close()
        for each in self._sockets:
            each.close()

    def _recorded(self, pool: Any) -> Any:
        def connect(connection: Any) -> socket.socket:
            made: socket.socket = pool.ConnectionCls._new_conn(connection)
            # A descriptor of its own: TLS takes over the other one.
            self._sockets.append(made.dup())
            return made

        recorded = type(pool.ConnectionCls.__name__, (pool.ConnectionCls,), {"_new_conn": connect})
        return type(pool.__name__, (pool,), {"ConnectionCls": recorded})


def _read(url: str, adapter: _Adapter, deadline: Deadline) -> bytes:
    """The body at `url` or where it redirects to within its own origin."""
    headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
    for _ in range(REDIRECTS + 1):
        request = requests.Request("GET", url, headers).prepare()
        with adapter.send(request, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as response:
            if not response.is_redirect:
                return _body(response, deadline)
            url = _redirect(url, response.headers["Location"])
    raise _Refused("redirected")


def _redirect(url: str, location: str) -> str:
    """The target of a redirect, within the origin of `url` only: the API must not point us at our own network."""
    try:
        target = urljoin(url, location)
        if _origin(target) == _origin(url):
            return target
    except ValueError:
        # Not a URL at all.
        raise _Refused("redirected") from None
    raise _Refused("redirected")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _body(response: requests.Response, deadline: Deadline) -> bytes:
    status = response.status_code
    if status == 429 or status >= 500:
        raise _TryAgain(f"status {status}", _retry_after(response.headers.get("Retry-After", "")))
    if status != 200:
        raise _Refused(f"http_{status}")
    body = b""
    # read1, for read would wait until the whole amount has dripped in.
    while chunk := response.raw.read1(2**16, decode_content=False):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _Refused("answer_too_large")
        if not deadline.left():
            raise _Late
    return _decompress(body, response.headers.get("Content-Encoding", "identity").lower())


def _decompress(body: bytes, encoding: str) -> bytes:
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise _Refused("bad_encoding")
    gunzip = zlib.decompressobj(wbits=31)
    try:
        plain = gunzip.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise _Refused("bad_encoding") from None
    if len(plain) > MAX_BODY_BYTES:
        raise _Refused("answer_too_large")
    if not gunzip.eof:
        raise _Refused("bad_encoding")
    return plain


def _retry_after(header: str) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None for anything else."""
    if header.isdecimal():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
