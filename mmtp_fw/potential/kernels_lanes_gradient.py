"""The fast directional pass: S = a E + D E and ∂S/∂θ, laid out as `kernels_lanes`.

Every quantity travels with its tangent, the derivative along the given changes of positions, cell and moments;
one adjoint pass back to the coefficients then gives the gradient of S (see `kernels_tangent` for the plain
form). Only polynomials P_μ are needed on the way back, no derivatives of positions: about two evaluations.
"""

from __future__ import annotations

from collections import namedtuple

from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.lanes import W, at, load, spread, square_root, store, totals
from mmtp_fw.potential.lanes_basis import SIZE, chebyshev, chebyshev_slopes, dot
from mmtp_fw.potential.lanes_layout import OK, UNKNOWN_TYPE, group_limit, monomial_count
from mmtp_fw.potential.lanes_pairs import centre_basis, chebyshev_lanes, contract, gather, monomials
from mmtp_fw.potential.lanes_products import products_tangent, products_tangent_adjoint, scalars_tangent

# Changes: of positions (n, 3), the cell (9) and moments (n), and the factor a.
Changes = namedtuple("Changes", ["u", "strain", "h", "a"])
# Gradients, in the layout of `Packed`.
Gradients = namedtuple("Gradients", ["xi", "constants", "c"])


@jit
def tangent_stride(v):
    """Return the number of vectors kept per group: u, u_t, φ, φ_t, ψ, ψ_t, f, f_t."""
    return 6 + 2 * v.R + 2 * v.M + 2 * v.K


@jit
def gradient_doubles(v, longest):
    """Return how many doubles `run_gradient` needs for neighbour lists of up to `longest` entries."""
    groups = group_limit(v, longest)
    vectors = 4 * (v.C + 1) * groups + W * groups * tangent_stride(v) + 4 * monomial_count(v.top) + 2 * W * v.n_sums
    vectors += 4 * v.n_moments + 2 * groups * v.K * v.M + 2 * v.padded + 2 * v.K + v.R + v.M + 2
    return vectors * W + 2 * v.M + 2 * v.C * v.K * v.M * v.padded


@jit
def gather_changes(v, i, x, where, groups, near, change, changes):
    """Write the change of r_j − r_i and of m_j of every neighbour to `change`, as `near` is laid out."""
    e = changes.strain
    for g in range(groups):
        to = at(change, g * 4 * W)
        rx = load(near, g * 4 * W)
        ry = load(near, (g * 4 + 1) * W)
        rz = load(near, (g * 4 + 2) * W)
        store(to, 0, rx * e[0] + ry * e[1] + rz * e[2])
        store(to, W, rx * e[3] + ry * e[4] + rz * e[5])
        store(to, 2 * W, rx * e[6] + ry * e[7] + rz * e[8])
        store(to, 3 * W, spread(0.0))
        for k in range(W):
            j = where[g * W + k]
            if j < 0:
                break
            to[k] += changes.u[3 * j] - changes.u[3 * i]
            to[k + W] += changes.u[3 * j + 1] - changes.u[3 * i + 1]
            to[k + 2 * W] += changes.u[3 * j + 2] - changes.u[3 * i + 2]
            to[k + 3 * W] = changes.h[j]


