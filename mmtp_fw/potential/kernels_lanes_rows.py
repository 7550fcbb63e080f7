"""Gradients of the energy over the parameters, of all sites or of each: `kernels_lanes_gradient` without tangents.

This is what extrapolation grades are made of. One way up to the moments, as in `kernels_lanes`, and one way back to
the radial coefficients; no derivatives of positions or moments.
"""

from __future__ import annotations

from collections import namedtuple

from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.lanes import W, at, load, spread, square_root, store, totals
from mmtp_fw.potential.lanes_layout import OK, UNKNOWN_TYPE, group_limit, monomial_count
from mmtp_fw.potential.lanes_pairs import centre_basis, chebyshev_lanes, contract, gather, monomials
from mmtp_fw.potential.lanes_products import energies_and_adjoint, products

# Gradients, in the layout of `Packed`; `row` numbers per site (0: one row for all).
Rows = namedtuple("Rows", ["xi", "constants", "c", "row"])


@jit
def values_stride(v):
    """Return the number of vectors kept per group: u, φ, ψ, f."""
    return 3 + v.R + v.M + v.K


@jit
def rows_doubles(v, longest):
    """Return how many doubles `run_rows` needs for neighbour lists of up to `longest` entries."""
    groups = group_limit(v, longest)
    vectors = 4 * v.C * groups + W * groups * values_stride(v) + monomial_count(v.top) + W * v.n_sums
    vectors += 2 * v.n_moments + groups * v.K * v.M + v.padded + v.R + v.M + 2
    return vectors * W + 2 * v.M + v.C * v.K * v.M * v.padded


@jit
def rows_integers(v, longest):
    """Return how many integers `run_rows` needs for neighbour lists of up to `longest` entries."""
    return W * (v.C * group_limit(v, longest) + 1 + v.C)


@jit
def radial_values(v, near, d, slopes, pairs):
    """Write a group's unit vectors, bases and f_μ."""
    x = load(near, 0)
    y = load(near, W)
    z = load(near, 2 * W)
    r = square_root(x * x + y * y + z * z)
    inverse = 1.0 / r
    store(pairs, 0, x * inverse)
    store(pairs, W, y * inverse)
    store(pairs, 2 * W, z * inverse)
    phi = at(pairs, 3 * W)
    psi = at(phi, v.R * W)
    f = at(psi, v.M * W)
    chebyshev_lanes(r, v.ranges[0], v.ranges[1], v.R, phi, slopes)
    chebyshev_lanes(load(near, 3 * W), v.ranges[2], v.ranges[3], v.M, psi, slopes)
    gap = v.ranges[1] - r
    square = gap * gap
    for q in range(v.R):
        store(phi, q * W, square * load(phi, q * W))
    for mu in range(v.K):
        s = spread(0.0)
        for gamma in range(v.M):
            row = (mu * v.M + gamma) * v.padded
            a = spread(0.0)
            for q in range(v.R):
                a += load(phi, q * W) * d[row + q]
            s += a * load(psi, gamma * W)
        store(f, mu * W, s)


@jit
def accumulate_values(v, pairs, mono, sums):
    """Add f g of a group to the sums."""
    f = at(pairs, (3 + v.R + v.M) * W)
    for mu in range(v.K):
        s = load(f, mu * W)
        low = v.low[mu]
        here = v.sums[mu] - low
        for k in range(low, v.high[mu]):
            to = (here + k) * W
            store(sums, to, load(sums, to) + s * load(mono, k * W))


@jit
def weigh_values(v, pairs, mono, adjoint, weights):
    """Write the adjoint of f_μ of a group, times ψ_γ, for every μ and γ."""
    psi = at(pairs, (3 + v.R) * W)
    for mu in range(v.K):
        low = v.low[mu]
        high = v.high[mu]
        p = spread(0.0)
        if low < high:
            first = v.summed[v.sums[mu]] - low  # the slots of a radial function follow one another
            for k in range(low, high):
                p += load(mono, k * W) * adjoint[(first + k) * W]
        for gamma in range(v.M):
            store(weights, (mu * v.M + gamma) * W, p * load(psi, gamma * W))


