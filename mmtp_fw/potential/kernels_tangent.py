"""The directional pass: ∂/∂θ of a E + D E, where D is a derivative along given displacements.

The gradient of a loss through forces, stress and magnetic forces needs Σ φ·∂f/∂θ and its like. Since
f = −∂E/∂r, that sum is −∂/∂θ of the derivative of E along φ: one tangent (forward) pass along φ and one
adjoint pass back to the parameters give it at the cost of about two evaluations, whatever the number of
parameters (reverse over forward differentiation).
"""

from __future__ import annotations

import numpy as np

from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.kernels import chebyshev, powers


@jit
def products_tangent(times, value, tangent):
    """Complete the products and their tangents."""
    for row in range(len(times)):
        i = times[row, 0]
        j = times[row, 1]
        k = times[row, 3]
        w = times[row, 2]
        value[k] += w * value[i] * value[j]
        tangent[k] += w * (tangent[i] * value[j] + value[i] * tangent[j])


@jit
def products_tangent_adjoint(times, value, tangent, on_value, on_tangent):
    """Send the adjoints of values and tangents down to the elementary moments."""
    for row in range(len(times) - 1, -1, -1):
        i = times[row, 0]
        j = times[row, 1]
        w = times[row, 2]
        a = w * on_value[times[row, 3]]
        b = w * on_tangent[times[row, 3]]
        on_tangent[i] += b * value[j]
        on_tangent[j] += b * value[i]
        on_value[i] += a * value[j] + b * tangent[j]
        on_value[j] += a * value[i] + b * tangent[i]


@jit
def monomial_tangent(kx, ky, kz, px, py, pz, tx, ty, tz):
    """Return g and its derivative along a change (tx, ty, tz) of the unit vector."""
    g = px[kx] * py[ky] * pz[kz]
    t = 0.0
    if kx > 0:
        t += kx * px[kx - 1] * py[ky] * pz[kz] * tx
    if ky > 0:
        t += ky * px[kx] * py[ky - 1] * pz[kz] * ty
    if kz > 0:
        t += kz * px[kx] * py[ky] * pz[kz - 1] * tz
    return g, t


