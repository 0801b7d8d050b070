"""The schema of the cleaned table and the record contract: how the bytes of a record become a row.

`to_row` is pure and total: for any bytes it returns Clean, Dropped or Failed. Its rules:

- No id or no name: Failed, because the beer is not identified.
- No label (`ibu`): Clean with that column empty; a prediction fills it. An implausible label: Failed.
- A feature outside its plausible range or in another unit: Clean with that column empty and a flag. An outlier
  within the range is unchanged. A column whose key is absent (not null) is flagged, so that a renamed field is seen.
- Text that is a JSON number ("4.5") is that number; any other text in a number's place: Failed.
- Dropped is a record that is no beer at all (see DROPPED). All others that are not Clean are Failed.

Reasons about the whole record are in DROPPED and FAILED. A reason about one column, or a flag, is
`<column>_<problem>`, for example `ph_out_of_range`, with the problem from PROBLEMS.
"""

import json
import re
import sys
from typing import Any, NamedTuple


class Column(NamedTuple):
    """A column of the cleaned table; low and high bound the plausible values (of text: the length)."""

    name: str
    kind: str  # integer, text or number
    role: str  # identity, label or feature: it decides what a missing or implausible value means
    unit: str
    description: str
    low: float
    high: float
    # From this to below that, a value is in another unit; with low > high there are none.
    other_unit: tuple[float, float] = (1, 0)


# Wider than what is brewed: the strongest beer has 67.5 % vol, catalogues hold 600 EBC, 406 SRM and 250 IBU.
# A pH of 79 and a gravity written as 1.050 lie outside.
COLUMNS = (
    Column("id", "integer", "identity", "", "The beer's number in its source", 1, 2**53 - 1),
    Column("name", "text", "identity", "", "The beer's name", 1, 512),
    # An ABV of 0.05 is the fraction that other catalogues give for 5 % vol.
    Column("abv", "number", "feature", "% vol", "Alcohol by volume", 0, 80, other_unit=(0.02, 0.2)),
    Column("ibu", "number", "label", "IBU", "Bitterness; the label of the model", 0, 1000),
    Column("target_fg", "number", "feature", "kg/m3", "Specific gravity x 1000 after fermentation", 900, 1250),
    Column("target_og", "number", "feature", "kg/m3", "Specific gravity x 1000 before fermentation", 900, 1250),
    Column("ebc", "number", "feature", "EBC", "Colour, European Brewery Convention", 0, 1000),
    Column("srm", "number", "feature", "SRM", "Colour, Standard Reference Method", 0, 510),
    Column("ph", "number", "feature", "pH", "Acidity", 2, 8),
)
# Columns of the first version of the table. A CSV row that was written before a column was added ends earlier.
FEWEST_COLUMNS = 9
NAMES = tuple(column.name for column in COLUMNS)

DROPPED = {
    "empty": "nothing but white space",
    "api_message": "an API's error or notice: neither id nor name, but one of API_MESSAGE_KEYS",
}
FAILED = {
    "not_utf8": "bytes that are not UTF-8",
    "byte_order_mark": "text that begins with a byte order mark",
    "not_json": "text that is not one JSON value",
    "non_finite": "a NaN or Infinity token, which JSON does not have",
    "too_many_digits": "an integer longer than Python reads",
    "nested_too_deep": "arrays or objects nested deeper than Python's recursion limit",
    "not_an_object": "a JSON value that is not an object",
    "duplicate_key": "an object with the same key twice",
}
PROBLEMS = {
    "missing": "null or absent where a value is needed",
    "absent": "flag: the key is not there at all",
    "not_a_number": "neither a number nor text that is one",
    "not_an_integer": "a number with a fraction where an integer is needed",
    "non_finite": "a number beyond the range of a double",
    "out_of_range": "outside the column's plausible range; flag where the column is a feature",
    "wrong_unit": "flag: a value in another unit, such as an ABV as a fraction",
    "not_text": "not a text",
    "not_unicode": "text with a lone surrogate",
    "empty": "text of which nothing is left after cleaning",
    "too_long": "text longer than the column allows",
}
API_MESSAGE_KEYS = frozenset({"statusCode", "error", "message", "detail"})

Value = int | float | str | None
Row = tuple[Value, ...]


class Clean(NamedTuple):
    """A row: values in the order of COLUMNS, whole numbers as int, None for missing; flags: what was odd."""

    row: Row
    flags: tuple[str, ...] = ()


class Dropped(NamedTuple):
    """Not a beer at all; the reason is a key of DROPPED."""

    reason: str


class Failed(NamedTuple):
    """An invalid beer; the reason is a key of FAILED or `<column>_<problem>`."""

    reason: str


class _Problem(ValueError):
    """Its text is a key of FAILED or of PROBLEMS."""


