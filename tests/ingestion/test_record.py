"""What any bytes become: a row, dropped or failed, each for a reason with a name."""

import csv
import io
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion import record
from ingestion.record import Clean, Dropped, Failed, to_csv, to_json, to_row

BEER = {
    "id": 192,
    "name": "Punk IPA 2007 - 2010",
    "abv": 6.0,
    "ibu": 60.5,
    "target_fg": 1010,
    "target_og": 1056.0,
    "ebc": 17,
    "srm": 8.5,
    "ph": 4.4,
}
ROW = (192, "Punk IPA 2007 - 2010", 6, 60.5, 1010, 1056, 17, 8.5, 4.4)


def raw(**changes: Any) -> bytes:
    """BEER with changes, as JSON."""
    return json.dumps({**BEER, **changes}).encode()


def spelled(column: str, token: str) -> bytes:
    """BEER with the JSON text of one value replaced."""
    return raw(**{column: "@"}).replace(b'"@"', token.encode())


def without(*columns: str) -> bytes:
    return json.dumps({name: value for name, value in BEER.items() if name not in columns}).encode()


def row(**changes: Any) -> tuple[Any, ...]:
    return tuple({**dict(zip(record.NAMES, ROW, strict=True)), **changes}.values())


def test_the_columns_are_the_nine_of_the_table_in_their_order() -> None:
    assert record.NAMES == ("id", "name", "abv", "ibu", "target_fg", "target_og", "ebc", "srm", "ph")


def test_a_beer_is_a_row_whose_whole_numbers_are_integers() -> None:
    outcome = to_row(raw())
    assert outcome == Clean(ROW)
    assert [type(value) for value in outcome.row] == [int, str, int, float, int, int, int, float, float]


def test_further_fields_of_the_api_are_left_out() -> None:
    assert to_row(raw(tagline="Post modern", method={"twist": None}, hops=[1, [2]])) == Clean(ROW)


def test_white_space_around_a_record_is_no_part_of_it() -> None:
    assert to_row(b" \r\n" + raw() + b"\n\t") == Clean(ROW)


NOT_A_BEER = {
    b"": Dropped("empty"),
    b" \r\n\t": Dropped("empty"),
    b'{"statusCode": 404, "error": "Not Found", "message": "No beer"}': Dropped("api_message"),
    b'{"message": "Internal Server Error"}': Dropped("api_message"),
    b'{"detail": "Not Found"}': Dropped("api_message"),
    b"{}": Failed("id_missing"),
    b'{"beers": []}': Failed("id_missing"),
    b"<html>502 Bad Gateway</html>": Failed("not_json"),
    b'{"id": 1, "name": "Bu': Failed("not_json"),
    b"{'id': 1}": Failed("not_json"),
    b'{"id": 1}{"id": 2}': Failed("not_json"),
    b'{"id": 1,}': Failed("not_json"),
    b"\xff\xfe{}": Failed("not_utf8"),
    b'{"id": 1, "name": "\xed\xa0\x80"}': Failed("not_utf8"),
    b"\xef\xbb\xbf" + raw(): Failed("byte_order_mark"),
    b"42": Failed("not_an_object"),
    b"null": Failed("not_an_object"),
    b'"Punk IPA"': Failed("not_an_object"),
    b"[" + raw() + b"]": Failed("not_an_object"),
    b"[" * 100_000 + b"]" * 100_000: Failed("nested_too_deep"),
    b'{"a":' * 100_000: Failed("nested_too_deep"),
    b"1" * 5000: Failed("too_many_digits"),
    b'{"id": NaN}': Failed("non_finite"),
    b'{"id": 1, "extra": -Infinity}': Failed("non_finite"),
    b'{"id": 1, "name": "a", "id": 2}': Failed("duplicate_key"),
    b'{"id": 1, "name": "a", "id": 1}': Failed("duplicate_key"),
}


@pytest.mark.parametrize("bytes_", NOT_A_BEER, ids=lambda bytes_: repr(bytes_[:30]))
def test_what_is_not_a_beer_is_dropped_or_fails_for_a_reason_of_its_own(bytes_: bytes) -> None:
    assert to_row(bytes_) == NOT_A_BEER[bytes_]


def test_a_key_given_twice_within_a_field_that_is_left_out_does_no_harm() -> None:
    assert to_row(spelled("extra", '{"unit": 1, "unit": 2}')) == Clean(ROW)


