"""A small data set: houses with a price that depends on their size and age."""

import random


def houses(count: int = 200) -> str:
    """CSV with a header: size, age, price."""
    numbers = random.Random(1)
    lines = ["size,age,price"]
    for _ in range(count):
        size, age = numbers.uniform(50, 200), numbers.uniform(0, 80)
        lines.append(f"{size:.1f},{age:.1f},{3 * size - age + numbers.gauss(0, 5):.2f}")
    return "\n".join(lines) + "\n"


def rows(count: int = 200) -> str:
    """The same without a header, the price first."""
    cells = [line.split(",") for line in houses(count).splitlines()[1:]]
    return "\n".join(f"{price},{size},{age}" for size, age, price in cells) + "\n"
