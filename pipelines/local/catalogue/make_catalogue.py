"""Make beers.json: the facts about BrewDog's 325 beers, from the npm package punkapi-db.

    npm pack punkapi-db@2.6.0
    python make_catalogue.py punkapi-db-2.6.0.tgz

The argument is the package's tarball or the data.json within it. Beers are in the order of their ids, one a
line; numbers keep their spelling (1053 stays 1053).
"""

import argparse
import json
import tarfile
from pathlib import Path
from typing import Any

FACTS = (
    "id",
    "name",
    "first_brewed",
    "abv",
    "ibu",
    "target_fg",
    "target_og",
    "ebc",
    "srm",
    "ph",
    "attenuation_level",
    "volume",
    "boil_volume",
    "method",
    "ingredients",
)
MEMBER = "package/data.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="punkapi-db-2.6.0.tgz, or its data.json")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("beers.json"))
    arguments = parser.parse_args()
    beers = json.loads(read_source(arguments.source))
    arguments.output.write_text(catalogue(beers), encoding="utf-8")
    print(f"{arguments.output}: {len(beers)} beers")


def read_source(source: Path) -> bytes:
    """data.json's bytes, out of the package's tarball or as they are."""
    if source.suffix != ".tgz":
        return source.read_bytes()
    with tarfile.open(source) as package:
        member = package.extractfile(MEMBER)
        assert member is not None, f"{MEMBER} is not a file"
        return member.read()


def catalogue(beers: list[dict[str, Any]]) -> str:
    """A JSON list of the beers' FACTS, one beer a line."""
    facts = ({name: beer[name] for name in FACTS} for beer in sorted(beers, key=lambda beer: beer["id"]))
    lines = (json.dumps(beer, ensure_ascii=False) for beer in facts)
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    main()
