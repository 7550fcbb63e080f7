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

ROUNDING_A = 1e-5
"""Å; no search and no bound is trusted to tell distances closer than this apart."""

KEPT = 8
"""Lists: enough for configurations that take turns, the images of a path say."""

KEPT_PAIRS = 1_000_000
"""Pairs (16 bytes each) beyond which only the newest list is kept."""

_UNIT: FloatArray = np.eye(3)

Pairs = tuple[IntArray, Int32Array, FloatArray, float]
"""Where the pairs of every atom begin (n + 1), their second atoms, their vectors (Å), and the shortest distance."""


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Pairs within cut-off + skin of a reference configuration."""

    positions: FloatArray
    inverse_cell: FloatArray
    pbc: tuple[bool, ...]
    first: IntArray
    neighbors: Int32Array
    shifts: Int32Array


class ListCache:
    """Neighbour lists for one cut-off, made faster by what is kept of earlier ones, and the same to the last bit.

    A list holds the pairs within the cut-off in the order of their first atom, their second one and its image, with
    vectors by one arithmetic; where its candidates come from can't be told from it. Every search finds candidates
    within the cut-off and a skin, and those of the last few are kept. For a configuration that differs little from one
    of theirs only vectors are computed, until an atom or the cell has moved so far that a pair might be missing.
    Threads may share it: what is kept is replaced as a whole.

    Parameters
    ----------
    r_cut : float
        Å.
    skin : float
        Å.

    Attributes
    ----------
    builds : int
        Searches so far.
    """

    def __init__(self, r_cut: float, skin: float = SKIN_A) -> None:
        self.r_cut = r_cut
        self.skin = skin
        self.builds = 0
        self._kept: tuple[_Candidates, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        return {"r_cut": self.r_cut, "skin": self.skin, "builds": 0, "_kept": ()}

    def pairs(self, positions: FloatArray, cell: FloatArray, pbc: tuple[bool, ...]) -> Pairs:
        """Return all pairs within the cut-off, every image counted, sorted.

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
        if not any(pbc):
            cell = _UNIT
        kept = self._kept
        for candidates in kept:
            if self._serves(candidates, positions, cell, pbc):
                if candidates is not kept[0]:
                    self._kept = (candidates, *(other for other in kept if other is not candidates))
                return self._within(candidates, positions, cell)
        if not np.isfinite(positions).all():
            raise InputError("a position is not finite")
        self.builds += 1
        made = self._search(positions, cell, pbc)
        self._keep(made, kept)
        return self._within(made, positions, cell)

    def _serves(self, kept: _Candidates, positions: FloatArray, cell: FloatArray, pbc: tuple[bool, ...]) -> bool:
        """Return whether every pair within the cut-off now was within cut-off + skin then."""
        if kept.positions.shape != positions.shape or pbc != kept.pbc:
            return False
        from mmtp_fw.potential.lists import complete  # numba waits for the first use

        allowed = self.r_cut + self._searched_skin() - ROUNDING_A
        return bool(complete(kept.positions, kept.inverse_cell, positions, cell, self.r_cut, allowed))

    def _searched_skin(self) -> float:
        return max(self.skin, 2.0 * ROUNDING_A)

    def _search(self, positions: FloatArray, cell: FloatArray, pbc: tuple[bool, ...]) -> _Candidates:
        from vesin import NeighborList

        from mmtp_fw.potential.lists import in_order

        # The skin costs next to nothing: cells of atoms are searched whole. vesin's own sorting and copying take as
        # long as finding the pairs; its arrays live as long as `found` does.
        found = NeighborList(cutoff=self.r_cut + self._searched_skin(), full_list=True, sorted=False, n_threads=1)
        i, j, shifts = found.compute(positions, cell, list(pbc), quantities="ijS", copy=False)
        ordered = in_order(len(positions), i, j, shifts)
        return _Candidates(positions.copy(), np.asarray(np.linalg.inv(cell), dtype=np.float64), pbc, *ordered)

    def _keep(self, made: _Candidates, kept: tuple[_Candidates, ...]) -> None:
        """Keep the newest list before others."""
        found, total = [made], len(made.neighbors)
        for other in kept[: KEPT - 1]:
            total += len(other.neighbors)
            if total > KEPT_PAIRS:
                break
            found.append(other)
        self._kept = tuple(found)

    def _within(self, candidates: _Candidates, positions: FloatArray, cell: FloatArray) -> Pairs:
        from mmtp_fw.potential.lists import refresh

        first, neighbors, vectors, count, square, i, j = refresh(
            candidates.first, candidates.neighbors, candidates.shifts, positions, cell, self.r_cut
        )
        if square < 1e-12:
            raise InputError(f"atoms {i} and {j} coincide", "remove one of them")
        return first, neighbors[:count], vectors[:count], sqrt(square)
