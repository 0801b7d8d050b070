"""Files of the batch lane: whatever their format, the same records come out, or the file is refused."""

import gzip
import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion import landing, record

BEERS: list[dict[str, Any]] = [
    {"id": 1, "name": "Punk IPA", "abv": 5.6, "ibu": 60},
    {"id": 2, "name": 'The "best", they say\nin two lines', "abv": None, "ibu": 40.5},
    {"id": 3, "name": "Kölsch", "abv": 4.8, "ibu": None, "hops": [{"a": "}"}]},
]
LINES = "".join(json.dumps(beer) + "\n" for beer in BEERS).encode()
CSV = (
    b'id,name,abv,ibu\r\n1,Punk IPA,5.6,60\r\n2,"The ""best"", they say\nin two lines",,40.5\r\n'
    b"3,K\xc3\xb6lsch,4.8,\r\n"
)
FORMATS = {
    "JSON lines": LINES,
    "JSON lines, the last one open, with blank lines": b"\n\n" + LINES.replace(b"\n", b"\r\n\n").rstrip(),
    "a JSON list": json.dumps(BEERS).encode(),
    "a pretty-printed list": b"\xef\xbb\xbf\n" + json.dumps(BEERS, indent=4, ensure_ascii=False).encode(),
    "CSV": CSV,
    "CSV with a byte order mark": b"\xef\xbb\xbf" + CSV,
    "gzip of JSON lines": gzip.compress(LINES),
    "gzip of CSV in two members": gzip.compress(CSV[:40]) + gzip.compress(CSV[40:]),
    "gzip of a list": gzip.compress(json.dumps(BEERS).encode()),
}


def opener(content: bytes) -> landing.Open:
    return lambda start, end: io.BytesIO(content[start:end])


def read(content: bytes, size: int | None = None) -> list[bytes]:
    batches = landing.whole(opener(content), len(content) if size is None else size)
    return [each for batch in batches for each in batch.records]


def rows(content: bytes) -> list[Any]:
    return [outcome.row for outcome in map(record.to_row, read(content)) if isinstance(outcome, record.Clean)]


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_gives_the_same_rows(format_: str) -> None:
    assert rows(FORMATS[format_]) == rows(LINES)
    assert len(rows(LINES)) == 3


