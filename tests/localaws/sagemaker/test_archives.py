"""Archives of unknown origin: what is unpacked, and what is refused on every release of Python."""

import io
import tarfile
from pathlib import Path

import pytest

from localaws.sagemaker.archives import UnsafeArchive, unpack


def packed(folder: Path, *members: tuple[str, bytes, str, str]) -> Path:
    """An archive of (name, type, link target, content)."""
    path = folder / "packed.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, link, content in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, link, len(content)
            tar.addfile(entry, io.BytesIO(content.encode()))
    return path


def test_files_folders_and_links_within_the_archive_are_unpacked(tmp_path: Path) -> None:
    members = (
        ("code", tarfile.DIRTYPE, "", ""),
        ("code/train.py", tarfile.REGTYPE, "", "pass"),
        ("code/same.py", tarfile.LNKTYPE, "code/train.py", ""),
        ("code/also.py", tarfile.SYMTYPE, "train.py", ""),
    )
    unpack(packed(tmp_path, *members), tmp_path / "code")
    found = {path.name: path.read_text() for path in (tmp_path / "code/code").iterdir()}
    assert found == {"train.py": "pass", "same.py": "pass", "also.py": "pass"}
    assert [path for path in (tmp_path / "code").rglob("*") if path.is_symlink()] == []


@pytest.mark.parametrize(
    "member",
    [
        ("../out", tarfile.REGTYPE, "", "x"),
        ("/tmp/out-of-the-archive", tarfile.REGTYPE, "", "x"),
        ("link", tarfile.SYMTYPE, "/etc/passwd", ""),
        ("link", tarfile.LNKTYPE, "../../etc/passwd", ""),
        ("pipe", tarfile.FIFOTYPE, "", ""),
        ("device", tarfile.CHRTYPE, "", ""),
    ],
)
def test_what_leads_out_or_is_no_file_is_refused(tmp_path: Path, member: tuple[str, bytes, str, str]) -> None:
    folder = tmp_path / "code"
    with pytest.raises(UnsafeArchive):
        unpack(packed(tmp_path, member), folder)
    assert not Path("/tmp/out-of-the-archive").exists()
    assert [path for path in tmp_path.rglob("*") if path.name not in ("packed.tar.gz", "code")] == []


def test_what_is_no_archive_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text("not a tar")
    with pytest.raises(UnsafeArchive, match="cannot be unpacked"):
        unpack(tmp_path / "text", tmp_path / "code")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1}))
    with pytest.raises(UnsafeArchive, match="2 bytes are more than the 1 bytes that are free"):
        unpack(packed(tmp_path, ("a", tarfile.REGTYPE, "", "xx")), tmp_path / "code")
