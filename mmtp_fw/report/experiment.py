"""What was measured, beside what is computed: in figures, and in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mmtp_fw.campaign.experiment import AVERAGES, ExperimentSettings
from mmtp_fw.phonons.spectrum import FWHM, MEV_PER_THZ
from mmtp_fw.report.style import INK
from mmtp_fw.spectra import Curve, curve_of, difference_of
from mmtp_fw.statepoints import StatePoint

SAME_VOLUME_A = 0.02
"""A spectrum is drawn beside that of a lattice parameter as near as this."""

Data = Mapping[str, Any]


def of_average(data: Data, quantity: str, phase: str) -> list[ExperimentSettings]:
    """Return the measurements of an average, as `COMPARED` calls it, of a phase (empty: the only one)."""
    return [one for one in data["experiment"] if AVERAGES.get(one.quantity) == quantity and (one.phase or "") == phase]


def of_spectrum(data: Data, point: StatePoint, name: str) -> list[ExperimentSettings]:
    """Return the measured spectra of a curve at a point of comparison."""
    return [one for one in data["experiment"] if _is_of(one, point) and one.species == name]


def not_drawn(data: Data) -> list[str]:
    """Return a line on every measured spectrum that no point of comparison is near to."""
    points = {StatePoint.of(row) for row in data["properties"] if row.get("phonon_dos")}
    return [
        f"{one.file}: no spectrum was computed within {SAME_VOLUME_A:g} Å of {one.lattice_parameter_A:g} Å"
        for one in data["experiment"]
        if one.quantity == "spectrum" and not any(_is_of(one, point) for point in points)
    ]


def draw_average(axes: Axes, measured: Sequence[ExperimentSettings]) -> None:
    """Draw measured averages as open diamonds."""
    for one, marker in zip(measured, "Dv^<>ph" * len(measured), strict=False):
        axes.errorbar(
            one.x, one.y, one.error, fmt=marker, color=INK, mfc="none", ms=5.5, lw=0.9, capsize=2, label=one.name
        )


def draw_spectra(axes: Axes, measured: Sequence[ExperimentSettings]) -> None:
    """Draw measured spectra as open points."""
    for one, marker in zip(measured, "Dv^<>ph" * len(measured), strict=False):
        curve = one.curve()
        axes.errorbar(
            curve.frequency_THz, curve.density, curve.error, fmt=marker, color=INK, mfc="none", ms=3.5, lw=0.7,
            label=one.name,
        )  # fmt: skip


def as_measured(curve: Curve, measured: Sequence[ExperimentSettings]) -> Curve:
    """Return a computed curve as the coarsest of the instruments sees it."""
    coarsest = max((one.resolution_meV or 0.0 for one in measured), default=0.0) / MEV_PER_THZ / FWHM
    return curve.smoothed(_further(coarsest, curve.sigma_THz or 0.0))


def comparison(data: Data) -> Iterator[dict[str, Any]]:
    """Yield how far what is computed is from what was measured, a row for each source and measurement.

    Averages are compared at the measured lattice parameters, between computed ones by straight lines, never beyond
    them; spectra by shape, each smoothed to the coarser one's resolution where the instrument's is given.
    """
    for one in data["experiment"]:
        rows = _spectra(data, one) if one.quantity == "spectrum" else _averages(data, one)
        for row in rows:
            yield {"file": one.file, "quantity": one.quantity, "species": one.species, "cited": one.source, **row}


def _averages(data: Data, one: ExperimentSettings) -> Iterator[dict[str, Any]]:
    name = AVERAGES[one.quantity]
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in data["properties"]:
        point = StatePoint.of(row)
        if (one.phase or "") == point.phase:
            curves.setdefault((row["source"], point.order), []).append((row["lattice_parameter_A"], row[name]))
    for (source, order), points in sorted(curves.items()):
        x, y = np.array(sorted(points)).T
        for k, (a, value) in enumerate(zip(one.x, one.y, strict=True)):
            inside = x[0] - 1e-9 <= a <= x[-1] + 1e-9
            computed = float(np.interp(a, x, y)) if inside else None
            yield {
                "source": source,
                "magnetic_order": order,
                "lattice_parameter_A": a,
                "measured": value,
                "measured_error": None if one.error is None else one.error[k],
                "computed": computed,
                "difference": None if computed is None else computed - value,
            }


def spectrum_beside(spectrum: Data, one: ExperimentSettings, sigma_THz: float | None) -> dict[str, float | None]:
    """Return how far a computed spectrum is from a measured one, in shape.

    Parameters
    ----------
    spectrum : mapping
        See `mmtp_fw.spectra.curve_of`.
    one : ExperimentSettings
    sigma_THz : float or None
        Standard deviation of what smooths the computed one, where it is known. With the instrument's resolution the
        finer of the two is smoothed to the other's.

    Returns
    -------
    dict
        distance, overlap, mean_difference_THz, with distance_error and mean_difference_error_THz (statistics of both).

    Raises
    ------
    InputError
        The spectrum has no such part.
    """
    computed, measured = curve_of(spectrum, one.species), one.curve()
    if one.resolution_meV is not None and sigma_THz is not None:
        instrument = one.resolution_meV / MEV_PER_THZ / FWHM
        measured = measured.smoothed(_further(sigma_THz, instrument))
        computed = computed.smoothed(_further(instrument, sigma_THz))
    found = difference_of(computed, measured).document()
    return {name: value for name, value in found.items() if name not in ("noise", "inside")}


def _spectra(data: Data, one: ExperimentSettings) -> Iterator[dict[str, Any]]:
    for row in data["properties"]:
        point, spectrum = StatePoint.of(row), row.get("phonon_dos")
        if not spectrum or not _is_of(one, point):
            continue
        where = {"source": row["source"], "magnetic_order": point.order}
        where |= {"lattice_parameter_A": point.lattice_parameter_A}
        yield where | spectrum_beside(spectrum, one, curve_of(spectrum).sigma_THz)


def _is_of(one: ExperimentSettings, point: StatePoint) -> bool:
    if one.quantity != "spectrum" or one.lattice_parameter_A is None or (one.phase or "") != point.phase:
        return False
    return abs(one.lattice_parameter_A - point.lattice_parameter_A) <= SAME_VOLUME_A


def _further(wanted: float, there: float) -> float:
    """Return the width of what smooths something to `wanted` that is already smooth by `there`."""
    return float(np.sqrt(max(0.0, wanted**2 - there**2)))
