"""The cleaned tables of a benchmark: their definitions from the template, and files of rows in both formats."""

from pathlib import Path
from typing import Any, NamedTuple

from ingestion import record
from pipelines.authoring import archives, snapshot, templates
from pipelines.records import generate

DAYS, HOURS = 20, 24
# Deliveries of a beer, on average.
REPEATS = 10
# Generated beers of which the rows are made.
KINDS = 20_000


class Files(NamedTuple):
    """Files of the same rows: their folder for each format."""

    csv: Path
    parquet: Path


def write(folder: Path, rows: int, files: int, seed: int = 1) -> Files:
    """Write `rows` rows into `files` files, named as Firehose names them, each beer about ten times."""
    import numpy
    import pyarrow.csv
    import pyarrow.parquet

    random, kinds = numpy.random.default_rng(seed), _kinds()
    made = Files(folder / "csv", folder / "parquet")
    for each in made:
        each.mkdir(parents=True)
    for number in range(files):
        table = _rows(random, kinds, rows // files, max(1, rows // REPEATS))
        day, hour, minute = number % DAYS, number // DAYS % HOURS, number // (DAYS * HOURS)
        stamp = f"2026-11-{1 + day:02d}-{hour:02d}-{minute:02d}-00"
        name = f"dt={stamp[:10]}/stream-1-{stamp}-{number:06d}"
        for path in (made.csv / f"{name}.csv", made.parquet / f"{name}.parquet"):
            path.parent.mkdir(exist_ok=True)
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
        pyarrow.csv.write_csv(table, made.csv / f"{name}.csv", options)
        pyarrow.parquet.write_table(table, made.parquet / f"{name}.parquet", compression="snappy")
    return made


def _rows(random: Any, kinds: Any, count: int, beers: int) -> Any:
    """Deliveries of any of `beers` beers: generated ones, with a number in their name."""
    import numpy
    import pyarrow
    import pyarrow.compute

    ids = random.integers(1, beers + 1, count)
    table = kinds.take(pyarrow.array(ids % len(kinds)))
    names = pyarrow.compute.binary_join_element_wise(
        table.column("name"), pyarrow.array(numpy.char.mod("%d", ids)), " "
    )
    return table.set_column(0, "id", pyarrow.array(ids)).set_column(1, "name", names)


def _kinds() -> Any:
    import pyarrow

    outcomes = [record.to_row(each.content) for each in generate.records(generate.Plan(KINDS))]
    columns = zip(*(each.row for each in outcomes if isinstance(each, record.Clean)), strict=True)
    types = {"integer": pyarrow.int64(), "text": pyarrow.string(), "number": pyarrow.float64()}
    arrays = [pyarrow.array(values, types[column.kind]) for column, values in zip(record.COLUMNS, columns, strict=True)]
    return pyarrow.table(arrays, list(record.NAMES))


def create(glue: Any, database: str, bucket: str) -> None:
    """Make the database and the tables of the template over a bucket."""
    glue.create_database(DatabaseInput={"Name": database})
    template = templates.load(archives.ROOT / "cloudformation" / "ingestion.yaml")
    for _, table in templates.resources(template, "Glue::Table"):
        glue.create_table(DatabaseName=database, TableInput=_filled(table["TableInput"], bucket))


def _filled(value: Any, bucket: str) -> Any:
    if isinstance(value, dict) and "Fn::Sub" not in value:
        return {key: _filled(item, bucket) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, bucket) for item in value]
    values = {"${DataBucket}": bucket, "${!dt}": "${dt}", "${ParquetSince}": "2026-01-01"}
    text = templates.text(value)
    for placeholder, filled in values.items():
        text = text.replace(placeholder, filled)
    return text


def statement(database: str, bucket: str, name: str) -> str:
    """The snapshot's SQL, as the state machine fills it in for all that was delivered in November 2026."""
    text = snapshot.unload()
    values = {"${GlueDatabase}": database, "${GlueTable}": "beers", "${ArtifactBucket}": bucket}
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text.format(*2 * (*2 * ("2026-11-01", "2026-11-30"), "2026-11-30-23-59-59"), name)
