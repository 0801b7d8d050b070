"""Serving: what is asked, what is answered, and what is refused with which words."""

import csv
import io
import json
import math
import random
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.beers import module, workbench

inference, train = module("inference"), module("train")
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


def ask(model: Any, body: Any, content_type: str = "application/json", accept: str = "application/json") -> Any:
    """The body of the answer, as JSON where it is that."""
    content = json.dumps(body) if content_type == "application/json" else body
    answer = inference.predict_fn(inference.input_fn(content, content_type), model)
    text, kind = inference.output_fn(answer, accept)
    return json.loads(text) if kind == "application/json" else text


def test_an_answer_has_an_estimate_an_interval_and_a_class_for_every_instance(model: Any) -> None:
    answer = ask(model, {"instances": [PUNK, {"abv": 0.5}]})
    assert list(answer) == ["predictions", "model_version"]
    assert [list(prediction) for prediction in answer["predictions"]] == [["ibu", "low", "high", "class"]] * 2
    for prediction in answer["predictions"]:
        assert 0 <= prediction["low"] <= prediction["ibu"] <= prediction["high"]
        assert prediction["ibu"] == round(prediction["ibu"], 1)


def test_serving_estimates_what_training_does(model: Any) -> None:
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


@pytest.mark.parametrize("version, told", [("3", 3), ("2026-11", "2026-11"), ("", None), (None, None)])
def test_the_version_is_the_environment_s(
    model: Any, monkeypatch: pytest.MonkeyPatch, version: str | None, told: Any
) -> None:
    monkeypatch.delenv("MODEL_VERSION", raising=False)
    if version is not None:
        monkeypatch.setenv("MODEL_VERSION", version)
    assert ask(model, {"instances": [PUNK]})["model_version"] == told


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
        "as Excel writes it": "\ufeffname,abv,target_fg,target_og,ebc,srm,ph\r\n"
        "Punk IPA,5.6,1010,1053,17,8.5,4.4\r\n,4.1,,,,,\r\n",
    }
    for name, body in bodies.items():
        assert ask(model, body.encode(), "text/csv; charset=utf-8")["predictions"] == expected, name


def test_csv_is_answered_when_it_is_asked_for(model: Any) -> None:
    predictions = ask(model, {"instances": client_rows()})["predictions"]
    text = ask(model, {"instances": client_rows()}, accept="text/csv")
    assert list(csv.reader(io.StringIO(text))) == [[str(value) for value in each.values()] for each in predictions]


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
    answer = inference.predict_fn(inference.input_fn(json.dumps({"instances": [PUNK]}), "application/json"), model)
    assert inference.output_fn(answer, accept)[1] == kind


def instance(**changed: Any) -> str:
    return json.dumps({"instances": [PUNK, PUNK | changed]})


# The body, its type, and what the refusal says: status, field and row.
REFUSED: dict[str, tuple[Any, str, int, str | None, int | None]] = {
    "no JSON": ("abv=5", "application/json", 400, None, None),
    "nothing": ("", "application/json", 400, None, None),
    "half of it": ('{"instances": [{"abv"', "application/json", 400, None, None),
    "not UTF-8": (b'{"instances": "\xff"}', "application/json", 400, None, None),
    "a NaN token": ('{"instances": [{"abv": NaN}]}', "application/json", 400, None, None),
    "an Infinity token": ('{"instances": [{"abv": -Infinity}]}', "application/json", 400, None, None),
    "deep nesting": ("[" * 100_000, "application/json", 400, None, None),
    "too many digits": ('{"instances": [{"abv": ' + "9" * 5000 + "}]}", "application/json", 400, None, None),
    "a list": ("[]", "application/json", 400, "instances", None),
    "a scalar": ("5", "application/json", 400, "instances", None),
    "null": ("null", "application/json", 400, "instances", None),
    "no instances": ('{"instance": []}', "application/json", 400, "instances", None),
    "instances that are no list": ('{"instances": {"abv": 5}}', "application/json", 400, "instances", None),
    "an empty list": ('{"instances": []}', "application/json", 400, "instances", None),
    "too many": (json.dumps({"instances": [{}] * 10_001}), "application/json", 400, "instances", None),
    "an instance that is no object": ('{"instances": [{"abv": 5}, [5]]}', "application/json", 400, None, 1),
    "an unknown field": (instance(alcohol=5), "application/json", 400, "alcohol", 1),
    "a number as text": (instance(abv="5.6"), "application/json", 400, "abv", 1),
    "a truth value": (instance(abv=True), "application/json", 400, "abv", 1),
    "a list as value": (instance(ph=[4]), "application/json", 400, "ph", 1),
    "an overflow": ('{"instances": [{"abv": 1e999}]}', "application/json", 400, "abv", 0),
    "an integer beyond float": ('{"instances": [{"abv": ' + "9" * 400 + "}]}", "application/json", 400, "abv", 0),
    "a negative number": (instance(abv=-1), "application/json", 400, "abv", 1),
    "a gravity as a ratio": (instance(target_og=1.053), "application/json", 400, "target_og", 1),
    "swapped gravities": (instance(target_fg=1053, target_og=1010), "application/json", 400, "target_fg", 1),
    "a name that is no text": (instance(name=5), "application/json", 400, "name", 1),
    "a name without end": (instance(name="x" * 513), "application/json", 400, "name", 1),
    "no number at all": ('{"instances": [{"name": "Punk IPA"}]}', "application/json", 400, None, 0),
    "nulls only": ('{"instances": [{"abv": null}]}', "application/json", 400, None, 0),
    "empty CSV": ("", "text/csv", 400, "instances", None),
    "a CSV header only": ("name,abv\n", "text/csv", 400, "instances", None),
    "too few CSV values": ("Punk IPA,5.6\n", "text/csv", 400, None, 0),
    "CSV text for a number": ("name,abv\nPunk IPA,strong\n", "text/csv", 400, "abv", 0),
    "a CSV NaN": ("name,abv\nPunk IPA,nan\n", "text/csv", 400, "abv", 0),
    "an open CSV quote": ('name,abv\n"Punk IPA,5.6\n', "text/csv", 400, None, None),
    "an unknown CSV column": ("name,alcohol\nPunk IPA,5.6\n", "text/csv", 400, None, 0),
    "another content type": ("5.6", "application/x-npy", 415, None, None),
    "no content type": ('{"instances": [{"abv": 5}]}', "", 415, None, None),
}


