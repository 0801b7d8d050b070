"""All checks of a state machine."""

from collections.abc import Callable, Mapping

from pipelines.checks import Findings, asl, dataflow, findings, integrations
from pipelines.checks.asl import Machine


def _also_of_items(check: Callable[[Machine], Findings]) -> Callable[[Machine], Findings]:
    """A check of a machine and of the machines of its Maps."""

    def checked(machine: Machine) -> Findings:
        yield from check(machine)
        for _, inner in asl.processors(machine):
            yield from checked(inner)

    return checked


CHECKS: Mapping[str, Callable[[Machine], Findings]] = {
    each.__name__: _also_of_items(each)
    for each in (asl.fields, asl.transitions, asl.choices, asl.expressions, integrations.tasks)
} | {each.__name__: each for each in (asl.resilience, dataflow.references)}


def check(machine: Machine) -> list[str]:
    """Every finding about a state machine."""
    return [finding for each in CHECKS.values() for finding in findings(each(machine))]