REFUSED = {
    "a table of another kind": (b"date,price\n2026-11-20,4\n", "does not name the columns id and name"),
    "bytes": (b"\x89PNG\r\n\x1a\n", "does not name the columns id and name"),
    "a list that is cut off": (b'[{"id": 1}, {"id": 2}', "it is not a JSON list"),
    "a list without commas": (b'[{"id": 1} {"id": 2}]', "a comma or the end is missing"),
    "a list that ends within an element": (b'[{"id": 1}, {"id":', "it is not a JSON list"),
    "two lists": (b'[{"id": 1}]\n[{"id": 2}]', "more after its end"),
    "a list before a record far behind it": (b'[{"id": 1}]' + b" " * 2**23 + b"{}", "more after its end"),
    "an object over several lines": (json.dumps(BEERS[0], indent=2).encode(), "a JSON object over several lines"),
    "gzip of an object over several lines": (gzip.compress(b'{\r\n"id": 1}'), "a JSON object over several lines"),
    "CSV with two columns of a name": (b"id,name,abv,name\n1,A,5,B\n", "names the column name twice"),
    "CSV with a quote that is not closed": (b'id,name\n1,A\n2,"B\n3,C\n', "unexpected end of data"),
    "CSV with a quote that another row closes": (
        b'id,name\n1,A\n2,"B\n3,"C"\n',
        "',' expected after",
    ),
    "a header with a quote that is not closed": (b'id,name,"abv\n1,A,5\n', "does not name the columns id and name"),
    "gzip that is cut off": (gzip.compress(LINES)[:-9], "it does not decompress"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_no_list_of_records_is_refused_by_name(case: str) -> None:
    content, reason = REFUSED[case]
    with pytest.raises(landing.RefusedFile, match=reason):
        read(content)


@pytest.mark.parametrize("format_", ["a JSON list", "gzip of CSV in two members"])
def test_what_cannot_be_resumed_is_refused_beyond_a_gigabyte(format_: str) -> None:
    assert len(read(FORMATS[format_], landing.MAX_WHOLE_BYTES)) == 3
    with pytest.raises(landing.RefusedFile, match="give JSON lines or CSV"):
        read(FORMATS[format_], landing.MAX_WHOLE_BYTES + 1)


def test_an_empty_file_has_no_records() -> None:
    assert [read(content) for content in (b"", b" \n\n", b"[]", b" [ ] ", b"id,name\n")] == [[]] * 5


def test_a_large_list_needs_the_memory_of_a_few_records() -> None:
    content = b"[" + b",".join(json.dumps({"id": n, "name": "x" * 500}).encode() for n in range(60_000)) + b"]"
    tracemalloc.start()
    count = sum(len(batch.records) for batch in landing.whole(opener(content), len(content)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 60_000 and peak < 60_000_000 < 2 * len(content)


def test_batches_are_cut_by_records_and_bytes_and_named_by_their_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "BATCH_RECORDS", 2)
    found = list(landing.whole(opener(LINES + LINES), 2 * len(LINES)))
    assert [len(batch.records) for batch in found] == [2, 2, 2]
    again = list(landing.whole(opener(FORMATS["gzip of JSON lines"]), len(FORMATS["gzip of JSON lines"])))
    assert again[0].content == found[0].content != found[1].content


LONG = b'{"id": 9, "name": "' + b"x" * 300 + b'"}\n'

PIECES = [LINES, LONG, b"\n", b'{"id": 4}\r\n', b"no JSON\n", b'{"id": 5}']


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12), st.data())
def test_chunks_of_any_size_have_the_lines_of_the_file_each_once(pieces: list[bytes], data: st.DataObject) -> None:
    content = b'{"id": 0}\n' + b"".join(pieces)
    lines = [line.strip() for line in content.split(b"\n") if line.strip()]
    step = data.draw(st.integers(1, len(content) + 1))
    planned = landing.Plan(landing.LINES, len(content), range(0, len(content), step))
    assert records_of_chunks(content, planned) == lines


def records_of_chunks(content: bytes, planned: landing.Plan) -> list[bytes]:
    """The records of all chunks, each read alone; then the reason if the file is refused."""
    found = []
    try:
        for number in range(len(planned.starts)):
            for batch in landing.chunk(opener(content), planned, number):
                found.extend(batch.records)
    except landing.RefusedFile as error:
        found.append(str(error).encode())
    return found


FIELDS = [
    "7",
    "",
    'a "quoted" word',
    '"x,y"',
    '"two\nlines"',
    '"two\r\nlines, and "" a quote"',
    '6" bottle',
    '"open\n',
    "K\u00f6lsch",
]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(FIELDS), max_size=4), max_size=12),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
    st.sampled_from(["", "\ufeff"]),
    st.integers(1, 300),
)
def test_chunks_of_any_size_have_the_rows_of_a_csv_file_each_once(
    table: list[list[str]], ending: str, mark: str, step: int
) -> None:
    content = (mark + ending.join(["id,name,abv", *map(",".join, table)])).encode()
    alone = records_of_chunks(content, landing.Plan(landing.CSV, len(content)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landing, "CHUNK_BYTES", step)
        planned = landing.plan(opener(content), len(content))
    assert records_of_chunks(content, planned) == alone
    # A row is in one chunk, so there may be fewer.
    assert 1 <= len(planned.starts) <= len(content) // step + 1
    assert list(planned.starts) == sorted(set(planned.starts))


def test_csv_is_scanned_for_chunks_up_to_a_limit_and_to_its_first_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "CHUNK_BYTES", 10)
    content = b"id,name\n" + b"1,Beer\n" * 20
    assert len(landing.plan(opener(content), len(content)).starts) == 15
    bad = content + b"2," + b"x" * landing.MAX_RECORD_BYTES + b"\n" + content
    # A file has at most 10,000 chunks, so they are longer; nothing is planned behind the error.
    assert landing.plan(opener(bad), len(bad)).starts == (0, 106)
    monkeypatch.setattr(landing, "SCANNED_BYTES", 50)
    assert landing.plan(opener(content), len(content)).starts == (0, 15, 22, 36, 43, 50)
    assert len(read(content)) == 20


@pytest.mark.parametrize("format_", FORMATS)
def test_a_chunk_goes_on_after_any_of_its_batches(format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "BATCH_RECORDS", 1)
    content = FORMATS[format_]
    planned = landing.plan(opener(content), len(content))
    every = list(landing.chunk(opener(content), planned, 0))
    assert len(every) == 3
    for number, batch in enumerate(every, 1):
        assert list(landing.chunk(opener(content), planned, 0, batch.end)) == every[number:]


def test_a_line_without_an_end_is_one_failed_record_and_needs_little_memory() -> None:
    content = b'{"id": 1, "name": "' + b"x" * (3 * landing.MAX_RECORD_BYTES) + b'"}\n' + LINES
    [cut, *others] = read(content)
    assert len(cut) == landing.MAX_RECORD_BYTES and record.to_row(cut) == record.Failed("not_json")
    assert others == LINES.splitlines()
    endless = b"id,name\n1," + b"x" * landing.MAX_RECORD_BYTES
    with pytest.raises(landing.RefusedFile, match="a line of more than 1,048,576 bytes"):
        read(endless)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text()))))
def test_any_list_has_the_elements_of_its_lines(values: list[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(value) + "\n" for value in values).encode()
    listed = json.dumps(values, indent=1, ensure_ascii=False).encode(errors="surrogatepass")
    assert [json.loads(each) for each in read(listed)] == [json.loads(each) for each in read(lines)] == values
