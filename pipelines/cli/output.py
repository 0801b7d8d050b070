"""How a command prints its result: a JSON object for programs, aligned columns for people."""

from collections.abc import Sequence
from typing import Any

Document = dict[str, Any]
# Widest value, in characters, that is printed in a column.
NARROW = 44


def table(rows: Sequence[Document]) -> str:
    """Rows of equal keys as aligned columns under the keys."""
    cells = [list(rows[0]), *(list(map(_text, row.values())) for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _text(value: Any) -> str:
    return {None: "", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)


def groups(result: Document) -> str:
    """{group: {name: value}} as lines: the group's name, then its values, indented."""
    lines = []
    width = max((len(name) for values in result.values() for name in values), default=0)
    for group, values in result.items():
        lines += [group, *(f"  {name:<{width}} {_text(value)}".rstrip() for name, value in values.items())]
    return "\n".join(lines)


def flatten(values: Document, prefix: str = "") -> Document:
    """`{"gate": {"passed": 1}}` as `{"gate.passed": 1}`."""
    found: Document = {}
    for name, value in values.items():
        found |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def differing(one: Document, other: Document, but: Sequence[str] = ()) -> list[Document]:
    """[{"name", "a", "b"}] of the values in which two documents differ, except those named in `but`."""
    a, b = flatten(one), flatten(other)
    names = [name for name in dict.fromkeys([*a, *b]) if name not in but and a.get(name) != b.get(name)]
    return [{"name": name, "a": a.get(name), "b": b.get(name)} for name in names]


def difference_text(differences: Sequence[Document], titles: tuple[str, str]) -> str:
    """Differences for people: short values in columns under the titles, long ones below each other."""
    narrow, wide = [], []
    for each in differences:
        if max(len(str(each[side])) for side in "ab") <= NARROW:
            narrow.append({"": each["name"], titles[0]: each["a"], titles[1]: each["b"]})
        else:
            wide.append("\n  ".join([each["name"], *(f"{titles[i]}: {each['ab'[i]]}" for i in range(2))]))
    return "\n".join(([table(narrow)] if narrow else []) + wide) or "no difference"
