"""Serving: the answers to requests, row by row, and the refusals."""

import contextlib
import csv
import io
import json
import math
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion import record
from pipelines.records.generate import Plan, evenly, records
from tests.support.beers import catalogue, module, to_csv, workbench

inference, instances, train, rules = (module(name) for name in ("inference", "instances", "train", "rules"))
PUNK = {"name": "Punk IPA", "abv": 5.6, "target_fg": 1010, "target_og": 1053, "ebc": 17, "srm": 8.5, "ph": 4.4}


@pytest.fixture(scope="module")
def model() -> Any:
    return inference.model_fn(str(workbench() / "model"))


def client_rows() -> list[dict[str, Any]]:
    """The test side as a client would send it."""
    table = train.read_beers(workbench() / "test")
    return [
        {name: None if value != value else value for name, value in row.items()}
        for row in table[list(inference.INPUTS)].to_dict("records")
    ]


def call(model: Any, body: Any, content_type: Any = "application/json", accept: Any = "application/json") -> Any:
    """(status, media type, text) of the three functions, as SageMaker's container calls them."""
    content = json.dumps(body) if isinstance(body, dict | list) else body
    answer = inference.output_fn(inference.predict_fn(inference.input_fn(content, content_type), model), accept)
    if isinstance(answer, tuple):
        return 200, answer[1], answer[0]
    return answer.status_code, answer.mimetype, answer.get_data().decode()


def ask(model: Any, body: Any, content_type: str = "application/json", accept: str = "application/json") -> Any:
    """The body of an answer with status 200, as JSON where it is that."""
    status, kind, text = call(model, body, content_type, accept)
    assert status == 200, text
    return json.loads(text) if kind == "application/json" else text


def test_an_answer_has_an_estimate_an_interval_and_a_class_for_every_instance(model: Any) -> None:
    answer = ask(model, {"instances": [PUNK, {"abv": 0.5}]})
    assert list(answer) == ["predictions", "model_version"]
    assert [list(prediction) for prediction in answer["predictions"]] == [["ibu", "low", "high", "class"]] * 2
    for prediction in answer["predictions"]:
        assert 0 <= prediction["low"] <= prediction["ibu"] <= prediction["high"]
        assert prediction["ibu"] == round(prediction["ibu"], 1)


def test_serving_and_training_estimate_the_same(model: Any) -> None:
    table = train.read_beers(workbench() / "test")
    estimates, low, high = inference.estimate(train.columns_of(table), model)
    served = ask(model, {"instances": client_rows()})["predictions"]
    assert [each["ibu"] for each in served] == np.round(estimates, 1).tolist()
    assert [each["low"] for each in served] == np.round(low, 1).tolist()
    assert [each["high"] for each in served] == np.round(high, 1).tolist()


def test_answers_come_in_order_and_do_not_depend_on_each_other(model: Any) -> None:
    rows = client_rows()
    together = ask(model, {"instances": rows})["predictions"]
    assert [ask(model, {"instances": [row]})["predictions"][0] for row in rows] == together
    many = ask(model, {"instances": rows * 10})["predictions"]
    assert many == together * 10


@pytest.mark.parametrize("version, expected", [("3", 3), ("2026-11", "2026-11"), ("", None), (None, None)])
def test_the_version_is_the_environment_s(
    model: Any, monkeypatch: pytest.MonkeyPatch, version: str | None, expected: Any
) -> None:
    monkeypatch.delenv("MODEL_VERSION", raising=False)
    if version is not None:
        monkeypatch.setenv("MODEL_VERSION", version)
    assert ask(model, {"instances": [PUNK]})["model_version"] == expected


@pytest.mark.parametrize(
    "ibu, name",
    [
        (0, "low"),
        (19.9, "low"),
        (20, "moderate"),
        (39.9, "moderate"),
        (40, "high"),
        (70, "very_high"),
        (250, "very_high"),
    ],
)
def test_a_class_begins_at_its_lower_bound(model: Any, ibu: float, name: str) -> None:
    assert inference.bitterness(ibu, model.card["classes"]) == name


