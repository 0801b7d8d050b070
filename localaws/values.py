"""Python values as bytes that load without running code: pickled, with plain values and a few known classes alone."""

import io
import pickle
from typing import Any

# Unpickling any other class is refused (https://docs.python.org/3/library/pickle.html#restricting-globals).
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
