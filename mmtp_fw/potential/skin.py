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
    """Pairs within a distance of each other (Å) in a reference configuration."""

    positions: FloatArray
    inverse_cell: FloatArray
    pbc: tuple[bool, ...]
    reach: float
    first: IntArray
    neighbors: Int32Array
    shifts: Int32Array


class ListCache:
    """Neighbour lists for one cut-off, made faster by what is kept of earlier ones, and the same to the last bit.

    A list holds the pairs within the cut-off in the order of their first atom, their second one and its image, with
    vectors by one arithmetic; where its candidates come from can't be told from it. A configuration that is alone costs
    one search. From the second on that differs little from one of the last few, candidates with a skin are kept and
    only their vectors are computed, until an atom or the cell has moved so far that a pair might be missing. Threads
    may share it: what is kept is replaced as a whole.

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
        close: _Candidates | None = None
        for candidates in kept:
            distance = self._distance_then(candidates, positions, cell, pbc)
            if distance <= candidates.reach - ROUNDING_A:
                if candidates is not kept[0]:
                    self._kept = (candidates, *(other for other in kept if other is not candidates))
                return self._within(candidates, positions, cell)
            if close is None and distance < np.inf:
                close = candidates
        if not np.isfinite(positions).all():
            raise InputError("a position is not finite")
        self.builds += 1
        made = self._search(positions, cell, pbc, 0.0 if close is None else self.skin)
        self._keep(made, kept, close)
        return self._within(made, positions, cell)

    def _distance_then(
        self, kept: _Candidates, positions: FloatArray, cell: FloatArray, pbc: tuple[bool, ...]
    ) -> float:
        """Return how far apart a pair within the cut-off now was at most; infinite if the configurations differ much.

        One that a list with a skin has just ceased to serve still follows it.
        """
        if kept.positions.shape != positions.shape or pbc != kept.pbc:
            return np.inf
        from mmtp_fw.potential.lists import distance_then  # numba waits for the first use

        most = self.r_cut + self.skin * (2.0 if self._has_skin(kept) else 1.0)
        return float(distance_then(kept.positions, kept.inverse_cell, positions, cell, self.r_cut, most))

    def _has_skin(self, kept: _Candidates) -> bool:
        return kept.reach >= self.r_cut + self.skin

    def _search(self, positions: FloatArray, cell: FloatArray, pbc: tuple[bool, ...], skin: float) -> _Candidates:
        from vesin import NeighborList

        from mmtp_fw.potential.lists import in_order

        reach = self.r_cut + max(skin, 2.0 * ROUNDING_A)
        # vesin's own sorting and copying take as long as finding the pairs; its arrays live as long as `found` does.
        found = NeighborList(cutoff=reach, full_list=True, sorted=False, n_threads=1)
        i, j, shifts = found.compute(positions, cell, list(pbc), quantities="ijS", copy=False)
        ordered = in_order(len(positions), i, j, shifts)
        inverse = np.asarray(np.linalg.inv(cell), dtype=np.float64)
        return _Candidates(positions.copy(), inverse, pbc, reach, *ordered)

    def _keep(self, made: _Candidates, kept: tuple[_Candidates, ...], close: _Candidates | None) -> None:
        """Keep the newest list before others, without the one that it makes superfluous."""
        served = close is not None and not self._has_skin(close)
        found, total = [made], len(made.neighbors)
        for other in kept:
            if served and other is close:
                continue
            total += len(other.neighbors)
            if total > KEPT_PAIRS or len(found) == KEPT:
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
