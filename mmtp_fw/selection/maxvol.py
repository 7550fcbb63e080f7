"""Square submatrices of largest volume (MaxVol) and the coefficients of rows in them.

For an invertible A of p rows, a row b is b = c·A. Where |c_j| > 1, putting b in the place of row j multiplies
|det A| by |c_j|; MaxVol (Goreinov et al., 2010) does so until no |c_j| exceeds one. Here the exchanges are
made in blocks: the few rows that stick out most are exchanged among themselves at once, with coefficients of
these rows only, and all other coefficients follow by one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential.jit import jit_with

DEFAULT_TOLERANCE = 1.01
_BLOCK = 48
_ROWS = 512  # rows that are brought up to date together; more leave the cache


@jit_with(())
def _row_maxima(coefficients: FloatArray, out: FloatArray) -> None:
    """Write max_j |c_ij| of every row."""
    for i in range(coefficients.shape[0]):
        largest = 0.0
        for j in range(coefficients.shape[1]):
            value = abs(coefficients[i, j])
            largest = value if value > largest else largest
        out[i] = largest


@jit_with(())
def _exchange_block(block: FloatArray, threshold: float, limit: int, pairs: IntArray) -> int:
    """Exchange rows of a block until no coefficient in it exceeds `threshold`.

    `block` (m, p) is changed to the coefficients of the rows that then stand outside; ``pairs[k]`` becomes
    (row of the block, column). Returns the number of exchanges.
    """
    m, p = block.shape
    count = 0
    while count < limit:
        largest, i0, j0 = threshold, -1, -1
        for i in range(m):
            for j in range(p):
                if abs(block[i, j]) > largest:
                    largest, i0, j0 = abs(block[i, j]), i, j
        if i0 < 0:
            break
        pairs[count, 0] = i0
        pairs[count, 1] = j0
        count += 1
        pivot = block[i0, j0]
        shifted = block[i0].copy()
        shifted[j0] -= 1.0
        for i in range(m):
            if i != i0:
                factor = block[i, j0] / pivot
                for j in range(p):
                    block[i, j] -= factor * shifted[j]
        # The row that leaves is e_j of the old matrix: its coefficients in the new one.
        for j in range(p):
            block[i0, j] = -shifted[j] / pivot
        block[i0, j0] += 1.0
    return count


def largest_coefficients(coefficients: FloatArray) -> FloatArray:
    """Return max_j |c_ij| of every row, shape (n,)."""
    out = np.empty(len(coefficients))
    _row_maxima(np.ascontiguousarray(coefficients), out)
    return out


@dataclass(eq=False)
class SquareSet:
    """An invertible matrix of p rows that can be improved.

    Attributes
    ----------
    matrix : ndarray, shape (p, p)
        The rows.
    inverse : ndarray, shape (p, p)
    labels : ndarray of int64, shape (p,)
        Where each row came from; the caller's numbers.
    log_volume : float
        ln |det matrix|.
    """

    matrix: FloatArray
    inverse: FloatArray
    labels: IntArray
    log_volume: float

    @classmethod
    def from_matrix(cls, matrix: FloatArray, labels: IntArray) -> SquareSet:
        """Invert a matrix, shape (p, p).

        Raises
        ------
        InputError
            For a singular matrix.
        """
        matrix = np.array(matrix, dtype=np.float64)
        sign, log_volume = np.linalg.slogdet(matrix)
        if sign == 0 or not np.isfinite(log_volume):
            raise InputError("the rows of the active set depend on one another", "start it with SquareSet.diagonal")
        return cls(
            matrix,
            np.asarray(np.linalg.inv(matrix), dtype=np.float64),
            np.array(labels, dtype=np.int64),
            float(log_volume),
        )

    @classmethod
    def diagonal(cls, size: int, floor: float = 1.0) -> SquareSet:
        """Return `floor` times the unit matrix, its rows labelled −1: stand-ins for rows not yet seen."""
        return cls(
            np.eye(size) * floor,
            np.eye(size) / floor,
            np.full(size, -1, dtype=np.int64),
            size * float(np.log(floor)),
        )

    def copy(self) -> SquareSet:
        """Return an independent copy."""
        return SquareSet(self.matrix.copy(), self.inverse.copy(), self.labels.copy(), self.log_volume)

    def coefficients(self, rows: FloatArray) -> FloatArray:
        """Return c with rows = c·matrix, shape (n, p)."""
        return rows @ self.inverse

    def grades(self, rows: FloatArray) -> FloatArray:
        """Return max_j |c_ij| for rows of shape (n, p), shape (n,)."""
        return largest_coefficients(self.coefficients(rows))

    def absorb(
        self,
        rows: FloatArray,
        labels: IntArray,
        tolerance: float = DEFAULT_TOLERANCE,
        max_exchanges: int = 1_000_000,
    ) -> int:
        """Exchange rows until no coefficient of any row exceeds `tolerance` in size.

        Parameters
        ----------
        rows : ndarray, shape (n, p)
            Candidates.
        labels : ndarray of int, shape (n,)
        tolerance : float
            At least 1.
        max_exchanges : int
            Stop after so many.

        Returns
        -------
        int
            Number of exchanges. The log volume has grown by at least ln(tolerance) for each.
        """
        if len(rows) == 0:
            return 0
        pool = np.vstack([self.matrix, np.asarray(rows, dtype=np.float64)])
        pool_labels = np.concatenate([self.labels, np.asarray(labels, dtype=np.int64)])
        chosen, _, exchanges = _improve(
            pool, np.arange(len(self.matrix)), self.coefficients(pool), tolerance, max_exchanges
        )
        if exchanges:
            improved = SquareSet.from_matrix(pool[chosen], pool_labels[chosen])
            self.matrix, self.inverse = improved.matrix, improved.inverse
            self.labels, self.log_volume = improved.labels, improved.log_volume
        return exchanges


def _improve(
    rows: FloatArray, chosen: IntArray, coefficients: FloatArray, tolerance: float, max_exchanges: int
) -> tuple[IntArray, FloatArray, int]:
    """Exchange between `chosen` (indices into rows, (p,)) and all rows; coefficients (n, p) change."""
    chosen = chosen.copy()
    threshold = max(1.0, tolerance)
    maxima = np.empty(len(rows))
    exchanges = 0
    while exchanges < max_exchanges:
        _row_maxima(coefficients, maxima)
        count = min(_BLOCK, len(rows))
        candidates = np.argpartition(maxima, len(rows) - count)[len(rows) - count :]
        candidates = candidates[maxima[candidates] > threshold]
        if len(candidates) == 0:
            break
        chosen, done = _exchange(candidates, chosen, coefficients, threshold, max_exchanges - exchanges)
        exchanges += done
    return chosen, coefficients, exchanges


def _exchange(
    candidates: IntArray, chosen: IntArray, coefficients: FloatArray, threshold: float, limit: int
) -> tuple[IntArray, int]:
    """Exchange the candidate rows (indices), then bring all coefficients up to date by one product."""
    outside = candidates.copy()
    # A block that may be as large as the rows it drives out of one another stays numerically harmless.
    limit = min(limit, 2 * _BLOCK)
    pairs = np.empty((limit, 2), dtype=np.int64)
    count = _exchange_block(coefficients[outside].copy(), threshold, limit, pairs)
    columns: dict[int, int] = {}
    for local, column in pairs[:count]:
        columns[int(column)] = int(outside[local])
        outside[local], chosen[column] = chosen[column], outside[local]
    J = np.array([j for j, _ in columns.items()], dtype=np.int64)
    inside = chosen[J]
    # New matrix = M·old, with M the unit matrix but for rows J, which are the coefficients of the new rows.
    M = coefficients[inside]
    T = np.linalg.solve(M[:, J], -M)
    T[:, J] = np.linalg.inv(M[:, J])
    T[np.arange(len(J)), J] -= 1.0
    for first in range(0, len(coefficients), _ROWS):
        part = coefficients[first : first + _ROWS]
        part += part[:, J] @ T
    return chosen, count


def greedy_rows(rows: FloatArray) -> IntArray:
    """Choose p of n rows one after another, each (nearly) the farthest from the span of those before.

    The start decides how large the volume becomes in the end. In blocks: the rows that stick out most are
    orthogonalised among themselves, and what is left of all rows follows by matrix products.

    Parameters
    ----------
    rows : ndarray, shape (n, p), n ≥ p
        Of full column rank.

    Returns
    -------
    ndarray of int64, shape (p,)

    Raises
    ------
    InputError
        For rows without full rank.
    """
    n, p = rows.shape
    rows = np.asarray(rows, dtype=np.float64)
    squares = np.einsum("ij,ij->i", rows, rows)
    largest = np.sqrt(squares.max(initial=0.0))
    basis = np.empty((p, p))
    chosen: list[int] = []
    while len(chosen) < p:
        known = basis[: len(chosen)]
        count = min(8 * _BLOCK, n)
        pool = np.argpartition(squares, n - count)[n - count :]
        rest = _beyond(rows[pool], known)
        if np.sqrt(np.einsum("ij,ij->i", rest, rest).max(initial=0.0)) < 1e-6 * largest:
            # Squares brought up to date by differences have lost their digits.
            rest = _beyond(rows, known)
            squares = np.einsum("ij,ij->i", rest, rest)
            squares[chosen] = -1.0
            pool = np.argpartition(squares, n - count)[n - count :]
            rest = rest[pool]
        # Without some patience towards rows outside the pool, the last of a block would be poor choices.
        outside = np.sqrt(max(squares[pool].min(), 0.0)) if count < n else 0.0
        rest[squares[pool] < 0.0] = 0.0
        places, more = _orthogonalise(rest, min(_BLOCK, p - len(chosen)), max(1e-13 * largest, 0.5 * outside))
        if len(places) == 0:
            raise InputError("rows without full rank", "add diagonal rows first")
        basis[len(chosen) : len(chosen) + len(places)] = more
        chosen += [int(pool[k]) for k in places]
        parts = rows @ more.T
        squares -= np.einsum("ij,ij->i", parts, parts)
        squares[chosen] = -1.0
    return np.array(chosen, dtype=np.int64)


def _beyond(rows: FloatArray, basis: FloatArray) -> FloatArray:
    """Return what is left of rows beyond the span of an orthonormal basis (k, p); twice is enough."""
    rest = rows - (rows @ basis.T) @ basis
    return rest - (rest @ basis.T) @ basis


@jit_with(("reassoc", "contract"))
def _remove(rest: FloatArray, vector: FloatArray, squares: FloatArray) -> None:
    """Take the component along a unit vector from every row, and write the squares of the lengths."""
    for i in range(rest.shape[0]):
        along = 0.0
        for k in range(rest.shape[1]):
            along += rest[i, k] * vector[k]
        square = 0.0
        for k in range(rest.shape[1]):
            value = rest[i, k] - along * vector[k]
            rest[i, k] = value
            square += value * value
        squares[i] = square


def _orthogonalise(rest: FloatArray, limit: int, smallest: float) -> tuple[list[int], FloatArray]:
    """Return up to `limit` places in a pool, the farthest first, and their orthonormal basis (k, p).

    The rows of the pool are changed.
    """
    places: list[int] = []
    basis = np.empty((limit, rest.shape[1]))
    squares = np.einsum("ij,ij->i", rest, rest)
    while len(places) < limit:
        best = int(np.argmax(squares))
        length = np.sqrt(squares[best])
        if length <= smallest and (places or length == 0.0):
            break
        known = basis[: len(places)]
        vector = rest[best] / length
        vector -= (known @ vector) @ known
        vector /= np.linalg.norm(vector)
        basis[len(places)] = vector
        places.append(best)
        _remove(rest, vector, squares)
        rest[best] = 0.0
        squares[best] = 0.0
    return places, basis[: len(places)]


def maxvol(rows: FloatArray, tolerance: float = DEFAULT_TOLERANCE, floor: float = 0.0) -> SquareSet:
    """Return p of n rows of (locally) largest volume.

    Parameters
    ----------
    rows : ndarray, shape (n, p)
    tolerance : float
        At least 1: no exchange with any row multiplies the volume by more.
    floor : float
        Where it is positive, the rows ``floor * e_j`` take part too: the answer exists then for any number
        and rank of rows, and directions in which no row reaches `floor` are held by them (label −1).

    Returns
    -------
    SquareSet
        Labelled by the index into `rows`.

    Raises
    ------
    InputError
        Without a floor, for rows that don't span the space; for rows that aren't finite.
    """
    rows = np.asarray(rows, dtype=np.float64)
    if rows.ndim != 2 or not np.all(np.isfinite(rows)):
        raise InputError("MaxVol needs a matrix of finite numbers")
    n, p = rows.shape
    labels = np.arange(n, dtype=np.int64)
    if floor > 0:
        rows = np.vstack([rows, floor * np.eye(p)])
        labels = np.concatenate([labels, np.full(p, -1)])
    elif n < p:
        raise InputError(f"{n} rows can't span {p} dimensions", "give more rows, or a floor")
    chosen = greedy_rows(rows)
    coefficients = rows @ np.linalg.inv(rows[chosen])
    chosen, _, _ = _improve(rows, chosen, coefficients, tolerance, 1_000_000)
    return SquareSet.from_matrix(rows[chosen], labels[chosen])
