"""Scales of uncertainties, from errors of labels that are new to a potential, or as if they were.

How well uncertainties hold is a matter of `mmtp_fw.calibration`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.fitting.samples import Sample
from mmtp_fw.selection.observations import NAMES

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
