"""The potential behind a C function on LAMMPS' neighbour lists with ghost atoms.

`kernel()` returns a `numba.cfunc` with the signature

    int kernel(double *params, int inum, int nall, int *ilist, int *numneigh, int **firstneigh,
               double *x, int *type, double *m, double *f, double *gm,
               double *eatom, double *vatom, double *gamma, double *out, int flags)

and `pack` the array behind ``params``. x is (nall, 3), type LAMMPS' (from 1), m the moments of own and ghost
atoms; f (nall, 3), gm (nall), eatom (nall), vatom (nall, 6) are added to, ghosts included (``newton on``).
Lists are full ones; entries are masked with 0x1FFFFFFF. gm receives ∂E/∂m, the negative magnetic force.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

from mmtp_fw.errors import InputError
from mmtp_fw.potential import kernels

if TYPE_CHECKING:
    from mmtp_fw.potential.potential import Potential

# Bits of `flags`. Without FORCES only energies and ∂E/∂m are written.
FORCES, SITE_ENERGIES, SITE_VIRIALS = 1, 2, 4
# What `out` holds: energy (eV), virial −Σ r ∂E/∂r (eV; xx yy zz xy xz yz), number of own atoms whose moment
# lies outside the magnetic range, shortest distance (Å).
OUT_ENERGY, OUT_VIRIAL, OUT_OUTSIDE, OUT_CLOSEST, OUT_SIZE = 0, 1, 7, 8, 16
# What the function returns.
OK, UNKNOWN_TYPE, NOT_FINITE, COINCIDENT = 0, 1, 2, 3

_HEADER = 24
_MASK = 0x1FFFFFFF


def pack(potential: Potential, type_map: Sequence[int]) -> np.ndarray:
    """Return the parameter array of a potential.

    Parameters
    ----------
    potential : Potential
    type_map : sequence of int
        Index into `potential.species` of LAMMPS' types 1, 2, …; −1 for a type that may not occur.

    Returns
    -------
    ndarray of float64, shape (size,)
        Keep it alive as long as the kernel is called with it. `repack` writes new parameters into it.

    Raises
    ------
    InputError
        An index that is no species of the potential.
    """
    if any(not -1 <= z < len(potential.species) for z in type_map):
        raise InputError(f"type map {list(type_map)} for {len(potential.species)} species")
    arrays = _arrays(potential, type_map)
    offsets = _HEADER + np.concatenate([[0], np.cumsum([a.size for a in arrays])])
    header = np.zeros(_HEADER)
    t = potential.kernel_tables
    header[:13] = [
        len(potential.species), *potential.kernel_coefficients.shape[2:5], len(t.basic), len(t.times),
        len(t.scalars), t.n_moments, potential.r_min, potential.r_cut, potential.min_moment,
        potential.max_moment, len(type_map),
    ]  # fmt: skip
    header[13 : 13 + len(offsets)] = offsets
    return np.concatenate([header, *arrays])


def repack(params: np.ndarray, potential: Potential) -> None:
    """Write the parameters of a potential of the same form into a packed array."""
    n_types, start = int(params[12]), int(params[18])
    fresh = pack(potential, params[start : start + n_types].astype(int).tolist())
    if fresh.shape != params.shape:
        raise InputError("the packed potential has another form")
    params[:] = fresh


def _arrays(potential: Potential, type_map: Sequence[int]) -> list[np.ndarray]:
    t = potential.kernel_tables
    return [
        potential.kernel_coefficients.ravel(), potential.kernel_moment_coefficients, potential.kernel_constants,
        t.basic.astype(float).ravel(), t.times.astype(float).ravel(), np.array(type_map, dtype=float),
        t.scalars.astype(float),
    ]  # fmt: skip


@lru_cache(maxsize=1)
def kernel() -> Any:
    """Return the compiled C function; ``.address`` is its address."""
    integers, doubles = types.CPointer(types.intc), types.CPointer(types.float64)
    signature = types.intc(
        doubles, types.intc, types.intc, integers, integers, types.CPointer(types.intp), doubles, integers,
        doubles, doubles, doubles, doubles, doubles, doubles, doubles, types.intc,
    )  # fmt: skip
    return cfunc(signature, cache=True, nopython=True)(_entry)


@intrinsic
def _as_integers(typingctx: Any, address: Any) -> Any:
    """Take an address for a pointer to C integers."""
    pointer = types.CPointer(types.intc)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.intp), codegen


def _entry(params, inum, nall, ilist, numneigh, firstneigh, x, kind, m, f, gm, eatom, vatom, gamma, out, flags):
    header = carray(params, _HEADER)
    packed = carray(params, int(header[20]))
    own = carray(ilist, inum)
    lengths = carray(numneigh, nall)
    lists = carray(firstneigh, nall)
    return _run(
        header, packed, own, lengths, lists, carray(x, (nall, 3)), carray(kind, nall), carray(m, nall),
        carray(f, (nall, 3)), carray(gm, nall), carray(eatom, nall), carray(vatom, (nall, 6)),
        carray(out, OUT_SIZE), flags,
    )  # fmt: skip


@njit(nogil=True, fastmath=kernels.FLAGS, error_model="numpy")
def _tables_of(header, packed):
    """Return the views of a packed array."""
    C = int(header[0])
    K = int(header[1])
    R = int(header[2])
    M = int(header[3])
    o = header[13:21]
    c = packed[int(o[0]) : int(o[1])].reshape((C, C, K, R, M, M))
    xi = packed[int(o[1]) : int(o[2])]
    constants = packed[int(o[2]) : int(o[3])]
    basic = packed[int(o[3]) : int(o[4])].astype(np.int32).reshape((int(header[4]), 4))
    times = packed[int(o[4]) : int(o[5])].astype(np.int32).reshape((int(header[5]), 4))
    type_map = packed[int(o[5]) : int(o[6])]
    scalars = packed[int(o[6]) : int(o[7])].astype(np.int32)
    return c, xi, constants, basic, times, type_map, scalars


@njit(nogil=True, fastmath=kernels.FLAGS, error_model="numpy")
def _gather(i, x, kind, m, length, near, type_map, r_cut, index, near_types, near_moments, vectors):
    """Copy the neighbours of atom i within the cut-off; return their number, or minus an error."""
    n = 0
    for k in range(length):
        j = near[k] & _MASK
        dx = x[j, 0] - x[i, 0]
        dy = x[j, 1] - x[i, 1]
        dz = x[j, 2] - x[i, 2]
        r2 = dx * dx + dy * dy + dz * dz
        if not np.isfinite(r2 + m[j]):
            return -NOT_FINITE
        if r2 >= r_cut * r_cut:
            continue
        if r2 < 1e-12:
            return -COINCIDENT
        if type_map[kind[j] - 1] < 0:
            return -UNKNOWN_TYPE
        index[n] = j
        near_types[n] = int(type_map[kind[j] - 1])
        near_moments[n] = m[j]
        vectors[n, 0] = dx
        vectors[n, 1] = dy
        vectors[n, 2] = dz
        n += 1
    return n


@njit(nogil=True, fastmath=kernels.FLAGS, error_model="numpy")
def _run(header, packed, own, lengths, lists, x, kind, m, f, gm, eatom, vatom, out, flags):
    c, xi, constants, basic, times, type_map, scalars = _tables_of(header, packed)
    r_min = header[8]
    r_cut = header[9]
    m_min = header[10]
    m_max = header[11]
    C = c.shape[0]
    K = c.shape[2]
    R = c.shape[3]
    M = c.shape[4]
    n_moments = int(header[7])
    longest = 1
    for i in own:
        longest = max(longest, lengths[i])
    top = 0
    for b in range(len(basic)):
        top = max(top, max(basic[b, 1], max(basic[b, 2], basic[b, 3])))
    index = np.empty(longest, dtype=np.int64)
    near_types = np.empty(longest, dtype=np.int32)
    near_moments = np.empty(longest)
    vectors = np.empty((longest, 3))
    work = np.empty((longest, 4 + 4 * K))
    gradient = np.empty((longest, 3))
    near_dm = np.empty(longest)
    psi = np.empty(M)
    dpsi = np.empty(M)
    d = np.empty((C, K, R, M))
    di = np.empty((C, K, R, M))
    value = np.empty(n_moments)
    adjoint = np.empty(n_moments)
    site_virial = np.zeros(6)
    out[:] = 0.0
    out[OUT_CLOSEST] = r_cut
    for i in own:
        near = carray(_as_integers(lists[i]), lengths[i])
        n = _gather(
            i, x, kind, m, lengths[i], near, type_map, r_cut, index, near_types, near_moments, vectors
        )
        if n < 0:
            return -n
        if type_map[kind[i] - 1] < 0:
            return UNKNOWN_TYPE
        if not np.isfinite(m[i]):
            return NOT_FINITE
        z = int(type_map[kind[i] - 1])
        if m[i] < m_min or m[i] > m_max:
            out[OUT_OUTSIDE] += 1.0
        kernels.chebyshev(m[i], m_min, m_max, psi, dpsi)
        kernels.contract_centre(c[z], psi, dpsi, d, di)
        kernels.radial_functions(
            n, vectors, near_types, near_moments, d, di, r_min, r_cut, m_min, m_max, work
        )
        kernels.moments_of_site(n, work, basic, value, top)
        kernels.products(times, value)
        energy = constants[z]
        adjoint[:] = 0.0
        for a in range(len(scalars)):
            energy += xi[a] * value[scalars[a]]
            adjoint[scalars[a]] += xi[a]
        out[OUT_ENERGY] += energy
        if flags & SITE_ENERGIES:
            eatom[i] += energy
        kernels.products_adjoint(times, value, adjoint)
        gm[i] += kernels.site_derivatives(n, work, basic, adjoint, top, K, gradient, near_dm)
        site_virial[:] = 0.0
        for k in range(n):
            j = index[k]
            gm[j] += near_dm[k]
            out[OUT_CLOSEST] = min(out[OUT_CLOSEST], 1.0 / work[k, 3])
            if flags & FORCES:
                for p in range(3):
                    f[i, p] += gradient[k, p]
                    f[j, p] -= gradient[k, p]
                    site_virial[p] -= vectors[k, p] * gradient[k, p]
                site_virial[3] -= vectors[k, 0] * gradient[k, 1]
                site_virial[4] -= vectors[k, 0] * gradient[k, 2]
                site_virial[5] -= vectors[k, 1] * gradient[k, 2]
        for p in range(6):
            out[OUT_VIRIAL + p] += site_virial[p]
            if flags & SITE_VIRIALS:
                vatom[i, p] += site_virial[p]
    return OK
