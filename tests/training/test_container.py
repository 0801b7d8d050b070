"""Refusals in SageMaker's container: they reach the client with their own status, not as 500 with an HTML page."""

import json
import os
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from localaws.sagemaker.serving import model_server
from tests.support import toolkit
from tests.support.beers import ROOT, module, workbench

JSON, CSV = "application/json", "text/csv"
GOOD = '{"instances": [{"abv": 5}]}'
# Body, content type and Accept, then the status and media type of the answer and a part of it.
REQUESTS: list[tuple[str, str, str, int, str, str]] = [
    (GOOD, JSON, JSON, 200, JSON, '"class": "moderate"'),
    ('{"instances": [{"abv": 5}, 7]}', JSON, CSV, 200, CSV, ",,,,"),
    ('{"instances": [7]}', JSON, JSON, 400, JSON, "the instance is not an object"),
    ("nothing", JSON, JSON, 400, JSON, "the body is not JSON"),
    ("", JSON, JSON, 400, JSON, "the body is empty"),
    ("name,alcohol\nBuzz,5\n", CSV, JSON, 400, JSON, "there is no such column"),
    ("5", "application/x-npy", JSON, 415, JSON, "content type application/x-npy is not served"),
    (GOOD, JSON, "image/png", 406, JSON, "cannot answer with image/png"),
]


def check(answers: list[tuple[int, str, str]]) -> None:
    """Each answer has the expected status and media type and contains the expected text."""
    assert [answer[:2] for answer in answers] == [request[3:5] for request in REQUESTS]
    assert [text for (*_, text), (_, _, body) in zip(REQUESTS, answers, strict=True) if text not in body] == []


def test_refusals_keep_their_status_in_the_local_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_server, "MODEL", workbench() / "model")
    client = Client(model_server.Application(module("inference")))
    answers = []
    for body, content_type, accept, *_ in REQUESTS:
        reply = client.post("/invocations", data=body, content_type=content_type, headers={"Accept": accept})
        answers.append((reply.status_code, reply.mimetype, reply.get_data(as_text=True)))
    check(answers)


@pytest.fixture(scope="module")
def toolkit_python() -> Path:
    """Python with sagemaker-containers and its old pins, in an environment that is made once."""
    home = ROOT / ".cache/sagemaker-containers"
    python = home / "bin/python"
    if not (home / ".ready").is_file():
        venv.create(home, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *toolkit.PINS, "wheel"], check=True)
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", toolkit.TOOLKIT], check=True)
        (home / ".ready").touch()
    return python


@pytest.mark.release
def test_refusals_keep_their_status_in_aws_s_own_serving_code(toolkit_python: Path, tmp_path: Path) -> None:
    command: list[Any] = [toolkit_python, ROOT / "tests/support/toolkit.py", workbench() / "model"]
    requests = json.dumps([[body, content_type, accept] for body, content_type, accept, *_ in REQUESTS])
    done = subprocess.run(
        command,
        input=requests,
        capture_output=True,
        text=True,
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    check([tuple(answer) for answer in json.loads(done.stdout)])