def test_csv_is_read_with_a_header_in_any_order_or_without_one_in_the_documented_order(model: Any) -> None:
    expected = ask(model, {"instances": [PUNK, {"abv": 4.1}]})["predictions"]
    bodies = {
        "documented order": 'Punk IPA,5.6,1010,1053,17,8.5,4.4\n"",4.1,,,,,\n',
        "header": "ph,srm,ebc,target_og,target_fg,abv,name\n4.4,8.5,17,1053,1010,5.6,Punk IPA\n,,,,,4.1,\n",
        "rows of the table": "id,name,abv,ibu,target_fg,target_og,ebc,srm,ph\n"
        "192,Punk IPA,5.6,60,1010,1053,17,8.5,4.4\n7,,4.1,,,,,,\n",
        "upper case": "NAME, ABV,Target_FG,TARGET_OG,EBC,SRM,PH\nPunk IPA,5.6,1010,1053,17,8.5,4.4\n,4.1,,,,,\n",
        "nine columns without a header": "192,Punk IPA,5.6,60,1010,1053,17,8.5,4.4\n7,,4.1,,,,,,\n",
        "as Excel writes it": "\ufeffname,abv,target_fg,target_og,ebc,srm,ph\r\n"
        "Punk IPA,5.6,1010,1053,17,8.5,4.4\r\n,4.1,,,,,\r\n",
    }
    for name, body in bodies.items():
        assert ask(model, body.encode(), "text/csv; charset=utf-8")["predictions"] == expected, name


def test_csv_is_answered_when_it_is_asked_for(model: Any) -> None:
    predictions = ask(model, {"instances": client_rows()})["predictions"]
    text = ask(model, {"instances": client_rows()}, accept="text/csv")
    columns = ("ibu", "low", "high", "class")
    expected = [[*(str(each[name]) for name in columns), ""] for each in predictions]
    assert list(csv.reader(io.StringIO(text))) == expected


@pytest.mark.parametrize(
    "accept, kind",
    [
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
        (None, "application/json"),
        ("text/html, text/csv;q=0.9", "text/csv"),
        ("TEXT/CSV", "text/csv"),
    ],
)
def test_the_answer_s_type_is_the_first_acceptable_one(model: Any, accept: Any, kind: str) -> None:
    assert call(model, {"instances": [PUNK]}, accept=accept)[:2] == (200, kind)


# A change of PUNK, and the flags of its answer: repaired and warnings.
USED: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "nothing wrong": ({}, [], []),
    "swapped gravities": ({"target_fg": 1053, "target_og": 1010}, ["gravities_swapped"], []),
    "a pH of 79": ({"ph": 79}, ["ph_out_of_range"], []),
    "a negative number": ({"abv": -1}, ["abv_out_of_range"], []),
    "a number as text": ({"abv": "5.6"}, [], []),
    "text that is no number": ({"abv": "5,6"}, ["abv_not_a_number"], []),
    "an overflow": ({"abv": float("inf")}, ["abv_not_a_number"], []),
    "a gravity as a ratio": ({"target_og": 1.053}, ["target_og_as_a_ratio"], []),
    "an ABV as a fraction": ({"abv": 0.056}, ["abv_as_a_fraction"], []),
    "a value that training has not seen": ({"abv": 70}, [], ["abv_outside_training_range"]),
    "upper-case fields": ({"ID": 3, "IBU": 5}, [], []),
    "no number": (dict.fromkeys(PUNK) | {"name": "Punk IPA"}, [], ["no_number_known"]),
    "no usable number": (dict.fromkeys(PUNK) | {"abv": -1}, ["abv_out_of_range"], ["no_number_known"]),
}


@pytest.mark.parametrize("changed, repaired, warnings", USED.values(), ids=USED)
def test_a_row_with_a_defect_is_answered_with_flags(
    model: Any, changed: dict[str, Any], repaired: list[str], warnings: list[str]
) -> None:
    body = json.dumps({"instances": [PUNK, PUNK | changed]}).replace("Infinity", "1e999")
    plain, answer = ask(model, body)["predictions"]
    flags = {"repaired": repaired} if repaired else {}
    flags |= {"warnings": warnings} if warnings else {}
    assert set(plain) == {"ibu", "low", "high", "class"}
    assert {name: value for name, value in answer.items() if name not in plain} == flags


