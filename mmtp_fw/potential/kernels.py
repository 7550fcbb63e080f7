"""Compiled kernels: one site at a time, forward and adjoint.

Everything is written for one central atom and its gathered neighbours (`site`, `site_tangent`), so that the
ASE-side lists, the fits and LAMMPS' ghost lists share the same arithmetic. Notation: f_μ(r, m_i, m_j) are the
radial functions with their derivatives f_r, f_i, f_j; g_b = x^a y^b z^c of the unit vector; the elementary
moments are v_b = Σ_j f_μ g_b, and `adjoint` holds ∂E_i/∂v.
"""

from __future__ import annotations

import numpy as np

from mmtp_fw.potential.jit import jit


@jit
def chebyshev(x, low, high, value, slope):
    """Write T_k and dT_k/dx of x mapped from [low, high] onto [−1, 1] for k < len(value)."""
    scale = 2.0 / (high - low)
    t = (2.0 * x - low - high) / (high - low)
    value[0] = 1.0
    slope[0] = 0.0
    if len(value) > 1:
        value[1] = t
        slope[1] = scale
    for k in range(2, len(value)):
        value[k] = 2.0 * t * value[k - 1] - value[k - 2]
        slope[k] = 2.0 * (t * slope[k - 1] + scale * value[k - 1]) - slope[k - 2]


@jit
def contract_centre(c, psi, dpsi, d, di):
    """Contract the coefficients with ψ_β(m_i) and ψ'_β(m_i) of the centre.

    c has shape (C, K, R, M, M); d and di (C, K, R, M).
    """
    for z in range(c.shape[0]):
        for mu in range(c.shape[1]):
            for q in range(c.shape[2]):
                for gamma in range(c.shape[4]):
                    s = 0.0
                    t = 0.0
                    for beta in range(c.shape[3]):
                        s += c[z, mu, q, beta, gamma] * psi[beta]
                        t += c[z, mu, q, beta, gamma] * dpsi[beta]
                    d[z, mu, q, gamma] = s
                    di[z, mu, q, gamma] = t


@jit
def powers(x, y, z, px, py, pz):
    """Write the powers 0 … len−1 of the components of a unit vector."""
    px[0] = 1.0
    py[0] = 1.0
    pz[0] = 1.0
    for k in range(1, len(px)):
        px[k] = px[k - 1] * x
        py[k] = py[k - 1] * y
        pz[k] = pz[k - 1] * z


@jit
def products(times, value):
    """Complete the products of the moments after the elementary ones."""
    for row in range(len(times)):
        value[times[row, 3]] += times[row, 2] * value[times[row, 0]] * value[times[row, 1]]


@jit
def products_adjoint(times, value, adjoint):
    """Send the adjoint of the products down to the elementary moments."""
    for row in range(len(times) - 1, -1, -1):
        i = times[row, 0]
        j = times[row, 1]
        a = times[row, 2] * adjoint[times[row, 3]]
        adjoint[i] += a * value[j]
        adjoint[j] += a * value[i]


@jit
def radial_functions(n, vectors, types, moments, d, di, r_min, r_cut, m_min, m_max, work):
    """Write, for n gathered neighbours, unit vectors, distances and f_μ with its derivatives.

    `work` columns: x, y, z, 1/r, then f, f_r, f_i, f_j of K each.
    """
    K = d.shape[1]
    R = d.shape[2]
    M = d.shape[3]
    phi = np.empty(R)
    dphi = np.empty(R)
    psi = np.empty(M)
    dpsi = np.empty(M)
    for j in range(n):
        x = vectors[j, 0]
        y = vectors[j, 1]
        z = vectors[j, 2]
        r = np.sqrt(x * x + y * y + z * z)
        work[j, 0] = x / r
        work[j, 1] = y / r
        work[j, 2] = z / r
        work[j, 3] = 1.0 / r
        chebyshev(r, r_min, r_cut, phi, dphi)
        chebyshev(moments[j], m_min, m_max, psi, dpsi)
        gap = r_cut - r
        for q in range(R):
            dphi[q] = gap * (gap * dphi[q] - 2.0 * phi[q])
            phi[q] *= gap * gap
        t = types[j]
        for mu in range(K):
            f = 0.0
            fr = 0.0
            fi = 0.0
            fj = 0.0
            for q in range(R):
                s = 0.0
                si = 0.0
                sj = 0.0
                for gamma in range(M):
                    s += d[t, mu, q, gamma] * psi[gamma]
                    si += di[t, mu, q, gamma] * psi[gamma]
                    sj += d[t, mu, q, gamma] * dpsi[gamma]
                f += phi[q] * s
                fr += dphi[q] * s
                fi += phi[q] * si
                fj += phi[q] * sj
            work[j, 4 + mu] = f
            work[j, 4 + K + mu] = fr
            work[j, 4 + 2 * K + mu] = fi
            work[j, 4 + 3 * K + mu] = fj