@jit
def radial_tangent(v, near, change, d, d_t, slopes, pairs):
    """Write a group's unit vectors, bases and f_μ with their tangents."""
    x = load(near, 0)
    y = load(near, W)
    z = load(near, 2 * W)
    r = square_root(x * x + y * y + z * z)
    inverse = 1.0 / r
    x = x * inverse
    y = y * inverse
    z = z * inverse
    vx = load(change, 0)
    vy = load(change, W)
    vz = load(change, 2 * W)
    r_t = x * vx + y * vy + z * vz
    store(pairs, 0, x)
    store(pairs, W, y)
    store(pairs, 2 * W, z)
    store(pairs, 3 * W, (vx - r_t * x) * inverse)
    store(pairs, 4 * W, (vy - r_t * y) * inverse)
    store(pairs, 5 * W, (vz - r_t * z) * inverse)
    phi = at(pairs, 6 * W)
    phi_t = at(phi, v.R * W)
    psi = at(phi_t, v.R * W)
    psi_t = at(psi, v.M * W)
    f = at(psi_t, v.M * W)
    f_t = at(f, v.K * W)
    chebyshev_lanes(r, v.ranges[0], v.ranges[1], v.R, phi, slopes)
    gap = v.ranges[1] - r
    square = gap * gap
    for q in range(v.R):
        p = load(phi, q * W)
        store(phi_t, q * W, (square * load(slopes, q * W) - gap * p * 2.0) * r_t)
        store(phi, q * W, square * p)
    chebyshev_lanes(load(near, 3 * W), v.ranges[2], v.ranges[3], v.M, psi, slopes)
    h = load(change, 3 * W)
    for gamma in range(v.M):
        store(psi_t, gamma * W, load(slopes, gamma * W) * h)
    scale = 2.0 / (v.ranges[1] - v.ranges[0])
    t = (r - 0.5 * (v.ranges[0] + v.ranges[1])) * scale
    values = chebyshev(t)
    value_slopes = chebyshev_slopes(t)
    usual = v.padded == SIZE  # coefficients beyond R are zeros
    for mu in range(v.K):
        s = spread(0.0)
        s_t = spread(0.0)
        for gamma in range(v.M):
            row = (mu * v.M + gamma) * v.padded
            if usual:
                p = dot(values, d, row)
                a = square * p
                b = square * dot(values, d_t, row)
                b += (square * scale * dot(value_slopes, d, row) - gap * p * 2.0) * r_t
            else:
                a = spread(0.0)
                b = spread(0.0)
                for q in range(v.R):
                    p = load(phi, q * W)
                    a += p * d[row + q]
                    b += p * d_t[row + q]
                    b += load(phi_t, q * W) * d[row + q]
            s += a * load(psi, gamma * W)
            s_t += b * load(psi, gamma * W) + a * load(psi_t, gamma * W)
        store(f, mu * W, s)
        store(f_t, mu * W, s_t)


@jit
def monomials_tangent(x, y, z, tx, ty, tz, top, mono, mono_t):
    """Write the monomials up to a degree and their tangents."""
    monomials(x, y, z, top, mono)
    store(mono_t, 0, spread(0.0))
    if top > 0:
        store(mono_t, W, tx)
        store(mono_t, 2 * W, ty)
        store(mono_t, 3 * W, tz)
    before = 1
    start = 4
    for degree in range(2, top + 1):
        n = degree * (degree + 1) // 2
        for k in range(n):
            b = (before + k) * W
            store(mono_t, (start + k) * W, x * load(mono_t, b) + tx * load(mono, b))
        for k in range(degree):
            b = (before + n - degree + k) * W
            store(mono_t, (start + n + k) * W, y * load(mono_t, b) + ty * load(mono, b))
        b = (before + n - 1) * W
        store(mono_t, (start + n + degree) * W, z * load(mono_t, b) + tz * load(mono, b))
        before = start
        start += n + degree + 1


@jit
def group_monomials(v, pairs, mono, mono_t):
    """Write the monomials of a group and their tangents."""
    monomials_tangent(
        load(pairs, 0), load(pairs, W), load(pairs, 2 * W), load(pairs, 3 * W), load(pairs, 4 * W),
        load(pairs, 5 * W), v.top, mono, mono_t,
    )  # fmt: skip


