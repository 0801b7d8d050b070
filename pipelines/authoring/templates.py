"""CloudFormation templates as Python values: a loader, and what a role holds, in the notation of Fn::Sub.

A short intrinsic becomes its long form (`!Ref Topic` is `{"Ref": "Topic"}`), so that a template is plain dicts, lists
and scalars that can be compared, copied and spoiled.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

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


def _intrinsic(
    loader: _Loader, name: str, node: yaml.ScalarNode | yaml.SequenceNode | yaml.MappingNode
) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


def _date(loader: _Loader, node: yaml.ScalarNode) -> Any:
    """As it is written: YAML would make an object of it, templates hold text."""
    return loader.construct_scalar(node)


_Loader.add_multi_constructor("!", _intrinsic)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _date)


def parse(text: str) -> Template:
    """The template in `text`; raises yaml.YAMLError where CloudFormation would refuse the YAML."""
    template: Template = yaml.load(text, _Loader)
    return template


def load(path: Path) -> Template:
    """The template in a file; raises like `parse`."""
    return parse(path.read_text())


class Grant(NamedTuple):
    """An Allow statement of a role: its actions, and its resources as patterns in the notation of Fn::Sub.

    prefixes: what of its buckets the statement shows to s3:ListBucket; empty where it has no such condition.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    prefixes: tuple[str, ...] = ()


def resources(template: Template, *kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Logical id and properties of every resource of these types, written without `AWS::`."""
    for name, resource in template["Resources"].items():
        if resource["Type"].removeprefix("AWS::") in kinds:
            yield name, resource.get("Properties", {})


def text(value: Any) -> str:
    """`{"Ref": "Topic"}` is `${Topic}`, `{"Fn::GetAtt": ["Table", "Arn"]}` is `${Table.Arn}`; a literal is itself."""
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Sub": str(pattern)}:
            return str(pattern)
    return str(value)


def texts(value: Any) -> list[str]:
    """`text` of each element; a value alone counts as a list of one."""
    return [text(each) for each in (value if isinstance(value, list) else [value])]


def branches(value: Any) -> list[Any]:
    """What a value may be: both sides of Fn::If but for AWS::NoValue, or itself."""
    match value:
        case {"Fn::If": [_, first, second]}:
            return branches(first) + branches(second)
        case {"Ref": "AWS::NoValue"}:
            return []
        case _:
            return [value]


def grants(template: Template, role: str) -> Iterator[Grant]:
    """What a role may do, by its own policies and by those that are attached to it."""
    for policy in template["Resources"][role]["Properties"].get("Policies", []):
        yield from _grants(policy["PolicyDocument"])
    for _, policy in resources(template, "IAM::ManagedPolicy", "IAM::Policy"):
        if f"${{{role}}}" in texts(policy.get("Roles", [])):
            yield from _grants(policy["PolicyDocument"])


def _grants(document: dict[str, Any]) -> Iterator[Grant]:
    for statement in document["Statement"]:
        if statement["Effect"] == "Allow":
            prefixes = _condition(statement, "s3:prefix")
            yield Grant(tuple(texts(statement["Action"])), tuple(texts(statement["Resource"])), prefixes)


def _condition(statement: dict[str, Any], key: str) -> tuple[str, ...]:
    compared = (each[key] for each in statement.get("Condition", {}).values() if key in each)
    return tuple(value for each in compared for value in texts(each))


def below(bucket: str, prefix: str) -> str:
    """A bucket as far as s3:ListBucket may see it."""
    return f"{bucket} below {prefix}"
