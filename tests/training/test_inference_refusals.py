"""What a model does not answer: rows with an error of their own, and requests that are refused as a whole."""

import csv
import io
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.beers import module
from tests.support.inference import PUNK, ask, call

inference = module("inference")

# An instance that cannot be answered, and the field that its error names.
ROW_ERRORS: dict[str, tuple[Any, str | None]] = {
    "an array": ([5], None),
    "a number": (5, None),
    "text": ("abv", None),
    "null": (None, None),
    "nothing": ({}, None),
    "nulls only": ({"abv": None, "name": ""}, None),
    "an unknown field": (PUNK | {"alcohol": 5}, "alcohol"),
    "a truth value": (PUNK | {"abv": True}, "abv"),
    "an array as a value": (PUNK | {"ph": [4]}, "ph"),
    "an object as a value": (PUNK | {"ebc": {}}, "ebc"),
    "a name that is no text": (PUNK | {"name": 5}, "name"),
    "a name that is too long": (PUNK | {"name": "x" * 513}, "name"),
    "a field in two spellings": (PUNK | {"ABV": 5}, "ABV"),
}


@pytest.mark.parametrize("instance, field", ROW_ERRORS.values(), ids=ROW_ERRORS)
def test_a_row_that_cannot_be_answered_is_an_error_at_its_place(model: Any, instance: Any, field: str | None) -> None:
    first, second, third = ask(model, {"instances": [PUNK, instance, PUNK]})["predictions"]
    assert first == third and "error" not in first
    assert list(second) == ["error", "field"] and second["error"] and second["field"] == field
    status, kind, text = call(model, {"instances": [instance]})
    assert (status, kind, json.loads(text)["predictions"]) == (400, "application/json", [second])


def test_a_name_that_is_too_long_is_called_so(model: Any) -> None:
    answer = ask(model, {"instances": [PUNK, PUNK | {"name": "x" * 513}]})["predictions"][1]
    assert answer == {"error": "the name is too long: 513 characters, at most 512", "field": "name"}


def test_an_error_has_a_column_of_its_own_in_csv(model: Any) -> None:
    body = "Punk IPA,5.6,1010,1053,17,8.5,4.4\ntoo,few\n"
    lines = list(csv.reader(io.StringIO(ask(model, body, "text/csv", "text/csv"))))
    assert [len(line) for line in lines] == [5, 5]
    assert lines[0][4] == "" and lines[1][:4] == [""] * 4 and lines[1][4].startswith("2 values instead of 9 (id,name,")
    status, kind, text = call(model, "too,few\n", "text/csv", "text/csv")
    assert (status, kind, text.startswith(",,,,")) == (400, "text/csv", True)


# A request that is refused as a whole: body, content type, status and field.
REFUSED: dict[str, tuple[Any, Any, int, str | None]] = {
    "no JSON": ("abv=5", "application/json", 400, None),
    "nothing": ("", "application/json", 400, None),
    "no body": (None, "application/json", 400, None),
    "no body as CSV": (None, "text/csv", 400, "instances"),
    "a body that is no text": (5, "application/json", 400, None),
    "half of it": ('{"instances": [{"abv"', "application/json", 400, None),
    "not UTF-8": (b'{"instances": "\xff"}', "application/json", 400, None),
    "UTF-16": ('{"instances": [{"abv": 5}]}'.encode("utf-16"), "application/json", 400, None),
    "a NaN token": ('{"instances": [{"abv": NaN}]}', "application/json", 400, None),
    "an Infinity token": ('{"instances": [{"abv": -Infinity}]}', "application/json", 400, None),
    "deep nesting": ("[" * 100_000, "application/json", 400, None),
    "deep nesting of objects": ('{"a":' * 100_000, "application/json", 400, None),
    "too many digits": ('{"instances": [{"abv": ' + "9" * 5000 + "}]}", "application/json", 400, None),
    "two values": ('{"instances": []} {}', "application/json", 400, None),
    "a list": ("[]", "application/json", 400, "instances"),
    "a scalar": ("5", "application/json", 400, "instances"),
    "null": ("null", "application/json", 400, "instances"),
    "no instances": ('{"instance": []}', "application/json", 400, "instances"),
    "instances in upper case": ('{"INSTANCES": [{"abv": 5}]}', "application/json", 400, "instances"),
    "instances that are no list": ('{"instances": {"abv": 5}}', "application/json", 400, "instances"),
    "instances twice": ('{"instances": [{"abv": 5}], "instances": []}', "application/json", 400, "instances"),
    "an empty list": ('{"instances": []}', "application/json", 400, "instances"),
    "too many": (json.dumps({"instances": [{}] * 10_001}), "application/json", 400, "instances"),
    "explain that is no truth value": ('{"instances": [{"abv": 5}], "explain": 1}', "application/json", 400, "explain"),
    "empty CSV": ("", "text/csv", 400, "instances"),
    "empty CSV lines": ("\n\n\n", "text/csv", 400, "instances"),
    "a CSV header only": ("name,abv\n", "text/csv", 400, "instances"),
    "an open CSV quote": ('name,abv\n"Punk IPA,5.6\n', "text/csv", 400, None),
    "a zero byte in CSV quotes": ('name,abv\n"Punk"IPA,5.6\n', "text/csv", 400, None),
    "an unknown CSV column": ("name,alcohol\nPunk IPA,5.6\n", "text/csv", 400, "alcohol"),
    "a CSV column twice": ("name,abv,ABV\nPunk IPA,5.6,5\n", "text/csv", 400, "abv"),
    "a CSV field beyond the limit": ("name,abv\n" + "x" * 200_000 + ",5\n", "text/csv", 400, None),
    "another content type": ("5.6", "application/x-npy", 415, None),
    "JSON lines": ('{"abv": 5}', "application/jsonlines", 415, None),
    "no content type": ('{"instances": [{"abv": 5}]}', "", 415, None),
    "None as the content type": ('{"instances": [{"abv": 5}]}', None, 415, None),
}

