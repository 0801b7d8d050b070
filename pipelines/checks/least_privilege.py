"""Compare the permissions that each role needs with those that its template grants.

A missing permission is an error at run time; an unused one widens what an attacker can do. permissions_of_stacks.py,
permissions_of_state_machines.py and permissions_of_pipeline.py compute the needs.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from pipelines.authoring.templates import Grant, Template, below, grants, resources
from pipelines.checks import Findings
from pipelines.checks.permissions import Need

# Granted without a need, with the reason.
EXEMPT = {
    (role, "kms:GenerateDataKey"): "one policy gives the key to all roles of a stack; this one only decrypts"
    for role in ("TransformRole", "ParquetTransformRole")
}


def missing(needs: Iterable[Need], held: Iterable[Grant], role: str) -> Findings:
    """Needs that no grant covers, one result per need."""
    held = list(held)
    reasons: dict[tuple[str, str], list[str]] = {}
    for need in needs:
        reasons.setdefault((need.action, need.resource), []).append(need.why)
    for (action, resource), why in reasons.items():
        covered = any(_covers(grant, Need(action, resource, "")) for grant in held)
        yield [] if covered else [f"{role}: needs {action} on {resource} ({', '.join(dict.fromkeys(why))})"]


def needless(needs: Iterable[Need], held: Iterable[Grant], role: str) -> Findings:
    """Granted actions, resources and prefixes that no need covers; EXEMPT is left out."""
    needs = list(needs)
    for grant in held:
        on = ", ".join(grant.resources)
        for action in grant.actions:
            used = _is_used(grant._replace(actions=(action,)), needs) or (role, action) in EXEMPT
            yield [] if used else [f"{role}: nothing needs {action} on {on}"]
        if not _is_used(grant, needs):
            continue
        for resource in grant.resources:
            used = _is_used(grant._replace(resources=(resource,)), needs)
            yield [] if used else [f"{role}: nothing needs {resource} for {', '.join(grant.actions)}"]
        for prefix in grant.prefixes:
            used = _is_used(grant._replace(prefixes=(prefix,)), needs)
            yield [] if used else [f"{role}: nothing needs the prefix {prefix} of {on}"]


def _is_used(grant: Grant, needs: list[Need]) -> bool:
    return any(_covers(grant, need) for need in needs)


def _covers(grant: Grant, need: Need) -> bool:
    if need.action not in grant.actions:
        return False
    patterns = list(grant.resources)
    if need.action == "s3:ListBucket":
        seen = [below(bucket, prefix) for bucket in patterns for prefix in grant.prefixes or ("*",)]
        patterns = seen if grant.prefixes else patterns + seen
    return any(fnmatchcase(need.resource, pattern) for pattern in patterns)


def compare(template: Template, needs: Mapping[str, list[Need]]) -> Findings:
    """Missing and needless permissions of every role of a template. needs: role -> needs."""
    for role, _ in resources(template, "IAM::Role"):
        held = list(grants(template, role))
        yield from missing(needs.get(role, []), held, role)
        yield from needless(needs.get(role, []), held, role)
    roles = {name for name, _ in resources(template, "IAM::Role")}
    yield [f"{role}: no such role, yet something acts as it" for role in needs if role not in roles]
