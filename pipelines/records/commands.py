"""The ledger and the replay of an environment, as `pipelines.records` and `pipelines.local` run and print them."""

from pipelines.account.clients import aws_errors
from pipelines.account.stacks import Stacks
from pipelines.cli.output import Document
from pipelines.records import ledger, replay


def account(stacks: Stacks, since: str | None) -> Document:
    """The ledger of an environment's data bucket."""
    with aws_errors("reading the delivered records"):
        return ledger.ledger(stacks.clients.s3, stacks.output("ingestion", "DataBucket"), since)


def again(stacks: Stacks, since: str | None) -> Document:
    """Replay an environment's failed records."""
    bucket, transform = stacks.output("ingestion", "DataBucket"), stacks.output("ingestion", "TransformName")
    with aws_errors("delivering failed records again"):
        return replay.replay(stacks.clients.s3, stacks.clients["lambda"], bucket, transform, since)


def text(command: str, result: Document) -> str:
    """A result for people."""
    if command == "ledger":
        return ledger.render(result)
    failed = "".join(f"\n  {count:>9,} {reason}" for reason, count in result["failed"].items())
    return f"clean   {result['clean']:>11,}\ndropped {result['dropped']:>11,}\nfailed again{failed or '         none'}"
