"""Neighbour lists that follow moving atoms: candidates within the cut-off and a skin, kept while they are complete."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from mmtp_fw.arrays import FloatArray, Int32Array, IntArray
from mmtp_fw.errors import InputError

SKIN_A = 0.6
"""Å; at 300 K a list then serves some twenty steps of molecular dynamics."""

_UNIT: FloatArray = np.eye(3)

Pairs = tuple[IntArray, Int32Array, FloatArray, float]
"""Where the pairs of every atom begin (n + 1), their second atoms, their vectors (Å), and the shortest distance."""


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Pairs within cut-off + skin of a reference configuration."""

    positions: FloatArray
    cell: FloatArray
    pbc: tuple[bool, ...]
    first: IntArray
    neighbors: Int32Array
    shifts: FloatArray


class ListCache:
    """Neighbour lists for one cut-off; the last configuration's candidates are kept for its successors.

    Whoever evaluates along a trajectory holds one; see `Potential.lists`.

    A configuration that is alone costs one list. From the second on that differs little from the one before,
    candidates with a skin are kept and only their vectors are computed, until an atom or the cell has moved so far
    that a pair might be missing. Threads may share it: what is kept is replaced as a whole.

    Parameters
    ----------
    r_cut : float
        Å.
    skin : float
        Å.
    """

    def __init__(self, r_cut: float, skin: float = SKIN_A) -> None:
        self.r_cut = r_cut
        self.skin = skin
        self.builds = 0
        self._candidates: _Candidates | None = None
        self._last: tuple[FloatArray, FloatArray, tuple[bool, ...]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"r_cut": self.r_cut, "skin": self.skin, "builds": 0, "_candidates": None, "_last": None}

    def pairs(self, positions: FloatArray, cell: FloatArray, pbc: tuple[bool, ...]) -> Pairs:
        """Return all pairs within the cut-off, every image counted, sorted by their first atom.

        Parameters
        ----------
        positions : ndarray, shape (n, 3)
        cell : ndarray, shape (3, 3)
        pbc : tuple of bool

        Raises
        ------
        InputError
            Coincident atoms, positions that are not finite.
        """
        kept, last = self._candidates, self._last
        if kept is not None and self._complete(kept.positions, kept.cell, kept.pbc, positions, cell, pbc):
            return self._refreshed(kept, positions, cell)
        if not np.isfinite(positions).all():
            raise InputError("a position is not finite")
        self._last = positions.copy(), cell.copy(), pbc
        self.builds += 1
        if last is None or not self._complete(*last, positions, cell, pbc):
            self._candidates = None
            return self._fresh(positions, cell, pbc)
        from mmtp_fw.potential.lists import compress  # numba waits for the first use

        owner, (i, j, shifts) = _find(positions, cell, pbc, self.r_cut + self.skin, "ijS")
        first, neighbors, sorted_shifts, *_ = compress(len(positions), i, j, shifts.astype(np.float64))
        del owner
        kept = _Candidates(positions.copy(), cell.copy(), pbc, first, neighbors, sorted_shifts)
        self._candidates = kept
        return self._refreshed(kept, positions, cell)

    def _complete(
        self, reference: FloatArray, cell_then: FloatArray, pbc_then: tuple[bool, ...],
        positions: FloatArray, cell: FloatArray, pbc: tuple[bool, ...],
    ) -> bool:  # fmt: skip
        """Return whether every pair within the cut-off now was within cut-off + skin then.

        With positions then x, now x F + u, a distance d now was at most |F⁻¹| (d + 2 max |u|).
        """
        if reference.shape != positions.shape or pbc != pbc_then or len(positions) == 0:
            return False
        from mmtp_fw.potential.lists import drift

        stretch = 1.0
        deformation = _UNIT
        if cell.tobytes() != cell_then.tobytes():
            if not all(pbc) or abs(np.linalg.det(cell_then)) < 1e-9:
                return False
            deformation = np.asarray(np.linalg.solve(cell_then, cell), dtype=np.float64)
            least = np.linalg.svd(deformation, compute_uv=False)[-1]
            if not least > 0.5:
                return False
            stretch = 1.0 / least
        moved = drift(reference, positions, deformation)
        return bool(stretch * (self.r_cut + 2.0 * moved) <= self.r_cut + self.skin)

    def _refreshed(self, kept: _Candidates, positions: FloatArray, cell: FloatArray) -> Pairs:
        from mmtp_fw.potential.lists import refresh

        first, neighbors, vectors, count, square, i, j = refresh(
            kept.first, kept.neighbors, kept.shifts, positions, cell, self.r_cut
        )
        _refuse_coincident(square, i, j)
        return first, neighbors[:count], vectors[:count], sqrt(square)

    def _fresh(self, positions: FloatArray, cell: FloatArray, pbc: tuple[bool, ...]) -> Pairs:
        from mmtp_fw.potential.lists import compress

        owner, (i, j, vectors) = _find(positions, cell, pbc, self.r_cut, "ijD")
        first, neighbors, sorted_vectors, closest, square = compress(len(positions), i, j, vectors)
        _refuse_coincident(square, i[closest] if closest >= 0 else -1, j[closest] if closest >= 0 else -1)
        del owner
        return first, neighbors, sorted_vectors, float(np.sqrt(square))


def _find(
    positions: FloatArray, cell: FloatArray, pbc: tuple[bool, ...], cutoff: float, quantities: str
) -> tuple[Any, Any]:
    """Return the owner of the memory, to be kept as long as the arrays, and the arrays."""
    from vesin import NeighborList

    # vesin's own sorting and copying take as long as finding the pairs.
    pairs = NeighborList(cutoff=cutoff, full_list=True, sorted=False, n_threads=1)
    return pairs, pairs.compute(positions, cell, list(pbc), quantities=quantities, copy=False)


def _refuse_coincident(square: float, i: int, j: int) -> None:
    if square < 1e-12:
        raise InputError(f"atoms {i} and {j} coincide", "remove one of them")
