"""The bundled beers, catalogues of one's own, and the local Punk API that serves them."""

import io
import json
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from ingestion.record import Clean, Failed, to_row
from pipelines.local.catalogue import make_catalogue
from pipelines.local.punk_api import BUNDLED, CatalogueError, CatalogueServer, load_catalogue

BEERS = [{"id": number, "name": f"Beer {number}"} for number in range(1, 101)]


def get(url: str) -> tuple[int, Any]:
    response = requests.get(url, timeout=5)
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    return response.status_code, response.json()


# The bundled catalogue


def test_the_bundled_catalogue_holds_the_facts_of_325_beers_one_a_line() -> None:
    beers = load_catalogue()
    assert [beer["id"] for beer in beers] == list(range(1, 326))
    assert {tuple(beer) for beer in beers} == {make_catalogue.FACTS}
    lines = BUNDLED.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line.rstrip(",")) for line in lines[1:-1]] == beers


def test_the_bundled_beers_keep_the_mistakes_of_the_book() -> None:
    beers = load_catalogue()
    outcomes = {beer["id"]: to_row(json.dumps(beer).encode()) for beer in beers}
    failed = {number: outcome.reason for number, outcome in outcomes.items() if isinstance(outcome, Failed)}
    flagged = {number: outcome.flags for number, outcome in outcomes.items() if isinstance(outcome, Clean)}
    assert sorted(beer["ibu"] for beer in beers if beer["id"] in failed) == [1085, 1157]
    assert set(failed.values()) == {"ibu_out_of_range"}
    assert {number: flags for number, flags in flagged.items() if flags} == {317: ("ph_out_of_range",)}
    nulls = {name: sum(beer[name] is None for beer in beers) for name in ("ibu", "target_fg", "target_og", "ebc", "ph")}
    assert nulls == {"ibu": 5, "target_fg": 1, "target_og": 1, "ebc": 6, "ph": 2}
    assert sum((beer["target_fg"] or 0) > (beer["target_og"] or 9999) for beer in beers) == 13


def test_the_catalogue_is_made_from_the_package_with_facts_only_and_numbers_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    beer = dict.fromkeys(make_catalogue.FACTS)
    source = [
        {**beer, "id": 2, "target_og": 1053, "description": "prose"},
        {**beer, "id": 1, "abv": 4.5, "name": "Née"},
    ]
    data = json.dumps(source).encode()
    package = tmp_path / "punkapi-db.tgz"
    with tarfile.open(package, "w:gz") as archive:
        member = tarfile.TarInfo("package/data.json")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    target = tmp_path / "beers.json"
    monkeypatch.setattr("sys.argv", ["make_catalogue.py", str(package), "--output", str(target)])
    make_catalogue.main()
    assert capsys.readouterr().out == f"{target}: 2 beers\n"
    first, second = target.read_text(encoding="utf-8").splitlines()[1:-1]
    assert '"name": "Née"' in first and '"abv": 4.5' in first
    assert '"target_og": 1053,' in second and "prose" not in second
    assert load_catalogue(target) == [
        {**beer, "id": 1, "abv": 4.5, "name": "Née"},
        {**beer, "id": 2, "target_og": 1053},
    ]


# Catalogues of one's own


@pytest.mark.parametrize(
    ("text", "beers"),
    [
        ('[{"id": 1}, {"id": 2}]', [{"id": 1}, {"id": 2}]),
        ('{"id": 1}\n\n{"id": 2}\n', [{"id": 1}, {"id": 2}]),
        ('{"id": 1}', [{"id": 1}]),
        ('\ufeff[{"id": 1}]', [{"id": 1}]),
        ('[{"id": "broken", "abv": [1]}, 7, null]', [{"id": "broken", "abv": [1]}, 7, None]),
        ('{"id": 1}\n7\n', [{"id": 1}, 7]),
    ],
)
def test_a_catalogue_is_a_json_list_or_json_lines_and_its_entries_stay_as_they_are(
    tmp_path: Path, text: str, beers: list[Any]
) -> None:
    path = tmp_path / "beers.json"
    path.write_text(text, encoding="utf-8")
    assert load_catalogue(path) == beers


