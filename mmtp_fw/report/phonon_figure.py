"""Figure of a phonon spectrum from finite displacements, with its heat capacity and entropy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmtp_fw.campaign.experiment import ExperimentSettings
from mmtp_fw.phonons.spectrum import MEV_PER_THZ
from mmtp_fw.report.style import INK, SPECIES, panels
from mmtp_fw.spectra import TOTAL

_LINES: tuple[Any, ...] = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))


def phonon_figure(document: Mapping[str, Any]) -> Figure:
    """Draw the spectrum against energy, total and by species, and where they exist entropy and heat capacity.

    Parameters
    ----------
    document : mapping
        As `mmtp_fw.phonons.study.Study.document`.

    Returns
    -------
    Figure
        Curves differ by line as well as by colour; bands are one standard error over arrangements.
    """
    heat = document["thermodynamics"]
    figure, axes = panels(1, 2 if heat else 1, (8.4 if heat else 4.6, 3.3))
    _spectrum(axes[0], document)
    if heat:
        _heat(axes[1], heat, document["thermodynamics_error"])
    return figure


def caption(document: Mapping[str, Any]) -> str:
    """Return what the figure depends on, in a line."""
    crystals = list(document["found"].values())
    atoms, count = len(crystals[0]["symbols"]), document["arrangements"]
    over = "one arrangement, no error known" if count == 1 else f"mean of {count} arrangements, bands: standard error"
    supercell = "×".join(str(n) for n in document["settings"]["supercell"])
    measured = _experiment(document)
    cited = [f" Experiment ({one.species}), to the area of its curve: {one.source.rstrip('.')}." for one in measured]
    return (
        f"{atoms} atoms, displaced by {document['settings']['step_A']:g} Å in {supercell} cells; {over}; Gaussian of "
        f"{document['fwhm_meV']:g} meV full width at half maximum; {document['verdict']}. {document['note']}"
        + "".join(cited)
    )


def _spectrum(axes: Axes, document: Mapping[str, Any]) -> None:
    curves = document["spectrum"]
    energy = MEV_PER_THZ * np.array(curves["frequency_THz"])
    shown: list[tuple[str, Any, Any, str, Any]] = [("total", curves["total"], curves["total_error"], INK, "-")]
    for k, (name, values) in enumerate(curves["species"].items()):
        error = (curves["species_error"] or {}).get(name)
        shown.append((name, values, error, SPECIES[k % len(SPECIES)], _LINES[k % len(_LINES)]))
    for name, values, error, color, line in shown:
        middle = np.array(values) / MEV_PER_THZ
        axes.plot(energy, middle, color=color, ls=line, lw=1.4, label=name)
        if error is not None:
            width = np.array(error) / MEV_PER_THZ
            axes.fill_between(energy, np.maximum(middle - width, 0), middle + width, color=color, alpha=0.18, lw=0)
    _measured(axes, document)
    unstable = document["verdict"] != "stable"
    axes.set(title="Phonon spectrum", xlabel="Energy (meV)", ylabel="Density of states (1/meV)")
    axes.set_ylim(bottom=0)
    if unstable:
        axes.axvspan(float(energy.min()), 0.0, color="#f3e3b8", zorder=0, lw=0, label="imaginary")
    else:
        axes.set_xlim(left=0)
    axes.legend()


def _experiment(document: Mapping[str, Any]) -> list[ExperimentSettings]:
    return [ExperimentSettings.model_validate(one["measured"]) for one in document.get("experiment", ())]


def _measured(axes: Axes, document: Mapping[str, Any]) -> None:
    """Draw measured spectra over the curves that they belong to, with those curves' areas."""
    curves = document["spectrum"]
    measured = _experiment(document)
    for one, marker in zip(measured, "Dv^<>ph" * len(measured), strict=False):
        values = curves["total"] if one.species == TOTAL else curves["species"][one.species]
        area = float(np.trapezoid(values, curves["frequency_THz"])) / MEV_PER_THZ
        curve = one.curve()
        error = None if curve.error is None else area * curve.error
        name = f"{one.name}: {one.species}"
        axes.errorbar(
            MEV_PER_THZ * curve.frequency_THz, area * curve.density, error, fmt=marker, color=INK, mfc="none", ms=3.5,
            lw=0.7, label=name,
        )  # fmt: skip


def _heat(axes: Axes, heat: Mapping[str, Any], errors: Mapping[str, Any] | None) -> None:
    kelvin = np.array(heat["temperature_K"])
    for name, label, line, color in (
        ("heat_capacity_kB", "heat capacity", "-", SPECIES[0]),
        ("entropy_kB", "entropy", "--", SPECIES[1]),
    ):
        values = np.array(heat[name])
        axes.plot(kelvin, values, line, color=color, lw=1.4, label=label)
        if errors is not None:
            width = np.array(errors[name])
            axes.fill_between(kelvin, values - width, values + width, color=color, alpha=0.18, lw=0)
    axes.axhline(3.0, color=INK, lw=0.8, ls=":")
    axes.annotate("3k", (kelvin.min(), 3.0), (0, 2), textcoords="offset points", fontsize=8.5)
    axes.set(title="Vibrations alone", xlabel="Temperature (K)", ylabel="k per atom")
    axes.legend()
