"""The console as an ASGI application: routes, errors, forms with a token, live updates."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs

import botocore.exceptions
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from console import endpoints, graph, models, overview, runs, steps
from console.account import NotFound, Refused
from console.context import FOLDER, Console, digest
from console.security import Guard

# How often a watched page's content is compared with what the browser shows.
WATCH_SECONDS = 0.5
# The longest time one browser connection watches; the browser then connects again.
WATCH_FOR_SECONDS = 300
DIGEST = re.compile("[0-9a-f]{64}")
# AWS's error codes for a name that does not exist.
MISSING = re.compile(r"not ?found|does not exist|could not find", re.IGNORECASE)
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}

Page = Callable[[Console, Request], Response]
Change = Callable[[Console, dict[str, str], dict[str, str]], Response | str]


def app(console: Console) -> Guard:
    """The application with its guard."""
    plugged = {path: _without_form(run) for path, run in console.plugin.changes().items()}
    routes = [
        *(Route(path, _page(console, page)) for path, page in PAGES.items()),
        *(Route(path, _change(console, change), methods=["POST"]) for path, change in (CHANGES | plugged).items()),
        Route("/static/{name}", static),
        *console.plugin.routes(console.render),
    ]

    async def missing(request: Request, error: Exception) -> Response:
        return console.render(request, "error.html", 404, title="Not found", message="There is no such page.", hint="")

    return Guard(Starlette(routes=routes, exception_handlers={404: missing}), lambda: console.port)


def _page(console: Console, page: Page) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        if "watch" in request.query_params:
            return StreamingResponse(_watch(console, page, request), media_type="text/event-stream")
        return await run_in_threadpool(_answer, console, page, request)

    return handle


def _answer(console: Console, page: Page, request: Request) -> Response:
    refusals: tuple[type[Exception], ...] = (Refused, *console.plugin.refusals)
    try:
        return page(console, request)
    except NotFound as error:
        return console.render(request, "error.html", 404, title="Not found", message=str(error), hint="")
    except refusals as error:
        return console.render(request, "error.html", 409, title="Refused", message=str(error), hint=console.where)
    except botocore.exceptions.ClientError as error:
        missing = MISSING.search(str(error))
        title = "Not found" if missing else "AWS refuses this"
        return console.render(
            request, "error.html", 404 if missing else 502, title=title, message=str(error), hint=console.where
        )
    except botocore.exceptions.BotoCoreError as error:
        title = "AWS did not answer this"
        return console.render(request, "error.html", 502, title=title, message=str(error), hint=console.where)


async def _watch(console: Console, page: Page, request: Request) -> AsyncIterator[str]:
    """An event whenever the page's live content is not the one that the browser shows.

    `watch` is the digest of what it shows, so that a change between the page and this request is seen too.
    """
    last = request.query_params["watch"]
    last = last if DIGEST.fullmatch(last) else ""
    for _ in range(int(WATCH_FOR_SECONDS / WATCH_SECONDS)):
        if console.stopping() or await request.is_disconnected():
            return
        answer = await run_in_threadpool(_answer, console, page, request)
        found = digest(bytes(answer.body).decode())
        if last and found != last:
            yield "data: changed\n\n"
        last = found
        await asyncio.sleep(WATCH_SECONDS)


def _change(console: Console, change: Change) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        body = (await request.body()).decode(errors="replace")
        form = {name: values[-1] for name, values in parse_qs(body, keep_blank_values=True).items()}
        if not console.token.matches(form.pop("token", "")):
            return _refused("the form has no valid token; reload the page")
        if not console.changes and request.url.path.rpartition("/")[2] != "try":
            return _refused("this console is read-only; start it with --allow-changes")
        return await run_in_threadpool(_changed, console, change, request, form)

    return handle


def _refused(why: str) -> Response:
    return Response(f"Refused: {why}\n", 403, media_type="text/plain")


def _changed(console: Console, change: Change, request: Request, form: dict[str, str]) -> Response:
    def run(console: Console, request: Request) -> Response:
        answer = change(console, dict(request.path_params), form)
        console.account.cache.forget()
        return answer if isinstance(answer, Response) else RedirectResponse(answer, 303)

    return _answer(console, run, request)


def _without_form(run: Callable[[], str]) -> Change:
    return lambda console, path, form: run()


async def static(request: Request) -> Response:
    """The style sheet or the script; nothing else."""
    name = request.path_params["name"]
    path = FOLDER / "static" / name
    if name not in ("console.css", "console.js"):
        return Response("not found\n", 404)
    content = path.read_text()
    return Response(content + (graph.STYLE if name.endswith(".css") else ""), media_type=TYPES[path.suffix])


PAGES: dict[str, Page] = {
    "/": overview.page,
    "/pipelines": overview.pipelines,
    "/pipelines/{pipeline}": runs.pipeline,
    "/pipelines/{pipeline}/start": runs.start_form,
    "/pipelines/{pipeline}/runs": runs.listing,
    "/pipelines/{pipeline}/compare": runs.compare,
    "/pipelines/{pipeline}/runs/{run}": runs.run,
    "/pipelines/{pipeline}/runs/{run}/steps/{step}": steps.step,
    "/pipelines/{pipeline}/runs/{run}/steps/{step}/log": steps.log,
    "/models": models.groups,
    "/models/{group}": models.versions,
    "/models/{group}/compare": models.compare,
    "/models/{group}/{version:int}": models.version,
    "/models/{group}/{version:int}/report": models.report,
    "/endpoints": endpoints.listing,
    "/endpoints/{endpoint}": endpoints.endpoint,
    "/objects": steps.stored,
}
CHANGES: dict[str, Change] = {
    "/pipelines/{pipeline}/start": runs.start,
    "/pipelines/{pipeline}/runs/{run}/stop": runs.stop,
    "/pipelines/{pipeline}/runs/{run}/retry": runs.retry,
    "/models/{group}/{version:int}/approve": models.approve,
    "/models/{group}/{version:int}/reject": models.reject,
    "/endpoints/{endpoint}/try": endpoints.try_out,
}
