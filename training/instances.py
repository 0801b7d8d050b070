"""Reads a request: JSON or CSV to rows of inputs, each valid, repaired or refused on its own.

The rules for a row are those of the processing step, so that whatever the model may be trained on can be served: a
value that cannot be used is emptied, swapped gravities are swapped back, and the answer names it.
"""

import csv
import io
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from columns import COLUMNS, FEWEST_COLUMNS, LONGEST_NAME
from features import INPUTS, RANGES

MOST_ROWS = 10_000
KNOWN = frozenset(COLUMNS)
IGNORED = KNOWN - set(INPUTS)  # id and ibu: rows of the cleaned table can be sent as they are.
GRAVITIES = ("target_fg", "target_og")
# The rules of processing/rules.py; a test compares the two.
RATIO = (0.9, 1.25)
LEAST_ABV = 0.3


class RequestError(ValueError):
    """A request that cannot be answered. Its text is JSON with error, field, row and hint; status is HTTP's."""

    def __init__(self, error: str, hint: str, field: str | None = None, status: int = 400) -> None:
        super().__init__(json.dumps({"error": error, "field": field, "row": None, "hint": hint}))
        self.status = status


class Row(NamedTuple):
    """One instance: its inputs (None where missing), and the reasons of repairs and warnings; or an error."""

    values: dict[str, Any]
    repaired: list[str]
    warnings: list[str]
    error: str | None = None
    field: str | None = None


class Request(NamedTuple):
    """The rows in order, whether probabilities and neighbours are asked for, and the request as it came."""

    rows: list[Row]
    explain: bool
    body: str
    content_type: str


class _Twice(NamedTuple):
    """Stands for a JSON object with a key given twice."""

    field: str


