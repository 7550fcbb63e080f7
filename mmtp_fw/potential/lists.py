"""Compiled passes over pairs and numbers: sorting a neighbour list, following the atoms, extremes."""

from __future__ import annotations

import numpy as np

from mmtp_fw.arrays import FloatArray, Int32Array, IntArray
from mmtp_fw.potential.jit import jit, jit_with


@jit
def in_order(n: int, i: Int32Array, j: Int32Array, shifts: Int32Array) -> tuple[IntArray, Int32Array, Int32Array]:
    """Sort pairs by their first atom, their second one and its image, in that order.

    `shifts`, the image's lattice vector in integers, has shape (pairs, 3).

    Returns where the pairs of every atom begin (n + 1), their second atoms, and their shifts.
    """
    first, second = np.zeros(n + 1, dtype=np.int64), np.zeros(n + 1, dtype=np.int64)
    for q in range(len(i)):
        first[i[q] + 1] += 1
        second[j[q] + 1] += 1
    for k in range(n):
        first[k + 1] += first[k]
        second[k + 1] += second[k]
    by_second = np.empty(len(i), dtype=np.int64)
    for q in range(len(i)):
        by_second[second[j[q]]] = q
        second[j[q]] += 1
    place = first[:n].copy()
    neighbors = np.empty(len(i), dtype=np.int32)
    images = np.empty((len(i), 3), dtype=np.int32)
    for p in by_second:
        to = int(place[i[p]])
        place[i[p]] += 1
        a, b, c = shifts[p, 0], shifts[p, 1], shifts[p, 2]
        neighbors[to] = j[p]
        # Images of one atom are few, save in small cells, where vesin has them nearly in order.
        while to > first[i[p]] and neighbors[to - 1] == j[p] and _after(images[to - 1], a, b, c):
            images[to, 0], images[to, 1], images[to, 2] = images[to - 1, 0], images[to - 1, 1], images[to - 1, 2]
            to -= 1
        images[to, 0], images[to, 1], images[to, 2] = a, b, c
    return first, neighbors, images


@jit
def _after(image: Int32Array, a: int, b: int, c: int) -> bool:
    """Return whether an image, shape (3,), comes after the one with the shifts a, b and c."""
    if image[0] != a:
        return bool(image[0] > a)
    if image[1] != b:
        return bool(image[1] > b)
    return bool(image[2] > c)


@jit
def complete(
    reference: FloatArray, inverse: FloatArray, positions: FloatArray, cell: FloatArray, r_cut: float, allowed: float
) -> bool:
    """Return whether every pair within the cut-off now was surely within `allowed` of each other then.

    With positions then x, now x F + u, a distance d now was at most |F⁻¹| (d + 2 max |u|), and |F⁻¹| is at most
    1 / (1 − |F − 1|). Positions and references have the shape (n, 3), the inverse of the cell then and the cell now
    (3, 3).
    """
    deformation = np.empty((3, 3))
    change = 0.0
    for a in range(3):
        for k in range(3):
            value = inverse[a, 0] * cell[0, k] + inverse[a, 1] * cell[1, k] + inverse[a, 2] * cell[2, k]
            deformation[a, k] = value
            change += (value - (a == k)) ** 2
    most = 0.5 * (allowed * (1.0 - np.sqrt(change)) - r_cut)
    if not most >= 0.0:
        return False
    for i in range(len(positions)):
        square = 0.0
        for k in range(3):
            away = positions[i, k]
            for a in range(3):
                away -= reference[i, a] * deformation[a, k]
            square += away * away
        if not square <= most * most:
            return False
    return True


# Every sum is rounded as it is written: the bits of a vector may not depend on the pairs beside it.
@jit_with(())
def refresh(
    first: IntArray, neighbors: Int32Array, shifts: Int32Array, positions: FloatArray, cell: FloatArray, r_cut: float
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
            a, b, c = float(shifts[p, 0]), float(shifts[p, 1]), float(shifts[p, 2])
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
