"""CloudFormation templates as Python values: a YAML loader, and the grants of a role in the notation of Fn::Sub.

Short intrinsics are loaded in their long form (`!Ref Topic` is `{"Ref": "Topic"}`).
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Template = dict[str, Any]


# libyaml's parser where PyYAML was built with it: ten times as fast, and a deployment reads every template.
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_PARSER):  # type: ignore[misc]
    """YAML as CloudFormation accepts it: with intrinsics, and without duplicate keys."""

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
    """A date as text, as CloudFormation reads it."""
    return loader.construct_scalar(node)


_Loader.add_multi_constructor("!", _intrinsic)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _date)


def parse(text: str) -> Template:
    """The template in `text`; raises yaml.YAMLError where CloudFormation would refuse the YAML."""
    for event in yaml.parse(text, _PARSER):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"CloudFormation refuses aliases: {event.start_mark}")
    template: Template = yaml.load(text, _Loader)
    return template


def load(path: Path) -> Template:
    """The template in a file; raises like `parse`."""
    return parse(path.read_text())


class Grant(NamedTuple):
    """An Allow statement of a role: its actions, and its resources as patterns in the notation of Fn::Sub.

    prefixes: its condition s3:prefix, which limits s3:ListBucket; empty without one.
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
        case {"Fn::Sub": str(pattern)} | {"Fn::Sub": [str(pattern), _]}:
            return str(pattern)
    return str(value)


def texts(value: Any) -> list[str]:
    """`text` of each element of a list, or of a single value."""
    return [text(each) for each in (value if isinstance(value, list) else [value])]


def branches(value: Any) -> list[Any]:
    """The possible values: both branches of Fn::If without AWS::NoValue, or the value itself."""
    match value:
        case {"Fn::If": [_, first, second]}:
            return branches(first) + branches(second)
        case {"Ref": "AWS::NoValue"}:
            return []
        case _:
            return [value]


def grants(template: Template, role: str) -> Iterator[Grant]:
    """Grants of a role: its inline policies and the policies attached to it."""
    for policy in template["Resources"][role]["Properties"].get("Policies", []):
        yield from _grants(policy["PolicyDocument"])
    for _, policy in resources(template, "IAM::ManagedPolicy", "IAM::Policy"):
        if f"${{{role}}}" in [text(branch) for each in policy.get("Roles", []) for branch in branches(each)]:
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
    """A bucket limited to a prefix, as the resource of s3:ListBucket."""
    return f"{bucket} below {prefix}"