def to_row(raw: bytes) -> Clean | Dropped | Failed:
    """Read one record as it came off the stream."""
    try:
        beer = _read_object(raw)
    except (ValueError, RecursionError) as error:
        return _unreadable(raw, error)
    row: list[Value] = []
    flags: tuple[str, ...] = ()
    for name, low, high, read, column in _READERS:
        value = beer.get(name)
        if type(value) is int and low <= value <= high:
            # Most values are plausible integers already; testing here first saves a call for each.
            row.append(value)
            continue
        try:
            row.append(read(column, value))
        except _Problem as problem:
            if not _may_be_empty(column, str(problem)):
                return Dropped("api_message") if _is_api_message(beer) else Failed(f"{name}_{problem}")
            if value is not None or name not in beer:
                flags += (f"{name}_{problem if name in beer else 'absent'}",)
            row.append(None)
    return Clean(tuple(row), flags)


def to_csv(row: Row) -> str:
    """One line of RFC 4180 and a newline: missing is empty, a number is the shortest that reads back equal.

    No field holds a line break or a backslash: every reader takes the row for one line, and Glue's
    OpenCSVSerDe, for which a backslash always escapes, reads the same text as the others.
    """
    fields = ["" if value is None else str(value) for value in row]
    name = fields[1]
    if '"' in name or "," in name:
        fields[1] = '"' + name.replace('"', '""') + '"'
    return ",".join(fields) + "\n"


def to_json(row: Row) -> str:
    """One JSON object and a newline, with null for what is missing: what Firehose turns into Parquet."""
    return json.dumps(dict(zip(NAMES, row, strict=True)), ensure_ascii=False, separators=(",", ":")) + "\n"


def _refuse_constant(token: str) -> float:
    raise _Problem("non_finite")


# Objects stay tuples of pairs, so that a key given twice is seen: that costs 8 % of the transform's time.
_DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_constant=_refuse_constant)


def _read_object(raw: bytes) -> dict[str, Any]:
    text = raw.decode().strip(" \t\r\n")
    pairs, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise _Problem("not_json")
    if not isinstance(pairs, tuple):
        raise _Problem("not_an_object")
    beer = dict(pairs)
    if len(beer) != len(pairs):
        raise _Problem("duplicate_key")
    return beer


_DECODER_ERRORS = {
    UnicodeDecodeError: "not_utf8",
    json.JSONDecodeError: "not_json",
    RecursionError: "nested_too_deep",
    ValueError: "too_many_digits",
}


def _unreadable(raw: bytes, error: Exception) -> Dropped | Failed:
    """The result for a record that `_read_object` refuses."""
    if not raw.strip():
        return Dropped("empty")
    if raw.startswith(b"\xef\xbb\xbf"):
        return Failed("byte_order_mark")
    if isinstance(error, _Problem):
        return Failed(str(error))
    return Failed(_DECODER_ERRORS[type(error)])


def _is_api_message(beer: dict[str, Any]) -> bool:
    return "id" not in beer and "name" not in beer and not API_MESSAGE_KEYS.isdisjoint(beer)


def _may_be_empty(column: Column, problem: str) -> bool:
    """Whether a value missing or implausible leaves a row with a gap rather than no row."""
    if problem == "missing":
        return column.role != "identity"
    return problem in ("out_of_range", "wrong_unit") and column.role == "feature"


def _read_number(column: Column, value: Any) -> float:
    # The exact type: true and false are instances of int.
    kind = type(value)
    if kind is str and _is_number(value):
        value, kind = float(value), float
    if kind is not int and kind is not float:
        raise _Problem("missing" if value is None else "not_a_number")
    number: float = value
    if not column.low <= number <= column.high:
        raise _Problem("out_of_range" if abs(number) <= sys.float_info.max else "non_finite")
    if column.other_unit[0] <= number < column.other_unit[1]:
        raise _Problem("wrong_unit")
    if kind is float and number.is_integer():
        # 1053.0 and 1053 are the same gravity and have to give the same bytes.
        return int(number)
    if kind is float and column.kind == "integer":
        raise _Problem("not_an_integer")
    return number


_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_LONGEST_NUMBER = 64


def _is_number(text: str) -> bool:
    return len(text) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text.strip()) is not None


def _read_text(column: Column, value: Any) -> str:
    """The text, cleaned so that it is one line in every reader."""
    if not isinstance(value, str):
        raise _Problem("missing" if value is None else "not_text")
    text = value if value.isprintable() else _make_printable(value)
    text = text.replace("\\", "/").strip()
    if not column.low <= len(text) <= column.high:
        raise _Problem("too_long" if text else "empty")
    return text


_LINE_BREAKS_AND_TABS = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
# Control characters, marks that turn the direction of writing, and zero-width characters that no emoji needs.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


def _make_printable(text: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _Problem("not_unicode")
    return _INVISIBLE.sub("", _LINE_BREAKS_AND_TABS.sub(" ", text))


# Column, how to read it, and the integers that need no reading: in a text's place there are none.
_READERS = tuple(
    (column.name, 1, 0, _read_text, column)
    if column.kind == "text"
    else (column.name, column.low, column.high, _read_number, column)
    for column in COLUMNS
)
