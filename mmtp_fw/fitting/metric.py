"""A metric for the minimisation: the Gauss-Newton matrix, estimated from a few random probes.

The matrix G = 2 Σ w (∂r/∂θ)ᵀ(∂r/∂θ) over all residuals r is what scales and untangles parameters of very
different effect. Its rows number (4 N + 7) per configuration; instead, a probe draws one random sign per
residual, and a single directional pass gives q = Σ ±√w ∂r/∂θ with mean of q qᵀ equal to the sum of them all.
A few probes per configuration, so that there are some more probes than parameters, make a metric that is as
good in practice.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import cho_factor, cho_solve, lapack

from mmtp_fw.arrays import FloatArray
from mmtp_fw.fitting.loss import Loss, directional_gradient
from mmtp_fw.fitting.samples import Sample
from mmtp_fw.potential import Potential
from mmtp_fw.quantities import QUANTITIES, Direction


def gauss_newton_matrix(
    loss: Loss, parameters: FloatArray, rng: np.random.Generator, probes_per_parameter: float = 2.0
) -> FloatArray:
    """Return an unbiased estimate of the Gauss-Newton matrix of a loss, shape (p, p).

    Parameters
    ----------
    loss : Loss
    parameters : ndarray, shape (p,)
    rng : Generator
        The result depends on it, not on the number of threads.
    probes_per_parameter : float
        Probes in all, in units of p; at least one per configuration. Energies are always exact.
    """
    potential = loss.potential(parameters)
    p = len(parameters)
    count = max(1, math.ceil(probes_per_parameter * p / len(loss.samples)))
    seeds = {
        id(s): int(seed) for s, seed in zip(loss.samples, rng.integers(2**63, size=len(loss.samples)), strict=True)
    }

    def part(chunk: list[Sample]) -> FloatArray:
        rows = [row for s in chunk for row in _rows(potential, s, count, np.random.default_rng(seeds[id(s)]))]
        stacked = np.array(rows).reshape(-1, p)
        return np.asarray(stacked.T @ stacked)

    return np.asarray(np.sum(loss.over_chunks(part), axis=0))


def _rows(potential: Potential, sample: Sample, count: int, rng: np.random.Generator) -> list[FloatArray]:
    """Return √2-weighted rows whose Gram matrix estimates the sample's Gauss-Newton matrix."""
    n = len(sample)
    weights = {name: math.sqrt(2.0 * weight) for name, weight in sample.weights.items() if weight > 0}
    rows = []
    if "energy" in weights:
        rows.append(weights["energy"] * potential.energy_parameter_gradient(sample.system, moments=sample.moments))
    # Signs are drawn for all quantities, of any weight: a row of the table is a place in the sequence.
    probed = {name: math.prod(quantity.shape(n)) for name, quantity in QUANTITIES.items() if name != "energy"}
    if not probed.keys() & weights.keys():
        return rows
    for _ in range(count):
        signs = rng.choice([-1.0, 1.0], size=sum(probed.values())) / math.sqrt(count)
        direction, start = Direction(), 0
        for name, size in probed.items():
            if name in weights:
                part = signs[start : start + size].reshape(QUANTITIES[name].shape(n))
                # Drawn at random, signs need not be turned where a quantity is minus a derivative.
                direction = direction + QUANTITIES[name].along(weights[name] * part, n)
            start += size
        rows.append(directional_gradient(potential, sample, direction))
    return rows


def damped_inverse(matrix: FloatArray, damping: float) -> FloatArray:
    """Return (G + damping·diag G)⁻¹ of G, shape (p, p), with directions that have no effect at all left finite.

    G has shape (p, p). Gauge modes are null directions of G: damping keeps steps along them small, and the loss
    doesn't change there.
    """
    diagonal = np.diag(matrix).copy()
    floor = 1e-12 * max(float(diagonal.max()), 1e-300)
    scale = 1.0 / np.sqrt(np.maximum(diagonal, floor))
    scaled = matrix * scale[:, None] * scale[None, :]
    scaled[np.diag_indices_from(scaled)] += damping
    factor, lower = cho_factor(scaled, lower=True, overwrite_a=True, check_finite=False)
    inverse, info = lapack.dpotri(factor, lower=1)
    if info != 0:
        inverse = cho_solve((factor, lower), np.eye(len(matrix)))
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    return np.asarray(inverse * scale[:, None] * scale[None, :])
