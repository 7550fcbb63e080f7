"""How far one source is from another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError


@dataclass(frozen=True)
class Comparison:
    """Errors of predictions against a reference.

    Attributes
    ----------
    mae, rmse, maximum : float
        In the unit of the data.
    r2 : float
        Coefficient of determination; NaN where the reference does not vary.
    n : int
    """

    mae: float
    rmse: float
    maximum: float
    r2: float
    n: int


def compare(predicted: FloatArray, reference: FloatArray) -> Comparison:
    """Compare numbers one by one.

    Parameters
    ----------
    predicted, reference : array_like, shape (n,)

    Raises
    ------
    InputError
        Different lengths or nothing to compare.
    """
    a, b = np.asarray(predicted, dtype=float).ravel(), np.asarray(reference, dtype=float).ravel()
    if a.shape != b.shape or len(a) == 0:
        raise InputError(f"can't compare {len(a)} numbers with {len(b)}")
    difference = a - b
    spread = float(((b - b.mean()) ** 2).sum())
    r2 = 1.0 - float(difference @ difference) / spread if spread > 0 else float("nan")
    return Comparison(
        float(np.abs(difference).mean()),
        float(np.sqrt((difference**2).mean())),
        float(np.abs(difference).max()),
        r2,
        len(a),
    )
