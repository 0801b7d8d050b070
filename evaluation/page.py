"""The elements of a page: its frame, cards, tables and figures in text. No network, no script."""

from collections.abc import Mapping, Sequence
from html import escape

from style import STYLE

NONE = "&ndash;"


def page(title: str, body: str) -> str:
    """A page that needs nothing else."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def card(title: str, content: str, wide: bool = False) -> str:
    return f'<section class="card{" wide" if wide else ""}"><h2>{escape(title)}</h2>{content}</section>'


def captioned(plot: str, caption: str) -> str:
    return f'<figure><div class="scroll">{plot}</div><figcaption>{escape(caption)}</figcaption></figure>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    frame = ' class="scroll"' if len(header) > 3 else ""
    return f"<div{frame}><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def figure(figure: Mapping[str, float] | None) -> str:
    if not figure:
        return NONE
    return f"{number(figure['value'])} <small>{number(figure['low'])} to {number(figure['high'])}</small>"


def number(value: float | None) -> str:
    if value is None:
        return NONE
    if isinstance(value, int):
        return f"{value}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
