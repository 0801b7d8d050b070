"""CloudFormation templates as Python values: a loader, and the few ways in which rules look at a template.

A short intrinsic becomes its long form (`!Ref Topic` -> `{"Ref": "Topic"}`), so that a template is plain
dicts, lists and scalars that can be compared, copied and spoiled.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent.parent / "cloudformation"
NAMES = ("artifacts", "ingestion", "pipelines")
# Also what is not one of an environment's stacks.
ALL = (*NAMES, "github")

Template = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML as CloudFormation takes it: with intrinsics, without aliases, without the same key twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"CloudFormation refuses aliases: {self.peek_event().start_mark}")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise yaml.YAMLError(f"a key is there twice: {node.start_mark}")
        return mapping


def _intrinsic(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _intrinsic)
# A date would become an object; templates hold text.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))


def parse(text: str) -> Template:
    """The template in `text`; raises yaml.YAMLError where CloudFormation would refuse the YAML."""
    template: Template = yaml.load(text, _Loader)
    return template


def load(name: str) -> Template:
    """One of the project's templates, by a name of ALL."""
    return parse((FOLDER / f"{name}.yaml").read_text())


def resources(template: Template, *types: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Logical ids and properties of the resources whose type ends in one of `types` (`Lambda::Function`)."""
    for name, resource in template["Resources"].items():
        if resource["Type"].removeprefix("AWS::") in types:
            yield name, resource.get("Properties", {})


def text(value: Any) -> str:
    """`value` in the notation of Fn::Sub: `{"Ref": "Topic"}` is `${Topic}`; a literal is itself."""
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Sub": str(pattern)}:
            return pattern
        case _:
            return str(value)


def texts(value: Any) -> list[str]:
    """`text` of each element; a value alone counts as a list of one."""
    return [text(element) for element in (value if isinstance(value, list) else [value])]


def branches(value: Any) -> list[Any]:
    """What `value` may be: both branches of Fn::If (AWS::NoValue left out), or itself."""
    match value:
        case {"Fn::If": [_, first, second]}:
            return branches(first) + branches(second)
        case {"Ref": "AWS::NoValue"}:
            return []
        case _:
            return [value]


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
