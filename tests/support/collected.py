"""The collector, run on an API, and what it returns and prints."""

import json
from typing import Any

import pytest

from ingestion import collect

BUZZ = {"id": 1, "name": "Buzz", "abv": 4.5}
LINE = b'{"id":1,"name":"Buzz","abv":4.5}'


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def metrics(printed: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in printed.splitlines()]
    return [{name: value for name, value in line.items() if name not in ("_aws", "FunctionName")} for line in lines]


def collect_from(url: str, event: Any = None) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("API_URL", url)
        return collect.handler(event)


def summary(fetched: int, sent: int, retries: int = 0, mode: str = "random", **refused: int) -> dict[str, Any]:
    return {"mode": mode, "fetched": fetched, "sent": sent, "refused": refused, "retries": retries}
