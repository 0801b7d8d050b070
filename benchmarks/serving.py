"""Requests to a served model beside calls of the model in this process, and a second approval under load.

    python -m benchmarks.serving [--requests 10000]

The pipeline's own model is trained on the bundled beers, registered, approved and served by the local endpoint. One
row: JSON of one beer over a connection that stays open. 1,000 rows: one request with so many beers. Both are measured
alternately with the same call of inference.py in this process. Then a second version is approved while requests go on,
and taken back.

Exit code 1 when a one-row request takes more than 10 ms at the 99th percentile, any request fails, or the rollback
takes more than 5 s.
"""

import argparse
import importlib
import io
import itertools
import json
import statistics
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from localaws import endpoint as endpoints
from localaws.workspace import Workspace
from pipelines.account import decisions, predictions, releases, s3
from pipelines.account.clients import Clients
from pipelines.account.model_packages import APPROVED
from pipelines.account.serving import Serving
from pipelines.account.stacks import Stacks, environment
from pipelines.cli.progress import Progress
from pipelines.local import chain

MAX_P99_MS, MAX_BACK_S = 10.0, 5.0
REQUESTS, WARM_UP = 1000, 20
# Requests of so many rows.
ROWS, BATCHES = 1000, 30
THREADS = 4
JSON = "application/json"
CATALOGUE = Path(__file__).parents[1] / "pipelines/local/catalogue/beers.json"


class Ready(NamedTuple):
    """A version that serves: the environment, its endpoint's name, and the artifact's functions in this process."""

    serving: Serving
    endpoint: str
    answer: Callable[[str], str]


class Measured(NamedTuple):
    """Milliseconds of requests of one row and of ROWS rows by place; the second approval; seconds of the rollback."""

    one: dict[str, list[float]]
    many: dict[str, list[float]]
    failed: list[str]
    answers: Counter[int]
    back: float


def main() -> int:
    """Measure, print, and compare with the limits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000, help="requests during the second approval (10000)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), given.requests)
    print(f"{'one row':22}{'p50 ms':>9}{'p99 ms':>9}")
    for name, milliseconds in found.one.items():
        print(f"  {name:20}{percentile(milliseconds, 50):9.2f}{percentile(milliseconds, 99):9.2f}")
    print(f"{f'{ROWS:,} rows':22}{'rows/s':>9}")
    for name, milliseconds in found.many.items():
        print(f"  {name:20}{1000 * ROWS / statistics.median(milliseconds):9.0f}")
    by_version = ", ".join(f"{count} by version {version}" for version, count in sorted(found.answers.items()))
    print(f"requests during the second approval: {by_version}; {len(found.failed)} failed {found.failed[:1]}")
    print(f"rollback to version 1: {found.back:.1f} s")
    fast = percentile(found.one["served"], 99) <= MAX_P99_MS and found.back <= MAX_BACK_S
    passed = fast and not found.failed and len(found.answers) == 2
    limits = f"one row at most {MAX_P99_MS:g} ms at p99, no failed request, rollback within {MAX_BACK_S:g} s"
    print(f"{limits}: {'yes' if passed else 'NO'}")
    return 0 if passed else 1


def measured(folder: Path, requests: int) -> Measured:
    """Run the whole chain in a workspace of its own and measure."""
    workspace = Workspace(folder / "workspace")
    try:
        chain.run(workspace, catalogue=None, keep=True, port=0, progress=Progress())
        clients = Clients(endpoints.require(workspace))
        ready = served(Serving(Stacks(clients, environment("dev"))), folder / "model")
        one, many = compared(ready, 1, REQUESTS), compared(ready, ROWS, BATCHES)
        failed, answers = approval_under_load(ready.serving, requests)
        began = time.perf_counter()
        decisions.rollback(ready.serving, "", lambda text: None)
        return Measured(one, many, failed, answers, time.perf_counter() - began)
    finally:
        endpoints.stop(workspace)


def served(serving: Serving, folder: Path) -> Ready:
    """Approve version 1, and load it here too. folder: for the model of this process."""
    decisions.decide(serving, 1, APPROVED, "", lambda text: None)
    artifact = s3.read(serving.clients, releases.model_uri(serving.registry.package(1)))
    with tarfile.open(fileobj=io.BytesIO(artifact)) as archive:
        archive.extractall(folder, filter="data")
    sys.path.insert(0, str(folder / "code"))
    code = importlib.import_module("inference")
    model = code.model_fn(str(folder))

    def answer(body: str) -> str:
        content: str = code.output_fn(code.predict_fn(code.input_fn(body, JSON), model), JSON)[0]
        return content

    return Ready(serving, serving.endpoint(), answer)


def compared(ready: Ready, rows: int, times: int) -> dict[str, list[float]]:
    """Milliseconds of so many requests of so many rows, served and in this process, alternately."""
    body = json.dumps({"instances": list(itertools.islice(itertools.cycle(beers()), rows))})
    calls = {"served": lambda: invoke(ready, body), "in this process": lambda: ready.answer(body)}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(times + WARM_UP):
        for name, call in calls.items():
            began = time.perf_counter()
            answer = call()
            took = 1000 * (time.perf_counter() - began)
            if number >= WARM_UP:
                seconds[name].append(took)
            assert len(json.loads(answer)["predictions"]) == rows
    return seconds


def beers() -> list[dict[str, Any]]:
    """The bundled beers as a client sends them."""
    names = ("name", "abv", "target_fg", "target_og", "ebc", "srm", "ph")
    return [{name: each[name] for name in names} for each in json.loads(CATALOGUE.read_text(encoding="utf-8"))]


def invoke(ready: Ready, body: str) -> str:
    """The endpoint's answer."""
    answered = ready.serving.clients["sagemaker-runtime"].invoke_endpoint(
        EndpointName=ready.endpoint, ContentType=JSON, Accept=JSON, Body=body
    )
    content: str = answered["Body"].read().decode()
    return content


def approval_under_load(serving: Serving, requests: int) -> tuple[list[str], Counter[int]]:
    """Approve a copy of version 1 while requests go on; (failures, answers by version)."""
    package = serving.registry.package(1)
    members = ("ModelPackageGroupName", "InferenceSpecification", "ModelMetrics", "CustomerMetadataProperties")
    copied = {name: package[name] for name in members}
    metadata = copied["CustomerMetadataProperties"]
    copied["CustomerMetadataProperties"] = {
        name: value for name, value in metadata.items() if not name.startswith("Deployment")
    }
    serving.clients.sagemaker.create_model_package(**copied)
    answers: Counter[int] = Counter()
    failed: list[str] = []
    left, lock = itertools.count(), threading.Lock()

    def send() -> None:
        while next(left) < requests:
            try:
                answer = predictions.predict(serving, [["abv"], ["6.7"]])
            except Exception as error:
                failed.append(str(error))
                continue
            with lock:
                answers[answer["model_version"]] += 1

    threads = [threading.Thread(target=send) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    decisions.decide(serving, 2, APPROVED, "", lambda text: None)
    for thread in threads:
        thread.join()
    return failed, answers


def percentile(values: list[float], share: int) -> float:
    """The value below which `share` percent lie."""
    return statistics.quantiles(values, n=100)[share - 1]


if __name__ == "__main__":
    sys.exit(main())
