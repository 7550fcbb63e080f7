"""Compiled sums over pairs of the reference Hamiltonian."""

from __future__ import annotations

import numpy as np

from mmtp_fw.potential.jit import jit_with

# Rows of the table of pair parameters, each a (S, S) matrix over (central, neighbour) species.
A, P, X, Q2, R0, W, KAPPA, J, KAPPA_J, R1 = range(10)
# Rows of the table of site parameters, each an (S,) vector.
A0, A1, B4, C6 = range(4)


@jit_with(())
def _cutoff(r: float, rc: float) -> tuple[float, float]:
    """Return (1 − (r/rc)²)³ and its derivative: twice continuously differentiable at rc."""
    u = 1.0 - (r / rc) ** 2
    return u * u * u, -6.0 * r / (rc * rc) * u * u


@jit_with(())
def _exponential(prefactor: float, decay: float, r: float, r0: float, cut: float, dcut: float) -> tuple[float, float]:
    """Return prefactor · exp(−decay (r/r0 − 1)) · cutoff, and its derivative."""
    value = prefactor * np.exp(-decay * (r / r0 - 1.0))
    return value * cut, value * (dcut - decay / r0 * cut)


@jit_with(())
def site_sums(types, first, second, vectors, pairs, rc, coupling):
    """Sum what does not depend on the moments, and the exchange matrix.

    Parameters
    ----------
    types : ndarray of int, shape (n,)
    first, second : ndarray of int, shape (p,)
        Every pair in both directions.
    vectors : ndarray, shape (p, 3)
        r_second − r_first (with periodic shift), Å.
    pairs : ndarray, shape (10, S, S)
    rc : float
        Cut-off in Å; pairs beyond it are passed over.
    coupling : ndarray, shape (n, n)
        Filled with Σ_images J(r_ij), eV/μB².

    Returns
    -------
    repulsion, rho, density : ndarray, shape (n,)
        Pair energy per atom (eV), embedding density (eV²), and Landau density (dimensionless).
    """
    n = len(types)
    repulsion = np.zeros(n)
    rho = np.zeros(n)
    density = np.zeros(n)
    coupling[:] = 0.0
    for k in range(len(first)):
        r = np.sqrt(vectors[k, 0] ** 2 + vectors[k, 1] ** 2 + vectors[k, 2] ** 2)
        if r >= rc:
            continue
        i, j = first[k], second[k]
        t = pairs[:, types[i], types[j]]
        cut, dcut = _cutoff(r, rc)
        repulsion[i] += 0.5 * _exponential(t[A], t[P], r, t[R0], cut, dcut)[0]
        rho[i] += _exponential(t[X], t[Q2], r, t[R0], cut, dcut)[0]
        density[i] += _exponential(t[W], t[KAPPA], r, t[R1], cut, dcut)[0]
        coupling[i, j] += _exponential(t[J], t[KAPPA_J], r, t[R1], cut, dcut)[0]
    return repulsion, rho, density


@jit_with(())
def site_forces(types, first, second, vectors, pairs, rc, d_rho, d_density, moments):
    """Sum forces and virial.

    Parameters
    ----------
    d_rho, d_density : ndarray, shape (n,)
        ∂E_i/∂ρ_i and ∂E_i/∂n_i at the given moments.
    moments : ndarray, shape (n,)

    Returns
    -------
    forces : ndarray, shape (n, 3)
        eV/Å.
    virial : ndarray, shape (3, 3)
        Σ (∂E/∂r) d⊗d/r in eV: the stress times the volume.
    """
    forces = np.zeros((len(types), 3))
    virial = np.zeros((3, 3))
    for k in range(len(first)):
        r = np.sqrt(vectors[k, 0] ** 2 + vectors[k, 1] ** 2 + vectors[k, 2] ** 2)
        if r >= rc:
            continue
        i, j = first[k], second[k]
        t = pairs[:, types[i], types[j]]
        cut, dcut = _cutoff(r, rc)
        slope = 0.5 * _exponential(t[A], t[P], r, t[R0], cut, dcut)[1]
        slope += d_rho[i] * _exponential(t[X], t[Q2], r, t[R0], cut, dcut)[1]
        slope += d_density[i] * _exponential(t[W], t[KAPPA], r, t[R1], cut, dcut)[1]
        slope -= 0.5 * moments[i] * moments[j] * _exponential(t[J], t[KAPPA_J], r, t[R1], cut, dcut)[1]
        for a in range(3):
            pull = slope * vectors[k, a] / r
            forces[i, a] += pull
            forces[j, a] -= pull
            for b in range(3):
                virial[a, b] += pull * vectors[k, b]
    return forces, virial


@jit_with(())
def pair_vectors(positions, cell, first, second, shifts):
    """Return r_second − r_first + shift · cell, shape (p, 3)."""
    vectors = np.empty((len(first), 3))
    for k in range(len(first)):
        for a in range(3):
            vectors[k, a] = positions[second[k], a] - positions[first[k], a]
            for b in range(3):
                vectors[k, a] += shifts[k, b] * cell[b, a]
    return vectors