@jit
def directional_gradient(
    types, first, neighbors, vectors, moments, c, xi, constants, basic, times, scalars, n_moments,
    r_min, r_cut, m_min, m_max, a, u, strain, h, d_xi, d_constants, d_c,
):  # fmt: skip
    """Return S = a E + D E and add ∂S/∂θ; D moves r_j − r_i by u_j − u_i + strain·r and m_i by h_i."""
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
    px = np.empty(top + 1)
    py = np.empty(top + 1)
    pz = np.empty(top + 1)
    unit = np.empty((longest, 6))
    phi = np.empty((longest, R))
    phi_t = np.empty((longest, R))
    psi = np.empty((longest, M))
    psi_t = np.empty((longest, M))
    dphi = np.empty(R)
    dpsi = np.empty(M)
    psi_i = np.empty(M)
    psi_it = np.empty(M)
    d = np.empty((C, K, R, M))
    d_t = np.empty((C, K, R, M))
    f = np.empty(K)
    f_t = np.empty(K)
    on_f = np.empty(K)
    on_ft = np.empty(K)
    value = np.empty(n_moments)
    tangent = np.empty(n_moments)
    on_value = np.empty(n_moments)
    on_tangent = np.empty(n_moments)
    # Adjoints of the coefficients contracted with the centre's ψ, per neighbour species.
    e = np.empty((C, K, R, M))
    e_t = np.empty((C, K, R, M))
    total = 0.0
    for i in range(N):
        z = types[i]
        n = first[i + 1] - first[i]
        chebyshev(moments[i], m_min, m_max, psi_i, dpsi)
        for beta in range(M):
            psi_it[beta] = dpsi[beta] * h[i]
        for t in range(C):
            for mu in range(K):
                for q in range(R):
                    for gamma in range(M):
                        s = 0.0
                        s_t = 0.0
                        for beta in range(M):
                            s += c[z, t, mu, q, beta, gamma] * psi_i[beta]
                            s_t += c[z, t, mu, q, beta, gamma] * psi_it[beta]
                        d[t, mu, q, gamma] = s
                        d_t[t, mu, q, gamma] = s_t
        value[:] = 0.0
        tangent[:] = 0.0
        for k in range(n):
            pair = first[i] + k
            j = neighbors[pair]
            x = vectors[pair, 0]
            y = vectors[pair, 1]
            w = vectors[pair, 2]
            vx = u[j, 0] - u[i, 0] + strain[0, 0] * x + strain[0, 1] * y + strain[0, 2] * w
            vy = u[j, 1] - u[i, 1] + strain[1, 0] * x + strain[1, 1] * y + strain[1, 2] * w
            vz = u[j, 2] - u[i, 2] + strain[2, 0] * x + strain[2, 1] * y + strain[2, 2] * w
            r = np.sqrt(x * x + y * y + w * w)
            x /= r
            y /= r
            w /= r
            r_t = x * vx + y * vy + w * vz
            unit[k, 0] = x
            unit[k, 1] = y
            unit[k, 2] = w
            unit[k, 3] = (vx - r_t * x) / r
            unit[k, 4] = (vy - r_t * y) / r
            unit[k, 5] = (vz - r_t * w) / r
            chebyshev(r, r_min, r_cut, phi[k], dphi)
            chebyshev(moments[j], m_min, m_max, psi[k], dpsi)
            gap = r_cut - r
            for q in range(R):
                phi_t[k, q] = gap * (gap * dphi[q] - 2.0 * phi[k, q]) * r_t
                phi[k, q] *= gap * gap
            for gamma in range(M):
                psi_t[k, gamma] = dpsi[gamma] * h[j]
            t = types[j]
            for mu in range(K):
                s = 0.0
                s_t = 0.0
                for q in range(R):
                    v = 0.0
                    v_t = 0.0
                    for gamma in range(M):
                        v += d[t, mu, q, gamma] * psi[k, gamma]
                        v_t += d_t[t, mu, q, gamma] * psi[k, gamma] + d[t, mu, q, gamma] * psi_t[k, gamma]
                    s += v * phi[k, q]
                    s_t += v_t * phi[k, q] + v * phi_t[k, q]
                f[mu] = s
                f_t[mu] = s_t
            powers(x, y, w, px, py, pz)
            for b in range(len(basic)):
                g, g_t = monomial_tangent(
                    basic[b, 1], basic[b, 2], basic[b, 3], px, py, pz, unit[k, 3], unit[k, 4], unit[k, 5]
                )
                mu = basic[b, 0]
                value[b] += f[mu] * g
                tangent[b] += f_t[mu] * g + f[mu] * g_t
        products_tangent(times, value, tangent)
        on_value[:] = 0.0
        on_tangent[:] = 0.0
        total += a * constants[z]
        d_constants[z] += a
        for s in range(len(scalars)):
            k = scalars[s]
            total += xi[s] * (a * value[k] + tangent[k])
            d_xi[s] += a * value[k] + tangent[k]
            on_value[k] += a * xi[s]
            on_tangent[k] += xi[s]
        products_tangent_adjoint(times, value, tangent, on_value, on_tangent)
        e[:] = 0.0
        e_t[:] = 0.0
        for k in range(n):
            t = types[neighbors[first[i] + k]]
            powers(unit[k, 0], unit[k, 1], unit[k, 2], px, py, pz)
            on_f[:] = 0.0
            on_ft[:] = 0.0
            for b in range(len(basic)):
                g, g_t = monomial_tangent(
                    basic[b, 1], basic[b, 2], basic[b, 3], px, py, pz, unit[k, 3], unit[k, 4], unit[k, 5]
                )
                mu = basic[b, 0]
                on_f[mu] += on_value[b] * g + on_tangent[b] * g_t
                on_ft[mu] += on_tangent[b] * g
            for mu in range(K):
                for q in range(R):
                    s = on_f[mu] * phi[k, q] + on_ft[mu] * phi_t[k, q]
                    s_t = on_ft[mu] * phi[k, q]
                    for gamma in range(M):
                        e[t, mu, q, gamma] += s * psi[k, gamma] + s_t * psi_t[k, gamma]
                        e_t[t, mu, q, gamma] += s_t * psi[k, gamma]
        for t in range(C):
            for mu in range(K):
                for q in range(R):
                    for beta in range(M):
                        for gamma in range(M):
                            d_c[z, t, mu, q, beta, gamma] += (
                                e[t, mu, q, gamma] * psi_i[beta] + e_t[t, mu, q, gamma] * psi_it[beta]
                            )
    return total
