"""All checks of a state machine."""

from collections.abc import Callable, Mapping

from pipelines.checks import Findings, asl, dataflow, findings, integrations
from pipelines.checks.asl import Machine

CHECKS: Mapping[str, Callable[[Machine], Findings]] = {
    each.__name__: each
    for each in (
        asl.fields,
        asl.transitions,
        asl.choices,
        asl.expressions,
        asl.resilience,
        integrations.tasks,
        dataflow.references,
    )
}


def check(machine: Machine) -> list[str]:
    """Every finding about a state machine."""
    return [finding for each in CHECKS.values() for finding in findings(each(machine))]