# CSV of which every row is an error.
UNANSWERED = {
    "too few CSV values": "Punk IPA,5.6\n",
    "too many CSV values": "1,2,3,4,5,6,7,8,9,10\n",
    "a CSV row shorter than its header": "name,abv\nPunk IPA\n",
    "an empty CSV row": ",,,,,,\n",
    "semicolons": "name;abv\nPunk IPA;5.6\n",
    "a CSV name too long": "name,abv\n" + "x" * 600 + ",5\n",
}


@pytest.mark.parametrize("body, kind, status, field", REFUSED.values(), ids=REFUSED)
def test_a_bad_request_is_refused_with_a_hint(model: Any, body: Any, kind: Any, status: int, field: str | None) -> None:
    code, media_type, text = call(model, body, kind, "text/csv")
    refusal = json.loads(text)
    assert (code, media_type, refusal["field"]) == (status, "application/json", field)
    assert list(refusal) == ["error", "field", "row", "hint"] and refusal["error"] and refusal["hint"]


@pytest.mark.parametrize("body", UNANSWERED.values(), ids=UNANSWERED)
def test_csv_of_which_no_row_can_be_answered_has_status_400(model: Any, body: str) -> None:
    status, _, text = call(model, body, "text/csv")
    assert status == 400 and all(each["error"] for each in json.loads(text)["predictions"])


def test_a_key_given_twice_is_an_error_of_its_row(model: Any) -> None:
    body = '{"instances": [{"abv": 5, "abv": 6}, {"abv": 5}]}'
    first, second = ask(model, body)["predictions"]
    assert first == {"error": "the field is given twice", "field": "abv"} and "ibu" in second


def test_an_answer_of_another_type_is_refused(model: Any) -> None:
    status, kind, text = call(model, {"instances": [PUNK]}, accept="image/png")
    assert (status, kind, json.loads(text)["error"]) == (406, "application/json", "cannot answer with image/png")


def test_a_refusal_is_a_wsgi_application(model: Any) -> None:
    answer = inference.output_fn(inference.predict_fn(inference.input_fn("5", "text/plain"), model), "*/*")
    started: list[Any] = []
    body = b"".join(answer({}, lambda status, headers: started.append((status, dict(headers)))))
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    assert started == [("415 Unsupported Media Type", headers)]
    assert json.loads(body)["error"] == "content type text/plain is not served"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)

PLAUSIBLE = st.fixed_dictionaries({}, optional={name: st.floats(*ends) for name, ends in inference.RANGES.items()})

INSTANCES = st.dictionaries(st.sampled_from([*inference.INPUTS, "id", "other"]), VALUES, max_size=7)


@settings(max_examples=300, deadline=None)
@given(st.lists(PLAUSIBLE | INSTANCES | VALUES, max_size=4) | st.lists(PLAUSIBLE, max_size=4), st.booleans())
def test_any_json_is_answered_or_refused(model: Any, rows: list[Any], explain: bool) -> None:
    status, _, text = call(model, {"instances": rows, "explain": explain})
    assert status in (200, 400)
    answer = json.loads(text, parse_constant=lambda token: pytest.fail(token))
    if "predictions" in answer:
        predictions = answer["predictions"]
        assert len(predictions) == len(rows)
        assert all(math.isfinite(each[name]) for each in predictions if "ibu" in each for name in ("ibu", "low"))
        assert (status == 200) == any("ibu" in each for each in predictions)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=60) | st.text(max_size=60),
    st.sampled_from(["application/json", "text/csv", "text/plain"]),
    st.sampled_from(["*/*", "text/csv", "image/png", "", ",", ";q=1"]),
)
def test_any_bytes_are_answered_or_refused(model: Any, body: Any, kind: str, accept: str) -> None:
    assert call(model, body, kind, accept)[0] in (200, 400, 406, 415)