VALUES = [
    # A label that is missing stays empty, one that cannot be true fails the record.
    (raw(ibu=None), Clean(row(ibu=None))),
    (without("ibu"), Clean(row(ibu=None), ("ibu_absent",))),
    (raw(ibu=0), Clean(row(ibu=0))),
    (raw(ibu=250), Clean(row(ibu=250))),
    (raw(ibu=1000), Clean(row(ibu=1000))),
    (raw(ibu=1085), Failed("ibu_out_of_range")),
    (raw(ibu=-1), Failed("ibu_out_of_range")),
    (raw(ibu=1e9), Failed("ibu_out_of_range")),
    # A feature that cannot be true leaves the row with a gap and a flag.
    (raw(ph=79), Clean(row(ph=None), ("ph_out_of_range",))),
    (raw(abv=-4.5), Clean(row(abv=None), ("abv_out_of_range",))),
    (raw(target_fg=1.010), Clean(row(target_fg=None), ("target_fg_out_of_range",))),
    (raw(abv=-1, srm=511), Clean(row(abv=None, srm=None), ("abv_out_of_range", "srm_out_of_range"))),
    (raw(abv=55), Clean(row(abv=55))),
    (raw(abv=0.05), Clean(row(abv=None), ("abv_wrong_unit",))),
    (raw(abv="0.128"), Clean(row(abv=None), ("abv_wrong_unit",))),
    (raw(abv=0.5), Clean(row(abv=0.5))),
    (raw(abv=0), Clean(row(abv=0))),
    (
        raw(target_og=1.050, target_fg=1.01),
        Clean(row(target_og=None, target_fg=None), ("target_fg_out_of_range", "target_og_out_of_range")),
    ),
    (raw(srm=406, ebc=800), Clean(row(srm=406, ebc=800))),
    (raw(abv=None, ph=None), Clean(row(abv=None, ph=None))),
    (without("ebc", "ph"), Clean(row(ebc=None, ph=None), ("ebc_absent", "ph_absent"))),
    # A beer without an identity fails.
    (without("id"), Failed("id_missing")),
    (raw(id=None), Failed("id_missing")),
    (raw(id=0), Failed("id_out_of_range")),
    (raw(id=-7), Failed("id_out_of_range")),
    (raw(id=2**53), Failed("id_out_of_range")),
    (raw(id=1.5), Failed("id_not_an_integer")),
    (raw(id=7.0), Clean(row(id=7))),
    (raw(id="7"), Clean(row(id=7))),
    (raw(id="x7"), Failed("id_not_a_number")),
    (raw(id=True), Failed("id_not_a_number")),
    (without("name"), Failed("name_missing")),
    (raw(name=None), Failed("name_missing")),
    (raw(name=""), Failed("name_empty")),
    (raw(name=" \t\n"), Failed("name_empty")),
    (raw(name="\u200b\ufeff\u202e"), Failed("name_empty")),
    (raw(name=5), Failed("name_not_text")),
    (raw(name=["Punk"]), Failed("name_not_text")),
    # Text that is a number counts as one, any other text does not.
    (raw(abv="4.5"), Clean(row(abv=4.5))),
    (raw(abv=" 4.50 "), Clean(row(abv=4.5))),
    (raw(target_og="1056"), Clean(row(target_og=1056))),
    (raw(srm="1e1"), Clean(row(srm=10))),
    (raw(abv="4,5"), Failed("abv_not_a_number")),
    (raw(abv="4.5%"), Failed("abv_not_a_number")),
    (raw(abv=""), Failed("abv_not_a_number")),
    (raw(abv="nan"), Failed("abv_not_a_number")),
    (raw(abv="0x10"), Failed("abv_not_a_number")),
    (raw(abv="1_0"), Failed("abv_not_a_number")),
    (raw(abv="\u0664"), Failed("abv_not_a_number")),
    (raw(abv="1" * 1000), Failed("abv_not_a_number")),
    (raw(abv="1e999"), Failed("abv_non_finite")),
    # JSON has more than numbers to put in a number's place.
    (raw(abv=True), Failed("abv_not_a_number")),
    (raw(abv={"value": 4.5}), Failed("abv_not_a_number")),
    (raw(abv={}), Failed("abv_not_a_number")),
    (raw(abv=[4.5]), Failed("abv_not_a_number")),
    (spelled("abv", "1e999"), Failed("abv_non_finite")),
    (spelled("ph", "-1e999"), Failed("ph_non_finite")),
    (spelled("ebc", "1" + "0" * 400), Failed("ebc_non_finite")),
    (spelled("ebc", "1" + "0" * 300), Clean(row(ebc=None), ("ebc_out_of_range",))),
    (spelled("abv", "-0"), Clean(row(abv=0))),
    (spelled("abv", "-0.0"), Clean(row(abv=0))),
    (spelled("abv", "5e-324"), Clean(row(abv=5e-324))),
    (spelled("abv", "NaN"), Failed("non_finite")),
]


@pytest.mark.parametrize(("bytes_", "expected"), VALUES, ids=lambda value: repr(value)[:60])
def test_each_value_is_taken_emptied_or_fails_its_record(bytes_: bytes, expected: Any) -> None:
    assert to_row(bytes_) == expected