@jit
def accumulate_tangent(v, pairs, groups, stride, mono, mono_t, sums, sums_t):
    """Sum f g and its tangent over the groups of an atom, two at a time."""
    size = monomial_count(v.top) * W
    more = at(mono, size)
    more_t = at(mono_t, size)
    for s in range(v.n_sums):
        store(sums, s * W, spread(0.0))
        store(sums_t, s * W, spread(0.0))
    for g in range(0, groups, 2):
        one = at(pairs, g * stride * W)
        two = at(pairs, (g + 1) * stride * W)  # behind the last group there is one of zeros
        group_monomials(v, one, mono, mono_t)
        group_monomials(v, two, more, more_t)
        f = at(one, (6 + 2 * v.R + 2 * v.M) * W)
        h = at(two, (6 + 2 * v.R + 2 * v.M) * W)
        for mu in range(v.K):
            s = load(f, mu * W)
            s_t = load(f, (v.K + mu) * W)
            r = load(h, mu * W)
            r_t = load(h, (v.K + mu) * W)
            low = v.low[mu]
            here = v.sums[mu] - low
            for k in range(low, v.high[mu]):
                p = load(mono, k * W)
                q = load(more, k * W)
                to = (here + k) * W
                store(sums, to, load(sums, to) + s * p + r * q)
                t = load(sums_t, to) + s_t * p + s * load(mono_t, k * W)
                store(sums_t, to, t + r_t * q + r * load(more_t, k * W))


@jit
def on_radial(v, pairs, mono, mono_t, on_value, on_tangent, out):
    """Write the adjoints of f_μ and f_μ's tangent of a group to `out` (2 K vectors)."""
    for mu in range(v.K):
        low = v.low[mu]
        high = v.high[mu]
        p = spread(0.0)
        p_t = spread(0.0)
        if low < high:
            first = v.summed[v.sums[mu]] - low  # the slots of a radial function follow one another
            for k in range(low, high):
                slot = (first + k) * W
                g = load(mono, k * W)
                p += g * on_value[slot]
                p += load(mono_t, k * W) * on_tangent[slot]
                p_t += g * on_tangent[slot]
        store(out, mu * W, p)
        store(out, (v.K + mu) * W, p_t)


@jit
def weigh(v, pairs, out, weights):
    """Write, for every μ and γ of a group, the weights of φ (with φ_t) and of φ_t's adjoint."""
    psi = at(pairs, (6 + 2 * v.R) * W)
    for mu in range(v.K):
        p = load(out, mu * W)
        p_t = load(out, (v.K + mu) * W)
        for gamma in range(v.M):
            s = load(psi, gamma * W)
            to = 2 * (mu * v.M + gamma) * W
            store(weights, to, p * s + p_t * load(psi, (v.M + gamma) * W))
            store(weights, to + W, p_t * s)


@jit
def on_coefficients(v, begin, end, stride, pairs, weights, psi, psi_t, rows, d_c):
    """Add the adjoint of c of one centre and one species, groups begin … end − 1, to d_c (K, γ, β, R′)."""
    n = v.K * v.M
    for run in range(n):
        for q in range(v.R):
            s = spread(0.0)
            s_t = spread(0.0)
            for g in range(begin, end):
                a = load(weights, 2 * (g * n + run) * W)
                b = load(weights, (2 * (g * n + run) + 1) * W)
                p = load(pairs, (g * stride + 6 + q) * W)
                s += a * p
                s += b * load(pairs, (g * stride + 6 + v.R + q) * W)
                s_t += b * p
            store(rows, q * W, s)
            store(rows, (v.padded + q) * W, s_t)
        for q in range(0, v.padded, W):
            s = totals(rows, q * W, W)
            s_t = totals(rows, (v.padded + q) * W, W)
            for beta in range(v.M):
                to = (run * v.M + beta) * v.padded + q
                store(d_c, to, load(d_c, to) + s * psi[beta] + s_t * psi_t[beta])


