"""Scales of uncertainties, from errors of labels that a potential does not know; and how well they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.fitting.samples import Sample
from mmtp_fw.selection.observations import NAMES

GOOD_MEDIAN = (0.7, 1.4)
"""Medians of error/u between which uncertainties count as calibrated."""
FEWEST_PAIRS = 8
"""Pairs below which a median says nothing of calibration."""
FEWEST = 12
"""Labels from which on a and c are told apart; they are one number before."""


def left_out(spread: FloatArray, residuals: FloatArray, at_best: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the errors of one label's rows, shape (m,), if it were left out, and b cov bᵀ then, shape (m, m).

    With H = spread·spreadᵀ, leaving the rows out changes predictions by H (1 − H)⁻¹ r, and b cov bᵀ to H (1 − H)⁻¹.
    """
    values, vectors = np.linalg.eigh(spread @ spread.T)
    values = np.clip(values, 0.0, 1.0 - 1e-12)
    without = vectors * (values / (1.0 - values)) @ vectors.T
    return residuals + without @ at_best, without


def scales(entries: FloatArray) -> tuple[float, float]:
    """Return a and c for mean squares of errors, of bᵀ cov b, and of b δθ, of labels, shape (labels, 3).

    Their ratio is the likeliest one for errors with broad tails (Student's t, 3 degrees of freedom), their size makes
    the median of error/u one: b δθ, which u has without a scale, counts.
    """
    squares, leverage, away = entries.T
    best, chosen = np.inf, (0.0, 0.0)
    for ratio in np.logspace(-4, 4, 65) if len(entries) >= FEWEST else np.ones(1):
        shape = ratio + leverage
        c = max(float(np.median(np.maximum(squares - away, 0.0) / shape)), 1e-300)
        u = c * shape + away
        loss = float(np.sum(2.0 * np.log1p(squares / u / 3.0) + 0.5 * np.log(u)))
        if loss < best:
            best, chosen = loss, (float(np.sqrt(c * ratio)), float(np.sqrt(c)))
    return chosen


def typical_weights(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Return, for each quantity, a and b of the weights' law exp(a) N^b over the labels; weight 1 where none has it."""
    found = []
    sizes = np.log([max(1, len(sample)) for sample in samples])
    for name in NAMES:
        weights = np.array([sample.weights.get(name, 0.0) for sample in samples])
        some = weights > 0
        if not some.any():
            found.append((0.0, 0.0))
            continue
        x, y = sizes[some], np.log(weights[some])
        slope = float(np.polyfit(x, y, 1)[0]) if np.ptp(x) > 0 else 0.0
        found.append((float(np.median(y - slope * x)), slope))
    return found


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
    off, u = np.abs(np.asarray(errors, dtype=np.float64)), np.asarray(uncertainties, dtype=np.float64)
    if off.ndim != 1 or off.shape != u.shape:
        raise InputError(f"errors {off.shape} and uncertainties {u.shape} must be two lists of one length")
    if not np.all(np.isfinite(off)) or np.any(np.isnan(u)) or np.any(u < 0):
        raise InputError("errors must be finite, uncertainties zero or more")
    said = np.isfinite(u)
    off, u = off[said], u[said]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(
            off == 0.0, 0.0, off / u
        )  # nothing off, whatever was stated; anything off zero is infinitely so
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


def calibrations(pairs: Mapping[str, tuple[ArrayLike, ArrayLike]], bins: int = 6) -> dict[str, Calibration]:
    """Return `calibration` of each quantity's errors and uncertainties; names and order are the caller's."""
    return {name: calibration(errors, uncertainties, bins) for name, (errors, uncertainties) in pairs.items()}


def _bin(u: FloatArray, errors: FloatArray) -> CalibrationBin:
    low, middle, high = np.quantile(errors, (0.25, 0.5, 0.75))
    mean = float(np.exp(np.mean(np.log(u)))) if np.all(u > 0) else 0.0
    return CalibrationBin(mean, float(middle), float(low), float(high), len(u))
