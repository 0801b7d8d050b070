"""MiniStack's services saved while they run: one row of a SQLite file per bucket, function, stack, execution, ...

MiniStack alone saves every service whole, as JSON, when it stops: a kill loses all of it, and one value that JSON does
not know loses its service. Here each entry is one row, of any Python type, written only when its bytes have changed.
"""

import copy
import io
import logging
import pickle
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localaws.crashpoints import crashpoint
from localaws.database import Database, unusable
from localaws.ministack import patches

# A change is on the disk after at most this long, or when saving would take more than this share of the time.
EVERY_SECONDS, SHARE = 1.0, 0.05
# Attempts to read all services while no stack changes.
ATTEMPTS = 5
SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    service TEXT NOT NULL, store TEXT NOT NULL, path BLOB NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (service, store, path)
);
"""
# The only classes in a saved row besides Python's plain values; unpickling any other is refused
# (https://docs.python.org/3/library/pickle.html#restricting-globals).
CLASSES = {
    "builtins": {"bytearray", "complex", "frozenset", "range", "set"},
    "collections": {"OrderedDict", "defaultdict", "deque"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "ministack.core.responses": {"AccountRegionScopedDict", "AccountScopedDict"},
    "uuid": {"UUID", "SafeUUID"},
    "zoneinfo": {"ZoneInfo"},
}
# Services whose get_state changes nothing in the copies that it makes: they need not be copied.
NOT_COPIED = {
    "athena",
    "cloudformation",
    "cloudwatch",
    "cloudwatch_logs",
    "eventbridge",
    "firehose",
    "glue",
    "iam",
    "kinesis",
    "lambda",
    "s3",
    "sns",
    "sqs",
    "ssm",
    "stepfunctions",
}
# Entries that hold entries of their own, which are rows of their own: (service, store) -> the member.
NESTED = {("cloudwatch_logs", "log_groups"): "streams"}
# Entries that hold a growing list, whose segments are rows of their own: (service, store, depth) -> the member.
LISTS = {("cloudwatch_logs", "log_groups", 3): "events", ("stepfunctions", "executions", 1): "events"}
SEGMENT = 500
# Entries of which only the end changes: (service, store) -> what changes with each change, in place of all bytes.
VERSIONS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("athena", "_executions"): lambda entry: (repr(entry["Status"]), entry["_error"]),
    ("cloudwatch", "metrics"): lambda entry: _ends(entry),
    ("cloudwatch_logs", "log_records"): lambda entry: True,
}

# A row's place: the service, the store in it, and the keys that lead from the store to the entry, pickled.
Row = tuple[str, str, bytes]
# A row to write: its pickled bytes and its version; None for a row that is as it was written.
Change = tuple[bytes, Any] | None
logger = logging.getLogger("localaws.state")
_copying = threading.local()


class State:
    """The saved state. unsaved: `service store` -> the error of an entry that could not be saved the last time."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, SCHEMA, {"entry": "service, store, path, body"})
        self._written: dict[Row, tuple[int, Any]] = {}
        self._saving = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._save_repeatedly, name="state", daemon=True)
        self.unsaved: dict[str, str] = {}

    def install(self) -> None:
        """Take the place of MiniStack's own loading and saving."""
        app, responses = patches.module("app"), patches.module("core.responses")
        app._load_persisted_state = lambda: None
        app.save_all = lambda services: None
        for container in (responses.AccountScopedDict, responses.AccountRegionScopedDict):
            container.__deepcopy__ = _copy

    def restore(self) -> None:
        """Give each service its saved state. Raises ExpectedError for a service that does not accept it."""
        app = patches.module("app")
        for service, saved in self._read().items():
            try:
                app._get_module(app._state_map[service]).load_persisted_state(saved)
            except Exception as error:
                raise unusable(self._database.path, f"{service} does not accept its state: {error!r}") from error

    def start(self) -> None:
        """Begin to save repeatedly."""
        self._thread.start()

    def close(self) -> None:
        """Save a last time and close the file."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.save()
        self._database.close()

    def save(self) -> None:
        """Write the entries that have changed, in one transaction.

        A moment is chosen in which no stack gets or loses a resource, so that a stack is saved with its resources.
        """
        with self._saving:
            services = patches.module("app")._build_persistence_save_dict()
            for _ in range(ATTEMPTS):
                resources = _resources_of_stacks()
                rows, errors = self._changes(services)
                if resources == _resources_of_stacks():
                    self._write(rows, errors)
                    self._report(errors)
                    return

    def _read(self) -> dict[str, dict[str, Any]]:
        """Service -> store -> the saved content."""
        services: dict[str, dict[str, Any]] = {}
        rows = self._database.connection.execute("SELECT service, store, path, body FROM entry").fetchall()
        try:
            entries = [(load(path), service, store, load(zlib.decompress(body))) for service, store, path, body in rows]
            # What holds others first, a list's segments in their order.
            for keys, service, store, value in sorted(entries, key=lambda each: (len(each[0]), _start(each[0]))):
                stores = services.setdefault(service, {})
                if not keys:
                    stores[store] = value
                    continue
                holder = stores[store]._data
                for key in keys[:-1]:
                    holder = holder[key]
                if isinstance(holder, list):
                    holder.extend(value)
                else:
                    holder[keys[-1]] = value
        except Exception as error:
            raise unusable(self._database.path, f"its rows cannot be put together: {error!r}") from error
        self._written = dict.fromkeys([(service, store, path) for service, store, path, _ in rows], (0, None))
        return services

    def _changes(self, services: dict[str, Callable[[], Any]]) -> tuple[dict[Row, Change], dict[str, str]]:
        """Every row, and the errors of what could not be read, by `service` or `service store`."""
        rows: dict[Row, Change] = {}
        errors: dict[str, str] = {}
        for service, get_state in services.items():
            try:
                with _uncopied(service in NOT_COPIED):
                    stores = get_state() or {}
            except Exception as error:
                errors[service] = repr(error)
                continue
            for store, content in stores.items():
                for keys, entry, version in _entries(service, store, content):
                    try:
                        row = (service, store, dump(keys))
                        rows[row] = self._change(row, entry, version)
                    except Exception as error:
                        errors[f"{service} {store}"] = repr(error)
        return rows, errors

    def _change(self, row: Row, entry: Any, version: Any) -> Change:
        digest, written = self._written.get(row, (0, None))
        if version is not None and version == written:
            return None
        body = dump(entry)
        return None if hash(body) == digest else (body, version)

    def _write(self, rows: dict[Row, Change], errors: dict[str, str]) -> None:
        """Bring the file up to date; what could not be read stays in it as it is."""
        changed = {row: change for row, change in rows.items() if change is not None}
        gone = [row for row in self._written if row not in rows and not {row[0], f"{row[0]} {row[1]}"} & errors.keys()]
        if not changed and not gone:
            return
        with self._database.transaction() as connection:
            for (service, store, path), (body, _) in changed.items():
                connection.execute(
                    "INSERT INTO entry VALUES (?1, ?2, ?3, ?4, checksum(?1, ?2, ?3, ?4)) ON CONFLICT"
                    " (service, store, path) DO UPDATE SET body = excluded.body, checksum = excluded.checksum",
                    (service, store, path, zlib.compress(body, 1)),
                )
            connection.executemany("DELETE FROM entry WHERE service = ? AND store = ? AND path = ?", gone)
            crashpoint("state-saving")
        self._written.update({row: (hash(body), version) for row, (body, version) in changed.items()})
        for row in gone:
            del self._written[row]

    def _report(self, errors: dict[str, str]) -> None:
        """Log each error once, however often it is met."""
        for name, error in errors.items():
            if self.unsaved.get(name) != error:
                logger.error("%s cannot be saved, a restart loses its changes: %s", name, error)
        self.unsaved = errors

    def _save_repeatedly(self) -> None:
        pause = EVERY_SECONDS
        while not self._stop.wait(pause):
            began = time.thread_time()
            try:
                self.save()
            except Exception as error:
                self._report({"all": repr(error)})
            pause = max(EVERY_SECONDS, (time.thread_time() - began) / SHARE)


def _entries(service: str, store: str, content: Any) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """A store's rows: the keys that lead to each, its value, and its version if it has one."""
    if not hasattr(content, "_data"):
        yield (), content, None
        return
    yield (), type(content)(), None
    member, version = NESTED.get((service, store)), VERSIONS.get((service, store))
    for key, entry in list(content._data.items()):
        if member is not None:
            yield (key,), entry | {member: {}}, None
            for name, nested in list(entry[member].items()):
                yield from _segments(service, store, (key, member, name), nested)
        elif version is not None:
            yield (key,), entry, version(entry)
        else:
            yield from _segments(service, store, (key,), entry)


