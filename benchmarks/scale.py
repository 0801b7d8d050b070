"""What the latest row per beer costs as the table grows: `python -m benchmarks.scale [--rows N ...] [--files N ...]`.

The snapshot's SQL runs on the local Athena, over CSV and over Parquet, beside a raw columnar scan of the same files by
pyarrow and beside pandas, which reads and concatenates them. Compared is CPU time in the same run. The limits at 10^7
rows: 3.5 times the scan (CSV 2.6) within 1.5 GB, or 4.2 times (3.2) within 1.2 GB; exit code 1 beyond them.

Short by default; --full has 10^5 to 10^7 rows in 20 and 2,000 files. --chart FILE writes the figures as SVG.
benchmarks.chain measures the whole way from records to a model.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.support import chart, tables, usage
from localaws import endpoint as endpoints
from localaws.workspace import Workspace
from pipelines.account.clients import Clients

BUCKET, DATABASE = "scale", "scale"
FULL_ROWS, FULL_FILES = [10**5, 10**6, 10**7], [20, 2_000]
# Format -> (ratio to the scan, gigabytes), of which one pair has to hold.
LIMITS = {"csv": ((2.6, 1.5), (3.2, 1.2)), "parquet": ((3.5, 1.5), (4.2, 1.2))}
LIMITED_ROWS = 10**7
# Seldom, as the endpoint answers each poll with the CPU time that is measured.
POLL_SECONDS = 0.25
# Run in a process of their own with the folder as the argument; they print CPU seconds and gigabytes.
MEASURED = """
import resource, sys
{imports}
before = resource.getrusage(resource.RUSAGE_SELF)
{work}
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss * 1024 / 1e9)
"""
NAMES = "id,name,abv,ibu,target_fg,target_og,ebc,srm,ph"
SCAN = {
    "parquet": "form = 'parquet'",
    "csv": f"form = dataset.CsvFileFormat(read_options=csv.ReadOptions(column_names='{NAMES}'.split(',')))",
}
READ = {
    "parquet": "read = pandas.read_parquet",
    "csv": f"read = lambda path: pandas.read_csv(path, names='{NAMES}'.split(','))",
}


class Cost(NamedTuple):
    """cpu: seconds. peak: gigabytes."""

    cpu: float
    peak: float


class Case(NamedTuple):
    """One table, and what it costs to scan it, to take its snapshot, and to read it with pandas."""

    rows: int
    files: int
    form: str
    scan: Cost
    snapshot: Cost
    pandas: Cost

    @property
    def ratio(self) -> float:
        """The snapshot's CPU time as a multiple of the scan's."""
        return self.snapshot.cpu / self.scan.cpu

    @property
    def within(self) -> bool:
        """Whether it keeps a limit of its format, where there is one."""
        limits = LIMITS[self.form] if self.rows >= LIMITED_ROWS else ()
        return not limits or any(self.ratio <= ratio and self.snapshot.peak <= peak for ratio, peak in limits)


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**5, 10**6])
    parser.add_argument("--files", type=int, nargs="+", default=[20])
    parser.add_argument("--full", action="store_true", help="10^5 to 10^7 rows in 20 and 2,000 files")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="write the figures as SVG")
    given = parser.parse_args(argv)
    rows, files = (FULL_ROWS, FULL_FILES) if given.full else (given.rows, given.files)
    print(f"{'rows':>10} {'files':>6} {'format':<8} {'scan s':>7} {'snapshot s':>11} {'ratio':>6} {'GB':>5}", end="")
    print(f" {'pandas s':>9} {'GB':>5}")
    found = list(measured(rows, files))
    if given.chart:
        given.chart.write_text(chart.cost(found), encoding="utf-8")
    return int(not all(case.within for case in found))


def measured(rows: list[int], files: list[int]) -> Iterator[Case]:
    """Every case, printed as it is measured."""
    for count in rows:
        for number in files:
            with tempfile.TemporaryDirectory() as folder:
                made = tables.write(Path(folder) / "rows", count, number)
                for form in ("parquet", "csv"):
                    yield _case(Path(folder), made, count, number, form)


def _case(folder: Path, made: tables.Files, rows: int, files: int, form: str) -> Case:
    source = getattr(made, form)
    scan = _alone(
        "from pyarrow import csv, dataset",
        f"{SCAN[form]}\nsum(batch.num_rows for batch in dataset.dataset(sys.argv[1], format=form).to_batches())",
        source,
    )
    concat = f"{READ[form]}\nframe = pandas.concat([read(path) for path in sorted(Path(sys.argv[1]).rglob('*.*'))])"
    pandas = _alone("import pandas\nfrom pathlib import Path", concat, source)
    with endpoints.running(Workspace(folder / form), keep=False) as endpoint:
        case = Case(rows, files, form, scan, _snapshot(endpoint, source, form), pandas)
    print(f"{rows:>10,} {files:>6,} {form:<8} {scan.cpu:>7.2f} {case.snapshot.cpu:>11.2f} {case.ratio:>6.2f}", end=" ")
    print(
        f"{case.snapshot.peak:>5.2f} {pandas.cpu:>9.2f} {pandas.peak:>5.2f}{'' if case.within else '  over'}",
        flush=True,
    )
    return case


def _alone(imports: str, work: str, source: Path) -> Cost:
    code = MEASURED.format(imports=imports, work=work)
    done = subprocess.run([sys.executable, "-c", code, str(source)], check=True, capture_output=True, text=True)
    cpu, peak = map(float, done.stdout.split())
    return Cost(cpu, peak)


def _snapshot(endpoint: endpoints.Endpoint, source: Path, form: str) -> Cost:
    """Put the files under the table's prefix, and take the snapshot once the engine is imported."""
    clients = Clients(endpoint)
    clients.s3.create_bucket(Bucket=BUCKET)
    tables.create(clients.glue, DATABASE, BUCKET)
    prefix = "cleaned/" if form == "csv" else "cleaned/parquet/"
    for path in sorted(source.rglob("*.*")):
        clients.s3.put_object(Bucket=BUCKET, Key=f"{prefix}{path.relative_to(source)}", Body=path.read_bytes())
    # The first query imports the engine.
    _query(clients, f'SELECT count(*) FROM "{DATABASE}"."beers" WHERE dt = \'2026-10-01\'')
    usage.reset_peak(endpoint.pid)
    before = usage.cpu_seconds(endpoint.pid)
    _query(clients, tables.statement(DATABASE, BUCKET, "one"))
    return Cost(usage.cpu_seconds(endpoint.pid) - before, usage.peak_gigabytes(endpoint.pid))


def _query(clients: Clients, text: str) -> None:
    results = {"OutputLocation": f"s3://{BUCKET}/results/"}
    started = clients.athena.start_query_execution(QueryString=text, ResultConfiguration=results)
    while True:
        found: dict[str, Any] = clients.athena.get_query_execution(QueryExecutionId=started["QueryExecutionId"])
        status = found["QueryExecution"]["Status"]
        if status["State"] == "SUCCEEDED":
            return
        if status["State"] == "FAILED":
            sys.exit(f"the query failed: {status['StateChangeReason']}")
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
