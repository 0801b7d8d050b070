"""Check what would be deployed, without AWS: `python -m pipelines.checks [--evaluation FILE]`.

Prints a line for each check with the number of items it examined, then its findings. Exit codes: 0 no findings,
1 findings, 2 wrong usage, 3 no such evaluation. With an evaluation.json of a run, the figures that conditions read
are resolved from it.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from localaws.errors import NOT_FOUND, ExpectedError, exit_code
from pipelines.checks import Findings, artefacts, asl, definition, guarded, integrations, least_privilege
from pipelines.checks import state_machine as all_of_machine
from pipelines.checks.artefacts import Artefacts
from pipelines.checks.values import scope


def checks(found: Artefacts, evaluation: Mapping[str, Any]) -> Iterator[tuple[str, Findings]]:
    """(name, results) of every check. evaluation: a sample of evaluation.json, or {}."""
    seen = scope(found.definition, evaluation)
    for name, of_definition in definition.CHECKS.items():
        yield f"definition: {name}", of_definition(found.definition, seen)
    for machine_name, machine in found.machines.items():
        for name, of_machine in all_of_machine.CHECKS.items():
            yield f"{machine_name}: {name}", of_machine(machine)
        declared = [each["Name"] for each in found.definition["Parameters"]]
        if any(map(integrations.passed_parameters, machine["States"].values())):
            yield f"{machine_name}: pipeline_parameters", integrations.pipeline_parameters(machine, declared)
    for template_name, template in found.templates.items():
        for machine_name, properties in artefacts.machines_of(template):
            filled_in = set(properties.get("DefinitionSubstitutions", {}))
            yield f"{machine_name}: placeholders", asl.placeholders(found.machines[machine_name], filled_in)
        yield f"{template_name}: rights", least_privilege.compare(template, artefacts.needs(found, template))


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.checks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--evaluation", type=Path, metavar="FILE", help="an evaluation.json that a run has made")
    given = parser.parse_args(argv)
    evaluation = read(given.evaluation) if given.evaluation else {}
    found: list[str] = []
    for name, results in checks(artefacts.all_of_them(), evaluation):
        findings = list(guarded(results))
        wrong = [f"{name}: {finding}" for each in findings for finding in each]
        print(f"{name:<32}{len(findings):>5} checked{f', {len(wrong)} wrong' if wrong else ''}")
        found += wrong
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


def read(path: Path) -> dict[str, Any]:
    """An evaluation; raises ExpectedError where there is none."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        hint = "give an evaluation.json that a run has written, or leave --evaluation out"
        raise ExpectedError(f"no evaluation: {error}", where=str(path), hint=hint, code=NOT_FOUND) from None
    return dict(content)


if __name__ == "__main__":
    sys.exit(exit_code(main))
