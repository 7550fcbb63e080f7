"""What an evaluation refuses, and what it reports."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential.system import System

if TYPE_CHECKING:
    from mmtp_fw.potential.model import MagneticModel


def checked_moments(moments: FloatArray, n: int) -> FloatArray:
    """Return moments as a contiguous array of shape (n,).

    Raises
    ------
    InputError
        Another shape, or a moment that is not finite.
    """
    moments = np.ascontiguousarray(moments, dtype=np.float64)
    if moments.shape != (n,):
        raise InputError(f"moments of shape {moments.shape} for {n} atoms", "one signed scalar per atom")
    from mmtp_fw.potential.lists import extremes  # numba waits for the first use

    least, greatest = extremes(moments)
    if not (isfinite(least) and isfinite(greatest)):
        raise InputError(f"the moment of atom {int(np.argmin(np.isfinite(moments)))} is not finite")
    return moments


def extrapolations(potential: MagneticModel, system: System, moments: FloatArray) -> tuple[str, ...]:
    """Return in words where an evaluation at moments (n,) leaves the ranges of the potential's bases or labels."""
    from mmtp_fw.potential.lists import extremes

    found: list[str] = []
    low, high = potential.min_moment, potential.max_moment
    least, greatest = extremes(moments)
    if potential.magnetic and len(moments) and (least < low - 1e-9 or greatest > high + 1e-9):
        outside = (moments < low - 1e-9) | (moments > high + 1e-9)
        found.append(f"{int(outside.sum())} moments lie outside [{low:g}, {high:g}] μB")
    if system.closest < potential.r_min:
        found.append(f"a distance of {system.closest:.3f} Å lies below r_min = {potential.r_min:g} Å")
    if potential.trained is not None:
        found += potential.trained.messages(potential.species, system, moments)
    return tuple(found)
