"""The files of `mmtp phonons`: a directory with everything or nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtp_fw.campaign.experiment import ExperimentSettings
from mmtp_fw.phonons.spectrum import FWHM, MEV_PER_THZ
from mmtp_fw.report.experiment import spectrum_beside
from mmtp_fw.report.folder import new_folder
from mmtp_fw.report.phonon_figure import caption, phonon_figure
from mmtp_fw.report.style import styled


def write_phonons(document: Mapping[str, Any], directory: Path) -> None:
    """Write spectrum.csv, thermodynamics.csv (where there are any), phonons.json, phonons.svg and .png, caption.txt.

    Parameters
    ----------
    document : mapping
        As `mmtp_fw.phonons.study.Study.document`.
    directory : Path
        It must not exist; it appears whole, or not at all.

    Raises
    ------
    InputError
        It exists, or can't be made.
    """
    with new_folder(directory) as folder:
        _fill(document, folder)


def with_experiment(document: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the document with measured spectra, and how far from each of them what was computed is.

    Parameters
    ----------
    document : mapping
        As `mmtp_fw.phonons.study.Study.document`.
    measured : sequence of mapping
        From `mmtp_fw.campaign.experiment.read_experiment`.

    Raises
    ------
    InputError
        A spectrum of a species that the crystal has not.
    """
    sigma = document["fwhm_meV"] / MEV_PER_THZ / FWHM
    rows = []
    for plain in measured:
        one = ExperimentSettings.model_validate(plain)
        rows.append({"measured": one.model_dump()} | spectrum_beside(document["spectrum"], one, sigma))
    return {**document, "experiment": rows}


def _fill(document: Mapping[str, Any], directory: Path) -> None:
    (directory / "spectrum.csv").write_text(_table(*_spectrum(document["spectrum"])), encoding="utf-8")
    if document["thermodynamics"]:
        found = _heat(document["thermodynamics"], document["thermodynamics_error"])
        (directory / "thermodynamics.csv").write_text(_table(*found), encoding="utf-8")
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    (directory / "phonons.json").write_text(text + "\n", encoding="utf-8")
    (directory / "caption.txt").write_text(caption(document) + "\n", encoding="utf-8")
    with styled("phonons"):
        figure = phonon_figure(document)
        figure.savefig(directory / "phonons.svg", metadata={"Date": None, "Creator": None})
        figure.savefig(directory / "phonons.png", dpi=150)


Columns = tuple[list[str], list[Sequence[float]]]


def _spectrum(curves: Mapping[str, Any]) -> Columns:
    """Return names and columns: densities in 1/THz, errors where they are known."""
    frequency = curves["frequency_THz"]
    names, columns = ["frequency_THz", "energy_meV"], [frequency, [MEV_PER_THZ * nu for nu in frequency]]
    errors = {"total": curves["total_error"], **(curves["species_error"] or {})}
    for name, values in {"total": curves["total"], **curves["species"]}.items():
        names.append(f"{name}_per_THz")
        columns.append(values)
        if errors.get(name) is not None:
            names.append(f"{name}_error_per_THz")
            columns.append(errors[name])
    return names, columns


def _heat(values: Mapping[str, Any], errors: Mapping[str, Any] | None) -> Columns:
    names, columns = ["temperature_K"], [values["temperature_K"]]
    for name in ("free_energy_eV", "entropy_kB", "heat_capacity_kB"):
        names.append(name)
        columns.append(values[name])
        if errors is not None:
            stem, unit = name.rsplit("_", 1)
            names.append(f"{stem}_error_{unit}")
            columns.append(errors[name])
    return names, columns


def _table(names: list[str], columns: list[Sequence[float]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))
    return stream.getvalue()
