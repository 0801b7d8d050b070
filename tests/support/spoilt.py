"""Copies of the workbench, broken models and hostile archives."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.beers import module, pack, workbench

artifact = module("artifact")


def copy_of_workbench(folder: Path) -> Path:
    shutil.copytree(workbench(), folder)
    return folder


def spoilt_model(folder: Path, name: str, content: bytes) -> Path:
    """A packed copy of the workbench's model in which one file is another."""
    shutil.copytree(workbench() / "model", folder / "model")
    (folder / "model" / name).write_bytes(content)
    return pack(folder / "model", folder / "packed")


NAN = "an answer that is not a bitterness: NaN, infinite or absurd"
# What is in the place of a model, and a part of the message about it.
SPOILT: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no gzip": (lambda folder: written(folder / "model.tar.gz", b"no archive"), "not a readable tar.gz"),
    "an archive cut short": (lambda folder: written(folder / "model.tar.gz", tar()[:-40]), "not a readable tar.gz"),
    "an empty file": (lambda folder: written(folder / "model.tar.gz", b""), "not a readable tar.gz"),
    "another hash": (lambda folder: spoilt_model(folder, "model.npz", b"PK"), "its SHA-256 differs"),
    "another version": (
        lambda folder: spoilt_model(folder, "model.json", card(format=1)),
        "format 1 where 2 is served",
    ),
    "other features": (lambda folder: spoilt_model(folder, "model.json", card(features=["abv"])), "on other features"),
    "no profile": (lambda folder: spoilt_model(folder, "model.json", card(profile=None)), "KeyError: 'profile'"),
    "no code": (lambda folder: spoilt_model(folder, "code/inference.py", b"import nothing_like_it"), "nothing_like_it"),
    "code that exits": (lambda folder: spoilt_model(folder, "code/inference.py", b"raise SystemExit(0)"), "SystemExit"),
    "NaN": (lambda folder: spoilt_model(folder, "code/inference.py", answering("float('nan')")), NAN),
    "infinity": (lambda folder: spoilt_model(folder, "code/inference.py", answering("float('inf')")), NAN),
    "absurd": (lambda folder: spoilt_model(folder, "code/inference.py", answering("1e308")), NAN),
    "too few answers": (lambda folder: spoilt_model(folder, "code/inference.py", SHORT_CODE), "0 predictions for 32"),
    "no interval": (lambda folder: spoilt_model(folder, "code/inference.py", NARROW_CODE), "without ibu, low and high"),
    "a hostile member": (
        lambda folder: written(folder / "model.tar.gz", tar(member("../escaped", b"x"))),
        "'../escaped' is not a file of a model",
    ),
}
STUB = """
import json
def model_fn(folder): return None
def input_fn(body, kind): return json.loads(body)["instances"]
def output_fn(answer, accept): return json.dumps(answer), accept
def predict_fn(rows, model): return {"predictions": %s}
"""
SHORT_CODE = (STUB % "[]").encode()
NARROW_CODE = (STUB % '[{"ibu": 5} for _ in rows]').encode()


def answering(ibu: str) -> bytes:
    return (STUB % f'[{{"ibu": {ibu}, "low": 0, "high": 1, "class": "low"}} for _ in rows]').encode()


def card(**changed: Any) -> bytes:
    """model.json of the workbench with changed members and a hash that fits."""
    found = json.loads((workbench() / "model/model.json").read_text())
    return signed(found | changed).encode()


def signed(content: dict[str, Any]) -> str:
    """model.json with the hash of its own content."""
    return json.dumps(content | {"card_sha256": module("model").card_digest(content)})


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.parent


def member(name: str, content: bytes = b"", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    for attribute, value in attributes.items():
        setattr(entry, attribute, value)
    return entry, content


def tar(*members: tuple[tarfile.TarInfo, bytes], without: tuple[str, ...] = ()) -> bytes:
    """A model.tar.gz with the names of a model, but for `without`, and then these members."""
    buffer = io.BytesIO()
    names = sorted(artifact.FILES.difference(without))
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for entry, content in [*(member(name, b"x") for name in names), *members]:
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
