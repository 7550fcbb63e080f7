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
from mmtp_fw.fitting.loss import residuals_of
from mmtp_fw.fitting.samples import Sample
from mmtp_fw.potential import Potential, System
from mmtp_fw.potential.threads import each, thread_count

QUANTITIES = ("energy", "forces", "stress", "magnetic_forces")
"""In the order of a sample's weights and of `Rows.quantity`."""

ROWS_PER_PARAMETER = 30
"""Rows of a training set, in units of the parameters, beyond which random sums of rows take their place."""

_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))  # Voigt


@dataclass(frozen=True, eq=False)
class Rows:
    """m rows of one configuration.

    Attributes
    ----------
    matrix : ndarray, shape (m, p)
        ∂/∂θ.
    quantity : ndarray of int, shape (m,)
        Index into `QUANTITIES`.
    """

    matrix: FloatArray
    quantity: IntArray


def prediction_rows(
    potential: Potential, system: System, moments: FloatArray, wanted: Sequence[bool] = (True,) * 4
) -> Rows:
    """Return the rows of everything that a configuration of n atoms is asked for, without weights.

    The energy (1), forces (3 n), the virial in Voigt order (6), magnetic forces (n), as far as they are `wanted`.
    """
    n, derivative = len(system), potential.directional_parameter_gradient
    parts: list[FloatArray] = []
    kinds: list[int] = []
    if wanted[0]:
        parts.append(np.asarray(potential.energy_parameter_gradient(system, moments=moments)))
        kinds.append(0)
    if wanted[1]:
        for k in range(3 * n):
            shift = np.zeros(3 * n)
            shift[k] = -1.0
            parts.append(derivative(system, moments, displacements=shift.reshape(n, 3))[1])
        kinds += [1] * (3 * n)
    if wanted[2]:
        for a, b in _PAIRS:
            strain = np.zeros((3, 3))
            strain[a, b] += 0.5
            strain[b, a] += 0.5
            parts.append(derivative(system, moments, strain=strain)[1])
        kinds += [2] * 6
    if wanted[3]:
        for k in range(n):
            change = np.zeros(n)
            change[k] = -1.0
            parts.append(derivative(system, moments, moment_changes=change)[1])
        kinds += [3] * n
    return Rows(np.array(parts).reshape(len(kinds), potential.n_parameters), np.array(kinds, dtype=np.int64))


def component_weights(weights: Sequence[float], rows: Rows) -> FloatArray:
    """Return the square root of the weight of every row; off-diagonal parts of a virial stand for two."""
    found = np.sqrt(np.array(weights, dtype=np.float64))[rows.quantity]
    stress = np.flatnonzero(rows.quantity == 2)
    if len(stress):
        found[stress[3:]] *= math.sqrt(2.0)
    return found


def observed(potential: Potential, sample: Sample) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return weighted rows (m, p), weighted residuals (m,) and the quantity of each, of what one label holds."""
    wanted = [weight > 0 for weight in sample.weights]
    rows = prediction_rows(potential, sample.system, sample.moments, wanted)
    off = residuals_of(sample, potential.evaluate_system(sample.system, sample.moments))
    virial = None if off.virial is None else np.array([off.virial[a, b] for a, b in _PAIRS])
    parts = (np.array([off.energy]), off.forces, virial, off.magnetic_forces)
    residuals = [np.ravel(part) for part, use in zip(parts, wanted, strict=True) if use and part is not None]
    roots = component_weights(sample.weights, rows)
    return roots[:, None] * rows.matrix, roots * np.concatenate([*residuals, np.zeros(0)]), rows.quantity


def sums_of_rows(
    potential: Potential, sample: Sample, count: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return the energy's row and `count` random signed sums of the others, with residuals alike.

    The mean of their outer products is that of all rows: enough where a training set has many times more rows than
    the potential has parameters.
    """
    n = len(sample)
    roots = [math.sqrt(weight) for weight in sample.weights]
    off = residuals_of(sample, potential.evaluate_system(sample.system, sample.moments))
    rows: list[FloatArray] = []
    residuals: list[float] = []
    if roots[0] > 0:
        rows.append(roots[0] * np.asarray(potential.energy_parameter_gradient(sample.system, moments=sample.moments)))
        residuals.append(roots[0] * off.energy)
    for _ in range(count if any(roots[1:]) else 0):
        signs = rng.choice([-1.0, 1.0], size=4 * n + 9) / math.sqrt(count)
        force, strain, moment = signs[: 3 * n].reshape(n, 3), signs[3 * n : 3 * n + 9].reshape(3, 3), signs[3 * n + 9 :]
        change = (-roots[1] * force, roots[2] * strain, -roots[3] * moment)
        rows.append(potential.directional_parameter_gradient(sample.system, sample.moments, 0.0, *change)[1])
        pairs = zip(roots[1:], (force, strain, moment), (off.forces, off.virial, off.magnetic_forces), strict=True)
        residuals.append(sum(root * float(np.vdot(sign, part)) for root, sign, part in pairs if part is not None))
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
