"""How errors compare with the uncertainties that were stated for them.

Importing this takes numpy and nothing else: what stands in the database is judged without any potential.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError

GOOD_MEDIAN = (0.7, 1.4)
"""Medians of error/u between which uncertainties count as calibrated."""
FEWEST_PAIRS = 8
"""Pairs below which a median says nothing of calibration."""
MEDIAN_OF_SIGMA = 0.6745
"""The median of |error| in units of a normal error's standard deviation."""


@dataclass(frozen=True)
class CalibrationBin:
    """Configurations of similar uncertainty.

    Attributes
    ----------
    uncertainty : float
        Geometric mean of u.
    error : float
        Median error: the same where uncertainties are calibrated.
    low, high : float
        Quartiles of the errors.
    count : int
    """

    uncertainty: float
    error: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Calibration:
    """How errors of one quantity compare with the uncertainties u that were stated for them.

    Attributes
    ----------
    count : int
        Pairs that were compared.
    undetermined : int
        Pairs without a finite u: nothing was promised, nothing is compared.
    median : float or None
        Of error/u; None without pairs. u is the median error to be expected, so 1 is right.
    coverage : dict of str to float
        Share of errors of at most u, 2 u and 4 u ("1", "2", "4"). Where errors are normal and u is right: 0.50, 0.82
        and 0.993.
    curve : tuple of CalibrationBin
        By rising u, each with about as many pairs.
    calibrated : bool or None
        Whether the median is within `GOOD_MEDIAN`; None with fewer than `FEWEST_PAIRS` pairs.
    """

    count: int
    undetermined: int
    median: float | None
    coverage: dict[str, float]
    curve: tuple[CalibrationBin, ...]
    calibrated: bool | None

    def document(self) -> dict[str, Any]:
        """Return plain numbers, for documents and JSON."""
        return {**asdict(self), "curve": [asdict(one) for one in self.curve]}


def calibration(errors: ArrayLike, uncertainties: ArrayLike, bins: int = 6) -> Calibration:
    """Compare errors with the uncertainties that were stated for them.

    Parameters
    ----------
    errors : array_like, shape (n,)
        One per configuration: of forces and the like the root mean square over components. Signs don't matter.
    uncertainties : array_like, shape (n,)
        u of the same, in the same unit, likewise root mean squares; infinite where undetermined.
    bins : int
        Most bins of the curve; each has four pairs at least.

    Raises
    ------
    InputError
        Shapes that differ, an error that is no number, a u that is negative or no number.
    """
    off, u = _checked(errors, uncertainties)
    said = np.isfinite(u)
    off, u = off[said], u[said]
    with np.errstate(divide="ignore", invalid="ignore"):
        # Nothing off, whatever was stated; anything off zero is infinitely so.
        ratios = np.where(off == 0.0, 0.0, off / u)
    order = np.argsort(u, kind="stable")
    parts = np.array_split(order, max(1, min(bins, len(off) // 4))) if len(off) else []
    median = float(np.median(ratios)) if len(off) else None
    enough = median is not None and len(off) >= FEWEST_PAIRS
    return Calibration(
        len(off),
        int(np.sum(~said)),
        median,
        {f"{k}": float(np.mean(ratios <= k)) for k in (1, 2, 4)} if len(off) else {},
        tuple(_bin(u[part], off[part]) for part in parts),
        bool(GOOD_MEDIAN[0] <= median <= GOOD_MEDIAN[1]) if enough and median is not None else None,
    )


def _checked(errors: ArrayLike, uncertainties: ArrayLike) -> tuple[FloatArray, FloatArray]:
    off, u = np.abs(np.asarray(errors, dtype=np.float64)), np.asarray(uncertainties, dtype=np.float64)
    if off.ndim != 1 or off.shape != u.shape:
        raise InputError(f"errors {off.shape} and uncertainties {u.shape} must be two lists of one length")
    if not np.all(np.isfinite(off)) or np.any(np.isnan(u)) or np.any(u < 0):
        raise InputError("errors must be finite, uncertainties zero or more")
    return off, u


def calibrations(pairs: Mapping[str, tuple[ArrayLike, ArrayLike]], bins: int = 6) -> dict[str, Calibration]:
    """Return `calibration` of each quantity's errors and uncertainties; names and order are the caller's."""
    return {name: calibration(errors, uncertainties, bins) for name, (errors, uncertainties) in pairs.items()}


def _bin(u: FloatArray, errors: FloatArray) -> CalibrationBin:
    low, middle, high = np.quantile(errors, (0.25, 0.5, 0.75))
    mean = float(np.exp(np.mean(np.log(u)))) if np.all(u > 0) else 0.0
    return CalibrationBin(mean, float(middle), float(low), float(high), len(u))
