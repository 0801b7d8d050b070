"""Unpacking a tar archive of unknown origin, on every release of Python 3.11 and later.

tarfile's own filters came with 3.11.4, so they are not used: regular files and folders below the target are written,
a link is a copy of the member that it names, and everything else is refused.
"""

import shutil
import tarfile
from pathlib import Path


class UnsafeArchive(Exception):
    """The archive is none, or it holds something that is not unpacked; the text names the member."""


def unpack(packed: Path, folder: Path) -> None:
    """Unpack a tar, gzipped or not, into a folder; raises UnsafeArchive."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(packed) as tar:
            _extract(tar, folder.resolve())
    except (tarfile.TarError, EOFError, OSError, KeyError) as error:
        raise UnsafeArchive(f"it cannot be unpacked: {error}") from error


def _extract(tar: tarfile.TarFile, folder: Path) -> None:
    members = tar.getmembers()
    size, free = sum(member.size for member in members), shutil.disk_usage(folder).free
    if size > free:
        raise UnsafeArchive(f"its {size} bytes are more than the {free} bytes that are free")
    for member in members:
        target = (folder / member.name).resolve()
        if not target.is_relative_to(folder):
            raise UnsafeArchive(f"{member.name!r} leads out of the folder")
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        # The content of a link is read from the archive, never from this machine.
        content = tar.extractfile(member) if member.isreg() or member.issym() or member.islnk() else None
        if content is None:
            raise UnsafeArchive(f"{member.name!r} is neither a file nor a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        with content, target.open("wb") as handle:
            shutil.copyfileobj(content, handle)
        target.chmod(0o755 if member.mode & 0o100 else 0o644)
