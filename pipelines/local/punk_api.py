"""The Punk API on this machine: versions 2 and 3 of its shapes, served from a catalogue of beers.

    GET /v2/beers/random    a list of one beer      GET /v3/beers/random    one beer
    GET /v2/beers           a page of beers         GET /v3/beers           a page of beers
    GET /v2/beers/7         a list of one beer      GET /v3/beers/7         one beer

Pages take `page` (from 1) and `per_page` (default 25, at most 80); a page past the end is an empty list.
Errors are the real API's: JSON objects with statusCode, error and message. Beers are served as the
catalogue has them, broken ones included: what is wrong with a beer is to be found out downstream.
"""

import json
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from localaws.control import Command
from localaws.errors import NOT_FOUND, WRONG_USAGE, ExpectedError

BUNDLED = Path(__file__).parent / "catalogue" / "beers.json"
PER_PAGE, MOST_PER_PAGE = 25, 80


class CatalogueError(ExpectedError):
    """A file that is not a catalogue of beers."""


def load_catalogue(path: Path = BUNDLED) -> list[Any]:
    """The entries of a JSON list or of JSON lines, unchanged: also those that are not objects.

    Raises CatalogueError when the file is missing, unreadable, empty, not JSON, without any object, or one object
    that has a list in place of an id and a name.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise CatalogueError(
            "there is no such catalogue",
            where=str(path),
            hint="give the path of a JSON list of beers, or leave it out for the bundled catalogue",
            code=NOT_FOUND,
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _not_a_catalogue(path, f"the catalogue cannot be read: {error}") from error
    if not text.strip():
        raise _not_a_catalogue(path, "the catalogue is empty")
    beers = _parse(path, text)
    if not any(isinstance(beer, dict) for beer in beers):
        raise _not_a_catalogue(path, "the catalogue holds no beer: no entry is a JSON object")
    return beers


def _parse(path: Path, text: str) -> list[Any]:
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        # JSON lines are not one JSON value; a file that begins as a list is a broken list.
        if text.lstrip().startswith("["):
            raise _not_a_catalogue(path, f"the catalogue is not JSON: {error}") from error
        return list(_parse_lines(path, text))
    if isinstance(whole, dict) and whole.keys().isdisjoint({"id", "name"}):
        lists = [name for name, value in whole.items() if isinstance(value, list)]
        if lists:
            raise _not_a_catalogue(path, f"the catalogue is one object; its list is the member {lists[0]!r}")
    return whole if isinstance(whole, list) else [whole]


def _parse_lines(path: Path, text: str) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _not_a_catalogue(path, f"line {number} of the catalogue is not JSON: {error}") from error


def _not_a_catalogue(path: Path, what: str) -> CatalogueError:
    hint = "give a JSON list of beers, or one beer a line, in the shape of the Punk API"
    return CatalogueError(what, where=str(path), hint=hint, code=WRONG_USAGE)


class CatalogueServer:
    """Serves beers on 127.0.0.1 at a free port, in threads of its own, from `start` (or `with`) until `stop`.

    Equal seeds give equal sequences of random beers. Raises ValueError without any beer.
    """

    def __init__(self, beers: list[Any], seed: int | None = None) -> None:
        if not beers:
            raise ValueError("a catalogue needs a beer")
        self.beers = beers
        self._random = random.Random(seed)
        self._server: ThreadingHTTPServer | None = None

    def start(self, port: int = 0) -> str:
        """Listen on 127.0.0.1; return the base URL, to which `/v2/beers` and the like are appended."""
        handler = type("CatalogueHandler", (_Handler,), {"catalogue": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """Stop listening; a server that does not run is left alone."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def answer(self, url: str) -> tuple[int, Any]:
        """The HTTP status and the JSON value for a GET of this path and query."""
        parts = urlsplit(url)
        match parts.path.strip("/").split("/"):
            case ["v2" | "v3", "beers"]:
                return self._page(parse_qs(parts.query))
            case ["v2" | "v3" as version, "beers", "random"]:
                beer = self._random.choice(self.beers)
                return 200, [beer] if version == "v2" else beer
            case ["v2" | "v3" as version, "beers", beer_id]:
                return self._find(version, beer_id)
        return 404, {
            "statusCode": 404,
            "error": "Not Found",
            "message": "No endpoint found that matches this path",
        }

    def _page(self, query: dict[str, list[str]]) -> tuple[int, Any]:
        page, per_page = query.get("page", ["1"])[-1], query.get("per_page", [str(PER_PAGE)])[-1]
        if not _is_count(page):
            return _bad_request("page", "Must be a number greater than 0", page)
        if not _is_count(per_page) or int(per_page) > MOST_PER_PAGE:
            return _bad_request("per_page", f"Must be a number greater than 0 and at most {MOST_PER_PAGE}", per_page)
        start = (int(page) - 1) * int(per_page)
        return 200, self.beers[start : start + int(per_page)]

    def _find(self, version: str, beer_id: str) -> tuple[int, Any]:
        if not _is_count(beer_id):
            return _bad_request("beerId", "beerId must be a number and greater than 0", beer_id)
        for beer in self.beers:
            if isinstance(beer, dict) and beer.get("id") == int(beer_id):
                return 200, [beer] if version == "v2" else beer
        message = f"No beer found that matches the ID {beer_id}"
        return 404, {"statusCode": 404, "error": "Not Found", "message": message}


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0


def _bad_request(parameter: str, message: str, value: str) -> tuple[int, Any]:
    details = [{"param": parameter, "msg": message, "value": value}]
    return 400, {
        "statusCode": 400,
        "error": "Bad Request",
        "message": "Invalid query params",
        "data": details,
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes; held back for one packet, each answer would take 40 ms.
    disable_nagle_algorithm = True
    catalogue: CatalogueServer

    def do_GET(self) -> None:
        status, value = self.catalogue.answer(self.path)
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Log nothing: the collector reports what it fetched."""


class PunkApi:
    """The catalogue's server as an extension of the local endpoint, with a command that changes what it serves."""

    name = "punk_api"

    def __init__(self) -> None:
        self._server = CatalogueServer(load_catalogue())
        self.commands: dict[str, Command] = {"catalogue": self._catalogue}

    def start(self, port: int) -> str:
        """Serve on 127.0.0.1 at this port; return the base URL."""
        return self._server.start(port)

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop()

    def _catalogue(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Serve the catalogue at `path`, with null the bundled one. Returns how many beers are served."""
        if "path" in arguments:
            path = arguments["path"]
            self._server.beers = load_catalogue(Path(path)) if path else load_catalogue()
        return {"beers": len(self._server.beers)}
