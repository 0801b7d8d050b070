"""What is shipped: the same bytes from the same files, and nothing that would not run where it goes."""

import base64
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from ingestion.record import NAMES
from pipelines.authoring import archives

FOLDERS = {
    "processing": {"preprocess.py": b"import rows\n", "rows.py": b"COLUMNS = ()\n"},
    "training": {"train.py": b"print('train')\n"},
    "ingestion": {"__init__.py": b"", "clean.py": b"def handler(event): ...\n"},
}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository that `package` takes for its own."""
    for folder, files in FOLDERS.items():
        (tmp_path / folder).mkdir()
        for name, content in files.items():
            (tmp_path / folder / name).write_bytes(content)
    monkeypatch.setattr(archives, "ROOT", tmp_path)
    return tmp_path


def shipped() -> list[archives.Asset]:
    return [*archives.step_folder("processing"), archives.source_archive("training"), archives.lambda_archive()]


# --- The same bytes -------------------------------------------------------------------------------


def test_times_modes_and_order_of_creation_change_no_byte(checkout: Path) -> None:
    before = shipped()
    for folder, files in FOLDERS.items():
        for name, content in reversed(files.items()):
            path = checkout / folder / name
            path.unlink()
            path.write_bytes(content)
            path.chmod(0o600)
            os.utime(path, (1, 1))
    assert shipped() == before


def test_generated_files_are_not_shipped(checkout: Path) -> None:
    before = shipped()
    for folder in FOLDERS:
        (checkout / folder / "__pycache__").mkdir()
        (checkout / folder / "__pycache__/train.cpython-313.pyc").write_bytes(b"\0")
        (checkout / folder / "train.pyc").write_bytes(b"\0")
        (checkout / folder / ".DS_Store").write_bytes(b"\0")
    assert shipped() == before


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_changed_name_or_a_changed_byte_changes_the_key(checkout: Path, folder: str) -> None:
    keys = {archives.digest(archives.folder_files(folder))}
    path = next((checkout / folder).glob("*.py"))
    path.write_bytes(path.read_bytes() + b"#")
    keys.add(archives.digest(archives.folder_files(folder)))
    path.rename(path.with_name("other.py"))
    keys.add(archives.digest(archives.folder_files(folder)))
    assert len(keys) == 3


def test_files_that_are_equal_when_joined_have_different_digests() -> None:
    one = {"a": b"b\0", "c": b""}
    other = {"a": b"b", "\0c": b""}
    assert archives.digest(one) != archives.digest(other)


# --- Step code ------------------------------------------------------------------------------------


def test_a_step_s_files_lie_beside_each_other_under_one_key(checkout: Path) -> None:
    digest = archives.digest(FOLDERS["processing"])
    assert archives.step_folder("processing") == [
        archives.Asset(f"code/processing/{digest}/preprocess.py", b"import rows\n"),
        archives.Asset(f"code/processing/{digest}/rows.py", b"COLUMNS = ()\n"),
    ]


def test_the_source_archive_holds_the_files_with_no_trace_of_who_packed_them(checkout: Path) -> None:
    asset = archives.source_archive("training")
    assert asset.key == f"code/training/{archives.digest(FOLDERS['training'])}/sourcedir.tar.gz"
    with tarfile.open(fileobj=io.BytesIO(asset.content)) as archive:
        entries = [(e.name, e.mode, e.uid, e.gid, e.uname, e.mtime, e.isfile()) for e in archive]
    assert entries == [("train.py", 0o644, 0, 0, "", 0, True)]
    # Bytes 4 to 8 of gzip are the time of packing.
    assert asset.content[4:8] == bytes(4)
    assert gzip.decompress(asset.content)


def test_a_document_is_named_by_its_content() -> None:
    one, same, other = (archives.document("workflow", text) for text in ("{}", "{}", "[]"))
    assert one == same
    assert one.key != other.key
    assert one.content == b"{}"


# --- The Lambdas' archive -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lambda") / "lambda.zip"
    path.write_bytes(archives.lambda_archive().content)
    return path


def run_from(archive: Path, code: str, **environment: str) -> str:
    """What code prints that sees the standard library and the archive, and neither this project nor its packages."""
    start = f"import sys; sys.path.insert(0, {str(archive)!r})\n{code}"
    command = [sys.executable, "-I", "-S", "-B", "-c", start]
    done = subprocess.run(command, cwd=archive.parent, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_archive_holds_what_runs_on_any_processor_and_nothing_else(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        entries = opened.infolist()
    names = [entry.filename for entry in entries]
    assert {Path(name).suffix for name in names} == {".py", ".pem", ".typed"}
    assert {name.split("/")[0] for name in names} == {
        "ingestion",
        *(library.replace("-", "_") for library in archives.LAMBDA_LIBRARIES),
    }
    assert names == sorted(names)
    assert {(entry.date_time, entry.external_attr >> 16) for entry in entries} == {(archives.EPOCH, 0o644)}


def test_the_archive_is_small_enough_to_be_shown_in_the_console(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        assert sum(entry.file_size for entry in opened.infolist()) < 3_000_000


def test_the_transform_runs_from_the_archive_alone(archive: Path) -> None:
    beer = {"id": 1, "name": "Punk IPA", "abv": 5.6, "ibu": 60} | dict.fromkeys(NAMES[4:])
    event = {"records": [{"recordId": "1", "data": base64.b64encode(json.dumps(beer).encode()).decode()}]}
    code = f"import json; from ingestion.clean import handler; print('answer', json.dumps(handler({event!r})))"

    printed = run_from(archive, code).splitlines()

    (record,) = json.loads(printed[-1].removeprefix("answer "))["records"]
    row = base64.b64decode(record["data"]).decode()
    assert (record["recordId"], record["result"], row) == ("1", "Ok", "1,Punk IPA,5.6,60,,,,,\n")


def test_the_collector_asks_the_api_from_the_archive_alone(archive: Path) -> None:
    code = """
import http.server, json, os, threading
from ingestion import api
from ingestion.retry import Deadline

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'[{"id": 1, "name": "Punk IPA"}]')
    def log_message(self, *arguments):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
import ingestion.collect
answer = api.Api(f"http://127.0.0.1:{server.server_port}", Deadline(10)).fetch("beers/random")
print([(each.key, each.data) for each in answer.records])
print({module.split(".")[0] for module in ("requests", "urllib3", "certifi", "idna", "charset_normalizer")
       if ".zip" in __import__(module).__file__} == {"requests", "urllib3", "certifi", "idna", "charset_normalizer"})
"""
    assert run_from(archive, code).splitlines() == [
        """[('1', b'{"id":1,"name":"Punk IPA"}')]""",
        "True",
    ]
