"""Reads a model.tar.gz without trusting it, and asks its model as a client does.

Nothing is extracted: members are read one by one into memory, and only known names of known sizes are accepted. The
model is then served by the code in the artifact, so that the evaluated model is the served one.
"""

import csv
import gzip
import hashlib
import importlib
import io
import json
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FILES = frozenset({"model.json", "model.npz", "oof.csv", "code/inference.py", "code/features.py", "code/forest.py"})
# Of artifacts since these were added; older champions lack them.
OPTIONAL = frozenset(
    {
        "neighbours.csv",
        *(f"code/{name}.py" for name in ("capture", "columns", "explain", "instances", "model", "response")),
    }
)
FOLDERS = frozenset({".", "code"})
CARD = ("sha256", "classes", "interval", "metrics", "profile", "hyperparameters", "versions")  # Read from model.json.
LARGEST = 512 * 2**20  # Bytes of the whole archive when decompressed.
AT_ONCE = 5_000  # Instances per request, fewer than inference.py accepts.

Instance = Mapping[str, object]
Prediction = dict[str, Any]


class UnsafeArtifact(Exception):
    """The archive is not one that the training step writes; the message names the rule it breaks."""


class BrokenArtifact(Exception):
    """The archive is well formed, but its model does not load or does not answer."""


class OutOfFold(NamedTuple):
    """oof.csv by beer id: each training beer as predicted by a fold that has not seen its family, in IBU."""

    family: dict[str, str]
    fold: dict[str, int]
    values: dict[str, tuple[float, float, float, float]]  # predicted, low, high, baseline.

    @property
    def families(self) -> frozenset[str]:
        """The families the model was trained on."""
        return frozenset(self.family.values())


class Served(NamedTuple):
    """A loaded model: model.json, oof.csv, its own modules, and `ask(instances, explain) -> predictions`.

    read(body, content_type): the inputs of each row of a request as the model gets them, None for a refused row.
    """

    card: dict[str, Any]
    out_of_fold: OutOfFold
    features: Any
    ask: Callable[..., list[Prediction]]
    read: Callable[[str, str], list[Instance | None]]

    @property
    def families(self) -> frozenset[str]:
        """The families the model was trained on."""
        return self.out_of_fold.families


def find_archive(folder: Path) -> Path | None:
    """The model.tar.gz in the folder or below it, or None."""
    return next(iter(sorted(folder.rglob("model.tar.gz"))), None) if folder.is_dir() else None


def digest(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_archive(path: Path, largest: int = LARGEST) -> dict[str, bytes]:
    """The files of the archive by name. Raises UnsafeArtifact."""
    files: dict[str, bytes] = {}
    try:
        with _LimitedGzip(path, largest) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if member.isdir() and name in FOLDERS:
                    continue
                if not member.isreg() or member.issparse():
                    raise UnsafeArtifact(f"{member.name!r} is not a plain file")
                if name not in FILES | OPTIONAL:
                    raise UnsafeArtifact(f"{member.name!r} is not a file of a model")
                if name in files:
                    raise UnsafeArtifact(f"{name} is there twice")
                content = archive.extractfile(member)
                files[name] = content.read() if content else b""
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise UnsafeArtifact(f"not a readable tar.gz: {error}") from None
    missing = FILES - files.keys()
    if missing:
        raise UnsafeArtifact(f"{', '.join(sorted(missing))} is missing")
    return files


def load(path: Path, scratch: Path) -> Served:
    """The model of the archive, served by its own code from the empty folder `scratch`.

    Raises UnsafeArtifact or BrokenArtifact.
    """
    files = read_archive(path)
    for name, content in files.items():
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        (scratch / name).write_bytes(content)
    try:
        with _modules_of(scratch / "code"):
            code = importlib.import_module("inference")
            features = importlib.import_module("features")
        model = code.model_fn(str(scratch))
        card = json.loads(files["model.json"])
        missing = [name for name in CARD if not card.get(name)]
        if missing:
            raise KeyError(*missing)
        out_of_fold = read_out_of_fold(files["oof.csv"].decode())
    except (Exception, SystemExit) as error:  # The artifact's own code may raise anything.
        raise BrokenArtifact(f"{type(error).__name__}: {error}") from error
    inputs = tuple(getattr(features, "INPUTS", ()))

    def ask(instances: Sequence[Instance], explain: bool = False) -> list[Prediction]:
        # A model trained on fewer columns refuses the others.
        rows = [{name: row[name] for name in inputs if name in row} if inputs else dict(row) for row in instances]
        answers: list[Prediction] = []
        for start in range(0, len(rows), AT_ONCE):
            request: dict[str, Any] = {"instances": rows[start : start + AT_ONCE]}
            body = json.dumps(request | {"explain": True} if explain else request)
            try:
                answer = code.predict_fn(code.input_fn(body, "application/json"), model)
                answers += json.loads(_text(code.output_fn(answer, "application/json")))["predictions"]
            except (Exception, SystemExit) as error:
                raise BrokenArtifact(f"{type(error).__name__}: {error}") from error
        return answers

    def read(body: str, content_type: str) -> list[Instance | None]:
        rows = getattr(code.input_fn(body, content_type), "rows", [])
        return [row.values if row.error is None else None for row in rows]

    return Served(card, out_of_fold, features, ask, read)


def _text(output: Any) -> Any:
    """The body of a serving function's output: a pair with the media type, or a Response when no row is answered."""
    return output[0] if isinstance(output, tuple) else output.get_data()


def read_out_of_fold(text: str) -> OutOfFold:
    """oof.csv's content. Raises ValueError or KeyError when it is not what the training step writes."""
    rows = list(csv.DictReader(io.StringIO(text)))
    values = {row["id"]: tuple(float(row[name]) for name in ("predicted", "low", "high", "baseline")) for row in rows}
    if len(values) != len(rows) or not np.isfinite([each for row in values.values() for each in row]).all():
        raise ValueError("oof.csv has a beer twice, or values that are not finite")
    return OutOfFold(
        {row["id"]: row["family"] for row in rows},
        {row["id"]: int(row["fold"]) for row in rows},
        values,  # type: ignore[arg-type]
    )


class _LimitedGzip(gzip.GzipFile):
    """A compressed file that raises UnsafeArtifact beyond `most` decompressed bytes: it may be a bomb."""

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(path, "rb")
        self._left = most

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(self._left + 1 if size is None or size < 0 else min(size, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise UnsafeArtifact("the archive is larger than a model may be")
        return content


@contextmanager
def _modules_of(folder: Path) -> Iterator[None]:
    """Imports within find the folder's modules; afterwards sys.modules is as before."""
    names = {path.stem for path in folder.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)
