"""CloudFormation templates as far as rights need them: what a role holds, and texts in the notation of Fn::Sub.

A template is what a YAML loader makes of it, with short intrinsics in their long form (`!Ref Topic` is
`{"Ref": "Topic"}`).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

Template = dict[str, Any]


class Grant(NamedTuple):
    """An Allow statement of a role: its actions, and its resources as patterns in the notation of Fn::Sub.

    prefixes: what of its buckets the statement shows to s3:ListBucket; empty where it has no such condition.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    prefixes: tuple[str, ...] = ()


def resources(template: Template, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Logical id and properties of every resource of a type, written without `AWS::`."""
    for name, resource in template["Resources"].items():
        if resource["Type"] == f"AWS::{kind}":
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


def texts(value: Any) -> tuple[str, ...]:
    """`text` of each element; a value alone counts as a list of one."""
    return tuple(text(each) for each in (value if isinstance(value, list) else [value]))


def branches(value: Any) -> Iterator[Any]:
    """What a value may be: both sides of Fn::If but for AWS::NoValue, or itself."""
    match value:
        case {"Fn::If": [_, first, second]}:
            yield from branches(first)
            yield from branches(second)
        case {"Ref": "AWS::NoValue"}:
            return
        case _:
            yield value


def grants(template: Template, role: str) -> Iterator[Grant]:
    """What a role may do, by its own policies and by those that are attached to it."""
    for policy in template["Resources"][role]["Properties"].get("Policies", []):
        yield from _grants(policy["PolicyDocument"])
    for kind in ("IAM::ManagedPolicy", "IAM::Policy"):
        for _, policy in resources(template, kind):
            if f"${{{role}}}" in texts(policy.get("Roles", [])):
                yield from _grants(policy["PolicyDocument"])


def _grants(document: dict[str, Any]) -> Iterator[Grant]:
    for statement in document["Statement"]:
        if statement["Effect"] == "Allow":
            prefixes = _condition(statement, "s3:prefix")
            yield Grant(texts(statement["Action"]), texts(statement["Resource"]), prefixes)


def _condition(statement: dict[str, Any], key: str) -> tuple[str, ...]:
    compared = (each[key] for each in statement.get("Condition", {}).values() if key in each)
    return tuple(value for each in compared for value in texts(each))


def below(bucket: str, prefix: str) -> str:
    """A bucket as far as s3:ListBucket may see it."""
    return f"{bucket} below {prefix}"
