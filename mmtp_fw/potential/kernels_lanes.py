"""The fast kernels: neighbours in SIMD lanes for sums over pairs, atoms in lanes for products of moments.

For each atom its neighbours, sorted by species and padded to whole vectors, pass through the radial functions
and the sums of the moments W at a time; a padded neighbour sits at the cut-off, where everything vanishes. The
sums of W atoms are then transposed (`totals`), so that traces, products and their adjoint run once for W
atoms; the adjoint, scalar again for each atom, gives the derivatives of its pairs. See `program` for names.

Everything behind `run` works on pointers and scratch memory of the caller: nothing is allocated, no reference
is counted, so that the same code serves Python, threads and LAMMPS.
"""

from __future__ import annotations

from collections import namedtuple

from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.lanes import W, at, int32_pointer, load, spread, square_root, store, total, totals
from mmtp_fw.potential.program import NUMBERS, SIZES, TABLES

# Bits of `flags`.
FORCES, SITE_ENERGIES, SITE_VIRIALS = 1, 2, 4
# What `out` holds: energy, virial −Σ r ∂E/∂r (xx yy zz xy xz yz), number of atoms whose moment lies outside the
# magnetic range, square of the shortest distance.
OUT_ENERGY, OUT_VIRIAL, OUT_OUTSIDE, OUT_CLOSEST, OUT_SIZE = 0, 1, 7, 8, 16
# What `run` returns.
OK, UNKNOWN_TYPE, NOT_FINITE, COINCIDENT = 0, 1, 2, 3

MASK = 0x1FFFFFFF  # LAMMPS keeps bond flags in the upper bits of its neighbour indices.
_S = len(SIZES)
_T = _S + len(TABLES)

View = namedtuple(
    "View",
    [
        "C", "K", "R", "M", "padded", "top", "n_sums", "n_traces", "n_times", "n_scalars", "n_coefficients",
        "n_moments", "ranks", "low", "high", "sums", "summed", "traces", "times", "scalars", "sources",
        "ranges", "c", "xi", "constants", "weights", "factors",
    ],
)  # fmt: skip
Lists = namedtuple(
    "Lists",
    ["centres", "lengths", "lists", "starts", "step", "vectors", "x", "types", "type_map", "moments"],
)
Results = namedtuple("Results", ["f", "gm", "eatom", "vatom", "out"])
assert len(View._fields) == _T + len(NUMBERS)


@jit
def view(n, d):
    """Return sizes and pointers of a packed potential, given pointers to its two arrays."""
    return View(
        n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11],
        at(n, n[_S]), at(n, n[_S + 1]), at(n, n[_S + 2]), at(n, n[_S + 3]), at(n, n[_S + 4]),
        at(n, n[_S + 5]), at(n, n[_S + 6]), at(n, n[_S + 7]), at(n, n[_S + 8]),
        at(d, n[_T]), at(d, n[_T + 1]), at(d, n[_T + 2]), at(d, n[_T + 3]), at(d, n[_T + 4]), at(d, n[_T + 5]),
    )  # fmt: skip


@jit
def monomial_count(degree):
    """Return the number of monomials up to a degree."""
    return (degree + 1) * (degree + 2) * (degree + 3) // 6


@jit
def group_limit(v, longest):
    """Return the largest number of groups that `longest` neighbours can fill, one of zeros included."""
    return longest // W + v.C + 1


@jit
def scratch_doubles(v, longest):
    """Return how many doubles `run` needs for neighbour lists of up to `longest` entries."""
    groups = group_limit(v, longest)
    vectors = 4 * groups + W * groups * (4 + 4 * v.K) + 2 * (v.R + v.M) + 2 * monomial_count(v.top)
    vectors += W * v.n_sums + 2 * v.n_moments + v.n_coefficients + 16
    return vectors * W + 2 * v.M + 2 * v.C * v.K * v.M * v.padded


@jit
def scratch_integers(v, longest):
    """Return how many integers `run` needs for neighbour lists of up to `longest` entries."""
    return W * (group_limit(v, longest) * W + 1 + v.C)