@jit
def moments_of_site(n, work, basic, value, top):
    """Accumulate the elementary moments of n neighbours into `value` (set to zero first)."""
    px = np.empty(top + 1)
    py = np.empty(top + 1)
    pz = np.empty(top + 1)
    value[:] = 0.0
    for j in range(n):
        powers(work[j, 0], work[j, 1], work[j, 2], px, py, pz)
        for b in range(len(basic)):
            g = px[basic[b, 1]] * py[basic[b, 2]] * pz[basic[b, 3]]
            value[b] += work[j, 4 + basic[b, 0]] * g


@jit
def site_derivatives(n, work, basic, adjoint, top, K, gradient, dm):
    """Write ∂E_i/∂r_j (n, 3) and ∂E_i/∂m_j (n,); return ∂E_i/∂m_i."""
    px = np.empty(top + 1)
    py = np.empty(top + 1)
    pz = np.empty(top + 1)
    dmi = 0.0
    for j in range(n):
        x = work[j, 0]
        y = work[j, 1]
        z = work[j, 2]
        powers(x, y, z, px, py, pz)
        along = 0.0
        tx = 0.0
        ty = 0.0
        tz = 0.0
        dmj = 0.0
        for b in range(len(basic)):
            mu = basic[b, 0]
            kx = basic[b, 1]
            ky = basic[b, 2]
            kz = basic[b, 3]
            a = adjoint[b]
            g = px[kx] * py[ky] * pz[kz]
            ag = a * g
            along += ag * work[j, 4 + K + mu]
            dmi += ag * work[j, 4 + 2 * K + mu]
            dmj += ag * work[j, 4 + 3 * K + mu]
            af = a * work[j, 4 + mu] * work[j, 3]
            along -= af * g * (kx + ky + kz)
            if kx > 0:
                tx += af * kx * px[kx - 1] * py[ky] * pz[kz]
            if ky > 0:
                ty += af * ky * px[kx] * py[ky - 1] * pz[kz]
            if kz > 0:
                tz += af * kz * px[kx] * py[ky] * pz[kz - 1]
        gradient[j, 0] = along * x + tx
        gradient[j, 1] = along * y + ty
        gradient[j, 2] = along * z + tz
        dm[j] = dmj
    return dmi


@jit
def gather(i, first, neighbors, types, moments, near_types, near_moments):
    """Copy types and moments of the neighbours of atom i; return their number."""
    n = first[i + 1] - first[i]
    for k in range(n):
        j = neighbors[first[i] + k]
        near_types[k] = types[j]
        near_moments[k] = moments[j]
    return n


@jit
def evaluate(
    types, first, neighbors, vectors, moments, c, xi, constants, basic, times, scalars, n_moments,
    r_min, r_cut, m_min, m_max, energies, forces, virial, dm,
):  # fmt: skip
    """Fill site energies, forces (n, 3), Σ r ⊗ ∂E/∂r (3, 3) and ∂E/∂m (n,)."""
    N = len(types)
    K = c.shape[2]
    R = c.shape[3]
    M = c.shape[4]
    C = c.shape[0]
    longest = 1
    for i in range(N):
        longest = max(longest, first[i + 1] - first[i])
    top = 0
    for b in range(len(basic)):
        top = max(top, max(basic[b, 1], max(basic[b, 2], basic[b, 3])))
    near_types = np.empty(longest, dtype=np.int32)
    near_moments = np.empty(longest)
    work = np.empty((longest, 4 + 4 * K))
    gradient = np.empty((longest, 3))
    near_dm = np.empty(longest)
    psi = np.empty(M)
    dpsi = np.empty(M)
    d = np.empty((C, K, R, M))
    di = np.empty((C, K, R, M))
    value = np.empty(n_moments)
    adjoint = np.empty(n_moments)
    forces[:] = 0.0
    virial[:] = 0.0
    dm[:] = 0.0
    for i in range(N):
        n = gather(i, first, neighbors, types, moments, near_types, near_moments)
        start = first[i]
        chebyshev(moments[i], m_min, m_max, psi, dpsi)
        contract_centre(c[types[i]], psi, dpsi, d, di)
        radial_functions(n, vectors[start:], near_types, near_moments, d, di, r_min, r_cut, m_min, m_max, work)
        moments_of_site(n, work, basic, value, top)
        products(times, value)
        energy = constants[types[i]]
        adjoint[:] = 0.0
        for a in range(len(scalars)):
            energy += xi[a] * value[scalars[a]]
            adjoint[scalars[a]] += xi[a]
        energies[i] = energy
        products_adjoint(times, value, adjoint)
        dm[i] += site_derivatives(n, work, basic, adjoint, top, K, gradient, near_dm)
        for k in range(n):
            j = neighbors[start + k]
            dm[j] += near_dm[k]
            for p in range(3):
                forces[i, p] += gradient[k, p]
                forces[j, p] -= gradient[k, p]
                for q in range(3):
                    virial[p, q] += vectors[start + k, p] * gradient[k, q]


