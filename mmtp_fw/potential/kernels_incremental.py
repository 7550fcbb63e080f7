"""Metropolis trials of moments at fixed positions, where a trial changes one pair's part of every centre around.

What depends on positions alone is kept: for every pair p of a centre i and a neighbour j

    f_μ = Σ_βγ radial[p, μ, β, γ] T_β(m_i) T_γ(m_j),    radial = scaling (R_cut − r)² Σ_ζ c_ζβγ T_ζ(r) ,

and the components of its unit vector. The elementary moments of every centre are kept, too: when m_i changes, those of
a neighbour j change by one pair's difference, and only those of i are summed anew.
"""

from __future__ import annotations

import numpy as np

from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.kernels import chebyshev, powers, products


@jit
def tabulate(types, first, neighbors, vectors, c, basic, r_min, r_cut, radial, angular, reverse):
    """Fill what the pairs keep: radial (p, K, M, M), angular (p, n_basic) and the index of each pair's reverse (p,)."""
    K = c.shape[2]
    R = c.shape[3]
    M = c.shape[4]
    top = 0
    for b in range(len(basic)):
        top = max(top, max(basic[b, 1], max(basic[b, 2], basic[b, 3])))
    px = np.empty(top + 1)
    py = np.empty(top + 1)
    pz = np.empty(top + 1)
    phi = np.empty(R)
    slope = np.empty(R)
    for i in range(len(types)):
        for p in range(first[i], first[i + 1]):
            j = neighbors[p]
            x = vectors[p, 0]
            y = vectors[p, 1]
            z = vectors[p, 2]
            r = np.sqrt(x * x + y * y + z * z)
            chebyshev(r, r_min, r_cut, phi, slope)
            gap = (r_cut - r) * (r_cut - r)
            for mu in range(K):
                for beta in range(M):
                    for gamma in range(M):
                        s = 0.0
                        for q in range(R):
                            s += c[types[i], types[j], mu, q, beta, gamma] * phi[q]
                        radial[p, mu, beta, gamma] = gap * s
            powers(x / r, y / r, z / r, px, py, pz)
            for b in range(len(basic)):
                angular[p, b] = px[basic[b, 1]] * py[basic[b, 2]] * pz[basic[b, 3]]
            best = 1e30
            for q in range(first[j], first[j + 1]):
                if neighbors[q] == i:
                    dx = vectors[q, 0] + x
                    dy = vectors[q, 1] + y
                    dz = vectors[q, 2] + z
                    apart = dx * dx + dy * dy + dz * dz
                    if apart < best:
                        best = apart
                        reverse[p] = q


@jit
def _functions(radial, centre, near, f):
    """Write f_μ of a pair from the basis functions of both moments."""
    for mu in range(radial.shape[0]):
        s = 0.0
        for beta in range(radial.shape[1]):
            for gamma in range(radial.shape[2]):
                s += radial[mu, beta, gamma] * centre[beta] * near[gamma]
        f[mu] = s


@jit
def _centre(i, first, neighbors, radial, angular, basic, psi, f, elementary):
    """Sum the elementary moments of centre i, shape (n_basic,), at basis functions psi (n, M) of the moments."""
    for b in range(len(basic)):
        elementary[b] = 0.0
    for p in range(first[i], first[i + 1]):
        _functions(radial[p], psi[i], psi[neighbors[p]], f)
        for b in range(len(basic)):
            elementary[b] += f[basic[b, 0]] * angular[p, b]


@jit
def _contracted(elementary, times, scalars, xi, value):
    """Return the energy of a centre beside its species' constant."""
    count = len(elementary)
    for b in range(count):
        value[b] = elementary[b]
    for b in range(count, len(value)):
        value[b] = 0.0
    products(times, value)
    energy = 0.0
    for s in range(len(scalars)):
        energy += xi[s] * value[scalars[s]]
    return energy