@jit
def gather(v, q, i, near, where, ends, out):
    """Sort the neighbours of atom i within the cut-off by species into whole vectors.

    `near` holds x, y, z, m of a group as four vectors, `where` the neighbours' indices or −1; species t ends
    before group ``ends[t]``. Returns the number of groups, or minus an error.
    """
    for t in range(v.C):
        ends[t] = 0
    r_cut = v.ranges[1]
    limit = r_cut * r_cut
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
        if r2 < limit:
            t = q.type_map[q.types[j]]
            if t < 0:
                return -UNKNOWN_TYPE
            closest = min(closest, r2)
            ends[t] += 1
    if not abs(check) < 1e300:
        return -NOT_FINITE
    if closest < 1e-12:
        return -COINCIDENT
    out[OUT_CLOSEST] = closest
    groups = 0
    for t in range(v.C):
        size = (ends[t] + W - 1) // W
        ends[t] = groups * W  # where the next neighbour of this species goes
        groups += size
        if size > 0:
            last = (groups - 1) * 4 * W
            store(near, last, spread(r_cut))
            for k in range(1, 4):
                store(near, last + k * W, spread(0.0))
            for k in range(W):
                where[groups * W - W + k] = -1
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
        if dx * dx + dy * dy + dz * dz < limit:
            t = q.type_map[q.types[j]]
            place = ends[t]
            ends[t] = place + 1
            to = (place // W) * 4 * W + place % W
            near[to] = dx
            near[to + W] = dy
            near[to + 2 * W] = dz
            near[to + 3 * W] = q.moments[j]
            where[place] = j
    for t in range(v.C):
        ends[t] = (ends[t] + W - 1) // W
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
    """Write unit vector, 1/r, f, f_i, f_j and f_r of a group of neighbours of one species to `pairs`."""
    K = v.K
    R = v.R
    M = v.M
    x = load(near, 0)
    y = load(near, W)
    z = load(near, 2 * W)
    r = square_root(x * x + y * y + z * z)
    inverse = 1.0 / r
    store(pairs, 0, x * inverse)
    store(pairs, W, y * inverse)
    store(pairs, 2 * W, z * inverse)
    store(pairs, 3 * W, inverse)
    phi = basis
    dphi = at(basis, R * W)
    psi = at(basis, 2 * R * W)
    dpsi = at(basis, (2 * R + M) * W)
    chebyshev_lanes(r, v.ranges[0], v.ranges[1], R, phi, dphi)
    chebyshev_lanes(load(near, 3 * W), v.ranges[2], v.ranges[3], M, psi, dpsi)
    gap = v.ranges[1] - r
    square = gap * gap
    slope = gap * -2.0
    for q in range(R):
        p = load(phi, q * W)
        store(dphi, q * W, square * load(dphi, q * W) + slope * p)
        store(phi, q * W, square * p)
    for mu in range(K):
        f = spread(0.0)
        fi = spread(0.0)
        fj = spread(0.0)
        fr = spread(0.0)
        for gamma in range(M):
            row = (mu * M + gamma) * v.padded
            a = spread(0.0)
            b = spread(0.0)
            e = spread(0.0)
            if forces:
                for q in range(R):
                    p = load(phi, q * W)
                    a += p * d[row + q]
                    b += p * di[row + q]
                    e += load(dphi, q * W) * d[row + q]
            else:
                for q in range(R):
                    p = load(phi, q * W)
                    a += p * d[row + q]
                    b += p * di[row + q]
            s = load(psi, gamma * W)
            f += a * s
            fi += b * s
            fj += a * load(dpsi, gamma * W)
            fr += e * s
        store(pairs, (4 + mu) * W, f)
        store(pairs, (4 + K + mu) * W, fi)
        store(pairs, (4 + 2 * K + mu) * W, fj)
        store(pairs, (4 + 3 * K + mu) * W, fr)


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
def products(v, value):
    """Complete traces and products of the moments of W atoms."""
    for row in range(0, 4 * v.n_traces, 4):
        s = load(value, v.traces[row + 1] * W) + load(value, v.traces[row + 2] * W)
        store(value, v.traces[row] * W, s + load(value, v.traces[row + 3] * W))
    times = v.times
    row = 0
    while row < v.n_times:
        target = times[3 * row + 2]
        s = spread(0.0)
        while row < v.n_times and times[3 * row + 2] == target:
            s += load(value, times[3 * row] * W) * load(value, times[3 * row + 1] * W) * v.weights[row]
            row += 1
        store(value, target * W, s)


@jit
def products_adjoint(v, value, adjoint):
    """Send the adjoint of W atoms down through products and traces."""
    times = v.times
    for row in range(v.n_times - 1, -1, -1):
        i = times[3 * row] * W
        j = times[3 * row + 1] * W
        a = load(adjoint, times[3 * row + 2] * W) * v.weights[row]
        store(adjoint, i, load(adjoint, i) + a * load(value, j))
        store(adjoint, j, load(adjoint, j) + a * load(value, i))
    for row in range(4 * v.n_traces - 4, -1, -4):
        a = load(adjoint, v.traces[row] * W)
        for k in range(1, 4):
            to = v.traces[row + k] * W
            store(adjoint, to, load(adjoint, to) + a)


@jit
def energies_and_adjoint(v, value, adjoint):
    """Return Σ ξ B of W atoms, and write their adjoint of the elementary moments."""
    for k in range(v.n_moments):
        store(adjoint, k * W, spread(0.0))
    energy = spread(0.0)
    for s in range(v.n_scalars):
        k = v.scalars[s] * W
        energy += load(value, k) * v.xi[s]
        store(adjoint, k, load(adjoint, k) + v.xi[s])
    products_adjoint(v, value, adjoint)
    return energy


@jit
def polynomials(v, adjoint, coefficients):
    """Write the coefficients of P_μ and their gradients for W atoms."""
    for k in range(v.n_coefficients):
        store(coefficients, k * W, load(adjoint, v.sources[k] * W) * v.factors[k])


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


@jit
def run(v, q, results, begin, end, longest, doubles, integers, flags):
    """Add energies and derivatives of the sites begin … end − 1; return OK or an error.

    Parameters
    ----------
    v : View
        The potential.
    q : Lists
        ``centres[s]`` is the atom of site s, with ``lengths[i]`` neighbours at the address ``lists[i]``
        (32-bit indices) and vectors at ``vectors[3 starts[i step]]``, or, where that is negative, differences
        of x.
    results : Results
        f gets −∂E/∂r, gm ∂E/∂m, both added; eatom and vatom where the flags ask for them.
    begin, end, longest : int
        Sites, and the longest list among them.
    doubles, integers : pointers
        Scratch of `scratch_doubles` and `scratch_integers`.
    flags : int
    """
    forces = (flags & FORCES) != 0
    limit = group_limit(v, longest)
    stride = (4 + 4 * v.K) * W
    runs = v.K * v.M
    # The scratch, piece by piece.
    near = doubles
    pairs = at(near, limit * 4 * W)
    basis = at(pairs, W * limit * stride)
    mono = at(basis, 2 * (v.R + v.M) * W)
    sums = at(mono, 2 * monomial_count(v.top) * W)
    value = at(sums, W * v.n_sums * W)
    adjoint = at(value, v.n_moments * W)
    coefficients = at(adjoint, v.n_moments * W)
    out = at(coefficients, v.n_coefficients * W)
    tensor = at(out, 4 * W)
    site = at(tensor, 6 * W)
    psi = at(site, 6 * W)
    dpsi = at(psi, v.M)
    d = at(dpsi, v.M)
    di = at(d, v.C * runs * v.padded)
    groups = integers
    ends = at(groups, W)
    where = at(ends, v.C)
    for block in range(begin, end, W):
        used = min(W, end - block)
        for lane in range(used):
            i = q.centres[block + lane]
            kind = q.type_map[q.types[i]]
            if kind < 0:
                return UNKNOWN_TYPE
            n = gather(v, q, i, near, at(where, lane * limit * W), ends, results.out)
            if n < 0:
                return -n
            groups[lane] = n
            m = q.moments[i]
            if m < v.ranges[2] or m > v.ranges[3]:
                results.out[OUT_OUTSIDE] += 1.0
            centre_basis(m, v.ranges[2], v.ranges[3], v.M, psi, dpsi)
            own = at(pairs, lane * limit * stride)
            g = 0
            for t in range(v.C):
                if g < ends[t]:
                    c = at(v.c, (kind * v.C + t) * runs * v.M * v.padded)
                    contract(c, psi, d, runs, v.M, v.padded)
                    contract(c, dpsi, di, runs, v.M, v.padded)
                while g < ends[t]:
                    radial(v, at(near, g * 4 * W), d, di, basis, at(own, g * stride), forces)
                    g += 1
            for k in range(0, stride, W):
                store(own, n * stride + k, spread(0.0))
            accumulate(v, own, n, stride, mono, at(sums, lane * v.n_sums * W))
        for s in range(v.n_sums):
            store(value, v.summed[s] * W, totals(sums, s * W, v.n_sums * W))
        products(v, value)
        store(site, 0, energies_and_adjoint(v, value, adjoint))
        polynomials(v, adjoint, coefficients)
        for lane in range(used):
            i = q.centres[block + lane]
            energy = site[lane] + v.constants[q.type_map[q.types[i]]]
            results.out[OUT_ENERGY] += energy
            if flags & SITE_ENERGIES:
                results.eatom[i] += energy
            on_i = spread(0.0)
            fx = spread(0.0)
            fy = spread(0.0)
            fz = spread(0.0)
            for k in range(6):
                store(tensor, k * W, spread(0.0))
            for g in range(groups[lane]):
                own = at(pairs, (lane * limit + g) * stride)
                x = load(own, 0)
                y = load(own, W)
                z = load(own, 2 * W)
                monomials(x, y, z, v.top, mono)
                on_i += pair_derivatives(v, own, mono, at(coefficients, lane), forces, out)
                scatter(at(where, (lane * limit + g) * W), out, forces, results)
                if forces:
                    fx += load(out, 0)
                    fy += load(out, W)
                    fz += load(out, 2 * W)
                    r = 1.0 / load(own, 3 * W)
                    store(near, 0, x * r)
                    store(near, W, y * r)
                    store(near, 2 * W, z * r)
                    site_virial(near, out, tensor)
            results.gm[i] += total(on_i)
            if forces:
                results.f[3 * i] -= total(fx)
                results.f[3 * i + 1] -= total(fy)
                results.f[3 * i + 2] -= total(fz)
                for k in range(6):
                    w = total(load(tensor, k * W))
                    results.out[OUT_VIRIAL + k] += w
                    if flags & SITE_VIRIALS:
                        results.vatom[6 * i + k] += w
    return OK
