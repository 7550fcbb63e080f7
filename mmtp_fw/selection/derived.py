"""Numbers made of others, with errors of their own: pressure of stresses, relaxed moments of magnetic forces.

Errors of the parts go together: a wrong volume is wrong in all three stresses, a wrong size of moments on all atoms. So
the scale of each of these is calibrated on itself, not on its parts.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.fitting.samples import Sample
from mmtp_fw.potential import Potential
from mmtp_fw.selection.observations import NAMES
from mmtp_fw.selection.response import Response

Entry = tuple[str, float, float, float]
"""Quantity, and mean squares of a label's errors, of bᵀ cov b and of b δθ."""

DERIVED: Mapping[str, str] = {
    "pressure": "stress",
    "moments": "magnetic_forces",
    "magnetization": "magnetic_forces",
    "relaxed_forces": "forces",
    "relaxed_stress": "stress",
    "relaxed_pressure": "stress",
}
"""Of what each is made: its scale, too, where labels are too few for one of its own."""

FEWEST_DERIVED = 6
"""Labels below which the parts' scale is taken."""
NEAR = 0.5
"""Distance from the relaxed moments (μB) within which a label tells what errors at relaxed moments are."""


def combinations(quantity: IntArray, response: Response | None) -> dict[str, FloatArray]:
    """Return what makes the derived numbers of a configuration from its rows.

    Parameters
    ----------
    quantity : ndarray of int, shape (m,)
        Of each row, as `Rows.quantity`.
    response : Response, optional
        Without one, or where the energy has no minimum at the moments, there are no moments to predict.

    Returns
    -------
    dict of ndarray, shape (k, m)
        "pressure": one row, the mean of the virials along the axes, volume times the stress (eV); "moments": one row
        per atom, H⁻¹ (μB); "magnetization": their mean; "relaxed_forces", "relaxed_stress" and "relaxed_pressure": with
        what the moments' own change adds. None for what the rows don't hold.
    """
    found: dict[str, FloatArray] = {}
    virial = np.flatnonzero(quantity == NAMES.index("stress"))
    if len(virial):
        found["pressure"] = np.zeros((1, len(quantity)))
        found["pressure"][0, virial[:3]] = 1.0 / 3.0
    torque = np.flatnonzero(quantity == NAMES.index("magnetic_forces"))
    if response is not None and response.inverse is not None and len(torque):
        found["moments"] = np.zeros((len(response.inverse), len(quantity)))
        found["moments"][:, torque] = response.inverse
        found["magnetization"] = found["moments"].mean(axis=0, keepdims=True)
        n = len(response.inverse)
        for name, part in (("forces", response.along[: 3 * n]), ("stress", response.along[3 * n :])):
            rows = np.flatnonzero(quantity == NAMES.index(name))
            if len(rows):
                moved = np.zeros((len(rows), len(quantity)))
                moved[np.arange(len(rows)), rows] = 1.0
                moved[:, torque] = part
                found[f"relaxed_{name}"] = moved
        if len(virial):
            found["relaxed_pressure"] = found["relaxed_stress"][:3].mean(axis=0, keepdims=True)
    return found


def errors_of(
    potential: Potential, sample: Sample, quantity: IntArray, errors: FloatArray, square: FloatArray, away: FloatArray
) -> list[Entry]:
    """Return of each derived number of a label the mean squares of its errors, of bᵀ cov b and of b δθ.

    In units of what independent errors of the parts would make.

    Parameters
    ----------
    potential : Potential
    sample : Sample
    quantity : ndarray of int, shape (m,)
    errors : ndarray, shape (m,)
        Weighted.
    square : ndarray, shape (m, m)
        Weighted rows times covariance times weighted rows.
    away : ndarray, shape (m,)
        Weighted rows times δθ.
    """
    held = sample.weights.get("magnetic_forces", 0.0) > 0 and potential.magnetic
    response = Response(potential, sample.system, sample.moments) if held else None
    if response is not None and response.inverse is not None:
        torque = potential.evaluate_system(sample.system, sample.moments).magnetic_forces
        response = response if np.abs(response.inverse @ torque).max() <= NEAR else None
    weights = np.array([sample.weights.get(name, 0.0) for name in NAMES])
    found: list[Entry] = []
    for name, matrix in combinations(quantity, response).items():
        parts = matrix / np.sqrt(weights[quantity])
        unit = float(np.sum(parts**2))
        sizes = (np.sum((parts @ errors) ** 2), np.sum((parts @ square) * parts), np.sum((parts @ away) ** 2))
        found.append((name, float(sizes[0]) / unit, float(sizes[1]) / unit, float(sizes[2]) / unit))
    return found
