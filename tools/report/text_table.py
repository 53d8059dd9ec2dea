"""Tables, numbers and intervals as text, for what commands print."""

from __future__ import annotations

from collections.abc import Sequence


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Return cells in aligned columns: the first column is aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        aligned = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([f"{name:{widths[0]}}", *aligned]).rstrip())
    return "\n".join(lines)


def format_number(value: float | None, unknown: str = "unknown") -> str:
    """Return a number with four decimals, or `unknown` for None."""
    return unknown if value is None else f"{value:.4f}"


def format_interval(ends: Sequence[float | None]) -> str:
    """Return an interval in brackets, or an empty text if its ends are None."""
    return "" if None in ends else "[" + ", ".join(map(format_number, ends)) + "]"


def shorten(text: str, length: int) -> str:
    """Return a text cut to `length` characters, with three dots at its end if it was longer."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
