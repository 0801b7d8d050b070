"""Archives of models, which are not trusted: refusals, reading, and the code that serves."""

import tarfile
from pathlib import Path

import pytest

from tests.support.beers import module, workbench
from tests.support.spoilt import STUB, member, spoilt_model, tar, written

artifact = module("artifact")


HOSTILE = {
    "a parent folder": tar(member("../escaped", b"x")),
    "a parent folder within": tar(member("code/../../escaped", b"x")),
    "an absolute path": tar(member("/tmp/escaped", b"x")),
    "a symbolic link": tar(member("code/more.py", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "a symbolic link of a known name": tar(member("./oof.csv", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "a hard link": tar(member("code/more.py", type=tarfile.LNKTYPE, linkname="model.json")),
    "a fifo": tar(member("pipe", type=tarfile.FIFOTYPE)),
    "a device": tar(member("null", type=tarfile.CHRTYPE)),
    "a sparse file": tar(member("oof.csv", type=tarfile.GNUTYPE_SPARSE), without=("oof.csv",)),
    "a duplicate": tar(member("model.json", b"{}")),
    "a duplicate by another spelling": tar(member("./model.json", b"{}")),
    "an unknown file": tar(member("code/sitecustomize.py", b"raise SystemExit")),
    "a pickle": tar(member("model.joblib", b"\x80\x04")),
    "a folder that is none of a model's": tar(member("code/inner", type=tarfile.DIRTYPE)),
    "a bomb": tar(member("oof.csv", bytes(3_000_000)), without=("oof.csv",)),
    "a bomb in a header": tar(member("x" * 3_000_000, b"x")),
    "truncated": tar()[:-40],
    "nothing": b"",
    "no gzip": b"PK\x03\x04",
    "half a model": tar(without=("oof.csv",)),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_and_writes_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "in" / "model.tar.gz"
    written(path, content)
    with pytest.raises(artifact.UnsafeArtifact):
        artifact.read_archive(path, largest=2_000_000)
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["in", "model.tar.gz"]


def test_an_honest_archive_is_read_in_every_spelling(tmp_path: Path) -> None:
    for name, names in {"plain": lambda each: each, "dotted": lambda each: f"./{each}"}.items():
        with tarfile.open(tmp_path / name, "w:gz") as archive:
            archive.add(workbench() / "model", ".", recursive=False)
            for path in sorted((workbench() / "model").rglob("*")):
                archive.add(path, names(path.relative_to(workbench() / "model").as_posix()), recursive=False)
        files = artifact.read_archive(tmp_path / name)
        assert files == {
            each: (workbench() / "model" / each).read_bytes() for each in artifact.FILES | artifact.OPTIONAL
        }


def test_each_model_is_served_by_its_own_code(tmp_path: Path) -> None:
    ours = module("inference")
    other_code = (STUB % '[{"ibu": 7.0, "low": 0, "high": 9, "class": "low"} for _ in rows]').encode()
    first = artifact.load(workbench() / "packed/model.tar.gz", tmp_path / "first")
    other = spoilt_model(tmp_path / "other", "code/inference.py", other_code)
    second = artifact.load(other / "model.tar.gz", tmp_path / "second")
    assert [each["ibu"] for each in second.ask([{"abv": 5.0}] * 2)] == [7.0, 7.0]
    assert first.ask([{"abv": 5.0}])[0]["ibu"] != 7.0
    assert module("inference") is ours