@pytest.mark.parametrize("body, kind, status, field, row", REFUSED.values(), ids=REFUSED)
def test_a_bad_request_is_refused_with_its_place_and_a_hint(
    body: Any, kind: str, status: int, field: str | None, row: int | None
) -> None:
    with pytest.raises(inference.RequestError) as refused:
        inference.input_fn(body, kind)
    said = json.loads(str(refused.value))
    assert (refused.value.status, said["field"], said["row"]) == (status, field, row)
    assert list(said) == ["error", "field", "row", "hint"] and said["error"] and said["hint"]


def test_an_answer_of_another_type_is_refused(model: Any) -> None:
    with pytest.raises(inference.RequestError) as refused:
        ask(model, {"instances": [PUNK]}, accept="image/png")
    assert refused.value.status == 406


def test_in_sagemaker_s_container_a_refusal_is_an_answer_of_flask_s(monkeypatch: pytest.MonkeyPatch) -> None:
    class HTTPException(Exception):
        def __init__(self, response: Any) -> None:
            self.response = response

    werkzeug = types.ModuleType("werkzeug")
    werkzeug.Response = lambda text, status, content_type: (text, status, content_type)  # type: ignore[attr-defined]
    exceptions = types.ModuleType("werkzeug.exceptions")
    exceptions.HTTPException = HTTPException  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sagemaker_containers", types.ModuleType("sagemaker_containers"))
    monkeypatch.setitem(sys.modules, "werkzeug", werkzeug)
    monkeypatch.setitem(sys.modules, "werkzeug.exceptions", exceptions)
    with pytest.raises(HTTPException) as refused:
        inference.input_fn(instance(abv=-1), "application/json")
    text, status, kind = refused.value.response
    assert (json.loads(text)["field"], status, kind) == ("abv", 400, "application/json")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PLAUSIBLE = st.fixed_dictionaries({}, optional={name: st.floats(*ends) for name, ends in inference.RANGES.items()})
INSTANCES = st.dictionaries(st.sampled_from([*inference.INPUTS, "id", "other"]), VALUES, max_size=7)


@settings(max_examples=300, deadline=None)
@given(st.lists(PLAUSIBLE | INSTANCES | VALUES, max_size=4) | st.lists(PLAUSIBLE, max_size=4))
def test_any_json_is_answered_or_refused(model: Any, instances: list[Any]) -> None:
    try:
        predictions = ask(model, {"instances": instances})["predictions"]
    except inference.RequestError as refused:
        assert refused.status == 400
    else:
        assert len(predictions) == len(instances)
        assert all(math.isfinite(each[name]) for each in predictions for name in ("ibu", "low", "high"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["application/json", "text/csv", "text/plain"]))
def test_any_bytes_are_answered_or_refused(model: Any, body: bytes, kind: str) -> None:
    try:
        inference.predict_fn(inference.input_fn(body, kind), model)
    except inference.RequestError as refused:
        assert refused.status in (400, 415)


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
    assert len(prediction.split(",")) == 4


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
        {"format": 2},
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


def test_every_flipped_bit_of_the_arrays_is_refused_before_they_are_read(tmp_path: Path) -> None:
    folder = changed_model(tmp_path / "model")
    content = bytearray((folder / "model.npz").read_bytes())
    for position in random.Random(0).sample(range(8 * len(content)), 100):
        content[position // 8] ^= 1 << position % 8
        (folder / "model.npz").write_bytes(content)
        with pytest.raises(inference.BrokenModel, match="SHA-256"):
            inference.model_fn(str(folder))
        content[position // 8] ^= 1 << position % 8
    for size in (0, 100, len(content) - 1):
        (folder / "model.npz").write_bytes(content[:size])
        with pytest.raises(inference.BrokenModel, match="SHA-256"):
            inference.model_fn(str(folder))
