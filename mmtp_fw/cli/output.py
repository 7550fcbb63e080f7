"""Printing: JSON for programs, tables for people."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

Item = TypeVar("Item")


def console() -> Console:
    """Return where text for people goes: stdout; as wide as needed when that is no terminal."""
    screen = Console(highlight=False, soft_wrap=False)
    return screen if screen.is_terminal else Console(highlight=False, width=200)


def tracked(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Yield items; on a terminal a bar on stderr shows how far it got."""
    from rich.progress import track

    screen = Console(stderr=True)
    if len(items) < 2 or not screen.is_terminal:
        yield from items
        return
    yield from track(items, description=what, console=screen, transient=True)


def print_json(data: Any) -> None:
    """Print data as JSON; what JSON has no word for (NaN, infinity) becomes null."""
    print(json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """Return nested data as JSON takes it."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, int):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> Table:
    """Return a plain table; numbers stand at the right.

    Parameters
    ----------
    columns : sequence of str
        A leading ``>`` puts the column's content to the right.
    rows : iterable of sequences
    title : str, optional
    """
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        right = name.startswith(">")
        made.add_column(name.lstrip(">"), justify="right" if right else "left", header_style="dim", no_wrap=right)
    for row in rows:
        made.add_row(*(Text(cell(item)) for item in row))
    return made


def pairs(items: Mapping[str, Any]) -> Table:
    """Return a two-column list of names and values; None is left out."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column()
    for name, value in items.items():
        if value is not None:
            made.add_row(name, Text(cell(value)))
    return made


def cell(value: Any) -> str:
    """Return one value as short text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def duration(seconds: float) -> str:
    """Return a length of time for people.

    Examples
    --------
    >>> duration(42.3), duration(754), duration(7260)
    ('42 s', '12 min 34 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
