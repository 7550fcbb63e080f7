"""How well a campaign's uncertainties hold: errors at labels and volumes that were new, beside what was stated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from mmtp_fw.calibration import MEDIAN_OF_SIGMA, calibrations
from mmtp_fw.compared import COMPARED
from mmtp_fw.quantities import QUANTITIES


def calibrated(potentials: Iterable[Mapping[str, Any]], volumes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for every quantity that something can be said of.

    Parameters
    ----------
    potentials : iterable of mapping
        Rows of versions: every one knows how far its parent was off at the labels that it adds (``fit.surprise``).
    volumes : iterable of mapping
        Of `mmtp_fw.loop.conclusion`: averages against the reference, of which one standard deviation is stated.

    Returns
    -------
    list of dict
        name, unit, factor (from the numbers to the unit), at ("new labels" or "volumes"), and what
        `mmtp_fw.calibration.Calibration` holds.
    """
    pairs: dict[str, tuple[list[float], list[float]]] = {}
    for row in potentials:
        told = (row["fit"].get("surprise") or {}).get("pairs") or {}
        for key, one in told.items():
            errors, uncertainties = pairs.setdefault(key, ([], []))
            errors += one["errors"]
            uncertainties += one["uncertainties"]
    of_labels = {quantity.key: quantity for quantity in QUANTITIES.values() if quantity.key in pairs}
    found = calibrations({key: pairs[key] for key in of_labels})
    rows = [
        {"name": quantity.title, "unit": quantity.unit, "factor": quantity.factor, "at": "new labels"}
        | found[key].document()
        for key, quantity in of_labels.items()
    ]
    of_volumes = _of_volumes(volumes)
    told = calibrations(of_volumes)
    return rows + [
        {"name": row.title.capitalize(), "unit": row.unit, "factor": 1.0, "at": "volumes"} | told[name].document()
        for name, row in COMPARED.items()
        if name in of_volumes
    ]


def uncalibrated(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line on each row of `calibrated` whose uncertainty doesn't hold; too few pairs say nothing."""
    return [
        f"{row['name'].lower()} at {row['at']}: errors are {row['median']:.2g} times what was stated"
        for row in rows
        if row["calibrated"] is False
    ]


def _of_volumes(volumes: Iterable[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    """Return the differences from the reference that have both uncertainties, and the median errors to be expected."""
    pairs: dict[str, tuple[list[float], list[float]]] = {}
    for volume in volumes:
        for name, one in volume["differences"].items():
            if one["statistical"] is None or one["model"] is None:
                continue
            errors, uncertainties = pairs.setdefault(name, ([], []))
            errors.append(abs(one["difference"]))
            uncertainties.append(MEDIAN_OF_SIGMA * math.hypot(one["statistical"], one["model"]))
    return pairs
