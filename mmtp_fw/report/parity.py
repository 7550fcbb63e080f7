"""Predicted against labelled numbers, a panel for each quantity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mmtp_fw.fitting.statistics import Comparison
from mmtp_fw.quantities import QUANTITIES
from mmtp_fw.report.style import INK, MMTP, panels, styled, write_figure


def parity(found: Mapping[str, Comparison]) -> Figure:
    """Return the figure.

    Parameters
    ----------
    found : mapping of str to Comparison
        By `Quantity.key`, see `mmtp_fw.fitting.statistics.compare`; at least one.
    """
    shown = [row for row in QUANTITIES.values() if row.key in found]
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = panels(rows, columns, (4.2 * columns, 3.8 * rows))
    for one, quantity in zip(axes, shown, strict=False):
        both = found[quantity.key]
        x, y = both.reference * quantity.factor, both.predicted * quantity.factor
        one.plot(x, y, ".", color=MMTP, ms=3, alpha=0.5, rasterized=True)
        ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
        one.plot(ends, ends, color=INK, lw=0.8)
        rmse = quantity.factor * both.errors()["rmse"]
        one.set(title=f"{quantity.heading}, RMSE {rmse:.3g}", xlabel="Label", ylabel="mMTP")
    for one in axes[len(shown) :]:
        one.set_visible(False)
    return figure


def write_parity(found: Mapping[str, Comparison], path: Path) -> None:
    """Draw it into a file, SVG, PNG or PDF by its name; see `write_figure`."""
    with styled("parity"):
        write_figure(parity(found), path)
