"""Moments as vectors: when they are collinear, and the signed numbers that they then are.

One rule for engines and readers: the moments of a configuration are collinear when none of them lies further
than 0.1 μB across one common axis. A reader finds the axis; an engine that set one passes its own.
"""

from __future__ import annotations

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError

TURNED_muB = 0.1
"""What a moment may lie across the axis: noise of a calculation, and no other state than the collinear one."""


def common_axis(vectors: FloatArray) -> FloatArray:
    """Return the axis that moments lie along best, the least in the sum of their squares across it.

    Parameters
    ----------
    vectors : ndarray, shape (n, 3)
        Moments, μB.

    Returns
    -------
    ndarray, shape (3,)
        Of length 1, its largest component positive (of equal ones, the first): the sign of a moment then depends
        on its configuration alone. z where all moments are zero.
    """
    if not np.any(vectors):
        return np.array([0.0, 0.0, 1.0])
    axis = np.asarray(np.linalg.eigh(vectors.T @ vectors)[1][:, -1])
    sizes = np.abs(axis)
    leading = int(np.argmax(sizes >= sizes.max() - 1e-6))
    return axis if axis[leading] > 0 else -axis


def across(vectors: FloatArray, axis: FloatArray) -> float:
    """Return how far (μB) the moment that lies furthest across an axis lies across it; NaN where one is.

    `vectors` has shape (n, 3), `axis` (3,).
    """
    if not len(vectors):
        return 0.0
    return float(np.max(np.linalg.norm(vectors - np.outer(vectors @ axis, axis), axis=1)))


def collinear(vectors: FloatArray, where: str) -> tuple[FloatArray, FloatArray]:
    """Return moments as signed numbers along their common axis, and the axis.

    Parameters
    ----------
    vectors : ndarray, shape (n, 3)
        Moments, μB.
    where : str
        File and configuration, for the message.

    Returns
    -------
    moments : ndarray, shape (n,)
    axis : ndarray, shape (3,)
        Other vectors of the configuration (magnetic forces) are projected on it.

    Raises
    ------
    InputError
        Not finite, or not collinear.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    if vectors.ndim != 2 or vectors.shape[1] != 3:
        raise InputError(f"{where}: moments of shape {vectors.shape}", "one number or one vector of each atom")
    if not np.all(np.isfinite(vectors)):
        raise InputError(f"{where}: its moments are not finite")
    axis = common_axis(vectors)
    turned = across(vectors, axis)
    if turned > TURNED_muB:
        raise InputError(
            f"{where}: its moments aren't collinear, one lies {turned:.2f} μB across their common axis",
            f"this potential knows signed numbers only; {TURNED_muB} μB is taken for noise",
        )
    return vectors @ axis, axis
