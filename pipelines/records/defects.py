"""Every defect that the record contract knows, put into a beer: `DEFECTS[reason]` makes records of that reason.

A reason is one of `ingestion.record`: a key of DROPPED or FAILED, or `<column>_<problem>`. Besides, there are defects
that the record contract accepts and the processing step drops, repairs or flags: `<column>_null`,
`gravities_swapped`, `ebc_and_srm_disagree` and `abv_and_gravities_disagree`.
"""

import json
from collections.abc import Callable
from typing import Any

from ingestion.record import COLUMNS, Column

NO_NUMBERS: tuple[Any, ...] = ("a lot", "4,5", "4.5%", True, [4.5], {})
# A sound beer -> the bytes of a record with the defect.
Defect = Callable[[dict[str, Any]], bytes]

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def changed(**values: Any) -> Defect:
    """Replaces members of the beer."""
    return lambda beer: json.dumps({**beer, **values}).encode()


def computed(name: str, value: Callable[[dict[str, Any]], Any]) -> Defect:
    """Replaces a member by what is computed from the beer."""
    return lambda beer: encode({**beer, name: value(beer)}).encode()


def without(name: str) -> Defect:
    """Leaves a member out."""
    return lambda beer: encode({key: value for key, value in beer.items() if key != name}).encode()


def token(name: str, text: str) -> Defect:
    """Replaces a member by text that need not be JSON."""
    return lambda beer: encode({**beer, name: "@@"}).replace('"@@"', text).encode()


def text(content: bytes) -> Defect:
    """The same bytes for every beer."""
    return lambda beer: content


RECORDS: dict[str, tuple[Defect, ...]] = {
    "empty": (text(b" \t "),),
    "api_message": (
        text(b'{"message":"Too many requests"}'),
        text(b'{"statusCode":500,"error":"Internal Server Error"}'),
    ),
    "not_utf8": (lambda beer: encode({**beer, "name": "K@lsch"}).encode().replace(b"@", b"\xf6"),),
    "byte_order_mark": (lambda beer: b"\xef\xbb\xbf" + encode(beer).encode(),),
    "not_json": (
        text(b"<html><body>502 Bad Gateway</body></html>"),
        lambda beer: encode(beer)[:-9].encode(),
        lambda beer: (encode(beer) + " " + encode(beer)).encode(),
        lambda beer: (encode(beer)[:-1] + ",}").encode(),
        lambda beer: encode(beer).replace('"', "'").encode(),
        lambda beer: ",".join(str(beer[column.name]) for column in COLUMNS if column.name in beer).encode(),
    ),
    "non_finite": (token("ibu", "NaN"), token("abv", "-Infinity")),
    "too_many_digits": (token("ibu", "9" * 5_000),),
    "nested_too_deep": (text(b"[" * 100_000),),
    "not_an_object": (
        lambda beer: f"[{encode(beer)}]".encode(),
        text(b'"Beer"'),
        text(b"42"),
        text(b"true"),
        text(b"null"),
    ),
    "duplicate_key": (lambda beer: (encode(beer)[:-1] + ',"id":2}').encode(),),
}
ACCEPTED: dict[str, tuple[Defect, ...]] = {
    "gravities_swapped": (
        lambda beer: encode({**beer, "target_fg": beer["target_og"], "target_og": beer["target_fg"]}).encode(),
    ),
    "ebc_and_srm_disagree": (computed("ebc", lambda beer: round(beer["srm"] * 1.2, 1)),),
    "abv_and_gravities_disagree": (computed("abv", lambda beer: beer["abv"] + 3),),
}


def _of_text(name: str) -> dict[str, tuple[Defect, ...]]:
    return {
        "missing": (without(name), changed(**{name: None})),
        "not_text": (changed(**{name: 7}), changed(**{name: {"en": "Beer"}})),
        "not_unicode": (changed(**{name: "\ud800"}),),
        "empty": (changed(**{name: ""}), changed(**{name: "\x00\x07\n"})),
        "too_long": (changed(**{name: "x" * 513}),),
    }


def _of_number(column: Column) -> dict[str, tuple[Defect, ...]]:
    """Defects of a numeric column by problem."""
    name = column.name
    found: dict[str, tuple[Defect, ...]] = {
        "not_a_number": tuple(changed(**{name: value}) for value in NO_NUMBERS),
        "non_finite": (token(name, "1e999"), token(name, "1" + "0" * 400)),
        "out_of_range": (changed(**{name: column.low - 1}), changed(**{name: column.high * 10})),
    }
    if column.high / 1000 < column.low:  # A gravity as a ratio, 1.05.
        found["out_of_range"] += (computed(name, lambda beer: beer[name] / 1000),)
    if column.kind == "integer":
        found["not_an_integer"] = (changed(**{name: column.low + 0.5}),)
    if column.other_unit[0] < column.other_unit[1]:
        found["wrong_unit"] = (changed(**{name: sum(column.other_unit) / 2}),)
    if column.role == "identity":
        return found | {"missing": (without(name), changed(**{name: None}))}
    return found | {"absent": (without(name),), "null": (changed(**{name: None}),)}


def _of_columns() -> dict[str, tuple[Defect, ...]]:
    found: dict[str, tuple[Defect, ...]] = {}
    for column in COLUMNS:
        problems = _of_text(column.name) if column.kind == "text" else _of_number(column)
        found |= {f"{column.name}_{problem}": defects for problem, defects in problems.items()}
    return found


DEFECTS = {**RECORDS, **_of_columns(), **ACCEPTED}