@jit
def gather(
    types, first, neighbors, radial, angular, basic, times, scalars, n_moments, xi, constants, m_min, m_max, moments,
    psi, elementary, energies,
):  # fmt: skip
    """Fill basis functions (n, M), elementary moments (n, n_basic) and site energies (n,) from nothing."""
    slope = np.empty(psi.shape[1])
    f = np.empty(radial.shape[1])
    value = np.empty(n_moments)
    for i in range(len(types)):
        chebyshev(moments[i], m_min, m_max, psi[i], slope)
    for i in range(len(types)):
        _centre(i, first, neighbors, radial, angular, basic, psi, f, elementary[i])
        energies[i] = constants[types[i]] + _contracted(elementary[i], times, scalars, xi, value)


@jit
def metropolis(
    types, first, neighbors, radial, angular, reverse, basic, times, scalars, n_moments, xi, constants, m_min, m_max,
    moments, psi, elementary, energies, sites, factors, shifts, uniforms, low, high, kT, power, keep, differences,
    outcome,
):  # fmt: skip
    """Try m → factor · m + shift for `sites`, one after the other, at weight |m|^power exp(−E/kT).

    `differences` (trials,) receives the change of energy, `outcome` (trials,) 1 where a trial is accepted, 0 where it
    is rejected by the energy, −1 where it leaves [low, high] (n,) of its atom and is refused. Without `keep` all are
    undone.
    """
    M = psi.shape[1]
    K = radial.shape[1]
    count = len(basic)
    longest = 1
    for i in range(len(types)):
        longest = max(longest, first[i + 1] - first[i])
    slot = np.full(len(types), -1, dtype=np.int64)
    centres = np.empty(longest + 1, dtype=np.int64)
    trial = np.empty((longest + 1, count))
    new_energies = np.empty(longest + 1)
    value = np.empty(n_moments)
    new_psi = np.empty(M)
    old_psi = np.empty(M)
    change = np.empty(M)
    f = np.empty(K)
    for t in range(len(sites)):
        i = sites[t]
        old = moments[i]
        new = factors[t] * old + shifts[t]
        if new < low[i] or new > high[i] or (power > 0.0 and new == 0.0):
            differences[t] = 0.0
            outcome[t] = -1
            continue
        chebyshev(new, m_min, m_max, new_psi, change)
        for beta in range(M):
            old_psi[beta] = psi[i, beta]
            change[beta] = new_psi[beta] - old_psi[beta]
        filled = 1
        centres[0] = i
        for p in range(first[i], first[i + 1]):
            j = neighbors[p]
            if j == i:
                continue
            s = slot[j]
            if s < 0:
                s = filled
                slot[j] = s
                centres[s] = j
                filled += 1
                for b in range(count):
                    trial[s, b] = elementary[j, b]
            _functions(radial[reverse[p]], psi[j], change, f)
            for b in range(count):
                trial[s, b] += f[basic[b, 0]] * angular[reverse[p], b]
        for beta in range(M):
            psi[i, beta] = new_psi[beta]
        _centre(i, first, neighbors, radial, angular, basic, psi, f, trial[0])
        difference = 0.0
        for s in range(filled):
            j = centres[s]
            slot[j] = -1
            new_energies[s] = constants[types[j]] + _contracted(trial[s], times, scalars, xi, value)
            difference += new_energies[s] - energies[j]
        differences[t] = difference
        weight = np.exp(-difference / kT)
        if power > 0.0 and old != 0.0:
            weight *= (np.abs(new) / np.abs(old)) ** power
        if keep and uniforms[t] < weight:
            outcome[t] = 1
            moments[i] = new
            for s in range(filled):
                j = centres[s]
                energies[j] = new_energies[s]
                for b in range(count):
                    elementary[j, b] = trial[s, b]
        else:
            outcome[t] = 0
            for beta in range(M):
                psi[i, beta] = old_psi[beta]
