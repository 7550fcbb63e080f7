"""How the figures look: one palette, one type size, and SVG that is the same for the same data."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from mmtp_fw.dft.registry import engine_title
from mmtp_fw.errors import InputError
from mmtp_fw.files import replacing

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

MMTP = "#1f5fa8"
REFERENCE = "#c8571b"
GOOD = "#2f7d4f"
BAD = "#b3261e"
QUIET = "#9aa3ad"
INK = "#1d2430"
LINES = ("-", "--", ":", "-.")
SPECIES = ("#1f5fa8", "#c8571b", "#2f7d4f", "#7a4fa3", "#8a6d1c")

SOURCES = (("reference", "reference", REFERENCE, "s", -1, "--"), ("mmtp", "mMTP", MMTP, "o", 1, "-"))
"""Source of an average, its title, colour, marker, side and line: they are told apart in grey, too."""

_STYLE: dict[RcKeyType, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#6b7480",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e8ed",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "path",
    "figure.facecolor": "white",
}


@contextmanager
def styled(name: str) -> Iterator[None]:
    """Draw with the report's style; `name` makes ids in the SVG reproducible."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": f"mmtp_fw {name}"}):
        yield


def panels(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """Return a figure of `size` inches and its axes in reading order."""
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    return figure, list(grid.ravel())


def source_name(data: Mapping[str, Any], name: str) -> str:
    """Return what a legend calls a source: the reference by the campaign's engine."""
    if name != "reference":
        return name
    return engine_title(data["campaign"]["settings"]["dft"]["engine"])


FORMATS = (".png", ".pdf", ".svg")
"""Endings of figures' files."""


def check_format(path: Path) -> None:
    """Refuse a file's name that says no format of a figure.

    Raises
    ------
    InputError
        Another ending than those in `FORMATS`.
    """
    if path.suffix not in FORMATS:
        raise InputError(f"{path}: unknown kind of figure", f"end it with one of {', '.join(FORMATS)}")


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, PDF or SVG by its file's name, whole or not at all.

    Raises
    ------
    InputError
        Another ending.
    """
    check_format(path)
    with replacing(path) as partial:
        figure.savefig(partial, format=path.suffix[1:], dpi=150)


@dataclass(frozen=True)
class Drawn:
    """A figure as files hold it, the same for the same data."""

    svg: bytes
    png: bytes

    @classmethod
    def of(cls, figure: Figure) -> Drawn:
        """Draw a figure in both formats; inside `styled`."""
        vector, raster = io.BytesIO(), io.BytesIO()
        canvas = FigureCanvasSVG(figure)
        canvas.print_svg(vector, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
        figure.savefig(raster, format="png", dpi=150, metadata={"Software": None})
        return cls(vector.getvalue(), raster.getvalue())


def data_uri(svg: bytes) -> str:
    """Return an SVG image as it fits into an ``src`` attribute."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
