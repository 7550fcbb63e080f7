"""Moments by definition: ratios between them, deviations from targets, magnetic forces from the penalty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmtp_fw.arrays import FloatArray

LARGER_START = 1.5
"""Start moments times this are the second start of a free calculation that lost its magnetization."""
_LOST_MUB, _MAGNETIC_MUB = 0.1, 0.5

# Species whose moments are all below this (μB) say nothing about a ratio of moments.
_NEGLIGIBLE = 0.02


def slope_by_species(symbols: Sequence[str], x: FloatArray, y: FloatArray) -> dict[str, float]:
    """Return the slope of y against x for every species, through the origin.

    A moment and its smoothed counterpart change sign together, so the line has no intercept. A species
    without noticeable moments takes the slope of all atoms, or 1 where there is none.

    Parameters
    ----------
    symbols : sequence of str, length n
    x, y : ndarray, shape (n,)
        Moments in two definitions, μB.

    Returns
    -------
    dict of str to float
        Positive slopes.
    """
    every = _slope(x, y, 1.0)
    of = {z: np.array([symbol == z for symbol in symbols]) for z in sorted(set(symbols))}
    return {z: _slope(x[chosen], y[chosen], every) for z, chosen in of.items()}


def _slope(x: FloatArray, y: FloatArray, otherwise: float) -> float:
    if np.max(np.abs(x), initial=0.0) < _NEGLIGIBLE:
        return otherwise
    slope = float(x @ y / (x @ x))
    return slope if slope > 0.05 else otherwise


def per_atom(symbols: Sequence[str], values: dict[str, float]) -> FloatArray:
    """Return the species' values for every atom, shape (n,)."""
    return np.array([values[symbol] for symbol in symbols])


def deviations(moments: FloatArray, target: FloatArray) -> tuple[float, float]:
    """Return mean and largest absolute deviation of signed moments (n,) from their targets, in μB."""
    difference = np.abs(moments - target)
    return float(np.mean(difference)), float(np.max(difference))


def flipped(moments: FloatArray, target: FloatArray, threshold: float) -> list[int]:
    """Return the atoms whose moment (n,) has the wrong sign, among those with |target| above `threshold` (μB)."""
    wrong = (np.abs(target) > threshold) & (np.sign(moments) != np.sign(target))
    return np.flatnonzero(wrong).tolist()


def lost_magnetization(start: FloatArray, reached: FloatArray | None) -> bool:
    """Return whether a calculation without constraint fell from magnetic start moments to the non-magnetic state (μB).

    Both have shape (n,). Slow mixing does that to a magnet; from larger moments it finds the magnetic state, if there
    is one.
    """
    if reached is None or np.max(np.abs(start), initial=0.0) < _MAGNETIC_MUB:
        return False
    return bool(np.max(np.abs(reached)) < _LOST_MUB)


def magnetic_forces(strength: float, smoothed: FloatArray, constraint: FloatArray, slopes: FloatArray) -> FloatArray:
    """Return T_i = −∂E_DFT/∂m_i from the penalty, in eV/μB.

    At the constrained minimum ∂E_DFT/∂m^sWS = −2λ (m^sWS − m^constr), whence in the potential's moment
    T_i = 2λ (m_i^sWS − m_i^constr) · d m^sWS/d m.

    Parameters
    ----------
    strength : float
        λ in eV/μB².
    smoothed, constraint : ndarray, shape (n,)
        m^sWS and m^constr, μB.
    slopes : ndarray, shape (n,)
        d m^sWS / d m.
    """
    return 2.0 * strength * (smoothed - constraint) * slopes
