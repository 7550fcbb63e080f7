"""What the vector kernels read: contraction tables in a regular layout, coefficients ready for lanes.

Monomials x^a y^b z^c of unit vectors are numbered by degree, then a and b falling, so that degree d follows
from degree d − 1 by three runs of multiplications. Each radial function μ uses the monomials up to a degree
ρ_μ. Since x² + y² + z² = 1, the moments of degree d − 2 are sums of three of degree d: only the two highest
degrees of each μ are summed over neighbours, the others follow by *traces* once per atom.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.potential.lanes import W
from mmtp_fw.potential.tables import Tables, components


class Program(NamedTuple):
    """Arrays of the vector kernels; K radial functions.

    Attributes
    ----------
    ranks : ndarray of int64, shape (K,)
        ρ_μ.
    low, high : ndarray of int64, shape (K,)
        Monomials ``low … high − 1`` (the two highest degrees) are summed over neighbours.
    sums : ndarray of int64, shape (K,)
        Where the sums of μ begin.
    summed : ndarray of int64, shape (n_sums,)
        Slot of every sum.
    traces : ndarray of int64, shape (n_traces, 4)
        ``M[t] = M[a] + M[b] + M[c]`` for rows (t, a, b, c).
    times : ndarray of int64, shape (n_times, 3)
        Rows (i, j, target), all rows of a target together.
    weights : ndarray, shape (n_times,)
    scalars : ndarray of int64, shape (n_scalars,)
    sources, factors : ndarray, shape (n_coefficients,)
        Coefficients of the polynomials P_μ = Σ ∂E/∂M g and of their gradients: factor · adjoint[source].
    n_moments : int
    """

    ranks: IntArray
    low: IntArray
    high: IntArray
    sums: IntArray
    summed: IntArray
    traces: IntArray
    times: IntArray
    weights: FloatArray
    scalars: IntArray
    sources: IntArray
    factors: IntArray
    n_moments: int


def count(degree: int) -> int:
    """Return the number of monomials up to a degree."""
    return (degree + 1) * (degree + 2) * (degree + 3) // 6 if degree >= 0 else 0


@lru_cache(maxsize=64)
def compile_tables(tables: Tables, radial_count: int) -> Program:
    """Translate contraction tables; any table will do, complete or not.

    Parameters
    ----------
    tables : Tables
    radial_count : int
        K; radial functions that the tables don't use cost nothing.
    """
    degree = tables.basic[:, 1:].sum(axis=1)
    ranks = np.full(radial_count, -1, dtype=np.int64)
    np.maximum.at(ranks, tables.basic[:, 0], degree)
    high = np.array([count(r) for r in ranks.tolist()], dtype=np.int64)
    low = np.array([count(r - 2) for r in ranks.tolist()], dtype=np.int64)
    slots = np.concatenate([[0], np.cumsum(high)]).astype(np.int64)
    number = {c: k for k, c in enumerate(c for d in range(ranks.max() + 1) for c in components(d))}
    monomials = list(number)

    # Old index → new: elementary moments to their slots, products behind all slots.
    n_basic = len(tables.basic)
    index = np.arange(tables.n_moments, dtype=np.int64) + slots[-1] - n_basic
    index[:n_basic] = [slots[mu] + number[tuple(c)] for mu, *c in tables.basic.tolist()]

    traces, sources, factors = [], [], []
    for mu, rank in enumerate(ranks.tolist()):
        for k in range(int(low[mu]) - 1, -1, -1):
            a, b, c = monomials[k]
            parts = [number[a + 2, b, c], number[a, b + 2, c], number[a, b, c + 2]]
            traces.append([slots[mu] + k, *(slots[mu] + p for p in parts)])
        for k in range(count(rank - 3), high[mu]):
            a, b, c = monomials[k]
            if k >= low[mu]:
                sources.append(slots[mu] + k)
                factors.append(1.0)
            if a + b + c < rank:
                for up, factor in (((a + 1, b, c), a + 1), ((a, b + 1, c), b + 1), ((a, b, c + 1), c + 1)):
                    # The gradient of what isn't summed belongs to a trace.
                    source = slots[mu] + number[up]
                    sources.append(source)
                    factors.append(float(factor))

    times = tables.times[np.argsort(tables.times[:, 3], kind="stable")].astype(np.int64)
    return Program(
        ranks, low, high,
        np.concatenate([[0], np.cumsum(high - low)])[:-1].astype(np.int64),
        np.concatenate([slots[mu] + np.arange(low[mu], high[mu]) for mu in range(radial_count)]).astype(np.int64),
        np.array(traces, dtype=np.int64).reshape(-1, 4),
        np.ascontiguousarray(index[times[:, [0, 1, 3]]]).reshape(-1, 3),
        times[:, 2].astype(np.float64),
        index[tables.scalars],
        np.array(sources, dtype=np.int64),
        np.array(factors, dtype=np.float64),
        int(tables.n_moments - n_basic + slots[-1]),
    )  # fmt: skip


def arrange(coefficients: FloatArray) -> FloatArray:
    """Return the radial coefficients (C, C, K, R, M, M) as (C, C, K, γ, β, R′), R padded to whole vectors."""
    moved = np.moveaxis(coefficients, (3, 4, 5), (5, 4, 3))
    padding = -moved.shape[-1] % W
    return np.ascontiguousarray(np.pad(moved, [(0, 0)] * 5 + [(0, padding)]))


class Packed(NamedTuple):
    """A potential as two arrays, which is all that the kernels and LAMMPS see of it.

    Attributes
    ----------
    integers : ndarray of int64
        Sizes, offsets, then the tables of `Program`.
    doubles : ndarray of float64
        Offsets' targets: ranges, coefficients, weights.
    """

    integers: IntArray
    doubles: FloatArray


# The sizes at the head of `Packed.integers`, by position, then offsets of its tables and of the doubles.
SIZES = ("species", "radial", "basis", "magnetic", "padded", "top", "sums", "traces", "times", "scalars",
         "coefficients", "moments")  # fmt: skip
TABLES = ("ranks", "low", "high", "sums", "summed", "traces", "times", "scalars", "sources")
NUMBERS = ("ranges", "c", "xi", "constants", "weights", "factors")


def pack(tables: Tables, c: FloatArray, xi: FloatArray, constants: FloatArray, ranges: tuple[float, ...]) -> Packed:
    """Pack a potential for the kernels.

    Parameters
    ----------
    tables : Tables
    c : ndarray, shape (C, C, K, R, M, M)
        Radial coefficients, scaling included.
    xi : ndarray, shape (n_scalars,)
    constants : ndarray, shape (C,)
    ranges : tuple of float
        r_min, r_cut (Å), least and greatest moment (μB).
    """
    program = compile_tables(tables, c.shape[2])
    arranged = arrange(c)
    sizes = [
        c.shape[0], c.shape[2], c.shape[3], c.shape[4], arranged.shape[-1], int(program.ranks.max()),
        len(program.summed), len(program.traces), len(program.times), len(program.scalars),
        len(program.sources), program.n_moments,
    ]  # fmt: skip
    whole = [np.ravel(getattr(program, name)) for name in TABLES]
    numbers = [np.array(ranges), arranged.ravel(), xi, constants, program.weights, program.factors]
    head = len(SIZES) + len(TABLES) + len(NUMBERS)
    offsets = np.cumsum([head] + [len(a) for a in whole])[:-1]
    targets = np.cumsum([0] + [len(a) for a in numbers])[:-1]
    integers = np.concatenate([sizes, offsets, targets, *whole]).astype(np.int64)
    return Packed(integers, np.concatenate(numbers).astype(np.float64))


def disarrange(arranged: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Undo `arrange` for rows (n, size) of arranged coefficients; returns (n, C, C, K, R, M, M)."""
    C, _, K, R, M, _ = shape
    rows = arranged.reshape(len(arranged), C, C, K, M, M, -1)[..., :R]
    return np.moveaxis(rows, (4, 5, 6), (6, 5, 4))
