"""Rows of what labels observe: energies of cells, forces, virials, magnetic forces, each with its weight.

The loss of a fit is |r|² with r all weighted residuals; their rows J = ∂r/∂θ say which combinations of parameters the
labels fix, and how well. Site energies are not among them: no label has one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.fitting.loss import directional_gradient, residuals_of
from mmtp_fw.fitting.samples import Sample
from mmtp_fw.potential import Potential, System
from mmtp_fw.potential.threads import each, thread_count
from mmtp_fw.quantities import QUANTITIES, Direction

NAMES = tuple(QUANTITIES)
"""Quantities in the order of `Rows.quantity`."""

ROWS_PER_PARAMETER = 30
"""Rows of a training set, in units of the parameters, beyond which random sums of rows take their place."""

_SYMMETRIC = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))  # the independent parts of a virial


@dataclass(frozen=True, eq=False)
class Rows:
    """m rows of one configuration.

    Attributes
    ----------
    matrix : ndarray, shape (m, p)
        ∂/∂θ.
    quantity : ndarray of int, shape (m,)
        Index into `NAMES`.
    multiplicity : ndarray, shape (m,)
        How many components of the loss each stands for: two where a tensor is symmetric.
    """

    matrix: FloatArray
    quantity: IntArray
    multiplicity: FloatArray

    def of(self, name: str) -> FloatArray:
        """Return the rows of one quantity, shape (components, p)."""
        return np.asarray(self.matrix[self.quantity == NAMES.index(name)])


def _components(name: str, n: int) -> tuple[list[FloatArray], list[float]]:
    """Return for each independent component of a quantity its coefficients, and how often it counts."""
    shape = QUANTITIES[name].shape(n)
    if not QUANTITIES[name].symmetric:
        return list(np.eye(math.prod(shape)).reshape(-1, *shape)), [1.0] * math.prod(shape)
    found, counts = [], []
    for a, b in _SYMMETRIC:
        part = np.zeros((3, 3))
        part[a, b] += 0.5
        part[b, a] += 0.5
        found.append(part)
        counts.append(1.0 if a == b else 2.0)
    return found, counts


def prediction_rows(
    potential: Potential, system: System, moments: FloatArray, wanted: Sequence[str] | None = None
) -> Rows:
    """Return the rows of everything that a configuration of n atoms is asked for, without weights.

    Parameters
    ----------
    potential : Potential
    system : System
    moments : ndarray, shape (n,)
        μB.
    wanted : sequence of str, optional
        Names of quantities; by default all that the potential has.
    """
    sample = Sample(system, moments, {}, {}, {})
    rows: list[FloatArray] = []
    kinds: list[int] = []
    many: list[float] = []
    for index, name in enumerate(NAMES):
        quantity = QUANTITIES[name]
        if name not in wanted if wanted is not None else not quantity.applies(potential.magnetic, True):
            continue
        parts, counts = _components(name, len(system))
        for part in parts:
            rows.append(directional_gradient(potential, sample, quantity.along(quantity.sign * part, len(system))))
        kinds += [index] * len(parts)
        many += counts
    return Rows(np.array(rows).reshape(len(kinds), potential.n_parameters), np.array(kinds, dtype=int), np.array(many))


def observed(potential: Potential, sample: Sample) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return weighted rows (m, p), weighted residuals (m,) and the quantity of each, of what one label holds."""
    held = [name for name, weight in sample.weights.items() if weight > 0]
    rows = prediction_rows(potential, sample.system, sample.moments, held)
    off = residuals_of(sample, potential.evaluate_system(sample.system, sample.moments))
    residuals = [_independent(name, off[name]) for name in NAMES if name in held]
    weights = np.array([sample.weights.get(name, 0.0) for name in NAMES])
    roots = np.sqrt(weights[rows.quantity] * rows.multiplicity)
    return roots[:, None] * rows.matrix, roots * np.concatenate([*residuals, np.zeros(0)]), rows.quantity


def _independent(name: str, residual: FloatArray) -> FloatArray:
    if QUANTITIES[name].symmetric:
        return np.array([residual[a, b] for a, b in _SYMMETRIC])
    return np.ravel(residual)


def sums_of_rows(
    potential: Potential, sample: Sample, count: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return the energy's row and `count` random signed sums of the others, with residuals alike.

    The mean of their outer products is that of all rows: enough where a training set has many times more rows than
    the potential has parameters. Shapes are (m, p) and (m,).
    """
    n = len(sample)
    roots = {name: math.sqrt(weight) for name, weight in sample.weights.items() if weight > 0}
    off = residuals_of(sample, potential.evaluate_system(sample.system, sample.moments))
    rows: list[FloatArray] = []
    residuals: list[float] = []
    if "energy" in roots:
        direction = QUANTITIES["energy"].along(np.array(roots["energy"]), n)
        rows.append(directional_gradient(potential, sample, direction))
        residuals.append(roots["energy"] * float(off["energy"]))
    probed = [name for name in roots if name != "energy"]
    for _ in range(count if probed else 0):
        direction, residual = Direction(), 0.0
        for name in probed:
            quantity = QUANTITIES[name]
            signs = roots[name] * rng.choice([-1.0, 1.0], size=quantity.shape(n)) / math.sqrt(count)
            direction = direction + quantity.along(quantity.sign * signs, n)
            residual += float(np.vdot(signs, off[name]))
        rows.append(directional_gradient(potential, sample, direction))
        residuals.append(residual)
    return np.array(rows).reshape(-1, potential.n_parameters), np.array(residuals)


class Triangle:
    """R of a QR decomposition of rows that come one after another: as exact as of all at once, in p² memory.

    A sum of squares JᵀJ would have lost every direction that is 10⁻⁸ of the strongest.
    """

    def __init__(self, columns: int) -> None:
        self.rows = 0
        self._r = np.zeros((0, columns))
        self._waiting: list[FloatArray] = []

    def add(self, rows: FloatArray) -> None:
        """Take in rows of shape (m, columns)."""
        self.rows += len(rows)
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= 4 * rows.shape[1]:
            self._reduce()

    def _reduce(self) -> None:
        stacked = np.vstack([self._r, *self._waiting])
        self._waiting = []
        self._r = qr(stacked, mode="r", overwrite_a=True, check_finite=False)[0][: stacked.shape[1]]

    @property
    def r(self) -> FloatArray:
        """The triangle, shape (min(rows, columns), columns)."""
        if self._waiting:
            self._reduce()
        return self._r


def triangle_of(potential: Potential, samples: Sequence[Sample], seed: int = 0) -> Triangle:
    """Return the triangle of [J, r] of a training set: p columns of rows, and the residuals beside them.

    All rows, or where there are more than `ROWS_PER_PARAMETER` times the parameters, sums of them.
    """
    p = potential.n_parameters
    total = sum(4 * len(sample) + 7 for sample in samples)
    count = math.ceil(ROWS_PER_PARAMETER * p / max(1, len(samples)))
    exact = total <= ROWS_PER_PARAMETER * p
    triangle = Triangle(p + 1)

    def work(index: int) -> FloatArray:
        sample = samples[index]
        if exact or 4 * len(sample) + 7 <= count:
            rows, residuals, _ = observed(potential, sample)
        else:
            rows, residuals = sums_of_rows(potential, sample, count, np.random.default_rng([seed, index]))
        return np.column_stack([rows, residuals])

    for batch in _batches(len(samples), thread_count()):
        for rows in each(work, batch):
            triangle.add(rows)
    return triangle


def _batches(n: int, size: int) -> Iterator[list[int]]:
    for first in range(0, n, size):
        yield list(range(first, min(n, first + size)))