LIST = "give a JSON list of beers, or one beer a line, in the shape of the Punk API"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the catalogue is empty"),
        (b" \n", "the catalogue is empty"),
        (b"[]", "the catalogue holds no beer: no entry is a JSON object"),
        (b"[1, 2]", "the catalogue holds no beer: no entry is a JSON object"),
        (b'"beers"', "the catalogue holds no beer: no entry is a JSON object"),
        (b"id,name\n1,Buzz\n", "line 1 of the catalogue is not JSON"),
        (b'{"id": 1}\n{"id": \n', "line 2 of the catalogue is not JSON"),
        (b'[{"id": 1},', "the catalogue is not JSON"),
        (b"[" * 100_000, "the catalogue is not JSON"),
        (b"\xff\xfe", "the catalogue cannot be read"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_a_file_that_is_no_catalogue_is_an_error_with_its_reason_and_a_remedy(
    tmp_path: Path, content: bytes, what: str
) -> None:
    path = tmp_path / "beers.json"
    path.write_bytes(content)
    with pytest.raises(CatalogueError) as failure:
        load_catalogue(path)
    assert failure.value.what.startswith(what)
    assert (failure.value.where, failure.value.hint, failure.value.code) == (str(path), LIST, 2)


def test_a_catalogue_that_is_missing_or_a_folder_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="there is no such catalogue") as missing:
        load_catalogue(tmp_path / "none.json")
    assert missing.value.code == 3
    with pytest.raises(CatalogueError, match=r"cannot be read: .*directory") as folder:
        load_catalogue(tmp_path)
    assert folder.value.code == 2


# The API


@pytest.mark.parametrize(
    ("path", "status", "value"),
    [
        ("/v2/beers?page=2&per_page=3", 200, BEERS[3:6]),
        ("/v3/beers?page=2&per_page=3", 200, BEERS[3:6]),
        ("/v2/beers", 200, BEERS[:25]),
        ("/v2/beers?per_page=80", 200, BEERS[:80]),
        ("/v2/beers?page=2&per_page=80", 200, BEERS[80:]),
        ("/v2/beers?page=3&per_page=80", 200, []),
        ("/v2/beers/7", 200, [BEERS[6]]),
        ("/v3/beers/7", 200, BEERS[6]),
        ("/v3/beers/7/", 200, BEERS[6]),
    ],
)
def test_pages_and_single_beers_have_the_shape_of_their_version(path: str, status: int, value: Any) -> None:
    with CatalogueServer(BEERS) as base:
        assert get(base + path) == (status, value)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v2/beers/999", 404, "No beer found that matches the ID 999"),
        ("/v3/beers/999", 404, "No beer found that matches the ID 999"),
        ("/v2/wines", 404, "No endpoint found that matches this path"),
        ("/v2/beers/x", 400, "Invalid query params"),
        ("/v2/beers?per_page=81", 400, "Invalid query params"),
        ("/v2/beers?per_page=0", 400, "Invalid query params"),
        ("/v2/beers?page=-1", 400, "Invalid query params"),
        ("/v2/beers?page=9999999999999", 400, "Invalid query params"),
    ],
)
def test_errors_are_objects_with_status_code_error_and_message(path: str, status: int, message: str) -> None:
    with CatalogueServer(BEERS) as base:
        found, value = get(base + path)
    assert found == status == value["statusCode"]
    assert value["message"] == message
    assert value["error"] == {404: "Not Found", 400: "Bad Request"}[status]


def test_version_2_answers_a_random_beer_as_a_list_of_one_and_version_3_as_an_object() -> None:
    with CatalogueServer([BEERS[0]]) as base:
        assert get(f"{base}/v2/beers/random") == (200, [BEERS[0]])
        assert get(f"{base}/v3/beers/random") == (200, BEERS[0])


def test_random_beers_come_again_with_the_seed_and_are_drawn_with_replacement() -> None:
    draws = []
    for seed in (1, 1, 2):
        with CatalogueServer(BEERS, seed=seed) as base:
            draws.append([get(f"{base}/v3/beers/random")[1]["id"] for _ in range(30)])
    assert draws[0] == draws[1] != draws[2]
    assert 5 < len(set(draws[0])) < 30


def test_broken_entries_are_served_as_they_are() -> None:
    broken = [{"id": "x", "abv": [None]}, 7, None, "beer"]
    with CatalogueServer(broken) as base:
        assert get(f"{base}/v2/beers") == (200, broken)
        assert get(f"{base}/v2/beers/7")[0] == 404


def test_many_may_ask_at_once() -> None:
    found: list[Any] = []
    with CatalogueServer(BEERS) as base:
        threads = [threading.Thread(target=lambda: found.append(get(f"{base}/v2/beers/7"))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [(200, [BEERS[6]])] * 16


def test_a_stopped_server_answers_no_more_and_may_be_stopped_twice() -> None:
    server = CatalogueServer(BEERS)
    base = server.start()
    assert base.startswith("http://127.0.0.1:")
    server.stop()
    server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(base, timeout=5)


def test_a_catalogue_needs_a_beer() -> None:
    with pytest.raises(ValueError, match="a catalogue needs a beer"):
        CatalogueServer([])
