"""Run a fuzz target for some seconds in a process of its own; print its speed and its findings.

The corpus grows under .cache/fuzz/<name>/corpus and is used again; an input that breaks a target is stored under
.cache/fuzz/<name>/findings, and handing its path to the target (`--replay FILE`) shows the failure.
"""

import argparse
import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "fuzz"
# The longest input that is made up; real records have 1 to 3 kB.
MAX_BYTES = 4096

Target = Callable[[bytes], None]


def main(name: str, target: Target, seeds: Iterable[bytes], words: Iterable[bytes]) -> int:
    """The command of one target: 0 when nothing was found, 1 when something was, 5 without atheris.

    target raises on what must not be. seeds: inputs to begin with. words: tokens that inputs are made of.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.fuzz.{name}")
    parser.add_argument("--seconds", type=int, default=60, help="how long to fuzz")
    parser.add_argument("--replay", type=Path, help="run one input, for example a finding, and nothing else")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments, engine = parser.parse_known_args()
    if arguments.replay:
        target(arguments.replay.read_bytes())
        return 0
    if arguments.work:
        return _work(target, engine)
    return _supervise(name, arguments.seconds, seeds, words)


def _work(target: Target, engine: list[str]) -> int:
    """Fuzz in this process; libFuzzer ends it."""
    import atheris

    # The targets' own prints are no news.
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        atheris.Setup([sys.argv[0], *engine], target)
        atheris.Fuzz()
    return 0


def _supervise(name: str, seconds: int, seeds: Iterable[bytes], words: Iterable[bytes]) -> int:
    folder = CACHE / name
    corpus, findings = folder / "corpus", folder / "findings"
    for path in (corpus, findings):
        path.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    begun = time.time()
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as dictionary:
        dictionary.writelines(f'"{_escape(word)}"\n' for word in words)
        dictionary.flush()
        options = [f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", f"-dict={dictionary.name}"]
        engine = [*options, f"-artifact_prefix={findings}/", "-timeout=10", str(corpus)]
        command = [sys.executable, "-m", f"tests.fuzz.{name}", "--work", *engine]
        done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    if "No module named 'atheris'" in done.stderr:
        lines = ("Error: atheris is not installed", f"Where: {sys.executable}", "Try: pip install -e '.[fuzz]'")
        print(*lines, sep="\n", file=sys.stderr)
        return 5
    found = [path for path in findings.iterdir() if path.stat().st_mtime >= begun]
    finished = re.search(r"Done (\d+) runs? in (\d+) second", done.stderr)
    if finished:
        inputs, spent = map(int, finished.groups())
        print(f"{name}: {inputs:,} inputs in {spent} s, {inputs // max(spent, 1):,} a second, {len(found)} findings")
    if found or not finished:
        print(done.stderr[-4000:], *(f"finding: {path}" for path in found), sep="\n", file=sys.stderr)
        return 1
    return 0


def _escape(word: bytes) -> str:
    """A word as libFuzzer's dictionaries spell it."""
    return "".join(chr(byte) if 32 < byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word)
