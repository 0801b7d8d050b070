"""Where the time of a local run goes: `python -m benchmarks.stages`.

Runs the whole chain three times, each from an empty workspace, and prints the median of each stage. The limit is
10 s for the whole on two cores; exit code 1 when the median is over it. A first, uncounted run warms the disk. The
last lines are bare imports in the same minute: the speed of the machine, and time that is not this project's code.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_SECONDS = 10.0
ROUNDS = 3
IMPORTS = {"(SDK)": "import sagemaker.workflow.pipeline", "(model)": "import sklearn.tree"}


def main() -> int:
    """Measure and print."""
    one_run()
    runs = [one_run() for _ in range(ROUNDS)]
    totals = [total for total, _ in runs]
    print(f"{'stage':<12} {'median s':>9} {'least':>7} {'most':>7}")
    for name in runs[0][1]:
        seconds = [stages[name] for _, stages in runs]
        print(f"{name:<12} {statistics.median(seconds):>9.2f} {min(seconds):>7.2f} {max(seconds):>7.2f}")
    median = statistics.median(totals)
    print(f"{'whole':<12} {median:>9.2f} {min(totals):>7.2f} {max(totals):>7.2f}   limit {LIMIT_SECONDS:g} s")
    for name, statement in IMPORTS.items():
        seconds = [importing(statement) for _ in range(ROUNDS)]
        print(f"{name:<12} {statistics.median(seconds):>9.2f} {min(seconds):>7.2f} {max(seconds):>7.2f}   {statement}")
    return int(median > LIMIT_SECONDS)


def importing(statement: str) -> float:
    """Seconds that a new interpreter takes for an import."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", statement], check=True, capture_output=True)
    return time.monotonic() - began


def one_run() -> tuple[float, dict[str, float]]:
    """(seconds of the whole, seconds of each stage and step) of a run in an empty workspace."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.run", "--local", "--json", "--workspace", str(Path(folder) / "w")],
            capture_output=True,
            text=True,
        )
    if done.returncode:
        sys.exit(f"the run failed:\n{done.stderr}")
    result = json.loads(done.stdout)
    lines = [line.split() for line in done.stderr.splitlines() if line.startswith("✓")]
    stages = {words[1]: float(words[2]) for words in lines}
    stages |= {f"  {step['name']}": step["seconds"] for step in result["execution"]["steps"]}
    return result["seconds"], stages


if __name__ == "__main__":
    sys.exit(main())