@jit
def coefficient_gradient(n, vectors, types, moments, mi, work, basic, adjoint, top, ranges, K, out):
    """Add ∂E_i/∂c to `out` (C, K, R, M, M) of the centre's species."""
    R = out.shape[2]
    M = out.shape[3]
    px = np.empty(top + 1)
    py = np.empty(top + 1)
    pz = np.empty(top + 1)
    phi = np.empty(R)
    dphi = np.empty(R)
    psi_i = np.empty(M)
    psi_j = np.empty(M)
    dpsi = np.empty(M)
    total = np.empty(K)
    chebyshev(mi, ranges[2], ranges[3], psi_i, dpsi)
    for j in range(n):
        powers(work[j, 0], work[j, 1], work[j, 2], px, py, pz)
        total[:] = 0.0
        for b in range(len(basic)):
            total[basic[b, 0]] += adjoint[b] * px[basic[b, 1]] * py[basic[b, 2]] * pz[basic[b, 3]]
        r = 1.0 / work[j, 3]
        chebyshev(r, ranges[0], ranges[1], phi, dphi)
        chebyshev(moments[j], ranges[2], ranges[3], psi_j, dpsi)
        gap2 = (ranges[1] - r) ** 2
        for mu in range(K):
            for q in range(R):
                s = total[mu] * phi[q] * gap2
                for beta in range(M):
                    for gamma in range(M):
                        out[types[j], mu, q, beta, gamma] += s * psi_i[beta] * psi_j[gamma]


@jit
def energy_gradient(
    types, first, neighbors, vectors, moments, c, xi, basic, times, scalars, n_moments,
    r_min, r_cut, m_min, m_max, per_site, d_xi, d_constants, d_c,
):  # fmt: skip
    """Add ∂E/∂θ; the leading axis of the outputs is the site with `per_site`, else has length 1."""
    N = len(types)
    C = c.shape[0]
    K = c.shape[2]
    R = c.shape[3]
    M = c.shape[4]
    longest = 1
    for i in range(N):
        longest = max(longest, first[i + 1] - first[i])
    top = 0
    for b in range(len(basic)):
        top = max(top, max(basic[b, 1], max(basic[b, 2], basic[b, 3])))
    near_types = np.empty(longest, dtype=np.int32)
    near_moments = np.empty(longest)
    work = np.empty((longest, 4 + 4 * K))
    psi = np.empty(M)
    dpsi = np.empty(M)
    d = np.empty((C, K, R, M))
    di = np.empty((C, K, R, M))
    value = np.empty(n_moments)
    adjoint = np.empty(n_moments)
    ranges = np.array([r_min, r_cut, m_min, m_max])
    for i in range(N):
        row = i if per_site else 0
        n = gather(i, first, neighbors, types, moments, near_types, near_moments)
        near = vectors[first[i] :]
        chebyshev(moments[i], m_min, m_max, psi, dpsi)
        contract_centre(c[types[i]], psi, dpsi, d, di)
        radial_functions(n, near, near_types, near_moments, d, di, r_min, r_cut, m_min, m_max, work)
        moments_of_site(n, work, basic, value, top)
        products(times, value)
        adjoint[:] = 0.0
        d_constants[row, types[i]] += 1.0
        for a in range(len(scalars)):
            d_xi[row, a] += value[scalars[a]]
            adjoint[scalars[a]] += xi[a]
        products_adjoint(times, value, adjoint)
        coefficient_gradient(
            n, near, near_types, near_moments, moments[i], work, basic, adjoint, top, ranges, K,
            d_c[row, types[i]],
        )  # fmt: skip
