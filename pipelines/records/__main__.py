"""What became of an environment's records, in an account (or at AWS_ENDPOINT_URL).

    python -m pipelines.records ledger --env prod                  accepted = clean + dropped + failed, by reason
    python -m pipelines.records replay --env prod                  deliver failed records again, each once

The same as `python -m pipelines.local ledger` and `replay`, which ask the local endpoint. Give --since where much lies.
"""

import argparse
import json
import sys

from pipelines.account.clients import Clients
from pipelines.account.stacks import Stacks, environment
from pipelines.cli.arguments import Arguments
from pipelines.cli.errors import exit_code
from pipelines.records.commands import account, again, text


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


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command."""
    given = arguments().parse_args(argv)
    stacks = Stacks(Clients(region=given.region), environment(given.env))
    result = (account if given.command == "ledger" else again)(stacks, given.since)
    print(json.dumps(result) if given.json else text(given.command, result))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
