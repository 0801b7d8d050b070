"""CPU seconds and memory of other processes, from /proc."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
GIGA = 1e9
SAMPLE_SECONDS = 0.1


def cpu_seconds(pid: int) -> float:
    """The CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def reset_peak(pid: int) -> None:
    """Begin a new measurement of a process's peak memory."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_gigabytes(pid: int) -> float:
    """The most memory that a process had since `reset_peak`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / GIGA for line in lines if line.startswith("VmHWM"))


class Peak:
    """The most memory of a process and its descendants together, sampled."""

    def __init__(self) -> None:
        self.gigabytes = 0.0


@contextmanager
def repeated(sample: Callable[[], None], every_seconds: float = SAMPLE_SECONDS) -> Iterator[None]:
    """Call a function again and again, in a thread, until the context ends."""
    ended = threading.Event()

    def sample_until_the_end() -> None:
        while not ended.wait(every_seconds):
            sample()

    thread = threading.Thread(target=sample_until_the_end, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def tree_peak(pid: int) -> Iterator[Peak]:
    """Sample a process and its descendants until the context ends."""
    peak = Peak()

    def sample() -> None:
        peak.gigabytes = max(peak.gigabytes, sum(map(_resident, _tree(pid))) * PAGE / GIGA)

    with repeated(sample):
        yield peak


def _tree(root: int) -> set[int]:
    parents: dict[int, int] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