NAMES = [
    ("  Hopped-Up Brown Ale  ", "Hopped-Up Brown Ale"),
    ("Bad\nPixie", "Bad Pixie"),
    ("Bad\r\n\tPixie", "Bad Pixie"),
    ("Bad\u2028Pixie\u2029\u0085\x1c!", "Bad Pixie !"),
    ("Bad\x00\x07\x7f\x9bPixie", "BadPixie"),
    ("\u202eeixiP\u202c\u2066!\u2069\u200f", "eixiP!"),
    ("\ufeffBad\u200bPixie", "BadPixie"),
    ("AB\\03", "AB/03"),
    ("Née Speedball ✓ 東京*", "Née Speedball ✓ 東京*"),
    ("\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",) * 2,
    ('"Hops", he said', '"Hops", he said'),
    ("=HYPERLINK(1)", "=HYPERLINK(1)"),
    ("x" * 512, "x" * 512),
    ("x" * 512 + "\n", "x" * 512),
]


@pytest.mark.parametrize(("name", "cleaned"), NAMES)
def test_a_name_keeps_its_letters_and_loses_what_would_break_or_turn_its_line(name: str, cleaned: str) -> None:
    assert to_row(raw(name=name)) == Clean(row(name=cleaned))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("x" * 513, "name_too_long"), ("x" * 1_000_000, "name_too_long"), ("a\ud800b", "name_not_unicode")],
    ids=["513", "1 MB", "surrogate"],
)
def test_a_name_too_long_or_with_half_a_character_fails(name: str, reason: str) -> None:
    assert to_row(raw(name=name)) == Failed(reason)


def test_a_csv_line_has_nine_fields_and_an_empty_one_for_what_is_missing() -> None:
    assert to_csv(ROW) == "192,Punk IPA 2007 - 2010,6,60.5,1010,1056,17,8.5,4.4\n"
    assert to_csv((7, "Cask", *[None] * 7)) == "7,Cask,,,,,,,\n"


def test_a_name_with_a_comma_or_a_quote_is_quoted_by_rfc_4180() -> None:
    assert to_csv(row(name='Cascade, "dry"')) == '192,"Cascade, ""dry""",6,60.5,1010,1056,17,8.5,4.4\n'


def test_equal_beers_give_equal_bytes_however_their_numbers_are_spelled() -> None:
    spellings = (spelled("target_fg", token) for token in ("1010", "1010.0", "1.01e3", '"1010"'))
    assert {to_csv(to_row(bytes_).row) for bytes_ in spellings} == {to_csv(ROW)}


def test_a_json_line_has_all_nine_columns_and_null_for_what_is_missing() -> None:
    assert to_json((7, "Née\u2713", 4.5, *[None] * 6)) == (
        '{"id":7,"name":"Née\u2713","abv":4.5,"ibu":null,"target_fg":null,"target_og":null,'
        '"ebc":null,"srm":null,"ph":null}\n'
    )


def test_every_reason_that_occurs_is_explained() -> None:
    explained = {f"{name}_{problem}" for name in record.NAMES for problem in record.PROBLEMS} | set(record.FAILED)
    outcomes = [to_row(bytes_) for bytes_, _ in VALUES] + [to_row(bytes_) for bytes_ in NOT_A_BEER]
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, Failed)} <= explained
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, Dropped)} == set(record.DROPPED)
    assert {flag for outcome in outcomes if isinstance(outcome, Clean) for flag in outcome.flags} <= explained


# Any value at all, with those that nearly fit more often than chance would have them.
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.integers().map(str)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
plausible = st.floats(0, 1200) | st.integers(0, 1200) | st.floats(0, 10).map(str)
beers = st.fixed_dictionaries(
    {"id": st.integers(-1, 400) | values, "name": st.text(max_size=600) | values},
    optional={name: plausible | values for name in record.NAMES[2:]},
)
jsons = (beers | values).map(lambda value: json.dumps(value).encode("utf-8"))


@settings(max_examples=300, deadline=None)
@given(st.binary() | jsons | jsons.flatmap(lambda text: st.integers(0, len(text)).map(lambda end: text[:end])))
def test_any_bytes_become_one_sound_row_or_a_reason(bytes_: bytes) -> None:
    outcome = to_row(bytes_)
    if not isinstance(outcome, Clean):
        assert isinstance(outcome, Dropped | Failed)
        assert outcome.reason
        return
    for column, value in zip(record.COLUMNS, outcome.row, strict=True):
        if isinstance(value, str):
            assert column.kind == "text" and value.strip() == value and "\\" not in value
            assert column.low <= len(value) <= column.high
        elif value is not None:
            assert column.low <= value <= column.high and math.isfinite(value)
        else:
            assert column.role != "identity"


@settings(max_examples=300, deadline=None)
@given(beers.map(lambda beer: json.dumps(beer).encode()))
def test_what_is_written_is_one_line_and_reads_back_as_the_same_row(bytes_: bytes) -> None:
    outcome = to_row(bytes_)
    if not isinstance(outcome, Clean):
        return
    line = to_csv(outcome.row)
    assert len(line.splitlines()) == 1
    [fields] = csv.reader(io.StringIO(line))
    read = [field or None for field in fields[:2]] + [float(field) if field else None for field in fields[2:]]
    assert (int(read[0]), *read[1:]) == outcome.row
    assert to_row(to_json(outcome.row).encode()) == Clean(outcome.row)
