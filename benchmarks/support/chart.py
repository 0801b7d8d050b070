"""Charts of measurements as SVG."""

import math
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 420, 64, 190, 36, 48
COLOURS = {"scan": "#8a8f98", "snapshot": "#1f6feb", "pandas": "#d1242f"}
DASHES = {"parquet": "none", "csv": "6 4"}
Line = tuple[str, str, str, list[tuple[float, float]]]


def cost(cases: list[Any]) -> str:
    """CPU seconds against rows, both logarithmic, of the cases with the fewest files."""
    fewest = min(case.files for case in cases)
    lines: list[Line] = []
    for form in DASHES:
        found = [case for case in cases if case.form == form and case.files == fewest]
        for name, colour in COLOURS.items():
            points = [(float(case.rows), max(getattr(case, name).cpu, 0.01)) for case in found]
            lines.append((f"{name}, {form}", colour, DASHES[form], points))
    title = f"Latest row per beer: CPU seconds against rows ({fewest} files)"
    return _logarithmic(title, "rows", "CPU s", lines)


def _logarithmic(title: str, across: str, up: str, lines: list[Line]) -> str:
    xs = [x for *_, points in lines for x, _ in points]
    ys = [y for *_, points in lines for _, y in points]
    x_range = math.floor(math.log10(min(xs))), math.ceil(math.log10(max(xs)))
    y_range = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))

    def place(x: float, y: float) -> tuple[float, float]:
        right = (math.log10(x) - x_range[0]) / max(1, x_range[1] - x_range[0]) * (WIDTH - LEFT - RIGHT)
        high = (math.log10(y) - y_range[0]) / max(1, y_range[1] - y_range[0]) * (HEIGHT - TOP - BOTTOM)
        return round(LEFT + right, 1), round(HEIGHT - BOTTOM - high, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img"><title>{title}</title><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{title}</text>',
        f'<text x="{(WIDTH - RIGHT + LEFT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{across}</text>',
        f'<text x="12" y="{TOP - 6}">{up}</text>',
    ]
    for power in range(x_range[0], x_range[1] + 1):
        x, y = place(10.0**power, 10.0 ** y_range[0])
        parts.append(f'<path d="M{x} {TOP}V{y}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">{10**power:,}</text>')
    for power in range(y_range[0], y_range[1] + 1):
        x, y = place(10.0 ** x_range[0], 10.0**power)
        parts.append(f'<path d="M{x} {y}H{WIDTH - RIGHT}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{x - 8}" y="{y + 4}" text-anchor="end">{10.0**power:g}</text>')
    for number, (name, colour, dash, points) in enumerate(lines):
        path = "L".join("{} {}".format(*place(*point)) for point in points)
        style = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}" fill="none"'
        x, y = WIDTH - RIGHT + 16, TOP + 12 + 20 * number
        parts.append(f'<path d="M{path}" {style}/><path d="M{x} {y}h28" {style}/>')
        parts.append(f'<text x="{x + 36}" y="{y + 4}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])
