"""The transform's speed relative to decoding alone, and the cost of its import.

    python -m benchmarks.transform

Floor: base64 and json.loads of the same records, which any transform in Python pays. Core: the answer to one record,
from base64 over the row to base64 again. Handler: the whole batch with its metrics. The records are bundled beers
with a text as long as the prose of the real API's answers (2.1 kB a record). CPU time, in fresh processes, for one
process differs from the next by up to a tenth; the median of their ratios counts.

Exit code 1 when the core is below 0.85 of the floor, or the import costs more than 20 ms of CPU over bare Python.
"""

import base64
import contextlib
import io
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIN_SHARE, MAX_IMPORT_MS = 0.85, 20.0
RECORDS, RECORD_BYTES = 500, 2100
PROCESSES, ROUNDS = 7, 25
IMPORTS = 15
ROOT = Path(__file__).parents[1]
CATALOGUE = ROOT / "pipelines" / "local" / "catalogue" / "beers.json"


def main() -> int:
    """Measure in processes of their own, print a table, and compare with the limits."""
    measured = [json.loads(run("-m", "benchmarks.transform", "--once")) for _ in range(PROCESSES)]
    median = {name: statistics.median(one[name] for one in measured) for name in measured[0]}
    bare, loaded = import_costs()
    print(f"{'':22}{'us a record':>12}{'of the floor':>14}")
    for name in ("floor", "core", "handler"):
        shares = [one["floor"] / one[name] for one in measured]
        print(
            f"{name:22}{median[name]:12.1f}{statistics.median(shares):14.2f}   {min(shares):.2f} .. {max(shares):.2f}"
        )
    share = statistics.median(one["floor"] / one["core"] for one in measured)
    print(f"{'import over bare':22}{loaded - bare:9.1f} ms   bare {bare:.1f} ms")
    passed = share >= MIN_SHARE and loaded - bare <= MAX_IMPORT_MS
    print(f"core at least {MIN_SHARE} of the floor, import at most {MAX_IMPORT_MS:.0f} ms: {'yes' if passed else 'NO'}")
    return 0 if passed else 1


def run(*arguments: str) -> bytes:
    """What a fresh Python prints."""
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def measure_once() -> dict[str, float]:
    """The least CPU time of floor, core and handler over alternating rounds, in microseconds a record."""
    from ingestion import clean, record

    event = {"records": [{"recordId": f"{number:056d}", "data": data} for number, data in enumerate(encoded_records())]}

    def floor() -> None:
        for entry in event["records"]:
            json.loads(base64.b64decode(entry["data"]))

    def core() -> None:
        for entry in event["records"]:
            clean.transform(entry, record.to_csv)

    def handler() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            clean.handler(event)

    functions: dict[str, Callable[[], None]] = {"floor": floor, "core": core, "handler": handler}
    least = dict.fromkeys(functions, float("inf"))
    for _ in range(ROUNDS):
        for name, function in functions.items():
            start = time.process_time()
            function()
            least[name] = min(least[name], (time.process_time() - start) / RECORDS * 1e6)
    return least


def encoded_records() -> list[str]:
    """RECORDS beers as Firehose hands them over, each filled up to RECORD_BYTES where it is shorter."""
    beers = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    return [encode(beers[number % len(beers)]) for number in range(RECORDS)]


def encode(beer: dict[str, Any]) -> str:
    """One record: compact JSON, as the collector writes it."""
    prose = "A light, crisp and bitter ale. " * 70
    bare = len(json.dumps({**beer, "description": ""}, separators=(",", ":")))
    filled = {**beer, "description": prose[: max(0, RECORD_BYTES - bare)]}
    return base64.b64encode((json.dumps(filled, ensure_ascii=False, separators=(",", ":")) + "\n").encode()).decode()


def import_costs() -> tuple[float, float]:
    """The median CPU milliseconds of a Python that does nothing, and of one that imports the transform."""
    costs: dict[str, list[float]] = {"pass": [], "import ingestion.clean": []}
    for _ in range(IMPORTS):
        for script, seconds in costs.items():
            before = children_seconds()
            run("-c", script)
            seconds.append((children_seconds() - before) * 1000)
    bare, loaded = map(statistics.median, costs.values())
    return bare, loaded


def children_seconds() -> float:
    """The CPU time of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    if sys.argv[1:] == ["--once"]:
        print(json.dumps(measure_once()))
    else:
        sys.exit(main())
