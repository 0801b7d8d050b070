"""AWS's XGBoost as a container that answers: content types, accepted types, statuses."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from localaws.sagemaker import container_images
from localaws.sagemaker.algorithms import xgboost_algorithm, xgboost_serving

pytestmark = pytest.mark.skipif(not find_spec("xgboost"), reason="xgboost is not installed")
ROWS = "1,2\n3,4\n"
# One request per line: the image's version, Content-Type, Accept, body, and the answer.
REQUESTS = {
    "csv, a prediction per line": ("1.7", "text/csv", "text/csv", ROWS, (200, "text/csv", "0.5\n0.5\n")),
    "csv with parameters": ("1.7", "text/csv; label_size=1", "text/csv", ROWS, (200, "text/csv", "0.5\n0.5\n")),
    "csv, of an image before 1.2": ("1.0", "text/csv", "application/json", ROWS, (200, "text/csv", "0.5,0.5")),
    "json": (
        "1.7",
        "text/csv",
        "application/json",
        ROWS,
        (200, "application/json", '{"predictions": [{"score": 0.5}, {"score": 0.5}]}'),
    ),
    "libsvm by default, with a label or without": (
        "1.7",
        "",
        "text/csv",
        "7 0:1 1:2\n1:3\n",
        (200, "text/csv", "0.5\n0.5\n"),
    ),
    "libsvm in bytes": ("1.7", "text/x-libsvm", "text/csv", b"0:1 1:2", (200, "text/csv", "0.5\n")),
    "nothing": ("1.7", "text/csv", "text/csv", "", (204, "text/plain", "")),
    "rows that are no numbers": (
        "1.7",
        "text/csv",
        "text/csv",
        "a,b",
        (415, "text/html", "could not convert string to float: 'a'"),
    ),
    "another content type": (
        "1.7",
        "application/json",
        "text/csv",
        "{}",
        (415, "text/html", "Content-type application/json is not supported."),
    ),
}


@pytest.fixture(scope="module")
def model() -> Any:
    """A model of two features that answers 0.5."""
    import xgboost

    data = xgboost.DMatrix(np.zeros((2, 2)), label=[0.5, 0.5])
    return xgboost.train({"base_score": 0.5, "max_depth": 1}, data, num_boost_round=1)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_answered_as_the_container_answers_it(
    model: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, content_type, accept, body, expected = REQUESTS[name]
    monkeypatch.setenv(xgboost_serving.IMAGE_VERSION, version)
    answer = xgboost_serving.transform_fn(model, body, content_type, accept)
    assert (answer.status_code, answer.mimetype, answer.get_data(as_text=True)) == expected


def test_what_does_not_fit_or_is_not_accepted_has_a_status_of_its_own(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(xgboost_serving.IMAGE_VERSION, "1.7")
    wide = xgboost_serving.transform_fn(model, "1,2,3", "text/csv", "text/csv")
    assert (wide.status_code, wide.get_data(as_text=True).split(":")[0]) == (400, "Unable to evaluate payload provided")
    assert xgboost_serving.transform_fn(model, ROWS, "text/csv", "text/plain").status_code == 406


def test_a_batch_is_a_prediction_per_line_whatever_it_accepts(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(xgboost_serving.IMAGE_VERSION, "1.0")
    monkeypatch.setenv("SAGEMAKER_BATCH", "true")
    assert xgboost_serving.transform_fn(model, ROWS, "text/csv", "").get_data(as_text=True) == "0.5\n0.5\n"


@pytest.mark.parametrize("content_type", ["text/csv", "text/libsvm", "application/x-parquet"])
def test_what_is_trained_on_a_channel_predicts_rows_of_the_same_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content_type: str
) -> None:
    monkeypatch.setenv(xgboost_serving.IMAGE_VERSION, "1.7")
    # The second column decides; libsvm counts columns from 1 here.
    rows = [(side, number, side * 10) for number in range(40) for side in (0, 1)]
    folder = tmp_path / "input/data/train"
    for each in (folder, tmp_path / "input/config", tmp_path / "model"):
        each.mkdir(parents=True)
    table = pd.DataFrame(rows)
    match content_type:
        case "text/csv":
            table.to_csv(folder / "rows", header=False, index=False)
        case "text/libsvm":
            (folder / "rows").write_text("".join(f"{label} 1:{a} 2:{b}\n" for label, a, b in rows))
        case _:
            table.rename(columns=str).to_parquet(folder / "rows")
    config = {"hyperparameters": {"num_round": "3", "base_score": "0.5", "eta": "1", "lambda": "0"}}
    config["inputdataconfig"] = {"train": {"ContentType": content_type}}
    for name, content in config.items():
        (tmp_path / f"input/config/{name}.json").write_text(json.dumps(content))
    xgboost_algorithm.train(tmp_path, (1, 7))
    model = xgboost_serving.model_fn(str(tmp_path / "model"))
    request = ("1:7 2:0\n1:7 2:10", "text/libsvm") if content_type == "text/libsvm" else ("7,0\n7,10", "text/csv")
    answer = xgboost_serving.transform_fn(model, *request, "text/csv").get_data(as_text=True)
    assert [round(float(each)) for each in answer.split()] == [0, 1]


@pytest.mark.parametrize(
    ("uri", "version"),
    [
        ("811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:1", (0, 72)),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.0-1-cpu-py3", (1, 0)),
    ],
)
def test_the_tag_and_the_repository_name_the_version_of_xgboost(uri: str, version: tuple[int, ...]) -> None:
    assert container_images.xgboost_version(container_images.parse(uri)) == version
