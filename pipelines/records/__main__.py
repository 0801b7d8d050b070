"""What became of an environment's records, in an account (or at AWS_ENDPOINT_URL).

    python -m pipelines.records ledger --env prod                  accepted = clean + dropped + failed, by reason
    python -m pipelines.records replay --env prod                  deliver failed records again, each once

The same as `python -m pipelines.local ledger` and `replay`, which ask the local endpoint. Give --since where much lies.
"""

import argparse
import json
import sys
from typing import Any

from localaws.errors import exit_code
from pipelines.account.clients import Clients, explained
from pipelines.account.stacks import Stacks, environment
from pipelines.records import ledger, replay
from pipelines.run import Arguments

Document = dict[str, Any]


def arguments() -> Arguments:
    """The sub-commands and their flags."""
    parser = Arguments(
        prog="python -m pipelines.records", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Arguments)
    for name, summary in (
        ("ledger", "What became of every record: accepted = clean + dropped + failed."),
        ("replay", "Deliver failed records again, each once, after what failed them was mended."),
    ):
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--env", default="dev", help="dev, staging or prod (default: dev)")
        command.add_argument("--region", help="AWS region (default: the configured one)")
        command.add_argument("--since", metavar="YYYY-MM-DD", help="only what was delivered from that day on (UTC)")
        command.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser


def account(stacks: Stacks, since: str | None) -> Document:
    """The ledger of an environment's data bucket."""
    with explained("reading the delivered records"):
        return ledger.ledger(stacks.clients.s3, stacks.output("ingestion", "DataBucket"), since)


def again(stacks: Stacks, since: str | None) -> Document:
    """Replay an environment's failed records."""
    bucket, transform = stacks.output("ingestion", "DataBucket"), stacks.output("ingestion", "TransformName")
    with explained("delivering failed records again"):
        return replay.replay(stacks.clients.s3, stacks.clients["lambda"], bucket, transform, since)


def text(command: str, result: Document) -> str:
    """A result for people."""
    if command == "ledger":
        return ledger.render(result)
    failed = "".join(f"\n  {count:>9,} {reason}" for reason, count in result["failed"].items())
    return f"clean   {result['clean']:>11,}\ndropped {result['dropped']:>11,}\nfailed again{failed or '         none'}"


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command."""
    given = arguments().parse_args(argv)
    stacks = Stacks(Clients(region=given.region), environment(given.env))
    result = (account if given.command == "ledger" else again)(stacks, given.since)
    print(json.dumps(result) if given.json else text(given.command, result))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
