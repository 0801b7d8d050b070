"""The files of a table's objects, as a query reads them."""

import zlib
from pathlib import Path

import pytest

from localaws.ministack.objects import Objects

CONTENT = b"7,Hops\n"


def test_a_query_reads_an_object_s_own_file_which_outlives_the_object(tmp_path: Path) -> None:
    stored = tmp_path / "objects" / "one"
    stored.parent.mkdir()
    stored.write_bytes(CONTENT)
    objects = Objects(tmp_path / "objects.db", stored.parent)
    body = ("one", zlib.crc32(CONTENT))
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    assert (objects.link(body, first), first.stat().st_ino) == (True, stored.stat().st_ino)
    stored.write_bytes(CONTENT.replace(b"7", b"8") + b" ")
    with pytest.raises(OSError, match="damaged"):
        objects.link(body, second)
    stored.unlink()
    assert (objects.link(body, third), first.read_bytes()) == (False, b"8,Hops\n ")
    objects.close()
