"""The mMTP written as its equations stand, for clarity: slow, one atom at a time, all images by brute force.

Everything accepts complex numbers, so that derivatives can be taken by complex steps, exact to rounding.
"""

from __future__ import annotations

import itertools

import numpy as np


def chebyshev(x, low, high, n):
    """T_0 … T_{n−1} of x mapped from [low, high] onto [−1, 1]."""
    t = (2 * x - low - high) / (high - low)
    values = [1.0 + 0 * t, t]
    while len(values) < n:
        values.append(2 * t * values[-1] - values[-2])
    return values[:n]


def images(positions, cell, pbc, r_cut):
    """Yield (i, j, r_j + image − r_i) of all pairs within the cut-off (judged by the real part)."""
    heights = [1 / np.linalg.norm(row) for row in np.linalg.inv(cell).T] if np.any(cell) else [np.inf] * 3
    spread = np.ptp(positions.real, axis=0).sum()
    reach = [int(np.ceil((r_cut + spread) / h)) if p else 0 for h, p in zip(heights, pbc, strict=True)]
    for shift in itertools.product(*(range(-n, n + 1) for n in reach)):
        offset = np.array(shift, dtype=float) @ cell
        for i, j in itertools.product(range(len(positions)), repeat=2):
            vector = positions[j] + offset - positions[i]
            if 0 < np.linalg.norm(vector.real) < r_cut:
                yield i, j, vector


def site_energies(pot, types, positions, cell, pbc, moments, parameters=None):
    """E_i of every atom of the potential as it stands in a file, without symmetrization."""
    parameters = pot.parameters if parameters is None else parameters
    where = pot.parameter_slices
    xi, constants = parameters[where["moments"]], parameters[where["species"]]
    C, K, R, M = len(pot.species), pot.radial_count, pot.radial_size, max(1, pot.magnetic_size)
    c = parameters[where["radial"]].reshape(C, C, K, R, M, M)
    tables = pot.tables
    v = np.zeros((len(types), tables.n_moments), dtype=complex)
    for i, j, vector in images(positions, cell, pbc, pot.r_cut):
        r = np.sqrt((vector**2).sum())
        phi = np.array(chebyshev(r, pot.r_min, pot.r_cut, R)) * (pot.r_cut - r) ** 2
        psi_i = np.array(chebyshev(moments[i], pot.min_moment, pot.max_moment, M))
        psi_j = np.array(chebyshev(moments[j], pot.min_moment, pot.max_moment, M))
        f = pot.scaling * np.einsum("mqbg,q,b,g->m", c[types[i], types[j]], phi, psi_i, psi_j)
        for b, (mu, kx, ky, kz) in enumerate(tables.basic):
            v[i, b] += f[mu] * (vector[0] / r) ** kx * (vector[1] / r) ** ky * (vector[2] / r) ** kz
    for i, j, factor, target in tables.times:
        v[:, target] += factor * v[:, i] * v[:, j]
    return constants[types] + v[:, tables.scalars] @ xi


def energies(pot, types, positions, cell, pbc, moments, parameters=None):
    """E_i, symmetrized where the potential is."""
    arguments = (pot, types, positions, cell, pbc)
    if not pot.symmetrized:
        return site_energies(*arguments, moments, parameters)
    return 0.5 * (site_energies(*arguments, moments, parameters) + site_energies(*arguments, -moments, parameters))


def evaluate(pot, atoms, moments):
    """Energy, site energies, forces, stress (Voigt) and magnetic forces by complex steps."""
    h = 1e-30
    types = np.array([pot.species.index(s) for s in atoms.get_chemical_symbols()])
    positions, cell = atoms.get_positions().astype(complex), np.array(atoms.cell)

    def total(positions, cell, moments):
        return energies(pot, types, positions, cell, atoms.pbc, moments).sum()

    forces = np.zeros((len(atoms), 3))
    magnetic = np.zeros(len(atoms))
    for i in range(len(atoms)):
        for k in range(3):
            moved = positions.copy()
            moved[i, k] += 1j * h
            forces[i, k] = -total(moved, cell, moments).imag / h
        turned = moments.astype(complex)
        turned[i] += 1j * h
        magnetic[i] = -total(positions, cell, turned).imag / h
    stress = np.zeros(6)
    if atoms.cell.rank == 3:
        for k, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
            strain = np.eye(3, dtype=complex)
            strain[a, b] += 0.5j * h
            strain[b, a] += 0.5j * h
            stress[k] = total(positions @ strain, cell @ strain, moments).imag / h / atoms.get_volume()
    sites = energies(pot, types, positions, cell, atoms.pbc, moments).real
    return sites.sum(), sites, forces, stress, magnetic
