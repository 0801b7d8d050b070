"""What every page of the console needs: the account it reads, the project's plug-in, rendering, the forms' token."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from console.account import Account, short_id
from console.cache import Cache
from console.plugin import Plugin
from console.security import Token

FOLDER = Path(__file__).parent


class Console:
    """Everything that a page needs. changes: whether forms may change anything; where: what the pages show."""

    def __init__(self, account: Account, plugin: Plugin, *, changes: bool, where: str) -> None:
        self.account = account
        self.plugin = plugin
        self.changes = changes
        self.where = where
        self.token = Token()
        # The answers of the last requests that were tried, by id: each has an address of its own.
        self.answers = Cache(entries=200)
        self.port = 0
        # Whether the server is about to end, and open streams must end with it.
        self.stopping: Callable[[], bool] = lambda: False
        folders = [str(FOLDER / "templates"), *([plugin.folder] if plugin.folder else [])]
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folders), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        self._templates.filters |= {"time": utc, "seconds": seconds, "json": pretty, "id": short_id, "path": quote}

    def render(self, request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """A page made from a template."""
        page = self._templates.get_template(template).render(
            console=self,
            plugin=self.plugin,
            path=request.url.path,
            query=request.query_params,
            command=self.plugin.command,
            now=datetime.now(UTC),
            **context,
        )
        # Outside the live content, and no text of a page can look like it: quotes are escaped.
        page = page.replace('<div id="live">', f'<div id="live" data-digest="{digest(page)}">', 1)
        return HTMLResponse(page, status)


def digest(page: str) -> str:
    """The SHA-256 of the part of a page that is compared and replaced: between the marks, without ages and clocks."""
    live = page.partition("<!--live-->")[2].partition("<!--/live-->")[0]
    return hashlib.sha256(live.encode()).hexdigest()


def utc(value: Any) -> str:
    """A time as `2026-11-27 16:44:17 UTC`, exact and the same everywhere."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else ""


def seconds(value: float | None) -> str:
    """A duration: 0.8 s, 12.3 s, 4 min 05 s, 1 h 02 min."""
    if value is None:
        return ""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(int(value), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def pretty(value: Any) -> str:
    """JSON for reading."""
    return json.dumps(value, indent=2, default=str, ensure_ascii=False)
