"""Keeps the latest row of every beer; of a sample of the beers where there are too many for the memory."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from columns import COLUMNS
from rows import VALUES, Row
from rules import identity


class Latest(NamedTuple):
    """The latest row per beer, ordered by id, with the counts of what was read.

    unidentified: rows without a usable id, by reason. share: of the beers that were sampled, 1 for all.
    """

    rows: list[Row]
    read: int
    duplicates: int
    unidentified: Counter[str]
    share: float


def latest_rows(rows: Iterable[Row], most: int) -> Latest:
    """The last row of every id, for `rows` ordered from old to new; of `most` beers at most."""
    latest: dict[int, tuple[Row, int]] = {}
    read, share = 0, 1.0
    unidentified: Counter[str] = Counter()
    for row in rows:
        read += 1
        key = identity(row)
        if key is None:
            unidentified[_why_unidentified(row)] += 1
        elif share == 1 or _position(key) < share:
            latest[key] = row, latest.get(key, (row, 0))[1] + 1
            while len(latest) > most:
                share /= 2
                latest = {each: entry for each, entry in latest.items() if _position(each) < share}
    duplicates = sum(times - 1 for _, times in latest.values())
    return Latest([latest[key][0] for key in sorted(latest)], read, duplicates, unidentified, share)


def _why_unidentified(row: Row) -> str:
    return f"{row[VALUES]}_columns_instead_of_{len(COLUMNS)}" if VALUES in row else "id_not_a_number"


def _position(key: int) -> float:
    """A number in [0, 1) that depends on the id alone."""
    return int(hashlib.sha256(str(key).encode()).hexdigest()[:13], 16) / 16**13
