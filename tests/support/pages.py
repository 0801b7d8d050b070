"""An API of a few pages, each of one beer; beyond the last one it is empty, or repeats the first or the last one."""

import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Pages:
    """asked: the pages that were read."""

    def __init__(self, pages: int, beyond: str) -> None:
        self.asked: set[int] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = int(urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["page"][0])
                outer.asked.add(page)
                shown = page if page <= pages else {"empty": 0, "first": 1, "last": pages}[beyond]
                body = json.dumps([{"id": shown, "name": f"Beer {shown}"}] if shown else []).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v3"

    def __enter__(self) -> "Pages":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
