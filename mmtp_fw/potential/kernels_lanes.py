"""The fast kernels: neighbours in SIMD lanes for sums over pairs, atoms in lanes for products of moments.

For each atom its neighbours, sorted by species and padded to whole vectors, pass through the radial functions
and the sums of the moments W at a time; a padded neighbour sits at the cut-off, where everything vanishes. The
sums of W atoms are then transposed (`totals`), so that traces, products and their adjoint run once for W
atoms; the adjoint, scalar again for each atom, gives the derivatives of its pairs. See `program` for names.

Everything behind `run` works on pointers and scratch memory of the caller: nothing is allocated, no reference
is counted, so that the same code serves Python, threads and LAMMPS.
"""

from __future__ import annotations

from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.lanes import W, at, load, spread, store, total, totals
from mmtp_fw.potential.lanes_layout import (
    FORCES,
    OK,
    OUT_ENERGY,
    OUT_OUTSIDE,
    OUT_VIRIAL,
    SITE_ENERGIES,
    SITE_VIRIALS,
    UNKNOWN_TYPE,
    group_limit,
    monomial_count,
)
from mmtp_fw.potential.lanes_pairs import (
    accumulate,
    centre_basis,
    contract,
    gather,
    monomials,
    pair_derivatives,
    radial,
    scatter,
    site_virial,
)
from mmtp_fw.potential.lanes_products import energies_and_adjoint, polynomials, products


@jit
def scratch_doubles(v, longest):
    """Return how many doubles `run` needs for neighbour lists of up to `longest` entries."""
    groups = group_limit(v, longest)
    vectors = 4 * v.C * groups + W * groups * (4 + 4 * v.K) + 2 * (v.R + v.M) + 2 * monomial_count(v.top)
    vectors += W * v.n_sums + 2 * v.n_moments + v.n_coefficients + 16
    return vectors * W + 2 * v.M + 2 * v.C * v.K * v.M * v.padded


@jit
def scratch_integers(v, longest):
    """Return how many integers `run` needs for neighbour lists of up to `longest` entries."""
    return W * (v.C * group_limit(v, longest) * W + 1 + v.C)


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
    span = v.C * limit * W
    stride = (4 + 4 * v.K) * W
    runs = v.K * v.M
    # The scratch, piece by piece.
    near = doubles
    pairs = at(near, 4 * span)
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
            n = gather(v, q, i, limit, near, at(where, lane * span), ends, results.out)
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
                scatter(at(where, lane * span + g * W), out, forces, results)
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
