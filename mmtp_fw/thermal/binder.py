"""Curie temperature from Binder's cumulant of several sizes.

U = 1 − ⟨M⁴⟩/(3⟨M²⟩²) is 2/3 below T_C and falls to 0 above it, the more steeply the larger the cell: curves of
different sizes cross near T_C (K. Binder, Z. Phys. B 43, 119 (1981)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError

RESAMPLED = 500
"""Draws of every cumulant inside its error, from which the error of a crossing follows."""
CLEAR = 2.0
"""Standard deviations by which two cumulants differ on either side of a crossing."""


@dataclass(frozen=True)
class BinderCurve:
    """Cumulants of one size at n temperatures.

    Attributes
    ----------
    atoms : int
    temperature_K, binder, error : ndarray, shape (n,)
        Rising temperatures; errors are one standard deviation.
    """

    atoms: int
    temperature_K: FloatArray
    binder: FloatArray
    error: FloatArray


@dataclass(frozen=True)
class Crossing:
    """Where the cumulants of two sizes cross.

    Attributes
    ----------
    atoms : (int, int)
        The smaller and the larger cell.
    temperature_K, error_K : float or None
        None where they do not clearly cross.
    between_K : (float, float) or None
        Neighbouring temperatures at which the difference is clear, with either sign.
    """

    atoms: tuple[int, int]
    temperature_K: float | None
    error_K: float | None
    between_K: tuple[float, float] | None


@dataclass(frozen=True)
class Curie:
    """A Curie temperature.

    Attributes
    ----------
    temperature_K, error_K : float or None
        Of the two largest sizes; the error is statistical, with the drift from the pair before, where there is one,
        added in quadrature. None where the cumulants do not cross.
    crossings : list of Crossing
        Of neighbouring sizes, the smallest first.
    verdict : str
        In words.
    """

    temperature_K: float | None
    error_K: float | None
    crossings: list[Crossing]
    verdict: str


def binder_cumulant(second: float, fourth: float) -> float:
    """Return 1 − ⟨M⁴⟩/(3⟨M²⟩²); 0 where nothing is magnetic.

    Examples
    --------
    >>> binder_cumulant(4.0, 16.0)
    0.6666666666666667
    """
    return 1.0 - fourth / (3.0 * second**2) if second > 0 else 0.0


def curie_temperature(curves: Sequence[BinderCurve], seed: int = 1) -> Curie:
    """Return the temperature at which cumulants cross.

    Between temperatures cumulants are straight lines. Errors follow from drawing each cumulant anew inside its error.

    Parameters
    ----------
    curves : sequence of BinderCurve
        Of two or more sizes, at the same temperatures.
    seed : int

    Raises
    ------
    InputError
        One size only, one size twice, fewer than two temperatures, or other ones for other sizes.
    """
    ordered = sorted(curves, key=lambda curve: curve.atoms)
    _check(ordered)
    rng = np.random.default_rng(seed)
    crossings = [_crossing(small, large, rng) for small, large in pairwise(ordered)]
    last = crossings[-1]
    if last.temperature_K is None or last.error_K is None:
        return Curie(None, None, crossings, _undetermined(last, ordered[0].temperature_K))
    before = crossings[-2].temperature_K if len(crossings) > 1 else None
    drift = 0.0 if before is None else last.temperature_K - before
    error = float(np.hypot(last.error_K, drift))
    told = (
        f"T_C = {last.temperature_K:.4g} ± {error:.2g} K: cumulants of {last.atoms[0]} and {last.atoms[1]} atoms cross"
    )
    told += "" if before is None else f"; those of smaller cells at {before:.4g} K"
    return Curie(last.temperature_K, error, crossings, told)


def _check(curves: Sequence[BinderCurve]) -> None:
    sizes = {curve.atoms for curve in curves}
    if len(sizes) < 2 or len(sizes) < len(curves):
        raise InputError("a Curie temperature needs cumulants of two or more different sizes")
    kelvin = curves[0].temperature_K
    if len(kelvin) < 2 or any(not np.array_equal(curve.temperature_K, kelvin) for curve in curves):
        raise InputError("a Curie temperature needs two or more temperatures, the same for all sizes")


def _undetermined(crossing: Crossing, kelvin: FloatArray) -> str:
    small, large = crossing.atoms
    return (
        f"T_C is not determined: cumulants of {small} and {large} atoms do not clearly cross between {kelvin[0]:g} and "
        f"{kelvin[-1]:g} K; take more temperatures, larger sizes or more sweeps"
    )


def _crossing(small: BinderCurve, large: BinderCurve, rng: np.random.Generator) -> Crossing:
    """Return where the larger cell's cumulant falls below the smaller one's."""
    atoms, kelvin = (small.atoms, large.atoms), small.temperature_K
    difference, error = large.binder - small.binder, np.hypot(small.error, large.error)
    below = np.flatnonzero(difference < -CLEAR * error)
    above = np.flatnonzero(difference > CLEAR * error)
    if len(above) == 0 or len(below) == 0 or below[-1] < above[-1]:
        return Crossing(atoms, None, None, None)
    first, last = int(above[-1]), int(below[below > above[-1]][0])
    part = slice(first, last + 1)
    drawn = [
        _falls(kelvin[part], difference[part] + error[part] * rng.standard_normal(last + 1 - first))
        for _ in range(RESAMPLED)
    ]
    found = np.array([value for value in drawn if value is not None])
    middle = _falls(kelvin[part], difference[part])
    assert middle is not None, "the difference has either sign at the ends"
    return Crossing(atoms, middle, float(found.std()), (float(kelvin[first]), float(kelvin[last])))


def _falls(kelvin: FloatArray, difference: FloatArray) -> float | None:
    """Return where a difference falls through zero: the middle one of several places, None without any."""
    places = [
        float(kelvin[k] + (kelvin[k + 1] - kelvin[k]) * difference[k] / (difference[k] - difference[k + 1]))
        for k in range(len(kelvin) - 1)
        if difference[k] > 0 >= difference[k + 1]
    ]
    return float(np.median(places)) if places else None
