"""CSV of beers for `predict`: files that hold none, headers as the container reads them, batches."""

from pathlib import Path

import pytest

from localaws.errors import ExpectedError
from pipelines.account import predictions
from pipelines.account.clients import Clients
from tests.support.beers import module

instances = module("instances")


@pytest.mark.parametrize(
    "content, error",
    [
        (b"", "it has no beers"),
        (b"\xef\xbb\xbf\r\n\r\n", "it has no beers"),
        (b"name,abv\n", "it has no beers"),
        (b'name,abv\n"A,5\n', "unexpected end of data"),
        ("name,abv\nBière,5\n".encode("latin1"), "'utf-8' codec can't decode"),
        (None, "No such file"),
    ],
)
def test_a_file_without_beers_is_refused(tmp_path: Path, content: bytes | None, error: str) -> None:
    path = tmp_path / "beers.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExpectedError, match=error) as refused:
        predictions.read(path, Clients())
    assert (refused.value.where, refused.value.code) == (str(path), 2)


@pytest.mark.parametrize(
    "first",
    [["name", "abv"], [" Name", "ABV"], ["1", "Punk", "5.6"], ["foo", "bar"], ["abv", "5"], ["ibu"]],
)
def test_the_first_line_is_a_header_where_the_container_reads_it_as_one(first: list[str]) -> None:
    assert bool(predictions.header([first])) == bool(instances._header(first))


def test_batches_are_bounded_in_rows_and_bytes_and_hold_every_line_once() -> None:
    lines = [[str(number), "x" * (300_000 if number < 10 else 1)] for number in range(2_000)]
    batches = list(predictions.batches(lines))
    assert [line for batch in batches for line in batch] == lines
    assert [len(batch) for batch in batches] == [3, 3, 3, 500, 500, 500, 491]


@pytest.mark.parametrize(
    "line, names, expected",
    [
        (["1", "Punk", "5.6"], [], "Punk"),
        (["Punk", "5.6", "", "", "", "", ""], [], "Punk"),
        (["5.6", "Punk\nIPA"], [["abv", "Name "]], "Punk IPA"),
        (["5.6"], [["abv"]], ""),
    ],
)
def test_a_beer_has_the_name_of_its_line(line: list[str], names: list[list[str]], expected: str) -> None:
    assert predictions.name(line, names) == expected
