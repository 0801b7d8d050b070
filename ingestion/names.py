"""The keys of the data bucket: which objects count, and how old their rows are.

One rule for the stream, the batch lane, the local AWS and Athena: an object counts when it lies in a folder
`dt=YYYY-MM-DD/` of its prefix and neither its name nor a folder of it begins with `_` or `.`, which Athena does not
read. Its rows are as old as the time in its name (`2026-11-20-08-15-00`, as Firehose writes it); those of a file
without one are older than all others. A file under landing/ needs no dt= folder: the day is that of its landing, and
its rows are as old as the time in its own name, or as its landing where it has none or a later one.
"""

import datetime
import re

RAW, CLEANED, FAILED, REPLAYED = "raw/", "cleaned/", "errors/cleaned/", "errors/replayed/"
# Files of the batch lane, and how far each is loaded.
LANDING, LOADED = "landing/", "loaded/"

# Error codes: of a record that the transform itself fails, whose reason is then its own, and of a whole file.
FAILED_STATUS, REFUSED_FILE = "Lambda.ProcessingFailedStatus", "Landing.RefusedFile"

STAMP_FORMAT = "%Y-%m-%d-%H-%M-%S"
_DAY = re.compile(r"dt=(\d{4}-\d\d-\d\d)")
_STAMP = re.compile(r"20\d\d(-\d\d){5}")


class ForeignObject(ValueError):
    """An object that is none of this project's; the text is the reason."""


def day_of(key: str, prefix: str) -> str:
    """The day (YYYY-MM-DD) of an object under a prefix; raises ForeignObject when it does not count."""
    for folder in _visible(key, prefix)[:-1]:
        if found := _DAY.fullmatch(folder):
            try:
                return datetime.date.fromisoformat(found[1]).isoformat()
            except ValueError:
                break
    raise ForeignObject("not in a folder dt=YYYY-MM-DD/")


def refuse_hidden(key: str) -> None:
    """Raise ForeignObject for a key under landing/ that does not count."""
    _visible(key, LANDING)


def _visible(key: str, prefix: str) -> list[str]:
    """The folders and the name of a key under a prefix; raises ForeignObject for a folder or a hidden object."""
    words = key.removeprefix(prefix).split("/")
    if not words[-1]:
        raise ForeignObject("a folder")
    if any(each.startswith(("_", ".")) for each in words):
        raise ForeignObject("hidden: begins with _ or .")
    return words


def stamp_of(key: str, day: str) -> str:
    """The time of an object's rows, `YYYY-MM-DD-HH-MM-SS`."""
    found = _STAMP.search(key.rpartition("/")[2])
    return found[0] if found else f"{day}-00-00-00"


def landing_stamp(key: str, landed: datetime.datetime) -> str:
    """The time of the rows of a file under landing/: that in its name, at most that at which it landed (UTC)."""
    latest = landed.astimezone(datetime.UTC).strftime(STAMP_FORMAT)
    found = _STAMP.search(key.rpartition("/")[2])
    if not found:
        return latest
    try:
        return min(latest, datetime.datetime.strptime(found[0], STAMP_FORMAT).strftime(STAMP_FORMAT))
    except ValueError:
        return latest
