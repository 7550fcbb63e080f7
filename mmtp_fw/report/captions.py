"""Captions of a report's figures: what each shows, and what its numbers depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmtp_fw.phonons.spectrum import FWHM, MEV_PER_THZ
from mmtp_fw.report.experiment import not_drawn
from mmtp_fw.spectra import curve_of
from mmtp_fw.thermal import Ensemble

_ENSEMBLE = f"Ensemble {Ensemble.ADIABATIC.value} ({Ensemble.ADIABATIC.about}), of potential and engine alike."
_BARS = "Thick error bars are statistical, thin ones add the model's uncertainty (the ensemble's spread); one σ."
_AT_REST_BARS = "Error bars are the model's uncertainty (the ensemble's spread), one σ."


def captions(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the caption of every figure that a report may have, by the figure's name.

    Parameters
    ----------
    data : mapping
        From `mmtp_fw.report.gather_report`.
    """
    settings = data["campaign"]["settings"]
    static = settings["properties"].get("mode") == "static"
    how = _how(data, settings, static)
    bars = _AT_REST_BARS if static else _BARS
    differences = "below, mMTP minus reference, with what the uncertainties allow as a band"
    cited = _cited(data, ("magnetization", "pressure"))
    spectra = _cited(data, ("spectrum",))
    bands = (
        "Bands: one σ of the statistics, by the number of independent modes; the model's own uncertainty of a spectrum "
        "is not known. " + _resolution(data)
    )
    return {
        "selection": "Iteration 0 labels the generated pretraining set, every later one what molecular dynamics "
        "selected.",
        "errors": "Root-mean-square errors of each iteration's potential on its training and validation labels.",
        "grades": "A trajectory that stays below γ select to its end selects nothing; when all do, the learning has "
        "converged.",
        "moments": "Moments reached by constrained calculations; dashed lines are the limits of acceptance. A label "
        "off target is trained at the moments it reached, never at its targets.",
        "calibration": "Errors at labels that were new to a potential against the uncertainties that it stated there.",
        "magnetization": _joined(f"Mean magnetization per atom; {differences}.", how, bars, cited["magnetization"]),
        "pressure": _joined(f"Mean pressure; {differences}.", how, bars, cited["pressure"]),
        "phonons": _joined("Phonon density of states from velocities.", how, bands, spectra["spectrum"]),
        "species_spectra": _joined(
            "Partial phonon densities of states from velocities, each of area 1.", how, bands, spectra["spectrum"]
        ),
    }


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _how(data: Mapping[str, Any], settings: Mapping[str, Any], static: bool) -> str:
    """Return cell, length, seeds and ensemble of the averages."""
    cells = sorted({row["atoms"] for row in data["cells"]})
    cell = f"cells of {' or '.join(map(str, cells))} atoms" if cells else "cells of the campaign"
    if static:
        return f"The undistorted {cell} at rest, moments relaxed: 0 K."
    section = settings["properties"]
    steps, left_out = section["steps"], section["equilibration_steps"]
    replicas = section.get("replicas", 1)
    runs = "one trajectory" if replicas == 1 else f"{replicas} trajectories"
    return (
        f"NVT molecular dynamics at {section['temperature_K']:g} K, {cell}, {runs} of {steps} steps of "
        f"{settings['md']['timestep_fs']:g} fs for each point ({left_out} left out), seed {settings.get('seed', 0)}, "
        f"one arrangement of the species. {_ENSEMBLE}"
    )


def _resolution(data: Mapping[str, Any]) -> str:
    spectra = [row["phonon_dos"] for row in data["properties"] if row.get("phonon_dos")]
    widths = {sigma for spectrum in spectra if (sigma := curve_of(spectrum).sigma_THz) is not None}
    if len(widths) != 1:
        return ""
    return f"Smoothed by a Gaussian of {widths.pop() * FWHM * MEV_PER_THZ:.2g} meV full width at half maximum."


def _cited(data: Mapping[str, Any], quantities: tuple[str, ...]) -> dict[str, str]:
    """Return what was measured, by quantity: citations, widths, and what found no place."""
    told = {}
    for quantity in quantities:
        lines = []
        for one in data["experiment"]:
            if one.quantity != quantity:
                continue
            width = "" if one.resolution_meV is None else f"; instrument {one.resolution_meV:g} meV"
            lines.append(f"{one.name[0].upper()}{one.name[1:]}: {one.source.rstrip('.')}{width}.")
        if lines and quantity == "spectrum":
            lines += [f"Not drawn: {line}." for line in not_drawn(data)]
        if lines and quantity != "spectrum":
            lines.append("The sample's spins are at its temperature, those of the calculation are not.")
        told[quantity] = " ".join(lines)
    return told
