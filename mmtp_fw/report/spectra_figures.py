"""Phonon spectra from velocities: total and by species, potential beside reference and experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmtp_fw.report.experiment import as_measured, draw_spectra, of_spectrum
from mmtp_fw.report.style import SOURCES, panels, source_name
from mmtp_fw.spectra import TOTAL, curve_of, curves_of
from mmtp_fw.statepoints import StatePoint

Data = Mapping[str, Any]


def phonons(data: Data) -> Figure | None:
    """Phonon density of states by lattice parameter, where properties hold it."""
    points = _points(data)
    if not points:
        return None
    columns = min(3, len(points))
    rows = -(-len(points) // columns)
    figure, axes = panels(rows, columns, (8.4, 0.5 + 2.3 * rows))
    for one, point in zip(axes, points, strict=False):
        _panel(one, data, point, TOTAL)
    for one in axes[len(points) :]:
        one.set_visible(False)
    axes[0].legend()
    return figure


def species_spectra(data: Data) -> Figure | None:
    """Partial densities of states, a column for each species, a row for each point of comparison."""
    points = _points(data)
    names = sorted(
        {name for row in data["properties"] if row.get("phonon_dos") for name in curves_of(row["phonon_dos"])}
    )
    names = [name for name in names if name != TOTAL]
    if not points or len(names) < 2:
        return None
    figure, axes = panels(len(points), len(names), (8.4, 0.5 + 2.1 * len(points)))
    for row, point in enumerate(points):
        for column, name in enumerate(names):
            _panel(axes[row * len(names) + column], data, point, name)
    for one in axes[: len(names)]:
        one.legend()
    return figure


def _points(data: Data) -> list[StatePoint]:
    return sorted({StatePoint.of(item) for item in data["properties"] if item.get("phonon_dos")})


def _panel(axes: Axes, data: Data, point: StatePoint, name: str) -> None:
    """Draw one curve of both sources at a point, and what was measured there."""
    items = [item for item in data["properties"] if item.get("phonon_dos") and StatePoint.of(item) == point]
    measured = of_spectrum(data, point, name)
    for source, title, color, _, _, line in SOURCES:
        for item in items:
            if item["source"] != source or name not in curves_of(item["phonon_dos"]):
                continue
            curve = as_measured(curve_of(item["phonon_dos"], name), measured)
            axes.plot(curve.frequency_THz, curve.density, color=color, ls=line, lw=1.2, label=source_name(data, title))
            if curve.error is not None:
                low = np.maximum(curve.density - curve.error, 0.0)
                axes.fill_between(curve.frequency_THz, low, curve.density + curve.error, color=color, alpha=0.15, lw=0)
    draw_spectra(axes, measured)
    held = any(item["held_out"] for item in items)
    words = [name if name != TOTAL else "", point.curve, f"a = {point.lattice_parameter_A:g} Å"]
    axes.set(
        title=", ".join(filter(None, words)) + (" (never trained on)" if held else ""),
        xlabel="Frequency (THz)",
        ylabel="DOS (1/THz)",
    )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
