"""Markdown tables of the documents, generated from the schema and the pipeline's parameters."""

from collections.abc import Callable, Mapping

from ingestion import record
from pipelines.authoring.parameters import PARAMETERS


def parameters() -> str:
    """The parameters of a run."""
    rows = [
        f"| `{each.name}` `{each.flag}` | {'required' if each.default is None else f'`{each.default}`'} "
        f"| {each.description} |\n"
        for each in PARAMETERS
    ]
    return "| parameter | default | |\n|---|---|---|\n" + "".join(rows)


def columns() -> str:
    """The columns of the cleaned table."""
    rows = [
        f"| `{each.name}` | {each.kind} | {each.role} | {each.unit} | {each.low:g} to {each.high:g} "
        f"| {each.description} |\n"
        for each in record.COLUMNS
    ]
    return "| column | type | role | unit | range | |\n|---|---|---|---|---|---|\n" + "".join(rows)


TABLES: Mapping[str, Callable[[], str]] = {"parameters": parameters, "columns": columns}
