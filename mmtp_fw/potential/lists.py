"""Pairs of a neighbour list, sorted by their first atom in one pass."""

from __future__ import annotations

import numpy as np

from mmtp_fw.potential.jit import jit


@jit
def compress(n, i, j, vectors):
    """Sort pairs by their first atom.

    Returns where the pairs of every atom begin (n + 1), their second atoms, their vectors, and the index (in
    the order given) and the square of the shortest one.
    """
    first = np.zeros(n + 1, dtype=np.int64)
    closest = -1
    shortest = np.inf
    for p in range(len(i)):
        first[i[p] + 1] += 1
        r2 = vectors[p, 0] ** 2 + vectors[p, 1] ** 2 + vectors[p, 2] ** 2
        if r2 < shortest:
            shortest = r2
            closest = p
    for k in range(n):
        first[k + 1] += first[k]
    place = first[:n].copy()
    neighbors = np.empty(len(i), dtype=np.int32)
    sorted_vectors = np.empty((len(i), 3))
    for p in range(len(i)):
        to = place[i[p]]
        place[i[p]] += 1
        neighbors[to] = j[p]
        sorted_vectors[to, 0] = vectors[p, 0]
        sorted_vectors[to, 1] = vectors[p, 1]
        sorted_vectors[to, 2] = vectors[p, 2]
    return first, neighbors, sorted_vectors, closest, shortest
