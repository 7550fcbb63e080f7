"""Compiled passes over pairs and numbers: sorting a neighbour list, following the atoms, extremes."""

from __future__ import annotations

import numpy as np

from mmtp_fw.arrays import FloatArray, Int32Array, IntArray
from mmtp_fw.potential.jit import jit


@jit
def compress(
    n: int, i: Int32Array, j: Int32Array, vectors: FloatArray
) -> tuple[IntArray, Int32Array, FloatArray, int, float]:
    """Sort pairs by their first atom.

    `vectors` has shape (pairs, 3).

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


@jit
def drift(reference: FloatArray, positions: FloatArray, deformation: FloatArray) -> float:
    """Return the largest |position − reference · deformation| (infinite for positions that are not finite).

    Positions and references have the shape (n, 3), the deformation (3, 3).
    """
    most = 0.0
    for i in range(len(positions)):
        square = 0.0
        for k in range(3):
            away = positions[i, k]
            for a in range(3):
                away -= reference[i, a] * deformation[a, k]
            square += away * away
        if not square <= most:
            most = square
    if not most < 1e300:
        return np.inf
    return float(np.sqrt(most))


@jit
def refresh(
    first: IntArray, neighbors: Int32Array, shifts: FloatArray, positions: FloatArray, cell: FloatArray, r_cut: float
) -> tuple[IntArray, Int32Array, FloatArray, int, float, int, int]:
    """Return the pairs of a candidate list that are within the cut-off, how many, and the closest of them.

    The list has shapes (n + 1,), (pairs,) and (pairs, 3), positions (n, 3), the cell (3, 3).
    """
    n = len(first) - 1
    begin = np.empty(n + 1, dtype=np.int64)
    kept = np.empty(len(neighbors), dtype=np.int32)
    vectors = np.empty((len(neighbors), 3))
    limit = r_cut * r_cut
    closest, closest_i, closest_j = np.inf, -1, -1
    count = 0
    for i in range(n):
        begin[i] = count
        xi, yi, zi = positions[i, 0], positions[i, 1], positions[i, 2]
        for p in range(first[i], first[i + 1]):
            j = neighbors[p]
            a, b, c = shifts[p, 0], shifts[p, 1], shifts[p, 2]
            x = positions[j, 0] - xi + a * cell[0, 0] + b * cell[1, 0] + c * cell[2, 0]
            y = positions[j, 1] - yi + a * cell[0, 1] + b * cell[1, 1] + c * cell[2, 1]
            z = positions[j, 2] - zi + a * cell[0, 2] + b * cell[1, 2] + c * cell[2, 2]
            square = x * x + y * y + z * z
            if square < limit:
                kept[count] = j
                vectors[count, 0] = x
                vectors[count, 1] = y
                vectors[count, 2] = z
                count += 1
                if square < closest:
                    closest, closest_i, closest_j = square, i, j
    begin[n] = count
    return begin, kept, vectors, count, closest, closest_i, closest_j


@jit
def extremes(values: FloatArray) -> tuple[float, float]:
    """Return the least and the greatest of numbers of shape (n,), (0, 0) without any; NaN is both if one is."""
    least = greatest = values[0] if len(values) else 0.0
    for value in values:
        if value < least:
            least = value
        elif not value <= greatest:
            greatest = value
            if value != value:
                return value, value
    return least, greatest


@jit
def too_close(
    types: Int32Array, first: IntArray, neighbors: Int32Array, vectors: FloatArray, nearest: FloatArray
) -> tuple[int, int, float]:
    """Return the atoms and the distance of the pair that undercuts its species' limit most; (−1, −1, ∞) without one.

    The list has shapes (n,), (n + 1,), (pairs,) and (pairs, 3), the limits (species, species).
    """
    worst, found_i, found_j, distance = 1.0, -1, -1, np.inf
    for i in range(len(first) - 1):
        for p in range(first[i], first[i + 1]):
            limit = nearest[types[i], types[neighbors[p]]]
            square = vectors[p, 0] ** 2 + vectors[p, 1] ** 2 + vectors[p, 2] ** 2
            if square < worst * limit * limit:
                worst = square / (limit * limit)
                found_i, found_j, distance = i, neighbors[p], np.sqrt(square)
    return found_i, found_j, distance
