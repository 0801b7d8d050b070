"""The model's folder: it serves alone, and nothing of it is read that has changed."""

import contextlib
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.beers import module, workbench

inference = module("inference")


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