@jit
def on_coefficients(v, begin, end, pairs, weights, psi, rows, d_c):
    """Add the adjoint of c of one centre and one species, groups begin … end − 1, to d_c (K, γ, β, R′)."""
    runs = v.K * v.M
    stride = values_stride(v) * W
    for run in range(runs):
        for q in range(v.R):
            s = spread(0.0)
            for g in range(begin, end):
                s += load(weights, (g * runs + run) * W) * load(pairs, g * stride + (3 + q) * W)
            store(rows, q * W, s)
        for q in range(0, v.padded, W):
            s = totals(rows, q * W, W)
            for beta in range(v.M):
                to = (run * v.M + beta) * v.padded + q
                store(d_c, to, load(d_c, to) + s * psi[beta])


@jit
def run_rows(v, lists, out, gradients, n_sites, longest, doubles, integers):
    """Add ∂E/∂θ of all sites to the gradients and E to out[0]; return OK or an error.

    Parameters are those of `kernels_lanes.run`, with the `Rows` to add to; the scratch is that of `rows_doubles` and
    `rows_integers`.
    """
    limit = group_limit(v, longest)
    stride = values_stride(v) * W
    runs = v.K * v.M
    near = doubles
    pairs = at(near, 4 * v.C * limit * W)
    mono = at(pairs, W * limit * stride)
    sums = at(mono, monomial_count(v.top) * W)
    value = at(sums, W * v.n_sums * W)
    adjoint = at(value, v.n_moments * W)
    weights = at(adjoint, v.n_moments * W)
    rows = at(weights, limit * runs * W)
    slopes = at(rows, v.padded * W)
    site = at(slopes, (v.R + v.M) * W)
    psi = at(site, W)
    dpsi = at(psi, v.M)
    d = at(dpsi, v.M)
    groups = integers
    ends = at(groups, W)
    where = at(ends, v.C * W)
    size = runs * v.M * v.padded
    for q in range(v.padded):
        store(rows, q * W, spread(0.0))
    for block in range(0, n_sites, W):
        used = min(W, n_sites - block)
        for s in range(W * v.n_sums):
            store(sums, s * W, spread(0.0))
        for lane in range(used):
            i = lists.centres[block + lane]
            kind = lists.type_map[lists.types[i]]
            if kind < 0:
                return UNKNOWN_TYPE
            own_ends = at(ends, lane * v.C)
            n = gather(v, lists, i, limit, near, where, own_ends, out)
            if n < 0:
                return -n
            groups[lane] = n
            centre_basis(lists.moments[i], v.ranges[2], v.ranges[3], v.M, psi, dpsi)
            g = 0
            for t in range(v.C):
                if g < own_ends[t]:
                    contract(at(v.c, (kind * v.C + t) * size), psi, d, runs, v.M, v.padded)
                while g < own_ends[t]:
                    own = at(pairs, lane * limit * stride + g * stride)
                    radial_values(v, at(near, g * 4 * W), d, slopes, own)
                    monomials(load(own, 0), load(own, W), load(own, 2 * W), v.top, mono)
                    accumulate_values(v, own, mono, at(sums, lane * v.n_sums * W))
                    g += 1
        for s in range(v.n_sums):
            store(value, v.summed[s] * W, totals(sums, s * W, v.n_sums * W))
        products(v, value)
        store(site, 0, energies_and_adjoint(v, value, adjoint))
        for lane in range(used):
            i = lists.centres[block + lane]
            kind = lists.type_map[lists.types[i]]
            row = gradients.row * (block + lane)
            out[0] += site[lane] + v.constants[kind]
            gradients.constants[row * v.C + kind] += 1.0
            d_xi = at(gradients.xi, row * v.n_scalars)
            for s in range(v.n_scalars):
                d_xi[s] += value[v.scalars[s] * W + lane]
            own = at(pairs, lane * limit * stride)
            for g in range(groups[lane]):
                group = at(own, g * stride)
                monomials(load(group, 0), load(group, W), load(group, 2 * W), v.top, mono)
                weigh_values(v, group, mono, at(adjoint, lane), at(weights, g * runs * W))
            centre_basis(lists.moments[i], v.ranges[2], v.ranges[3], v.M, psi, dpsi)
            begin = 0
            for t in range(v.C):
                end = ends[lane * v.C + t]
                if begin < end:
                    to = at(gradients.c, (row * v.C * v.C + kind * v.C + t) * size)
                    on_coefficients(v, begin, end, own, weights, psi, rows, to)
                begin = end
    return OK
