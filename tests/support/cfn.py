"""The project's templates, and how the rules read them."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.authoring import templates
from pipelines.authoring.templates import Template, branches, parse, resources, text, texts

__all__ = [
    "Template",
    "actions",
    "alarms",
    "branches",
    "conditions",
    "grants",
    "load",
    "parse",
    "references",
    "resources",
    "services",
    "text",
    "texts",
    "walk",
]

FOLDER = Path(__file__).parents[2] / "cloudformation"
NAMES = ("artifacts", "ingestion", "pipelines", "deployment", "warehouse")
# Also what is not one of an environment's stacks.
ALL = (*NAMES, "github", "github-warehouse")
# The service authorization reference, which cfn-lint brings along; importing it takes half a second of each worker.
POLICIES = Path(str(find_spec("cfnlint").origin)).parent / "data/AdditionalSpecs/Policies.json"  # type: ignore[union-attr]


def load(name: str) -> Template:
    """One of the project's templates, by a name of ALL."""
    return templates.load(FOLDER / f"{name}.yaml")


def walk(value: Any) -> Iterator[Any]:
    """`value` and all that it holds, at any depth."""
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(child)


def references(value: Any) -> set[str]:
    """Logical ids and parameters that `value` refers to by Ref or Fn::GetAtt."""
    found = set()
    for node in walk(value):
        match node:
            case {"Ref": name} | {"Fn::GetAtt": [name, _]}:
                found.add(name)
    return found


def grants(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every Allow statement of an IAM policy, with the logical id of the role or policy it stands in."""
    for name, role in resources(template, "IAM::Role"):
        for policy in role.get("Policies", []):
            yield from ((name, each) for each in policy["PolicyDocument"]["Statement"])
    for name, policy in resources(template, "IAM::ManagedPolicy", "IAM::Policy"):
        # A permissions boundary is attached to no role, and grants nothing.
        if "Roles" not in policy:
            continue
        yield from ((name, each) for each in policy["PolicyDocument"]["Statement"])


def services(template: Template) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(logical id, service, statement) for every service that a role or a resource's own policy admits."""
    for name, properties in resources(
        template, "IAM::Role", "KMS::Key", "S3::BucketPolicy", "SNS::TopicPolicy", "SQS::QueuePolicy"
    ):
        document = (
            properties.get("AssumeRolePolicyDocument") or properties.get("KeyPolicy") or properties["PolicyDocument"]
        )
        for statement in document["Statement"]:
            principal = statement.get("Principal")
            if isinstance(principal, dict):
                yield from ((name, service, statement) for service in texts(principal.get("Service", [])))


def conditions(statement: dict[str, Any]) -> dict[str, list[str]]:
    """Condition keys of a statement and the values they are compared with, whatever the operator."""
    return {
        key: texts(wanted)
        for comparison in statement.get("Condition", {}).values()
        for key, wanted in comparison.items()
    }


def actions(statement: dict[str, Any]) -> list[str]:
    return texts(statement["Action"])


def alarms(template: Template) -> Iterator[tuple[str, str, set[str]]]:
    """(namespace, metric, logical ids in the dimensions) of every alarm."""
    for _, alarm in resources(template, "CloudWatch::Alarm"):
        yield alarm["Namespace"], alarm["MetricName"], references(alarm["Dimensions"])
