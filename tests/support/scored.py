"""The batch scoring of a snapshot."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from tests.support.beers import COLUMNS, catalogue, module, workbench


def snapshot(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as UNLOAD writes them: Parquet, a name without a suffix, the times of delivery beside the columns."""
    kinds = {
        "id": pyarrow.int64(),
        "name": pyarrow.string(),
        "delivered": pyarrow.string(),
        "arrived": pyarrow.string(),
    }
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in (*COLUMNS, "delivered", "arrived")])
    folder.mkdir()
    times = {"delivered": "2026-11-20-10-00-00", "arrived": "2026-11-19-10-00-00"}
    table = pyarrow.Table.from_pylist([row | times for row in rows], schema=schema)
    pyarrow.parquet.write_table(table, folder / "20261120_100000_00001_abcde_0")
    return folder


def score(tmp_path: Path, model: Path) -> int:
    sha256 = hashlib.sha256((workbench() / "packed" / "model.tar.gz").read_bytes()).hexdigest()
    code: int = module("score").main(
        [
            *("--model", str(model), "--data", str(tmp_path / "data"), "--output", str(tmp_path / "output")),
            *("--sha256", sha256, "--model-version", "3", "--cut-off", "2026-11-20-10-00-00"),
        ]
    )
    return code


def beers(count: int) -> list[dict[str, Any]]:
    """Beers of the catalogue with floats, as a snapshot has them."""
    rows = []
    for beer in catalogue()[:count]:
        rows.append({name: float(beer[name]) if isinstance(beer[name], int) else beer[name] for name in COLUMNS})
        rows[-1]["id"] = int(beer["id"])
    return rows
