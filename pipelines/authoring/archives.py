"""The code that is shipped, as files named by their content: equal code, equal keys, on any machine.

A step folder goes as its Python files (processing, evaluation) or as one tar.gz (training); both Lambdas go as one
zip with requests beside them; the state machine as its JSON. Only `*.py` files of a folder are shipped, so nothing
generated or cached can slip in.
"""

import gzip
import hashlib
import importlib.metadata
import io
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The oldest time a zip can hold; a real one would change the bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)
# requests and what it needs; boto3 is in the Lambda runtime.
LAMBDA_LIBRARIES = ("requests", "urllib3", "certifi", "idna", "charset-normalizer")


@dataclass(frozen=True)
class Asset:
    """A file to upload. key: its place in the artifact bucket, below the pipeline's own prefix or `code/`."""

    key: str
    content: bytes

    @property
    def folder(self) -> str:
        """The key up to its last slash, and with it."""
        return self.key.rpartition("/")[0] + "/"


def folder_files(folder: str) -> dict[str, bytes]:
    """The Python files of a top-level folder, by name, in order."""
    return {path.name: path.read_bytes() for path in sorted((ROOT / folder).glob("*.py"))}


def digest(files: dict[str, bytes]) -> str:
    """A short hash of names and contents, and of nothing else."""
    total = hashlib.sha256()
    for name, content in files.items():
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()[:16]


def step_folder(folder: str) -> list[Asset]:
    """A step's files, each an asset, under one key that their content names."""
    files = folder_files(folder)
    return [Asset(f"code/{folder}/{digest(files)}/{name}", content) for name, content in files.items()]


def source_archive(folder: str) -> Asset:
    """A step's files as the tar.gz that training jobs take."""
    files = folder_files(folder)
    raw = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(content))
    return Asset(f"code/{folder}/{digest(files)}/sourcedir.tar.gz", raw.getvalue())


def lambda_archive() -> Asset:
    """Both Lambdas: `ingestion/` and the pure-Python libraries it needs, as one zip."""
    files = {f"ingestion/{name}": content for name, content in folder_files("ingestion").items()}
    for library in LAMBDA_LIBRARIES:
        files |= library_files(library)
    files = dict(sorted(files.items()))
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return Asset(f"code/ingestion/{digest(files)}.zip", raw.getvalue())


def library_files(name: str) -> dict[str, bytes]:
    """An installed library's files that run anywhere: no bytecode, no compiled modules, no metadata."""
    found = {}
    for path in importlib.metadata.files(name) or []:
        if path.suffix in (".py", ".pem", ".typed") and ".." not in path.parts:
            found[path.as_posix()] = Path(str(path.locate())).read_bytes()
    return found


def document(folder: str, text: str) -> Asset:
    """A text, such as a state machine's definition, named by its content."""
    content = text.encode()
    return Asset(f"code/{folder}/{digest({folder: content})}.json", content)


def no_champion(name: str, why: str) -> Asset:
    """What lies in a champion's place where there is none; `why` is told in the evaluation's words."""
    content = f"{why}\n".encode()
    return Asset(f"champion/{name}/{digest({name: content})}/no-champion", content)


NO_CHAMPION = no_champion("none", "no model has been approved yet")
LOST_CHAMPION = no_champion("lost", "the approved model's artifact is no longer in S3")
