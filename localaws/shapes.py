"""AWS's own service model (from botocore): what a request must be, and what an answer contains.

A shape has the members of a structure, which are required, their types, lengths, patterns and enums. botocore's
ParamValidator leaves patterns, enums and unknown members of nested structures to the service; here they count too.
"""

import functools
import gzip
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

SCALARS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "character": str,
    "blob": (str, bytes),
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "timestamp": (int, float, str),
}
# One sign of private use for each of Unicode's categories (letters, marks, numbers, ..., others).
SIGNS = {category: chr(0xE000 + number) for number, category in enumerate("LMNPSZC")}


# A model begins with its metadata, which is within this many characters.
METADATA_CHARACTERS = 8192


@functools.cache
def models() -> Any:
    """botocore's service models, without those of ~/.aws/models. One for all sessions: reading them takes long."""
    from botocore.loaders import Loader

    return Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)


@functools.cache
def service_model(service: str) -> Any:
    """botocore's ServiceModel of `service`, for example `sagemaker`."""
    import botocore.model

    return botocore.model.ServiceModel(models().load_service_model(service, "service-2"), service_name=service)


@functools.cache
def metadata(service: str) -> dict[str, str]:
    """The metadata of a service's model (its protocol, ...) without the rest, which takes up to 50 ms to parse.

    Raises botocore's UnknownServiceError for an unknown service.
    """
    version = models().determine_latest_version(service, "service-2")
    with gzip.open(f"{models().BUILTIN_DATA_PATH}/{service}/{version}/service-2.json.gz", "rt") as file:
        beginning = file.read(METADATA_CHARACTERS)
    found: dict[str, str] = json.JSONDecoder().raw_decode(beginning, beginning.index("{", 1))[0]
    return found


def input_shape(service: str, operation: str) -> Any:
    """The input structure of an operation; raises botocore's OperationNotFoundError for an unknown one."""
    return service_model(service).operation_model(operation).input_shape


def output_shape(service: str, operation: str) -> Any:
    """The output structure of an operation, or None where it answers nothing."""
    return service_model(service).operation_model(operation).output_shape


def typed(shape: Any, text: Any) -> Any:
    """A scalar that came as a text, as its shape has it; anything else as it is."""
    if not isinstance(text, str):
        return text
    if shape.type_name in ("integer", "long"):
        return int(text)
    return text == "true" if shape.type_name == "boolean" else text


def problems(shape: Any, value: Any, address: str = "") -> Iterator[str]:
    """What AWS would refuse in `value`, each with its address (`Steps[0].Name: ...`); nothing when it is fine."""
    kind = shape.type_name
    if kind == "structure":
        yield from _structure_problems(shape, value, address)
    elif kind == "list":
        if not isinstance(value, list):
            yield f"{address}: expected a list, got {type(value).__name__}"
            return
        yield from _size_problems(shape, len(value), address, "members")
        for index, item in enumerate(value):
            yield from problems(shape.member, item, f"{address}[{index}]")
    elif kind == "map":
        if not isinstance(value, dict):
            yield f"{address}: expected a map, got {type(value).__name__}"
            return
        yield from _size_problems(shape, len(value), address, "entries")
        for key, item in value.items():
            yield from problems(shape.key, key, f"{address} key {key!r}")
            yield from problems(shape.value, item, f"{address}.{key}")
    else:
        yield from _scalar_problems(shape, value, address)


def _structure_problems(shape: Any, value: Any, address: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{address or shape.name}: expected a structure, got {type(value).__name__}"
        return
    dot = f"{address}." if address else ""
    for name in shape.required_members:
        if value.get(name) is None:
            yield f"{dot}{name}: required, but missing"
    for name, item in value.items():
        if name not in shape.members:
            known = ", ".join(sorted(shape.members))
            yield f"{dot}{name}: unknown member (have: {known})"
        elif item is not None:
            yield from problems(shape.members[name], item, f"{dot}{name}")


def _scalar_problems(shape: Any, value: Any, address: str) -> Iterator[str]:
    expected = SCALARS[shape.type_name]
    if not isinstance(value, expected) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield f"{address}: expected {shape.type_name}, got {value!r}"
        return
    if isinstance(value, str) and shape.type_name == "string":
        yield from _size_problems(shape, len(value), address, "characters")
        if shape.enum and value not in shape.enum:
            yield f"{address}: {value!r} is not one of {', '.join(shape.enum)}"
        pattern = shape.metadata.get("pattern")
        if pattern and not _matches(pattern, value):
            yield f"{address}: {value!r} does not match {pattern}"
    elif isinstance(value, (int, float)) and shape.type_name != "timestamp":
        yield from _size_problems(shape, value, address, "")


def _size_problems(shape: Any, size: float, address: str, unit: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        yield f"{address}: {size} {unit} is below the minimum of {low}".replace("  ", " ")
    if high is not None and size > high:
        yield f"{address}: {size} {unit} is above the maximum of {high}".replace("  ", " ")


def _matches(pattern: str, value: str) -> bool:
    """Whether a value has the form of a pattern; one that `re` cannot read even so accepts all."""
    if "\\p{" in pattern:
        pattern, value = _in_categories(pattern), "".join(_category_sign(character) for character in value)
    try:
        # Java repeats an anchor without complaint: CustomerMetadataValue ends in `${1,256}`.
        return re.fullmatch(re.sub(r"\$\{\d+,\d+\}$", "$", pattern), value, re.DOTALL) is not None
    except re.error:
        return True


@functools.cache
def _in_categories(pattern: str) -> str:
    r"""`[\p{L}_]*` -> `[A-Za-z<sign of L>_]*`: Unicode's categories, which Java's patterns know and `re` does not."""

    def characters(found: re.Match[str]) -> str:
        ascii_ones = [chr(code) for code in range(128) if unicodedata.category(chr(code))[0] == found[1]]
        return re.escape("".join(ascii_ones)) + SIGNS[found[1]]

    return re.sub(r"\\p\{([A-Z])\}", characters, pattern)


def _category_sign(character: str) -> str:
    """A character of ASCII as it is, any other as the sign of its category."""
    return character if character.isascii() else SIGNS[unicodedata.category(character)[0]]


def project(shape: Any, document: dict[str, Any]) -> dict[str, Any]:
    """The members of `document` that `shape` has: one stored document serves Describe and List alike."""
    return {name: document[name] for name in shape.members if document.get(name) is not None}
