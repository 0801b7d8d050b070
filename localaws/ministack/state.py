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
    service TEXT NOT NULL, store TEXT NOT NULL, path BLOB NOT NULL, depth INTEGER NOT NULL, body BLOB NOT NULL,
    checksum INTEGER NOT NULL, PRIMARY KEY (service, store, path)
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
# Entries that only grow: (service, store, depth) -> a value that changes whenever the entry does.
VERSIONS: dict[tuple[str, str, int], Callable[[Any], Any]] = {
    ("stepfunctions", "executions", 1): lambda entry: (entry["status"], entry["stopDate"], len(entry["events"])),
    ("athena", "_executions", 1): lambda entry: repr(entry["Status"]),
    ("cloudwatch", "metrics", 1): lambda entry: (len(entry), repr(entry[-1:])),
    ("cloudwatch_logs", "log_groups", 3): lambda entry: (len(entry["events"]), entry["lastIngestionTime"]),
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
        self._database = Database(path, SCHEMA, {"entry": "service, store, path, depth, body"})
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
        select = "SELECT service, store, path, body FROM entry ORDER BY depth"
        for service, store, path, body in self._database.connection.execute(select):
            stores = services.setdefault(service, {})
            self._written[service, store, path] = (0, None)
            try:
                keys, value = load(path), load(zlib.decompress(body))
                if not keys:
                    stores[store] = value
                    continue
                entries = stores[store]._data
                for key in keys[:-1]:
                    entries = entries[key]
                entries[keys[-1]] = value
            except Exception as error:
                raise unusable(self._database.path, f"{service} {store} cannot be read: {error!r}") from error
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
                for keys, entry in _entries(service, store, content):
                    try:
                        row = (service, store, dump(keys))
                        rows[row] = self._change(row, len(keys), entry)
                    except Exception as error:
                        errors[f"{service} {store}"] = repr(error)
        return rows, errors

    def _change(self, row: Row, depth: int, entry: Any) -> Change:
        digest, version = self._written.get(row, (0, None))
        get_version = VERSIONS.get((row[0], row[1], depth))
        current = get_version(entry) if get_version else None
        if current is not None and current == version:
            return None
        body = dump(entry)
        return None if hash(body) == digest else (body, current)

    def _write(self, rows: dict[Row, Change], errors: dict[str, str]) -> None:
        """Bring the file up to date; what could not be read stays in it as it is."""
        changed = {row: change for row, change in rows.items() if change is not None}
        gone = [row for row in self._written if row not in rows and not {row[0], f"{row[0]} {row[1]}"} & errors.keys()]
        if not changed and not gone:
            return
        with self._database.transaction() as connection:
            for (service, store, path), (body, _) in changed.items():
                connection.execute(
                    "INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5, checksum(?1, ?2, ?3, ?4, ?5)) ON CONFLICT"
                    " (service, store, path) DO UPDATE SET body = excluded.body, checksum = excluded.checksum",
                    (service, store, path, len(load(path)), zlib.compress(body, 1)),
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


def _entries(service: str, store: str, content: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """A store's rows: the keys that lead to each, and its value."""
    if not hasattr(content, "_data"):
        yield (), content
        return
    yield (), type(content)()
    member = NESTED.get((service, store))
    for key, entry in list(content._data.items()):
        if member is None:
            yield (key,), entry
            continue
        yield (key,), entry | {member: {}}
        for name, nested in list(entry[member].items()):
            yield (key, member, name), nested


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
