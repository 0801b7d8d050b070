"""The sub-commands on an environment's records, as `pipelines.records` and `pipelines.local` run and print them."""

import argparse
import datetime
from collections import Counter
from pathlib import Path

from pipelines.account.clients import aws_errors
from pipelines.account.stacks import Stacks
from pipelines.cli.output import Document
from pipelines.cli.progress import Progress
from pipelines.records import arrivals, backfill, ledger, loading, replay
from pipelines.records.failures import failed_objects
from pipelines.records.objects import Objects

# The characters of a failed record that its line shows; --json has all of them.
SHOWN = 160

HELP = {
    "ledger": "the outcome of every record: accepted = clean + dropped + failed; exit code 1 for a difference",
    "replay": "deliver failed records again, each once, after the cause is fixed",
    "failed": "the failed records: why each failed, and its content",
    "load": "load FILE, or what has landed and is not loaded yet: JSON lines, CSV, JSON lists, gzip",
    "backfill": "put every page of the API on the stream, several at a time",
}


def add_flags(name: str, command: argparse.ArgumentParser) -> None:
    """The flags of a sub-command of HELP."""
    if name == "load":
        file = command.add_mutually_exclusive_group()
        file.add_argument("path", nargs="?", type=Path, metavar="FILE", help="put this file under landing/ first")
        file.add_argument("--file", type=Path, metavar="FILE", help="the same")
        return
    if name == "backfill":
        command.add_argument("--page", type=int, default=1, metavar="N", help="the first page (1)")
        return
    command.add_argument(
        "--since", type=day, metavar="YYYY-MM-DD", help="only records delivered from that day on (UTC)"
    )
    if name == "failed":
        command.add_argument("--limit", type=int, default=20, metavar="N", help="at most N records of each reason (20)")


def day(text: str) -> str:
    """A date as --since takes it; argparse reports another text as wrong usage."""
    try:
        return datetime.date.fromisoformat(text).strftime("%Y-%m-%d")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2026-11-20") from None


def run(name: str, stacks: Stacks, given: argparse.Namespace) -> Document:
    """Run a sub-command of HELP."""
    if name == "ledger":
        return account(stacks, given.since)
    if name == "load":
        return load(stacks, given.file or given.path)
    if name == "backfill":
        return backfill.run(stacks, given.page)
    return again(stacks, given.since) if name == "replay" else failed(stacks, given.since, given.limit)


def account(stacks: Stacks, since: str | None) -> Document:
    """The ledger of an environment's data bucket, and how many records came before the delivery began."""
    with aws_errors("reading the delivered records"):
        found = ledger.ledger(stacks.clients.s3, stacks.output("ingestion", "DataBucket"), since)
        return {**found, "before_delivery": arrivals.before_delivery(stacks)}


def again(stacks: Stacks, since: str | None) -> Document:
    """Replay an environment's failed records."""
    bucket, transform = stacks.output("ingestion", "DataBucket"), stacks.output("ingestion", "TransformName")
    with aws_errors("delivering failed records again"):
        return replay.replay(stacks.clients.s3, stacks.clients["lambda"], bucket, transform, since)


def load(stacks: Stacks, path: Path | None) -> Document:
    """Put `path` under landing/ and follow its loading, or without one load what has landed; {"files": [counts]}."""
    with aws_errors("loading the files under landing/"), Progress().step("load") as step:
        files = loading.load(stacks, path, step.update)
        step.update(f"{len(files)} files, {sum(each['records'] for each in files):,} records")
    return {"files": files}


def failed(stacks: Stacks, since: str | None, limit: int) -> Document:
    """The failed records of an environment, at most `limit` of each reason, and how many there are of each."""
    counts: Counter[str] = Counter()
    records: list[Document] = []
    with aws_errors("reading the failed records"):
        objects = Objects(stacks.clients.s3, stacks.output("ingestion", "DataBucket"), since)
        for key, _, failures in failed_objects(objects):
            for failure in failures:
                counts[failure.reason] += 1
                if counts[failure.reason] <= limit:
                    records.append(
                        {
                            "reason": failure.reason,
                            "code": failure.code,
                            "message": failure.message,
                            "arrived": failure.arrival.isoformat(timespec="seconds"),
                            "object": key,
                            "record": failure.record.decode(errors="backslashreplace"),
                        }
                    )
    return {"failed": dict(counts.most_common()), "records": records, "foreign": objects.foreign}


def exit_code(name: str, result: Document) -> int:
    """0; 1 for a ledger with a difference and for a file that was refused."""
    refused = name in ("load", "collect") and any(each["refused"] for each in result.get("files", []))
    return 1 if refused or (name == "ledger" and not ledger.balanced(result)) else 0


def text(name: str, result: Document) -> str:
    """A result for people."""
    if name == "ledger":
        return ledger.render(result)
    if name == "load":
        return _loaded_text(result["files"])
    if name == "backfill":
        return f"{result['sent']:,} beers of {result['pages']:,} pages are on the stream, {result['refused']:,} refused"
    foreign = ledger.foreign_lines(result["foreign"])
    if name == "failed":
        return "\n".join([*_failed_lines(result), *foreign])
    again = [f"  {count:>9,} {reason}" for reason, count in result["failed"].items()]
    lines = [f"clean   {result['clean']:>11,}", f"dropped {result['dropped']:>11,}"]
    return "\n".join([*lines, "failed again" + ("" if again else "         none"), *again, *foreign])


def _loaded_text(files: list[Document]) -> str:
    lines = []
    for each in files:
        counts = ", ".join(f"{each[name]:,} {name}" for name in ("clean", "dropped", "failed", "repeated"))
        lines.append(f"{each['file']}: {each['records']:,} records = {counts}")
        lines += [f"  refused: {each['refused']}"] if each["refused"] else []
    return "\n".join(lines) or "nothing new has landed"


def _failed_lines(result: Document) -> list[str]:
    if not result["failed"]:
        return ["no record has failed"]
    lines = []
    for reason, count in result["failed"].items():
        shown = [each for each in result["records"] if each["reason"] == reason]
        more = f", the first {len(shown)}" if len(shown) < count else ""
        lines.append(f"{count:,} {reason}{more}")
        for each in shown:
            content = " ".join(each["record"].split())
            lines.append(f"  {each['arrived'][:19]}  {content[:SHOWN]}{'...' if len(content) > SHOWN else ''}")
    return lines
