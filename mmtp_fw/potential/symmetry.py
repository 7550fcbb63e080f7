"""Symmetrized potentials ½[E(M) + E(−M)] written as plain ones, and folded back.

With a symmetric magnetic range T_β(−x) = (−1)^β T_β(x): reversing all moments multiplies the coefficient of
ψ_β(m_i) ψ_γ(m_j) by (−1)^(β+γ). Doubled tables, the second half with the reversed coefficients and ξ/2 in both,
are the symmetrized potential in the plain form that every code reads.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmtp_fw.arrays import FloatArray, Int32Array
from mmtp_fw.errors import InputError
from mmtp_fw.potential.fileio import PotentialFile
from mmtp_fw.potential.tables import Tables
from mmtp_fw.potential.tag import SYMMETRIZED


def parity(size: int) -> FloatArray:
    """Return (−1)^(β+γ), shape (size, size)."""
    return (-1.0) ** np.add.outer(np.arange(size), np.arange(size))


def expand_coefficients(c: FloatArray) -> FloatArray:
    """Return coefficients (C, C, K, R, M, M) and, behind them along K, those for reversed moments."""
    return np.concatenate([c, c * parity(c.shape[-1])], axis=2)


def fold_gradients(d_xi: FloatArray, d_c: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gather gradients over expanded coefficients (…, C, C, 2K, R, M, M) into those over the native ones."""
    n, axis = d_xi.shape[-1] // 2, d_c.ndim - 4
    one, two = np.split(d_c, 2, axis=axis)
    return 0.5 * (d_xi[..., :n] + d_xi[..., n:]), one + two * parity(d_c.shape[-1])


def fold_file(file: PotentialFile) -> PotentialFile:
    """Return the half of a symmetrized potential's file that carries its parameters.

    Raises
    ------
    InputError
        The halves are not each other's reversal.
    """
    c, xi = file.radial_coefficients, file.moment_coefficients
    K, n = c.shape[2] // 2, len(xi) // 2
    half = half_tables(file.tables)
    consistent = (
        half is not None
        and c.shape[2] % 2 == 0
        and np.allclose(c[:, :, K:], c[:, :, :K] * parity(c.shape[-1]), rtol=1e-12, atol=0)
        and np.allclose(xi[:n], xi[n:], rtol=1e-12, atol=0)
    )
    if not consistent or half is None:
        raise InputError(
            f"the potential is tagged '{SYMMETRIZED}' but its halves are not each other's reversal",
            "remove the tag to evaluate it as written",
        )
    return replace(file, radial_coefficients=c[:, :, :K].copy(), tables=half, moment_coefficients=2.0 * xi[:n])


def half_tables(tables: Tables) -> Tables | None:
    """Undo `Tables.doubled`; None where the tables are no double."""
    n_basic, n_times, n = len(tables.basic) // 2, len(tables.times) // 2, tables.n_moments // 2
    n_scalars = len(tables.scalars) // 2

    # In the double, products of the first copy stand behind the elementary moments of both copies.
    def back(index: Int32Array) -> Int32Array:
        return np.where(index < n_basic, index, index - n_basic).astype(np.int32)

    times = tables.times[:n_times].copy()
    times[:, [0, 1, 3]] = back(times[:, [0, 1, 3]])
    half = Tables(tables.basic[:n_basic], times, back(tables.scalars[:n_scalars]), n)
    try:
        double = half.doubled()
    except (IndexError, ValueError):
        return None
    same = all(np.array_equal(getattr(double, name), getattr(tables, name)) for name in ("basic", "times", "scalars"))
    return half if same and double.n_moments == tables.n_moments else None
