"""MiniStack's services saved while they run: one row of a store per bucket, function, stack, execution, ...

MiniStack alone saves every service whole, as JSON, when it stops: a kill loses all of it, and one value that JSON does
not know loses its service. Here each entry is a row, of any Python type, written only when its bytes have changed.
"""

import functools
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from localaws.crashpoints import crashpoint
from localaws.ministack import patches
from localaws.store import Store, unusable
from localaws.values import dump, load

# A change is on the disk after at most this long, or when saving would take more than this share of the time.
EVERY_SECONDS, SHARE, PAUSE_SECONDS = 1.0, 0.05, 0.001
# Attempts to read all services while no stack changes.
ATTEMPTS = 5
# Entries with a list that grows: what changes with each change, in place of all bytes.
VERSIONS: dict[str, Callable[[Any], Any]] = {
    "cloudformation stack_events": lambda entry: _ends(entry),
    "athena _executions": lambda entry: (repr(entry["Status"]), entry["_error"]),
    "cloudwatch metrics": lambda entry: (*_ends(entry), entry[-1]["Timestamp"]),
    "cloudwatch_logs log_groups": lambda entry: _ends(entry) if isinstance(entry, list) else None,
    "cloudwatch_logs log_records": lambda entry: True,
    "stepfunctions executions": lambda entry: (entry["status"], _ends(entry["events"])),
}

# So many events of a log stream are a row of their own, so that a long stream is not written again with each event.
LOG_GROUPS, EVENTS = "cloudwatch_logs log_groups", 500

# A row's kind, `service store`, and its key: that of an entry, in a tuple, or () for the store without its entries.
# The events of a log stream have their group's key, the stream and the number of the first one.
Place = tuple[str, bytes]
# A row to write: its bytes and its version; None for a row that is as it was written.
Change = tuple[bytes, Any] | None
logger = logging.getLogger("localaws.state")


class State:
    """The saved state. unsaved: `service store` -> the error of an entry that could not be saved the last time."""

    def __init__(self, path: Path) -> None:
        self._store = Store(path)
        self._written: dict[Place, tuple[int, Any]] = {}
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
                raise unusable(self._store.path, f"{service} does not accept its state: {error!r}") from error

    def start(self) -> None:
        """Begin to save repeatedly."""
        self._thread.start()

    def close(self) -> None:
        """Save a last time and close the file."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.save()
        self._store.close()

    def save(self, *, pause: float = 0) -> None:
        """Write the entries that have changed, in one transaction.

        A moment is chosen in which no stack gets or loses a resource, so that a stack is saved with its resources.
        pause: seconds between two services for other threads, which reading them all would hold up for 20 ms.
        """
        with self._saving:
            services = patches.module("app")._build_persistence_save_dict()
            for _ in range(ATTEMPTS):
                resources = _resources_of_stacks()
                rows, errors = self._changes(services, 0 if resources else pause)
                if resources == _resources_of_stacks():
                    self._write(rows, errors)
                    self._report(errors)
                    return

    def _read(self) -> dict[str, dict[str, Any]]:
        """Service -> store -> the saved content."""
        services: dict[str, dict[str, Any]] = {}
        rows = self._store.rows()
        try:
            entries = [(kind.split(" "), load(key), load(zlib.decompress(body))) for kind, key, body in rows]
            for (service, store), _, value in (each for each in entries if each[1] == ()):
                services.setdefault(service, {})[store] = value
            inside = [each for each in entries if each[1] != ()]
            for (service, store), key, value in sorted(inside, key=lambda each: (len(each[1]), each[1][2:])):
                content = services[service][store]._data
                if len(key) == 1:
                    content[key[0]] = value
                else:
                    content[key[0]]["streams"][key[1]]["events"] += value
        except Exception as error:
            raise unusable(self._store.path, f"its rows cannot be put together: {error!r}") from error
        self._written = dict.fromkeys([(kind, key) for kind, key, _ in rows], (0, None))
        return services

    def _changes(
        self, services: dict[str, Callable[[], Any]], pause: float = 0
    ) -> tuple[dict[Place, Change], dict[str, str]]:
        """Every row, and the errors of what could not be read, by `service` or `service store`."""
        rows: dict[Place, Change] = {}
        errors: dict[str, str] = {}
        for service, get_state in services.items():
            time.sleep(pause)
            try:
                stores = get_state() or {}
            except Exception as error:
                errors[service] = repr(error)
                continue
            for store, content in stores.items():
                kind = f"{service} {store}"
                for key, entry in _entries(kind, content):
                    try:
                        place = (kind, _dumped(key))
                        rows[place] = self._change(place, entry)
                    except Exception as error:
                        errors[kind] = repr(error)
        return rows, errors

    def _change(self, place: Place, entry: Any) -> Change:
        digest, written = self._written.get(place, (0, None))
        version = VERSIONS[place[0]](entry) if entry and place[0] in VERSIONS else None
        if version is not None and version == written:
            return None
        body = dump(entry)
        return None if hash(body) == digest else (body, version)

    def _write(self, rows: dict[Place, Change], errors: dict[str, str]) -> None:
        """Bring the file up to date; what could not be read stays in it as it is."""
        changed = {place: change for place, change in rows.items() if change is not None}
        gone = [
            (kind, keys)
            for kind, keys in self._written
            if (kind, keys) not in rows and not {kind, kind.split(" ")[0]} & errors.keys()
        ]
        if not changed and not gone:
            return
        with self._store.transaction():
            for place, (body, _) in changed.items():
                self._store.write(*place, zlib.compress(body, 1))
            for place in gone:
                self._store.delete(*place)
            crashpoint("state-saving")
        self._written.update({place: (hash(body), version) for place, (body, version) in changed.items()})
        for place in gone:
            del self._written[place]

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
                self.save(pause=PAUSE_SECONDS)
            except Exception as error:
                self._report({"all": repr(error)})
            pause = max(EVERY_SECONDS, (time.thread_time() - began) / SHARE)


@functools.lru_cache(maxsize=1 << 16, typed=True)
def _dumped(key: tuple[Any, ...]) -> bytes:
    return dump(key)


def _entries(kind: str, content: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """A store's rows: the store without its entries, and its entries by key."""
    if not hasattr(content, "_data"):
        yield (), content
        return
    yield (), type(content)()
    for key, entry in list(content._data.items()):
        if kind == LOG_GROUPS:
            yield from _log_group(key, entry)
        else:
            yield (key,), entry


def _log_group(key: Any, group: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    streams = list(group["streams"].items())
    yield (key,), {**group, "streams": {name: {**stream, "events": []} for name, stream in streams}}
    for name, stream in streams:
        events = list(stream["events"])
        for start in range(0, len(events), EVENTS):
            yield (key, name, start), events[start : start + EVENTS]


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


def _copy(store: Any, memo: dict[int, Any]) -> Any:
    """`copy.deepcopy` of a store, which get_state makes to leave members of its entries out: one level is enough."""
    copied = type(store)()
    copied._data = {key: dict(each) if type(each) is dict else each for key, each in list(store._data.items())}
    return copied
