"""The outcome of an environment's records, in an account (or at AWS_ENDPOINT_URL).

    python -m pipelines.records ledger --env prod      accepted = clean + dropped + failed, by reason
    python -m pipelines.records failed --env prod      which records failed, why, and their content
    python -m pipelines.records replay --env prod      deliver failed records again, each once
    python -m pipelines.records load FILE --env prod   load a file of beers; without FILE what has landed
    python -m pipelines.records backfill --env prod    put the API's whole catalogue on the stream
    python -m pipelines.records generate --count 1000  beers by brewing formulas; needs no account

`python -m pipelines.local` has the same commands for the local endpoint.
"""

import argparse
import json
import sys

from localaws.arguments import Arguments
from localaws.errors import exit_code
from pipelines.account.clients import Clients
from pipelines.account.stacks import Stacks, environment
from pipelines.cli.arguments import add_account_flags, add_json_flag, target_flags
from pipelines.records import commands, generate


def arguments() -> Arguments:
    """The sub-commands and their flags."""
    parser = Arguments(
        prog="python -m pipelines.records", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Arguments)
    for name, summary in commands.HELP.items():
        command = names.add_parser(name, help=summary, description=summary)
        commands.add_flags(name, command)
        add_account_flags(command)
        add_json_flag(command)
    summary = "write plausible beers as JSON lines, seeded, with any share of defects"
    generated = names.add_parser("generate", help=summary, description=summary)
    generate.add_flags(generated)
    add_json_flag(generated)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command."""
    given = arguments().parse_args(argv)
    if given.command == "generate":
        result = generate.run(given)
        print(json.dumps(result) if given.json else generate.text(result), file=None if given.out else sys.stderr)
        return 0
    clients = Clients(region=given.region)
    clients.flags = target_flags(given)
    result = commands.run(given.command, Stacks(clients, environment(given.env or "dev")), given)
    print(json.dumps(result) if given.json else commands.text(given.command, result))
    return commands.exit_code(given.command, result)


if __name__ == "__main__":
    sys.exit(exit_code(main))
