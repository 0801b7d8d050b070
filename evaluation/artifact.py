"""Reads a model.tar.gz without trusting it and asks its model the way a client would.

Nothing is extracted: members are read one by one into memory and only known names of known sizes are accepted. The
model is then served by the very code it carries, so that what is measured is what will answer.
"""

import gzip
import importlib
import json
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

FILES = frozenset({"model.json", "model.npz", "oof.csv", "code/inference.py", "code/features.py", "code/forest.py"})
FOLDERS = frozenset({".", "code"})
CARD = ("sha256", "classes", "interval", "metrics", "profile", "hyperparameters", "versions")  # Read from model.json.
LARGEST = 512 * 2**20  # Bytes of the whole archive when decompressed.
AT_ONCE = 5_000  # Instances per request, below what inference.py accepts.

Instance = Mapping[str, object]
Prediction = dict[str, Any]


class UnsafeArtifact(Exception):
    """The archive is not one the training step makes; the text says which rule it breaks."""


class BrokenArtifact(Exception):
    """The archive is well formed but its model does not load or does not answer."""


class Served(NamedTuple):
    """A model that answers: model.json, the training families, and `ask(instances) -> predictions`."""

    card: dict[str, Any]
    families: frozenset[str]
    ask: Callable[[Sequence[Instance]], list[Prediction]]


def find_archive(folder: Path) -> Path | None:
    """The model.tar.gz in the folder or below it, or None."""
    return next(iter(sorted(folder.rglob("model.tar.gz"))), None) if folder.is_dir() else None


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
                if name not in FILES:
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
        model = code.model_fn(str(scratch))
        card = json.loads(files["model.json"])
        missing = [name for name in CARD if not card.get(name)]
        if missing:
            raise KeyError(*missing)
        families = frozenset(line.split(",")[1] for line in files["oof.csv"].decode().splitlines()[1:])
    except (
        Exception,
        SystemExit,
    ) as error:  # Whatever the artifact's own code raises, it makes the artifact a broken one.
        raise BrokenArtifact(f"{type(error).__name__}: {error}") from error

    def ask(instances: Sequence[Instance]) -> list[Prediction]:
        answers: list[Prediction] = []
        for start in range(0, len(instances), AT_ONCE):
            body = json.dumps({"instances": list(instances[start : start + AT_ONCE])})
            try:
                answer = code.predict_fn(code.input_fn(body, "application/json"), model)
                answers += json.loads(code.output_fn(answer, "application/json")[0])["predictions"]
            except (Exception, SystemExit) as error:
                raise BrokenArtifact(f"{type(error).__name__}: {error}") from error
        return answers

    return Served(card, families, ask)


class _LimitedGzip(gzip.GzipFile):
    """A compressed file that refuses to yield more than so many bytes, for it may be a bomb."""

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
    """Imports within find the folder's modules, and leave none behind for another model of the same names."""
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