def parse(body: object, content_type: str | None) -> Request:
    """Raises RequestError, with status 415 for other content types."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    read = {"application/json": _read_json, "text/csv": _read_csv}.get(media_type)
    if read is None:
        hint = "send application/json or text/csv"
        raise RequestError(f"content type {media_type or 'missing'} is not served", hint, status=415)
    text = _decode(body)
    instances, explain = read(text)
    if not 1 <= len(instances) <= MOST_ROWS:
        raise RequestError(f"{len(instances)} instances", f"send 1 to {MOST_ROWS} of them", field="instances")
    return Request([check(each) for each in instances], explain, text, media_type)


def _decode(body: object) -> str:
    if isinstance(body, str):
        return body.removeprefix("\ufeff")
    try:
        return bytes(body).decode("utf-8-sig") if isinstance(body, bytes | bytearray | memoryview) else ""
    except UnicodeDecodeError:
        raise RequestError("the body is not UTF-8", "encode it as UTF-8") from None


def check(instance: object) -> Row:
    """The row of an instance: an object by column name, in any case of letters, or the error of its reading."""
    if isinstance(instance, Row):
        return instance
    if isinstance(instance, _Twice):
        return refused("the field is given twice", instance.field)
    if not isinstance(instance, dict):
        return refused('the instance is not an object like {"abv": 6.7}', None)
    fields = {str(name).strip().lower(): value for name, value in instance.items()}
    unknown = [name for name in instance if str(name).strip().lower() not in KNOWN]
    if unknown:
        return refused(f"there is no such field; the fields are {', '.join(INPUTS)}", str(unknown[0])[:64])
    if len(fields) < len(instance):
        twice = [name for name in instance if str(name) != str(name).strip().lower()]
        return refused("the field is given twice", str(twice[0]))
    return _check_fields(fields)


def refused(error: str, field: str | None) -> Row:
    """A row that is answered with an error."""
    return Row({}, [], [], error, field)


def _check_fields(fields: Mapping[str, Any]) -> Row:
    name = fields.get("name")
    if name == "" or (isinstance(name, str) and not name.strip()):
        name = None
    if name is not None and not isinstance(name, str):
        return refused("the name is not a text", "name")
    if name is not None and len(name) > LONGEST_NAME:
        return refused(f"the name is too long: {len(name)} characters, at most {LONGEST_NAME}", "name")
    for field in RANGES:
        if isinstance(fields.get(field), bool | list | dict | tuple):
            return refused(f"{field} is not a number", field)
    if all(_missing(value) for value in fields.values()):
        return refused(f"the instance has no value; send one of {', '.join(INPUTS)} at least", None)
    numbers = {field: number(fields.get(field)) for field in RANGES}
    reasons = {field: "not_a_number" for field in RANGES if not _missing(fields.get(field)) and numbers[field] is None}
    reasons |= {field: reason for field in RANGES if (reason := _implausible(field, numbers[field]))}
    repaired = [f"{field}_{reason}" for field, reason in reasons.items()]
    numbers |= dict.fromkeys(reasons)
    fg, og = numbers["target_fg"], numbers["target_og"]
    if fg is not None and og is not None and fg > og:
        numbers |= {"target_fg": og, "target_og": fg}
        repaired.append("gravities_swapped")
    known = any(value is not None for value in numbers.values())
    return Row({"name": name, **numbers}, repaired, [] if known else ["no_number_known"])


def _missing(value: object) -> bool:
    return value is None or value == "" or value != value


def number(value: object) -> float | None:
    """A finite float, or None for what is empty or not a number."""
    if value is None:
        return None
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def _implausible(field: str, value: float | None) -> str | None:
    """The reason why a value cannot be used, or None."""
    if value is None:
        return None
    if field in GRAVITIES and RATIO[0] <= value <= RATIO[1]:
        return "as_a_ratio"
    if field == "abv" and 0 < value < LEAST_ABV:
        return "as_a_fraction"
    low, high = RANGES[field]
    return None if low <= value <= high else "out_of_range"


def _read_json(text: str) -> tuple[list[Any], bool]:
    hint = 'send {"instances": [{"abv": 6.7, "target_og": 1062}]}'
    try:
        content = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise RequestError("the body is not JSON" if text.strip() else "the body is empty", hint) from None
    if isinstance(content, _Twice):
        raise RequestError("the field is given twice", hint, field=content.field)
    instances = content.get("instances") if isinstance(content, dict) else None
    if not isinstance(instances, list):
        raise RequestError("there is no list of instances", hint, field="instances")
    explain = content.get("explain", False)
    if not isinstance(explain, bool):
        raise RequestError("explain is not true or false", 'send "explain": true', field="explain")
    return instances, explain


def _unique(pairs: list[tuple[str, Any]]) -> Any:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            return _Twice(name)
        found[name] = value
    return found


def _refuse_constant(token: str) -> float:
    raise ValueError(f"{token} is not JSON")


def _read_csv(text: str) -> tuple[list[Any], bool]:
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise RequestError(f"the body is not CSV: {error}", "quote values as in RFC 4180") from None
    header = _header(lines[0]) if lines else None
    return [_csv_row(line, header) for line in (lines[1:] if header else lines)], False


def _header(line: list[str]) -> list[str] | None:
    """The column names in the first line, or None where it holds values. Raises RequestError."""
    names = [cell.strip().lower() for cell in line]
    if not any(name in KNOWN for name in names) or any(number(cell) is not None for cell in line):
        return None
    unknown = [cell for cell in line if cell.strip().lower() not in KNOWN]
    if unknown:
        hint = f"the columns are {', '.join(COLUMNS)}"
        raise RequestError("there is no such column", hint, field=unknown[0][:64])
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise RequestError("the column is given twice", "send each column once", field=twice[0])
    return names


def _csv_row(line: list[str], header: list[str] | None) -> Any:
    """The instance of a line; without a header in the order of the table or of INPUTS, by the number of values."""
    columns = tuple(header or (INPUTS if len(line) == len(INPUTS) else COLUMNS))
    fewest = len(columns) if header or columns == INPUTS else FEWEST_COLUMNS
    if not fewest <= len(line) <= len(columns):
        usual = f"{len(columns)}" if header else f"{len(COLUMNS)} ({','.join(COLUMNS)}) or {len(INPUTS)}"
        return refused(f"{len(line)} values instead of {usual}", None)
    return dict(zip(columns, line, strict=False))
