"""A beer as preprocessing validates it, and the files that preprocessing makes."""

from pathlib import Path
from typing import Any

from tests.support.beers import SIDES, module

rules, table = module("rules"), module("columns")

PUNK = {"id": 192, "name": "Punk IPA", "abv": 5.6, "ibu": 60, "target_fg": 1010, "target_og": 1053}


PUNK |= {"ebc": 17, "srm": 8.5, "ph": 4.4}


FILES = [*(f"{side}/beers.csv" for side in SIDES), "quality/manifest.json"]


def beer_of(**values: Any) -> Any:
    return rules.Beer(values["id"], values["name"], {name: values[name] for name in table.RANGES})


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}
