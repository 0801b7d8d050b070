"""The Firehose transform: one answer for each record independent of the others, and exact counts."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion import clean

GOOD = (
    b'{"id": 1, "name": "Buzz", "abv": 4.5, "ibu": 60, "target_fg": 1010, "target_og": 1044,'
    b' "ebc": 20, "srm": 10, "ph": 4.4}'
)
CSV = b"1,Buzz,4.5,60,1010,1044,20,10,4.4\n"
JSON = b'{"id":1,"name":"Buzz","abv":4.5,"ibu":60,"target_fg":1010,"target_og":1044,"ebc":20,"srm":10,"ph":4.4}\n'


def encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def batch(*raws: bytes) -> dict[str, Any]:
    """A Firehose event; the recordIds are 0, 1, 2 ..."""
    return {"records": [{"recordId": str(number), "data": encode(raw)} for number, raw in enumerate(raws)]}


def answers(event: Any) -> list[tuple[Any, str, str]]:
    return [tuple(answer.values()) for answer in clean.handler(event)["records"]]


def changed(**changes: Any) -> bytes:
    return json.dumps({**json.loads(GOOD), **changes}).encode()


def metrics(printed: str) -> list[dict[str, Any]]:
    """The metrics on stdout without their envelope, which has to declare just these, in namespace Tapline."""
    lines = [json.loads(line) for line in printed.splitlines()]
    for line in lines:
        [directive] = line.pop("_aws")["CloudWatchMetrics"]
        [dimensions] = directive["Dimensions"]
        assert directive["Namespace"] == "Tapline"
        assert {*dimensions, *(metric["Name"] for metric in directive["Metrics"])} == line.keys()
    return lines


def test_a_good_batch_is_csv_lines_under_the_same_record_ids_in_the_same_order() -> None:
    other = changed(id=2, name="Trashy, Blonde")
    assert clean.handler(batch(GOOD, other)) == {
        "records": [
            {"recordId": "0", "result": "Ok", "data": encode(CSV)},
            {"recordId": "1", "result": "Ok", "data": encode(b'2,"Trashy, Blonde",4.5,60,1010,1044,20,10,4.4\n')},
        ]
    }


@pytest.mark.parametrize("format_", ["json", "parquet"])
def test_for_parquet_firehose_gets_json_lines(monkeypatch: pytest.MonkeyPatch, format_: str) -> None:
    monkeypatch.setenv("CLEANED_FORMAT", format_)
    assert answers(batch(GOOD)) == [("0", "Ok", encode(JSON))]


# Each stands between two good records, and costs neither of them anything.
BETWEEN = {
    "not JSON": (b"<html>", "ProcessingFailed"),
    "cut off": (GOOD[:40], "ProcessingFailed"),
    "not UTF-8": (b"\xff" + GOOD, "ProcessingFailed"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, "ProcessingFailed"),
    "empty": (b"", "Dropped"),
    "white space": (b" \n", "Dropped"),
    "scalar": (b"7", "ProcessingFailed"),
    "null": (b"null", "ProcessingFailed"),
    "array": (b"[" + GOOD + b"]", "ProcessingFailed"),
    "nested 100,000 deep": (b"[" * 100_000, "ProcessingFailed"),
    "duplicate key": (GOOD[:-1] + b', "id": 2}', "ProcessingFailed"),
    "two records": (GOOD + GOOD, "ProcessingFailed"),
    "API's error": (b'{"statusCode": 404, "message": "No beer"}', "Dropped"),
    "no id": (b'{"name": "Buzz"}', "ProcessingFailed"),
    "no name": (b'{"id": 1}', "ProcessingFailed"),
    "text for a number": (changed(abv="4,5"), "ProcessingFailed"),
    "boolean": (changed(abv=True), "ProcessingFailed"),
    "nested value": (changed(abv={"value": 4.5}), "ProcessingFailed"),
    "NaN": (changed(abv=float("nan")), "ProcessingFailed"),
    "1e999": (GOOD.replace(b"4.5", b"1e999"), "ProcessingFailed"),
    "10^400": (GOOD.replace(b"4.5", b"1" + b"0" * 400), "ProcessingFailed"),
    "negative label": (changed(ibu=-1), "ProcessingFailed"),
    "gravity for a label": (changed(ibu=1085), "ProcessingFailed"),
    "name of 1 MB": (changed(name="x" * 2**20), "ProcessingFailed"),
    "lone surrogate": (changed(name="\ud800"), "ProcessingFailed"),
    "numeric text": (changed(abv="4.5"), "Ok"),
    "no label": (changed(ibu=None), "Ok"),
    "pH 79": (changed(ph=79), "Ok"),
    "line break in the name": (changed(name="Buzz\n2,Fizz"), "Ok"),
    "new field": (changed(colour="amber"), "Ok"),
}


@pytest.mark.parametrize("case", BETWEEN)
def test_a_record_between_two_good_ones_never_costs_them_anything(case: str) -> None:
    raw, expected = BETWEEN[case]
    first, (_, result, data), last = answers(batch(GOOD, raw, GOOD))
    assert [first, last] == [("0", "Ok", encode(CSV)), ("2", "Ok", encode(CSV))]
    assert result == expected
    if result == "Ok":
        line = base64.b64decode(data)
        assert line.count(b"\n") == 1 and line.endswith(b"\n")
    else:
        assert data == encode(raw)


@pytest.mark.parametrize(
    ("entry", "answer", "reason"),
    [
        ({"recordId": "1", "data": "@@@="}, ("1", "ProcessingFailed", "@@@="), "not_base64"),
        ({"recordId": "1", "data": encode(GOOD)[:-1]}, ("1", "ProcessingFailed", encode(GOOD)[:-1]), "not_base64"),
        ({"recordId": "1", "data": "ü"}, ("1", "ProcessingFailed", "ü"), "not_base64"),
        ({"recordId": "1"}, ("1", "ProcessingFailed", ""), "no_data"),
        ({"recordId": "1", "data": None}, ("1", "ProcessingFailed", ""), "no_data"),
        ({"recordId": "1", "data": 5}, ("1", "ProcessingFailed", ""), "no_data"),
        ({"data": encode(GOOD)}, (None, "ProcessingFailed", encode(GOOD)), "no_record_id"),
        ({"recordId": None, "data": encode(GOOD)}, (None, "ProcessingFailed", encode(GOOD)), "no_record_id"),
        ("1", (None, "ProcessingFailed", ""), "no_data"),
        (None, (None, "ProcessingFailed", ""), "no_data"),
    ],
)
def test_an_entry_that_is_no_record_fails_alone(
    entry: Any, answer: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {"recordId": "0", "data": encode(GOOD)}
    assert answers({"records": [good, entry]}) == [("0", "Ok", encode(CSV)), answer]
    assert metrics(capsys.readouterr().out)[1:] == [{"FunctionName": "local", "Reason": reason, "Failed": 1}]


@pytest.mark.parametrize("event", [{}, {"records": []}, {"records": None}, {"records": "x"}, [], None, "x"])
def test_an_event_without_records_has_an_answer_without_records(event: Any) -> None:
    assert clean.handler(event) == {"records": []}


def test_a_batch_leaves_counts_and_one_line_for_each_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "transform")
    bad_twice = changed(ph=79, abv=-1)
    clean.handler(batch(GOOD, b"<", b"<", b"", changed(ibu=-1), bad_twice, changed(ph=79)))
    function = {"FunctionName": "transform"}
    assert metrics(capsys.readouterr().out) == [
        {**function, "Clean": 3, "Dropped": 1, "Failed": 3, "Flagged": 2},
        {**function, "Reason": "empty", "Dropped": 1},
        {**function, "Reason": "ibu_out_of_range", "Failed": 1},
        {**function, "Reason": "not_json", "Failed": 2},
        {**function, "Reason": "abv_out_of_range", "Flagged": 1},
        {**function, "Reason": "ph_out_of_range", "Flagged": 2},
    ]


def test_no_payload_is_ever_logged(capsys: pytest.CaptureFixture[str]) -> None:
    clean.handler(batch(changed(name="canary"), changed(name="canary", abv="canary"), b"canary"))
    printed = capsys.readouterr()
    assert "canary" not in printed.out + printed.err


def test_a_batch_that_shrinks_is_clean_however_large_it_was() -> None:
    event = batch(*[changed(extra="x" * 50_000)] * 100)
    assert {result for _, result, _ in answers(event)} == {"Ok"}


def test_beyond_the_size_of_an_answer_clean_records_fail_and_all_are_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLEANED_FORMAT", "json")
    event = batch(*[b'{"id":1,"name":"x"}'] * 30_000)
    answer = clean.handler(event)["records"]
    assert len(json.dumps({"records": answer})) < 6_000_000
    assert [record["recordId"] for record in answer] == [record["recordId"] for record in event["records"]]
    failed = [record for record in answer if record["result"] == "ProcessingFailed"]
    assert 0 < len(failed) < 30_000
    assert answer[-len(failed) :] == failed
    assert {record["data"] for record in failed} == {encode(b'{"id":1,"name":"x"}')}
    reported = metrics(capsys.readouterr().out)
    assert {"FunctionName": "local", "Reason": "answer_too_large", "Failed": len(failed)} in reported


def test_an_answer_stays_below_6_mb_even_when_everything_it_was_given_has_failed() -> None:
    answer = clean.handler(batch(*[b"x" * 100_000] * 60))["records"]
    assert len(json.dumps({"records": answer})) < 6_000_000
    assert [record["recordId"] for record in answer] == [str(number) for number in range(60)]
    assert {record["result"] for record in answer} == {"ProcessingFailed"}


def test_nothing_but_the_standard_library_is_imported() -> None:
    root = Path(clean.__file__).parents[1]
    script = f"import sys; sys.path.append({str(root)!r}); import ingestion.clean; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, check=True).stdout
    names = {name.split(".")[0] for name in printed.decode().split()}
    assert "ingestion" in names
    assert names <= {*sys.stdlib_module_names, "__main__", "ingestion"}


entries = st.fixed_dictionaries(
    {},
    optional={
        "recordId": st.text(st.characters(codec="ascii"), max_size=8) | st.none(),
        "data": st.sampled_from([encode(raw) for raw, _ in list(BETWEEN.values())[:-6]])
        | st.binary(max_size=40).map(encode)
        | st.text(max_size=8)
        | st.integers(),
    },
)


@settings(max_examples=300, deadline=None)
@given(st.lists(entries | st.none() | st.integers(), max_size=8))
def test_any_batch_is_answered_record_by_record(batch_: list[Any]) -> None:
    given_ids = [entry.get("recordId") if isinstance(entry, dict) else None for entry in batch_]
    answer = clean.handler({"records": batch_})["records"]
    assert [record["recordId"] for record in answer] == given_ids
    assert {record["result"] for record in answer} <= {"Ok", "Dropped", "ProcessingFailed"}
    for record, entry in zip(answer, batch_, strict=True):
        alone = clean.handler({"records": [entry]})["records"]
        assert [record] == alone
