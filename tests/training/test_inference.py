"""Serving: the answers to requests, row by row, and the refusals."""

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion import record
from pipelines.records.generate import Plan, evenly, records
from tests.support.beers import catalogue, module, to_csv, workbench
from tests.support.inference import PUNK, ask, call

inference, instances, train, rules = (module(name) for name in ("inference", "instances", "train", "rules"))


def client_rows() -> list[dict[str, Any]]:
    """The test side as a client would send it."""
    table = train.read_beers(workbench() / "test")
    return [
        {name: None if value != value else value for name, value in row.items()}
        for row in table[list(inference.INPUTS)].to_dict("records")
    ]


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