def _segments(
    service: str, store: str, keys: tuple[Any, ...], entry: Any
) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """An entry, and the segments of the list in it if it holds one."""
    member = LISTS.get((service, store, len(keys)))
    if member is None:
        yield keys, entry, None
        return
    yield keys, entry | {member: []}, None
    items = entry[member]
    for start in range(0, len(items), SEGMENT):
        segment = items[start : start + SEGMENT]
        yield (*keys, member, start), segment, _ends(segment)


def _start(keys: tuple[Any, ...]) -> int:
    """The index of a list's segment, 0 for any other row."""
    return keys[-1] if keys and isinstance(keys[-1], int) else 0


def _ends(items: list[Any]) -> Any:
    """The length of a list and the identity of its first and last item."""
    return (len(items), id(items[0]), id(items[-1])) if items else ()


def _resources_of_stacks() -> dict[Any, tuple[str, int]]:
    """The status and the number of resources of each stack in progress."""
    stacks = list(patches.module("services.cloudformation")._stacks._data.items())
    return {
        key: (stack["StackStatus"], len(stack.get("_resources", {})))
        for key, stack in stacks
        if stack["StackStatus"].endswith("_IN_PROGRESS")
    }


@contextmanager
def _uncopied(active: bool) -> Iterator[None]:
    """Let copies that this thread makes of MiniStack's stores share their entries, for reading only."""
    _copying.off = active
    try:
        yield
    finally:
        _copying.off = False


def _copy(store: Any, memo: dict[int, Any]) -> Any:
    """`copy.deepcopy` of one of MiniStack's stores."""
    copied = type(store)()
    copied._data = dict(store._data) if getattr(_copying, "off", False) else copy.deepcopy(store._data, memo)
    return copied


class _Pickler(pickle.Pickler):
    """Refuses what `_Unpickler` would refuse."""

    def reducer_override(self, value: Any) -> Any:
        kind = value if isinstance(value, type) else type(value)
        if kind.__name__ not in CLASSES.get(kind.__module__, ()):
            raise pickle.PicklingError(f"a {kind.__module__}.{kind.__qualname__} is not saved")
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in CLASSES.get(module, ()):
            raise pickle.UnpicklingError(f"{module}.{name} is refused")
        return super().find_class(module, name)


def dump(value: Any) -> bytes:
    """A value as bytes. Raises PicklingError for a value that holds an object of an unknown class."""
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def load(content: bytes) -> Any:
    """The value of `dump`. Raises UnpicklingError for an object of an unknown class."""
    return _Unpickler(io.BytesIO(content)).load()
