"""Lists of SageMaker are read to their last page: it counts MaxResults before it filters, and a page may be empty.

https://github.com/boto/boto3/issues/2521
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.authoring.archives import ROOT

LISTING = [ROOT / "cloudformation" / f"{name}.asl.json" for name in ("deploy", "retrain", "score")]
# Neither filters nor limits: what is listed, its order, and where the page begins.
SCOPE = {"PipelineName", "PipelineExecutionArn", "ModelPackageGroupName", "SortBy", "SortOrder", "NextToken"}


def direct_calls(path: Path) -> Iterator[str]:
    """The calls of a module that read one page of a list: `client.list_things(...)`. S3's pages are never empty."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if name.startswith("list_") and not name.startswith("list_objects"):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {name}"


def test_commands_read_lists_with_paginators() -> None:
    assert [call for path in sorted((ROOT / "pipelines").rglob("*.py")) for call in direct_calls(path)] == []


def lists(machine: Any) -> Iterator[tuple[str, str, set[str]]]:
    """(state, operation, names of the arguments) of every list of SageMaker that a state machine reads."""
    for name, state in machine["States"].items():
        _, found, operation = state.get("Resource", "").partition(":aws-sdk:sagemaker:list")
        if found:
            arguments = state.get("Arguments") or state.get("Parameters") or {}
            yield name, operation, {each.removesuffix(".$") for each in arguments}


@pytest.mark.parametrize("path", LISTING, ids=lambda path: path.name)
def test_a_state_machine_follows_the_pages_of_each_list_that_it_filters(path: Path) -> None:
    found = list(lists(json.loads(path.read_text())))
    followed = {(operation, frozenset(names - {"NextToken"})) for _, operation, names in found if "NextToken" in names}
    filtered = [each for each in found if each[2] - SCOPE - {"MaxResults"}]
    assert "ModelPackages" in {operation for _, operation, _ in filtered}
    assert [
        name for name, operation, names in filtered if (operation, frozenset(names - {"NextToken"})) not in followed
    ] == []
