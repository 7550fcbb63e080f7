"""Neighbours in SIMD lanes: radial functions, sums of the moments, derivatives of the pairs of one atom."""

from __future__ import annotations

from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.lanes import W, at, int32_pointer, load, spread, square_root, store
from mmtp_fw.potential.lanes_basis import SIZE, chebyshev, chebyshev_slopes, dot
from mmtp_fw.potential.lanes_layout import (
    COINCIDENT,
    MASK,
    NOT_FINITE,
    OUT_CLOSEST,
    UNKNOWN_TYPE,
    monomial_count,
)


@jit
def gather(v, q, i, limit, near, where, ends, out):
    """Sort the neighbours of atom i within the cut-off by species into whole vectors.

    `near` holds x, y, z, m of a group as four vectors, `where` the neighbours' indices or −1, both with room for
    `limit` groups of every species; species t ends before group ``ends[t]``. Returns the number of groups, or
    minus an error.
    """
    for t in range(v.C):
        ends[t] = 0
    r_cut = v.ranges[1]
    most = r_cut * r_cut
    length = q.lengths[i]
    indices = int32_pointer(q.lists[i])
    start = q.starts[i * q.step] * 3
    given = start >= 0  # else vectors are differences of positions
    x = q.x[3 * i]
    y = q.x[3 * i + 1]
    z = q.x[3 * i + 2]
    check = q.moments[i]
    closest = out[OUT_CLOSEST]
    for k in range(length):
        j = indices[k] & MASK
        if given:
            dx = q.vectors[start + 3 * k]
            dy = q.vectors[start + 3 * k + 1]
            dz = q.vectors[start + 3 * k + 2]
        else:
            dx = q.x[3 * j] - x
            dy = q.x[3 * j + 1] - y
            dz = q.x[3 * j + 2] - z
        r2 = dx * dx + dy * dy + dz * dz
        check += r2
        if r2 < most:
            t = q.type_map[q.types[j]]
            if t < 0:
                return -UNKNOWN_TYPE
            closest = min(closest, r2)
            place = ends[t]
            ends[t] = place + 1
            place += t * limit * W
            to = (place // W) * 4 * W + place % W
            near[to] = dx
            near[to + W] = dy
            near[to + 2 * W] = dz
            near[to + 3 * W] = q.moments[j]
            where[place] = j
    if not abs(check) < 1e300:
        return -NOT_FINITE
    if closest < 1e-12:
        return -COINCIDENT
    out[OUT_CLOSEST] = closest
    # Fill every species' last group with neighbours at the cut-off, and close the gaps between species.
    groups = 0
    for t in range(v.C):
        used = ends[t]
        size = (used + W - 1) // W
        first = t * limit
        for place in range(first * W + used, (first + size) * W):
            to = (place // W) * 4 * W + place % W
            near[to] = r_cut
            near[to + W] = 0.0
            near[to + 2 * W] = 0.0
            near[to + 3 * W] = 0.0
            where[place] = -1
        if first > groups:
            for k in range(size):
                for part in range(0, 4 * W, W):
                    store(near, (groups + k) * 4 * W + part, load(near, (first + k) * 4 * W + part))
                for lane in range(W):
                    where[(groups + k) * W + lane] = where[(first + k) * W + lane]
        groups += size
        ends[t] = groups
    return groups


@jit
def centre_basis(m, low, high, M, psi, dpsi):
    """Write ψ_β(m_i) and ψ'_β(m_i)."""
    scale = 2.0 / (high - low)
    t = (2.0 * m - low - high) / (high - low)
    psi[0] = 1.0
    dpsi[0] = 0.0
    if M > 1:
        psi[1] = t
        dpsi[1] = scale
    for k in range(2, M):
        psi[k] = 2.0 * t * psi[k - 1] - psi[k - 2]
        dpsi[k] = 2.0 * (t * dpsi[k - 1] + scale * psi[k - 1]) - dpsi[k - 2]


@jit
def contract(c, psi, d, runs, M, padded):
    """Contract coefficients (run, β, R′) with ψ_β of the centre into d (run, R′)."""
    for run in range(runs):
        for q in range(0, padded, W):
            s = load(c, run * M * padded + q) * psi[0]
            for beta in range(1, M):
                s += load(c, (run * M + beta) * padded + q) * psi[beta]
            store(d, run * padded + q, s)


@jit
def chebyshev_lanes(x, low, high, n, values, slopes):
    """Write n Chebyshev polynomials of vectors and their slopes."""
    scale = 2.0 / (high - low)
    t = (x - 0.5 * (low + high)) * scale
    two = t * 2.0
    a = spread(1.0)
    b = t
    da = spread(0.0)
    db = spread(scale)
    store(values, 0, a)
    store(slopes, 0, da)
    if n > 1:
        store(values, W, b)
        store(slopes, W, db)
    for k in range(2, n):
        e = two * b - a
        de = two * db + b * (2.0 * scale) - da
        store(values, k * W, e)
        store(slopes, k * W, de)
        a = b
        b = e
        da = db
        db = de


@jit
def radial(v, near, d, di, basis, pairs, forces):
    """Write unit vector, 1/r, f, f_i, f_j and f_r of a group of neighbours of one species to `pairs`.

    `basis` is scratch. For the most usual sizes of the radial basis its polynomials stay in registers.
    """
    x = load(near, 0)
    y = load(near, W)
    z = load(near, 2 * W)
    r = square_root(x * x + y * y + z * z)
    inverse = 1.0 / r
    store(pairs, 0, x * inverse)
    store(pairs, W, y * inverse)
    store(pairs, 2 * W, z * inverse)
    store(pairs, 3 * W, inverse)
    K = v.K
    R = v.R
    M = v.M
    psi = basis
    dpsi = at(basis, M * W)
    phi = at(basis, 2 * M * W)
    dphi = at(basis, (2 * M + R) * W)
    chebyshev_lanes(load(near, 3 * W), v.ranges[2], v.ranges[3], M, psi, dpsi)
    scale = 2.0 / (v.ranges[1] - v.ranges[0])
    t = (r - 0.5 * (v.ranges[0] + v.ranges[1])) * scale
    gap = v.ranges[1] - r
    square = gap * gap
    steep = square * scale
    slope = gap * -2.0
    usual = v.padded == SIZE  # coefficients beyond R are zeros
    if not usual:
        chebyshev_lanes(r, v.ranges[0], v.ranges[1], R, phi, dphi)
    values = chebyshev(t)
    slopes = chebyshev_slopes(t)
    for mu in range(K):
        f = spread(0.0)
        fi = spread(0.0)
        fj = spread(0.0)
        fr = spread(0.0)
        for gamma in range(M):
            row = (mu * M + gamma) * v.padded
            e = spread(0.0)
            if usual:
                a = dot(values, d, row)
                b = dot(values, di, row)
                if forces:
                    e = dot(slopes, d, row)
            else:
                a = spread(0.0)
                b = spread(0.0)
                for q in range(R):
                    a += load(phi, q * W) * d[row + q]
                    b += load(phi, q * W) * di[row + q]
                    e += load(dphi, q * W) * d[row + q]
                e = e * (1.0 / scale)
            s = load(psi, gamma * W)
            f += a * s
            fi += b * s
            fj += a * load(dpsi, gamma * W)
            fr += e * s
        store(pairs, (4 + mu) * W, square * f)
        store(pairs, (4 + K + mu) * W, square * fi)
        store(pairs, (4 + 2 * K + mu) * W, square * fj)
        store(pairs, (4 + 3 * K + mu) * W, steep * fr + slope * f)


@jit
def monomials(x, y, z, top, mono):
    """Write all monomials up to a degree."""
    store(mono, 0, spread(1.0))
    if top > 0:
        store(mono, W, x)
        store(mono, 2 * W, y)
        store(mono, 3 * W, z)
    before = 1
    start = 4
    for degree in range(2, top + 1):
        n = degree * (degree + 1) // 2
        for k in range(n):
            store(mono, (start + k) * W, x * load(mono, (before + k) * W))
        for k in range(degree):
            store(mono, (start + n + k) * W, y * load(mono, (before + n - degree + k) * W))
        store(mono, (start + n + degree) * W, z * load(mono, (before + n - 1) * W))
        before = start
        start += n + degree + 1


@jit
def accumulate(v, pairs, groups, stride, mono, sums):
    """Sum f_μ g over the groups of an atom, two at a time."""
    second = at(mono, monomial_count(v.top) * W)
    for s in range(v.n_sums):
        store(sums, s * W, spread(0.0))
    for g in range(0, groups, 2):
        p = at(pairs, g * stride)
        q = at(pairs, (g + 1) * stride)  # behind the last group there is one of zeros
        monomials(load(p, 0), load(p, W), load(p, 2 * W), v.top, mono)
        monomials(load(q, 0), load(q, W), load(q, 2 * W), v.top, second)
        for mu in range(v.K):
            f = load(p, (4 + mu) * W)
            h = load(q, (4 + mu) * W)
            low = v.low[mu]
            here = v.sums[mu] - low
            for k in range(low, v.high[mu]):
                s = load(sums, (here + k) * W) + f * load(mono, k * W)
                store(sums, (here + k) * W, s + h * load(second, k * W))


@jit
def pair_derivatives(v, pairs, mono, polynomial, forces, out):
    """Write −∂E_i/∂r_j (three vectors) and ∂E_i/∂m_j of a group to `out`; return the terms of ∂E_i/∂m_i."""
    K = v.K
    on_i = spread(0.0)
    on_j = spread(0.0)
    along = spread(0.0)
    hx = spread(0.0)
    hy = spread(0.0)
    hz = spread(0.0)
    e = 0
    for mu in range(K):
        rank = v.ranks[mu]
        if rank < 0:
            continue
        low = v.low[mu]
        start = monomial_count(rank - 3) if rank > 2 else 0
        middle = monomial_count(rank - 1)
        p = spread(0.0)
        px = spread(0.0)
        py = spread(0.0)
        pz = spread(0.0)
        if forces:
            for k in range(start, low):
                g = load(mono, k * W)
                px += g * polynomial[e]
                py += g * polynomial[e + W]
                pz += g * polynomial[e + 2 * W]
                e += 3 * W
            for k in range(low, middle):
                g = load(mono, k * W)
                p += g * polynomial[e]
                px += g * polynomial[e + W]
                py += g * polynomial[e + 2 * W]
                pz += g * polynomial[e + 3 * W]
                e += 4 * W
        else:
            e += 3 * W * (low - start)
            for k in range(low, middle):
                p += load(mono, k * W) * polynomial[e]
                e += 4 * W
        for k in range(middle, v.high[mu]):
            p += load(mono, k * W) * polynomial[e]
            e += W
        on_i += p * load(pairs, (4 + K + mu) * W)
        on_j += p * load(pairs, (4 + 2 * K + mu) * W)
        if forces:
            f = load(pairs, (4 + mu) * W)
            along += p * load(pairs, (4 + 3 * K + mu) * W)
            hx += f * px
            hy += f * py
            hz += f * pz
    store(out, 3 * W, on_j)
    if forces:
        x = load(pairs, 0)
        y = load(pairs, W)
        z = load(pairs, 2 * W)
        inverse = load(pairs, 3 * W)
        along = (x * hx + y * hy + z * hz) * inverse - along
        store(out, 0, along * x - hx * inverse)
        store(out, W, along * y - hy * inverse)
        store(out, 2 * W, along * z - hz * inverse)
    return on_i


@jit
def scatter(where, out, forces, results):
    """Add a group's derivatives to its neighbours."""
    for k in range(W):
        j = where[k]
        if j < 0:
            break
        results.gm[j] += out[k + 3 * W]
        if forces:
            results.f[3 * j] += out[k]
            results.f[3 * j + 1] += out[k + W]
            results.f[3 * j + 2] += out[k + 2 * W]


@jit
def site_virial(near, out, tensor):
    """Add Σ r ⊗ out of a group to the vectors xx yy zz xy xz yz of a tensor."""
    x = load(near, 0)
    y = load(near, W)
    z = load(near, 2 * W)
    gx = load(out, 0)
    gy = load(out, W)
    gz = load(out, 2 * W)
    store(tensor, 0, load(tensor, 0) + gx * x)
    store(tensor, W, load(tensor, W) + gy * y)
    store(tensor, 2 * W, load(tensor, 2 * W) + gz * z)
    store(tensor, 3 * W, load(tensor, 3 * W) + gx * y)
    store(tensor, 4 * W, load(tensor, 4 * W) + gx * z)
    store(tensor, 5 * W, load(tensor, 5 * W) + gy * z)