def test_swapped_gravities_give_the_answer_of_the_right_ones(model: Any) -> None:
    swapped = PUNK | {"target_fg": 1053, "target_og": 1010}
    right, repaired = ask(model, {"instances": [PUNK, swapped]})["predictions"]
    assert repaired == right | {"repaired": ["gravities_swapped"]}


@pytest.mark.parametrize("kind", ["application/json", "text/csv"])
def test_every_row_of_the_catalogue_is_answered(model: Any, kind: str) -> None:
    body = to_csv(catalogue()) if kind == "text/csv" else {"instances": [dict(row) for row in catalogue()]}
    predictions = ask(model, body, kind)["predictions"]
    assert len(predictions) == 325
    assert sum("repaired" in each for each in predictions) == 14
    assert not [each for each in predictions if "error" in each]


def test_every_generated_beer_that_preprocessing_accepts_is_answered(model: Any) -> None:
    made = (record.to_row(each.content) for each in records(Plan(1200, defects=evenly(0.6))))
    rows = [dict(zip(record.NAMES, each.row, strict=True)) for each in made if isinstance(each, record.Clean)]
    accepted = [row for row in rows if rules.validate(row).dropped is None]
    for body, kind in ((to_csv(accepted), "text/csv"), ({"instances": accepted}, "application/json")):
        predictions = ask(model, body, kind)["predictions"]
        assert len(predictions) == len(accepted) > 415
        assert not [each for each in predictions if "error" in each]


CELLS = (
    st.none()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.sampled_from(["", "strong", "5,6", "1e999", "nan", 1.05, 0.05, 79, 1053, 1010])
)
TABLE_ROWS = st.fixed_dictionaries(
    {"id": st.integers(1, 10**6), "name": st.none() | st.text(max_size=20), "ibu": st.floats(0, 900)}
    | {name: CELLS for name in inference.RANGES}
)


@settings(max_examples=300, deadline=None)
@given(TABLE_ROWS)
def test_serving_repairs_a_row_as_preprocessing_does(row: dict[str, Any]) -> None:
    prepared, served = rules.validate(row), instances.check(row)
    if prepared.dropped is None:
        assert served.error is None
        assert {name: served.values[name] for name in rules.FEATURES} == {
            name: prepared.beer.numbers[name] for name in rules.FEATURES
        }
        assert sorted(served.repaired) == sorted(prepared.repaired + prepared.emptied)


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


def test_an_explained_prediction_has_probabilities_and_the_nearest_beers(model: Any) -> None:
    plain = ask(model, {"instances": [PUNK, {"abv": 0.5}]})["predictions"]
    explained = ask(model, {"instances": [PUNK, {"abv": 0.5}], "explain": True})["predictions"]
    for before, after in zip(plain, explained, strict=True):
        assert {name: after[name] for name in before} == before
        assert list(after["probabilities"]) == ["low", "moderate", "high", "very_high"]
        assert sum(after["probabilities"].values()) == pytest.approx(1, abs=0.005)
        assert [list(each) for each in after["nearest"]] == [["id", "name", "ibu", "distance"]] * 3
        distances = [each["distance"] for each in after["nearest"]]
        assert distances == sorted(distances)


def test_the_nearest_beer_of_a_training_beer_is_itself(model: Any) -> None:
    table = train.read_beers(workbench() / "train")
    row = {name: values[7] for name, values in train.columns_of(table).items()}
    nearest = ask(model, {"instances": [row], "explain": True})["predictions"][0]["nearest"][0]
    assert nearest == {"id": str(table["id"][7]), "name": row["name"], "ibu": table["ibu"][7], "distance": 0.0}


