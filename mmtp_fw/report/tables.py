"""The tables of a report as CSV: what the page shows in rows and figures, for people's own plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from mmtp_fw.plain import flattened
from mmtp_fw.report.experiment import comparison

TABLES = {
    "iterations": "iterations",
    "labels": "labels",
    "potentials": "potentials",
    "md_runs": "md_runs",
    "averages": "properties",
    "spectra": "spectra",
}
"""Name of a file -> what of the gathered data it holds, a row each."""


def tables(data: Mapping[str, Any]) -> dict[str, str]:
    """Return every table that the data allow, as CSV, by name.

    Parameters
    ----------
    data : mapping
        From `mmtp_fw.report.gather_report`. Nested fields become columns with names joined by dots; of lists only those
        of labels' atoms are left out of the tables, and densities of states have one of their own.

    Returns
    -------
    dict of str to str
        Those in `TABLES`; "volumes": the verdict on every point of comparison; "experiment": how far what is computed
        is from what was measured; "phonon_dos": frequency_THz, value and
        standard deviation (1/THz) of the total and of every species.
    """
    rows: dict[str, Sequence[Mapping[str, Any]]] = {name: data[key] for name, key in TABLES.items()}
    rows["volumes"] = data["conclusion"]["volumes"]
    rows["experiment"] = list(comparison(data))
    rows["phonon_dos"] = list(_densities(data["properties"]))
    return {name: _csv(found) for name, found in rows.items() if found}


def _densities(properties: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in properties:
        spectrum = row.get("phonon_dos")
        if not spectrum:
            continue
        where = {
            name: row[name] for name in ("source", "phase", "magnetic_order", "lattice_parameter_A") if name in row
        }
        curves = {"total": (spectrum["total"], spectrum.get("total_error"))}
        errors = spectrum.get("species_error") or {}
        curves |= {name: (values, errors.get(name)) for name, values in spectrum.get("species", {}).items()}
        for curve, (values, error) in curves.items():
            for k, (frequency, value) in enumerate(zip(spectrum["frequency_THz"], values, strict=True)):
                told = {"curve": curve, "frequency_THz": frequency, "dos_per_THz": value}
                yield where | told | {"error_per_THz": None if error is None else error[k]}


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    flat = [{name: value for name, value in flattened(row).items() if not isinstance(value, list)} for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in flat)
    return text.getvalue()


def _cell(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
