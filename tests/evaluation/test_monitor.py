"""The monitoring job: requests and arrivals are compared with what the model was trained on, column by column."""

import atexit
import base64
import functools
import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.beers import module, workbench
from tests.support.scored import beers, score, snapshot

ARRIVED = "2026-11-19-10-00-00"  # Of every beer of `snapshot`.


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """A folder with the predictions of 120 beers."""
    snapshot(tmp_path / "data", beers(120))
    assert score(tmp_path, workbench() / "packed") == 0
    return tmp_path


def monitor(folder: Path, trained_up_to: str) -> dict[str, Any]:
    """drift.json of the beers in the folder and of the requests captured there."""
    packed = workbench() / "packed"
    sha256 = hashlib.sha256((packed / "model.tar.gz").read_bytes()).hexdigest()
    places = {"model": packed, "predictions": folder / "output", "requests": folder / "requests", "output": folder}
    code = module("monitor").main(
        [part for name, place in places.items() for part in (f"--{name}", str(place))]
        + ["--sha256", sha256, "--model-version", "3", "--trained-up-to", trained_up_to]
    )
    assert code == 0
    found: dict[str, Any] = json.loads((folder / "drift.json").read_text())
    return found


def captured(rows: list[dict[str, Any]], **change: float) -> str:
    """One request in data capture's format, answered by the model. change: added to a column of every row."""
    rows = [row | {name: row[name] + more for name, more in change.items() if row[name] is not None} for row in rows]
    answer = json.dumps({"predictions": model().ask(rows)})
    sides = {"endpointInput": json.dumps({"instances": rows}), "endpointOutput": answer}
    data = {
        name: {"observedContentType": "application/json", "encoding": "JSON", "data": text}
        for name, text in sides.items()
    }
    return json.dumps({"captureData": data, "eventMetadata": {}, "eventVersion": "0"})


@functools.cache
def model() -> Any:
    """The workbench's model."""
    folder = tempfile.mkdtemp(prefix="tapline-model-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return module("artifact").load(workbench() / "packed" / "model.tar.gz", Path(folder))


def requests(folder: Path, *lines: str) -> None:
    """Captured requests, half as an object of data capture and half as lines copied from a log."""
    day = folder / "requests" / "0" / "11"
    day.mkdir(parents=True)
    (day / "captured.jsonl").write_text("".join(f"{line}\n" for line in lines[::2]))
    (folder / "requests" / "1").mkdir()
    (folder / "requests" / "1" / "0.json").write_text(json.dumps({"lines": list(lines[1::2])}))


def test_shifted_requests_name_the_shifted_column_and_the_page_shows_it(scored: Path) -> None:
    rows = [{name: value for name, value in row.items() if name != "id"} for row in beers(240)[120:]]
    requests(scored, *(captured(rows[start : start + 20], abv=4.0) for start in range(0, 120, 20)))
    found = monitor(scored, ARRIVED)
    assert (found["sources"]["requests"]["rows"], found["sources"]["arrivals"]["rows"]) == (120, 0)
    assert "abv (requests)" in found["drifted"] and not any("arrivals" in each for each in found["drifted"])
    assert {"target_og", "ebc", "srm", "ph"} & set(found["sources"]["requests"]["drifted"]) == set()
    assert found["sentence"].startswith("Drifted: abv (requests)")
    assert {(each["source"], each["column"]) for each in found["values"]} >= {("requests", "abv"), ("requests", "ph")}
    page = (scored / "drift.html").read_text()
    assert "<strong>Drifted</strong>" in page and "abv (requests)" in page


def test_requests_like_the_training_beers_have_not_drifted(scored: Path) -> None:
    requests(scored, *(captured(beers(300)[start::6]) for start in range(6)))
    found = monitor(scored, ARRIVED)
    assert (found["sources"]["requests"]["rows"], found["drifted"]) == (300, [])
    assert found["sentence"] == "Nothing has drifted."


def test_below_the_least_number_a_source_is_silent_however_far_it_is_off(scored: Path) -> None:
    requests(scored, captured(beers(19), abv=30.0))
    found = monitor(scored, ARRIVED)
    assert found["drifted"] == [] and found["sources"]["requests"]["columns"] == {}
    assert found["sources"]["requests"]["sentence"] == (
        "19 beers were asked for: with fewer than 20, drift cannot be distinguished from chance."
    )


def test_arrivals_are_the_beers_after_the_models_data_and_their_labels_measure_its_error(scored: Path) -> None:
    found = monitor(scored, "2026-11-18-00-00-00")["sources"]["arrivals"]
    assert found["rows"] == 120 and {"ibu", "abv", "predicted"} <= found["columns"].keys()
    # Of the 120 those that the model was not trained on.
    assert 20 <= found["error"]["n"] < 60 and found["error"]["value"] < found["error"]["chance"]
    assert monitor(scored, "unknown")["sources"]["arrivals"]["rows"] == 0


def test_an_error_far_above_the_expected_one_has_drifted() -> None:
    assert module("monitor").of_errors([90.0] * 40, model())["drifted"]
    assert module("monitor").of_errors([90.0] * 19, model()) is None


def test_requests_that_cannot_be_read_are_counted_and_refused_rows_left_out(scored: Path) -> None:
    csv = {
        "endpointInput": {
            "observedContentType": "text/csv",
            "encoding": "BASE64",
            "data": base64.b64encode(b"abv,ph\n5.1,4.2\n,\n").decode(),
        },
        "endpointOutput": {"observedContentType": "text/csv", "encoding": "CSV", "data": "40.0,1,2,high,\n,,,,bad\n"},
    }
    requests(scored, "no JSON", json.dumps({"captureData": csv}), json.dumps({"captureData": {}}))
    sentence = monitor(scored, ARRIVED)["sources"]["requests"]["sentence"]
    assert sentence.startswith("1 beers were asked for, 2 requests are unreadable: with fewer than 20")