def test_a_request_is_printed_in_data_capture_s_format_where_that_is_switched_on(
    model: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(model, {"instances": [PUNK]})
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("CAPTURE_TO_LOG", "true")
    body = json.dumps({"instances": [PUNK]})
    answer = ask(model, body, accept="text/csv")
    line = json.loads(capsys.readouterr().out)
    assert line["captureData"] == {
        "endpointInput": {
            "observedContentType": "application/json",
            "mode": "INPUT",
            "data": body,
            "encoding": "JSON",
        },
        "endpointOutput": {"observedContentType": "text/csv", "mode": "OUTPUT", "data": answer, "encoding": "CSV"},
    }
    assert list(line["eventMetadata"]) == ["eventId", "inferenceTime"] and line["eventVersion"] == "0"


def test_a_large_request_is_printed_without_its_data(
    model: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAPTURE_TO_LOG", "true")
    body = json.dumps({"instances": [PUNK] * 3000})
    ask(model, body)
    line = capsys.readouterr().out
    part = json.loads(line)["captureData"]["endpointInput"]
    assert (part["data"], part["omittedCharacters"], line.count("\n")) == ("", len(body), 1) and len(line) < 2000


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


def test_the_code_folder_serves_alone_with_numpy_only() -> None:
    program = """
import sys
sys.path.insert(0, sys.argv[1] + "/code")
import inference
model = inference.model_fn(sys.argv[1])
answer = inference.predict_fn(inference.input_fn('{"instances": [{"abv": 5}]}', "application/json"), model)
print(inference.output_fn(answer, "text/csv")[0].strip())
print(sorted({"sklearn", "pandas", "scipy", "joblib", "train"} & set(sys.modules)))
"""
    command = [sys.executable, "-I", "-B", "-c", program, str(workbench() / "model")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    prediction, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    assert len(prediction.split(",")) == 5


def changed_model(folder: Path, **changes: Any) -> Path:
    """A copy of the model with changed members of model.json."""
    shutil.copytree(workbench() / "model", folder)
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | changes))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "0" * 64},
        {"files": {}},
        {"card_sha256": "0" * 64},
        {"interval": {"level": 0.9, "offset": 0.0}},
        {"format": 1},
        {"features": ["abv"]},
        {"medians": {}},
        {"sha256": None},
        {"features": None},
    ],
)
def test_a_model_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(inference.BrokenModel):
        inference.model_fn(str(changed_model(tmp_path / "model", **changes)))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(inference.BrokenModel):
        inference.model_fn(str(tmp_path))
    (tmp_path / "model.json").write_text("[1]")
    (tmp_path / "model.npz").touch()
    with pytest.raises(inference.BrokenModel):
        inference.model_fn(str(tmp_path))


@pytest.mark.parametrize("name", ["model.npz", "oof.csv", "neighbours.csv"])
def test_every_flipped_bit_of_the_data_is_refused_before_it_is_read(tmp_path: Path, name: str) -> None:
    folder = changed_model(tmp_path / "model")
    content = bytearray((folder / name).read_bytes())
    for position in random.Random(0).sample(range(8 * len(content)), 100):
        content[position // 8] ^= 1 << position % 8
        (folder / name).write_bytes(content)
        with pytest.raises(inference.BrokenModel, match=f"{name} is not the file that was trained"):
            inference.model_fn(str(folder))
        content[position // 8] ^= 1 << position % 8
    for size in (0, 100, len(content) - 1):
        (folder / name).write_bytes(content[:size])
        with pytest.raises(inference.BrokenModel, match="SHA-256"):
            inference.model_fn(str(folder))


def test_every_flipped_bit_of_model_json_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    folder = changed_model(tmp_path / "model")
    content = bytearray((folder / "model.json").read_bytes())
    card = json.loads(content)
    for position in random.Random(0).sample(range(8 * len(content)), 300):
        content[position // 8] ^= 1 << position % 8
        (folder / "model.json").write_bytes(content)
        with contextlib.suppress(inference.BrokenModel):
            assert inference.model_fn(str(folder)).card == card
        content[position // 8] ^= 1 << position % 8
