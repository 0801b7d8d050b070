"""How a command prints its result: a JSON object for programs, aligned columns for people."""

from collections.abc import Sequence
from typing import Any

Document = dict[str, Any]


def table(rows: Sequence[Document]) -> str:
    """Rows of equal keys as aligned columns under the keys."""
    cells = [list(rows[0]), *(["" if value is None else str(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
