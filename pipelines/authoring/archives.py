"""Code archives for S3 with content-addressed keys: equal code has equal bytes and equal keys on any machine.

processing/ and evaluation/ are uploaded as Python files, training/ as the sourcedir.tar.gz of SageMaker training jobs,
both Lambdas as one zip with their libraries, state machines as JSON. Only `*.py` files of a folder are included.
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
# The earliest timestamp of the zip format; file times would change the bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)
# requests and its dependencies; boto3 is in the Lambda runtime.
LAMBDA_LIBRARIES = ("requests", "urllib3", "certifi", "idna", "charset-normalizer")


@dataclass(frozen=True)
class Asset:
    """A file to upload. key: its S3 key, relative to the pipeline's prefix or to the artifact bucket."""

    key: str
    content: bytes

    @property
    def folder(self) -> str:
        """The key up to and including its last slash."""
        return self.key.rpartition("/")[0] + "/"


def folder_files(folder: str) -> dict[str, bytes]:
    """Name -> bytes of the Python files of a top-level folder, sorted by name."""
    return {path.name: path.read_bytes() for path in sorted((ROOT / folder).glob("*.py"))}


def digest(files: dict[str, bytes]) -> str:
    """The first 16 hex digits of a SHA-256 over names and contents."""
    total = hashlib.sha256()
    for name, content in files.items():
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()[:16]


def step_folder(folder: str) -> list[Asset]:
    """A step's files as assets under one content-addressed prefix."""
    files = folder_files(folder)
    return [Asset(f"code/{folder}/{digest(files)}/{name}", content) for name, content in files.items()]


def source_archive(folder: str) -> Asset:
    """A step's files as the sourcedir.tar.gz of a training job.

    https://sagemaker.readthedocs.io/en/v2/frameworks/sklearn/using_sklearn.html
    """
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
    """Both Lambdas as one zip: `ingestion/` and its pure-Python libraries."""
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
    """Path -> bytes of an installed library's portable files: no bytecode, no compiled modules, no metadata."""
    found = {}
    for path in importlib.metadata.files(name) or []:
        if path.suffix in (".py", ".pem", ".typed") and ".." not in path.parts:
            found[path.as_posix()] = Path(str(path.locate())).read_bytes()
    return found


def document(folder: str, text: str) -> Asset:
    """A JSON document, such as a state machine's definition, with a content-addressed key."""
    content = text.encode()
    return Asset(f"code/{folder}/{digest({folder: content})}.json", content)


def no_champion(name: str, reason: str) -> Asset:
    """The placeholder that is Evaluate's input instead of a champion's artifact; its content is the reason."""
    content = f"{reason}\n".encode()
    return Asset(f"champion/{name}/{digest({name: content})}/no-champion", content)


NO_CHAMPION = no_champion("none", "no model has been approved yet")
LOST_CHAMPION = no_champion("lost", "the approved model's artifact is no longer in S3")
