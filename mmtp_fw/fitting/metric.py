"""The Gauss-Newton matrix of a loss, by its exact rows or by random probes.

G = 2 Σ w (∂r/∂θ)ᵀ(∂r/∂θ) over all residuals r is what scales and untangles parameters of very different effect. Its
rows number (4 N + 10) per configuration, each a directional pass; rows are summed as they are made, so that memory
holds p × p numbers however large the training set. Where there are many more rows than parameters, random probes do:
a probe draws one random sign per residual, and a single pass gives q = Σ ±√w ∂r/∂θ with mean of q qᵀ equal to the sum
of them all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve, lapack

from mmtp_fw.arrays import FloatArray
from mmtp_fw.fitting.loss import Loss
from mmtp_fw.fitting.samples import Sample
from mmtp_fw.potential import Potential
from mmtp_fw.quantities import QUANTITIES, Direction

_PARTS = 16  # whatever the number of threads: sums are the same
_BLOCK = 1024  # rows that are held before their products are added


def gauss_newton_matrix(
    loss: Loss, parameters: FloatArray, rng: np.random.Generator, probes_per_parameter: float = 2.0
) -> FloatArray:
    """Return the Gauss-Newton matrix of a loss, shape (p, p), or an unbiased estimate.

    Each configuration has its exact rows unless the probes that are due to it are fewer.

    Parameters
    ----------
    loss : Loss
    parameters : ndarray, shape (p,)
    rng : Generator
        The result depends on it, not on the number of threads.
    probes_per_parameter : float
        Probes in all, in units of p; at least one per configuration. Energies are always exact; infinity: all rows
        are.
    """
    potential = loss.potential(parameters)
    p = len(parameters)
    share = probes_per_parameter * p / len(loss.samples)
    count = max(1, math.ceil(share)) if math.isfinite(share) else None
    seeds = {
        id(s): int(seed) for s, seed in zip(loss.samples, rng.integers(2**63, size=len(loss.samples)), strict=True)
    }

    def part(chunk: list[Sample]) -> FloatArray:
        total, rows = np.zeros((p, p)), list[FloatArray]()
        for s in chunk:
            rows += _rows(potential, s, count, np.random.default_rng(seeds[id(s)]))
            if len(rows) >= _BLOCK:
                _add(total, rows)
        _add(total, rows)
        return total

    # A part of fewer rows than parameters would cost more in sums of matrices than in rows.
    parts = max(1, min(_PARTS, sum(sample.numbers for sample in loss.samples) // p))
    matrix = np.zeros((p, p))
    for more in loss.over_chunks(part, parts):
        matrix += more
    return matrix


def _add(total: FloatArray, rows: list[FloatArray]) -> None:
    if rows:
        stacked = np.array(rows)
        total += stacked.T @ stacked
        rows.clear()


def _rows(potential: Potential, sample: Sample, count: int | None, rng: np.random.Generator) -> list[FloatArray]:
    """Return √2-weighted rows whose Gram matrix is the sample's Gauss-Newton matrix, or estimates it by `count`."""
    n = len(sample)
    weights = {name: math.sqrt(2.0 * weight) for name, weight in sample.weights.items() if weight > 0}
    rows = []
    if "energy" in weights:
        rows.append(weights["energy"] * potential.energy_parameter_gradient(sample.system, moments=sample.moments))
    held = {name: math.prod(QUANTITIES[name].shape(n)) for name in QUANTITIES if name in weights and name != "energy"}
    if count is None or sum(held.values()) <= count:
        directions = []
        for name, size in held.items():
            units = weights[name] * np.eye(size).reshape(size, *QUANTITIES[name].shape(n))
            directions += [QUANTITIES[name].along(unit, n) for unit in units]
    else:
        directions = [_probe(weights, n, rng, count) for _ in range(count)]
    return rows + _passes(potential, sample, directions)


def _probe(weights: Mapping[str, float], n: int, rng: np.random.Generator, count: int) -> Direction:
    """Return one of `count` probes of n atoms: each quantity but the energy with random signs."""
    # Signs are drawn for all quantities, of any weight: a row of the table is a place in the sequence.
    sizes = {name: math.prod(quantity.shape(n)) for name, quantity in QUANTITIES.items() if name != "energy"}
    signs = rng.choice([-1.0, 1.0], size=sum(sizes.values())) / math.sqrt(count)
    direction, start = Direction(), 0
    for name, size in sizes.items():
        if name in weights:
            part = signs[start : start + size].reshape(QUANTITIES[name].shape(n))
            # Drawn at random, signs need not be turned where a quantity is minus a derivative.
            direction = direction + QUANTITIES[name].along(weights[name] * part, n)
        start += size
    return direction


def _passes(potential: Potential, sample: Sample, directions: Sequence[Direction]) -> list[FloatArray]:
    """Return ∂/∂θ of D E for each direction."""
    if not directions:
        return []
    count, n = len(directions), len(sample)
    u, strain, h = np.zeros((count, n, 3)), np.zeros((count, 3, 3)), np.zeros((count, n))
    for k, direction in enumerate(directions):
        for into, change in ((u, direction.displacements), (strain, direction.strain), (h, direction.moment_changes)):
            if change is not None:
                into[k] = change
    return list(potential.directional_parameter_rows(sample.system, sample.moments, u, strain, h))


def damped_inverse(matrix: FloatArray, damping: float) -> FloatArray:
    """Return (G + damping·diag G)⁻¹ of G, shape (p, p), with directions that have no effect at all left finite.

    G has shape (p, p). Gauge modes are null directions of G: damping keeps steps along them small, and the loss
    doesn't change there.
    """
    scale = scales_of(np.diag(matrix))
    scaled = matrix * scale[:, None] * scale[None, :]
    scaled[np.diag_indices_from(scaled)] += damping
    factor, lower = cho_factor(scaled, lower=True, overwrite_a=True, check_finite=False)
    inverse, info = lapack.dpotri(factor, lower=1)
    if info != 0:
        inverse = cho_solve((factor, lower), np.eye(len(matrix)))
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    return np.asarray(inverse * scale[:, None] * scale[None, :])


def scales_of(diagonal: FloatArray) -> FloatArray:
    """Return 1/√ of a matrix's diagonal, shape (p,), finite for directions that have no effect at all."""
    return np.asarray(1.0 / np.sqrt(np.maximum(diagonal, 1e-12 * max(float(diagonal.max()), 1e-300))))
