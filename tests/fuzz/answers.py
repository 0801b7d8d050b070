"""Fuzz what the collector makes of an API's answer: the body, plain and compressed, and the headers it reads.

python -m tests.fuzz.answers --seconds 60
"""

import contextlib
import gzip
import json
import sys

try:
    import atheris

    with atheris.instrument_imports(include=["ingestion.api", "json.decoder"]):
        from ingestion import api
except ModuleNotFoundError:
    from ingestion import api

from tests.fuzz.campaign import main
from tests.fuzz.transform import WORDS, seeds

BASE = "https://host.example/v2/beers"


def check(data: bytes) -> None:
    """Nothing raises but a refusal, and records and refusals add up to what was answered."""
    answer = api.parse_answer(data)
    assert set(answer.refused) <= set(api.REFUSED)
    assert len(answer.records) + answer.refused.total() == (answer.entries or answer.refused["not_json"])
    for record in answer.records:
        assert b"\n" not in record.data
        assert isinstance(json.loads(record.data), dict)
        assert 1 <= len(record.key) <= 256
        assert len(record.data) + len(record.key.encode()) <= api.MAX_RECORD_BYTES
    with contextlib.suppress(api._Refused):
        assert len(api._decompress(data, "gzip")) <= api.MAX_BODY_BYTES
    header = data[:200].decode("latin-1")
    wait = api._retry_after(header)
    assert wait is None or wait >= 0
    with contextlib.suppress(api._Refused):
        assert api._redirect(BASE, header).lower().startswith("https://")


def all_seeds() -> list[bytes]:
    """Beers alone, as lists and compressed, and headers."""
    beers = seeds()[:10]
    lists = [b"[" + b",".join(beers[:2]) + b"]", b"[]", b"[7, null]"]
    headers = [b"Wed, 21 Oct 2026 07:28:00 GMT", b"120", b"/elsewhere", b"//other/", b"https://host.example:443/"]
    return [*beers, *lists, gzip.compress(beers[0]), *headers]


if __name__ == "__main__":
    sys.exit(main("answers", check, all_seeds(), WORDS))
