"""Real beers, and the three steps run on them in folders of their own."""

import atexit
import csv
import functools
import importlib
import io
import json
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("id", "name", "abv", "ibu", "target_fg", "target_og", "ebc", "srm", "ph")
SIDES = ("train", "validation", "test")

# A step's modules find each other as in its container: by the step's folder on the path.
sys.path[:0] = [str(ROOT / step) for step in ("processing", "training", "evaluation")]

Row = Mapping[str, Any]


def module(name: str) -> Any:
    """A step's module; imported only now that the path is set."""
    return importlib.import_module(name)


@functools.cache
def catalogue() -> tuple[Row, ...]:
    """The 325 bundled beers, nine columns each, with the numbers as they stand there."""
    beers = json.loads((ROOT / "pipelines/local/catalogue/beers.json").read_text(encoding="utf-8"))
    return tuple({column: beer[column] for column in COLUMNS} for beer in beers)


def to_csv(rows: Iterable[Row]) -> str:
    """Rows as the cleaned table holds them: no header, empty where a value is missing."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        ["" if row[column] is None else row[column] for column in COLUMNS] for row in rows
    )
    return text.getvalue()


def write_rows(folder: Path, rows: Iterable[Row], name: str = "cleaned-1-2026-11-20-10-00-00-0") -> Path:
    """One object of the cleaned table in `folder`, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(to_csv(rows), encoding="utf-8")
    return folder


def preprocess(folder: Path, rows: Iterable[Row], *arguments: str) -> Path:
    """Runs the processing step on the rows; `folder` then holds train, validation, test and quality."""
    outputs = [part for name in (*SIDES, "quality") for part in (f"--{name}", str(folder / name))]
    code = module("preprocess").main(["--input", str(write_rows(folder / "input", rows)), *outputs, *arguments])
    assert code == 0
    return folder


def train(folder: Path, *arguments: str) -> Path:
    """Runs the training step on folder/train and folder/validation; `folder` then holds model and model.tar.gz."""
    sides = ["--train", str(folder / "train"), "--validation", str(folder / "validation")]
    outputs = ["--model-dir", str(folder / "model"), "--output-data-dir", str(folder / "output/data")]
    assert module("train").main([*sides, *outputs, *arguments]) == 0
    pack(folder / "model", folder / "packed")
    return folder


def pack(model: Path, folder: Path) -> Path:
    """model.tar.gz of a model folder, in `folder`, as SageMaker packs it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        for path in sorted(model.iterdir()):
            archive.add(path, path.name)
    return folder


def evaluate(folder: Path, champion: Path, output: Path, *arguments: str) -> dict[str, Any]:
    """Runs the evaluation step on what preprocess and train made; evaluation.json is returned."""
    sides = [part for name in (*SIDES, "quality") for part in (f"--{name}", str(folder / name))]
    models = ["--model", str(folder / "packed"), "--champion", str(champion)]
    assert module("evaluate").main([*sides, *models, "--output", str(output), *arguments]) == 0
    evaluation: dict[str, Any] = json.loads((output / "evaluation.json").read_text(encoding="utf-8"))
    return evaluation


@functools.cache
def workbench() -> Path:
    """A folder with all sides of the catalogue and a small model trained on them. Copy what you change."""
    folder = Path(tempfile.mkdtemp(prefix="tapline-beers-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    preprocess(folder, catalogue())
    return train(folder, "--n-estimators", "25")