@jit
def run_gradient(v, lists, out, changes, gradients, n_sites, longest, doubles, integers):
    """Add ∂S/∂θ of all sites and S to out[0]; return OK or an error.

    Parameters are those of `kernels_lanes.run`, with the changes and the gradients; the scratch is that of
    `gradient_doubles` and of `kernels_lanes.scratch_integers`.
    """
    limit = group_limit(v, longest)
    stride = tangent_stride(v)
    runs = v.K * v.M
    near = doubles
    change = at(near, 4 * v.C * limit * W)
    pairs = at(change, 4 * limit * W)
    mono = at(pairs, W * limit * stride * W)
    mono_t = at(mono, 2 * monomial_count(v.top) * W)
    sums = at(mono_t, 2 * monomial_count(v.top) * W)
    sums_t = at(sums, W * v.n_sums * W)
    value = at(sums_t, W * v.n_sums * W)
    tangent = at(value, v.n_moments * W)
    on_value = at(tangent, v.n_moments * W)
    on_tangent = at(on_value, v.n_moments * W)
    weights = at(on_tangent, v.n_moments * W)
    rows = at(weights, 2 * limit * runs * W)
    on_f = at(rows, 2 * v.padded * W)
    slopes = at(on_f, 2 * v.K * W)
    site = at(slopes, (v.R + v.M) * W)
    psi = at(site, 2 * W)
    psi_t = at(psi, v.M)
    d = at(psi_t, v.M)
    d_t = at(d, v.C * runs * v.padded)
    groups = integers
    ends = at(groups, W)
    where = at(ends, v.C * W)
    size = runs * v.M * v.padded
    for q in range(2 * v.padded):
        store(rows, q * W, spread(0.0))
    for block in range(0, n_sites, W):
        used = min(W, n_sites - block)
        for lane in range(used):
            i = lists.centres[block + lane]
            kind = lists.type_map[lists.types[i]]
            if kind < 0:
                return UNKNOWN_TYPE
            own_ends = at(ends, lane * v.C)
            own_where = at(where, 0)
            n = gather(v, lists, i, limit, near, own_where, own_ends, out)
            if n < 0:
                return -n
            groups[lane] = n
            gather_changes(v, i, lists.x, own_where, n, near, change, changes)
            centre_basis(lists.moments[i], v.ranges[2], v.ranges[3], v.M, psi, psi_t)
            for beta in range(v.M):
                psi_t[beta] *= changes.h[i]
            g = 0
            for t in range(v.C):
                if g < own_ends[t]:
                    c = at(v.c, (kind * v.C + t) * size)
                    contract(c, psi, d, runs, v.M, v.padded)
                    contract(c, psi_t, d_t, runs, v.M, v.padded)
                while g < own_ends[t]:
                    own = at(pairs, (lane * limit + g) * stride * W)
                    radial_tangent(v, at(near, g * 4 * W), at(change, g * 4 * W), d, d_t, slopes, own)
                    g += 1
            own = at(pairs, lane * limit * stride * W)
            for k in range(stride):
                store(own, (n * stride + k) * W, spread(0.0))
            first = lane * v.n_sums * W
            accumulate_tangent(v, own, n, stride, mono, mono_t, at(sums, first), at(sums_t, first))
        for s in range(v.n_sums):
            store(value, v.summed[s] * W, totals(sums, s * W, v.n_sums * W))
            store(tangent, v.summed[s] * W, totals(sums_t, s * W, v.n_sums * W))
        products_tangent(v, value, tangent)
        store(site, 0, scalars_tangent(v, value, tangent, changes.a, on_value, on_tangent, gradients.xi, used))
        products_tangent_adjoint(v, value, tangent, on_value, on_tangent)
        for lane in range(used):
            i = lists.centres[block + lane]
            kind = lists.type_map[lists.types[i]]
            out[0] += site[lane] + changes.a * v.constants[kind]
            gradients.constants[kind] += changes.a
            own = at(pairs, lane * limit * stride * W)
            for g in range(groups[lane]):
                group = at(own, g * stride * W)
                group_monomials(v, group, mono, mono_t)
                on_radial(v, group, mono, mono_t, at(on_value, lane), at(on_tangent, lane), on_f)
                weigh(v, group, on_f, at(weights, 2 * g * runs * W))
            centre_basis(lists.moments[i], v.ranges[2], v.ranges[3], v.M, psi, psi_t)
            for beta in range(v.M):
                psi_t[beta] *= changes.h[i]
            begin = 0
            for t in range(v.C):
                end = ends[lane * v.C + t]
                if begin < end:
                    to = at(gradients.c, (kind * v.C + t) * size)
                    on_coefficients(v, begin, end, stride, own, weights, psi, psi_t, rows, to)
                begin = end
    return OK
