"""Chooses between the fast kernels and the plain ones, and calls them with arrays.

The fast kernels use a vector type that leans on numba's internals. Where it can't be compiled, or where the
environment says ``MMTP_KERNELS=plain``, the plain ones answer, slower, to the same numbers.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.errors import InputError
from mmtp_fw.potential.system import System
from mmtp_fw.potential.tables import Tables
from mmtp_fw.potential.threads import each, ranges, thread_count

# Fewer atoms than this are not worth a thread: starting one takes some 30 µs.
ATOMS_PER_THREAD = 64

# What the kernels' error codes mean (`lanes_layout`).
_ERRORS = {1: "an atom has no species in the potential", 2: "a position or a moment is not finite",
           3: "two atoms coincide"}  # fmt: skip
# Where `out` has the virial's xx yy zz yz xz xy.
_VOIGT = np.array([1, 2, 3, 6, 5, 4])
_fast: bool | None = None


def fast_kernels() -> bool:
    """Return whether the fast kernels are in use."""
    global _fast
    if _fast is None:
        _fast = os.environ.get("MMTP_KERNELS", "lanes") != "plain"
        if _fast:
            try:
                from mmtp_fw.potential import run_lanes  # noqa: F401
            except Exception as error:
                _fall_back(error)
    return bool(_fast)


def _fall_back(error: Exception) -> None:
    global _fast
    _fast = False
    warnings.warn(f"the fast kernels can't be used here, the plain ones are: {error}", stacklevel=3)


@dataclass(frozen=True, eq=False)
class Form:
    """What the kernels need of a potential.

    Attributes
    ----------
    tables : Tables
    c : ndarray, shape (C, C, K, R, M, M)
        Radial coefficients, scaling included.
    xi : ndarray, shape (n_scalars,)
    constants : ndarray, shape (C,)
    ranges : tuple of float
        r_min, r_cut, least and greatest moment.
    """

    tables: Tables
    c: FloatArray
    xi: FloatArray
    constants: FloatArray
    ranges: tuple[float, float, float, float]

    @cached_property
    def packed(self) -> tuple[IntArray, FloatArray]:
        """The arrays of the fast kernels, each of shape (size,); see `mmtp_fw.potential.program.pack`."""
        from mmtp_fw.potential.program import pack

        return pack(self.tables, self.c, self.xi, self.constants, self.ranges)


def evaluate(
    form: Form, system: System, moments: FloatArray, forces: bool = True
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return site energies (n,), forces (n, 3), virial Σ r ⊗ ∂E/∂r (Voigt, 6) and ∂E/∂m (n,).

    Without `forces` those and the virial are zeros.
    """
    n = len(system)
    energies, f, dm = np.zeros(n), np.zeros((n, 3)), np.zeros(n)
    if n == 0:
        return energies, f, np.zeros(6), dm
    if fast_kernels():
        try:
            return _evaluate_fast(form, system, moments, int(forces), (energies, f, dm))
        except (ImportError, NotImplementedError, AttributeError, TypeError) as error:
            _fall_back(error)
    from mmtp_fw.potential import kernels

    t, virial = form.tables, np.zeros((3, 3))
    kernels.evaluate(
        system.types, system.first, system.neighbors, system.vectors, moments, form.c, form.xi, form.constants,
        t.basic, t.times, t.scalars, t.n_moments, *form.ranges, energies, f, virial, dm,
    )  # fmt: skip
    s = 0.5 * (virial + virial.T)
    return energies, f, np.array([s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]]), dm


def _evaluate_fast(
    form: Form, system: System, moments: FloatArray, flags: int, into: tuple[FloatArray, FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Do as `evaluate` by the fast kernels, in threads over sites; `into` is zero where the results go."""
    from mmtp_fw.potential import run_lanes
    from mmtp_fw.potential.lanes import W
    from mmtp_fw.potential.lanes_layout import OUT_SIZE

    n = len(system)
    count = min(thread_count(), n // ATOMS_PER_THREAD) if n >= 2 * ATOMS_PER_THREAD else 1

    def work(part: tuple[int, int]) -> tuple[int, FloatArray, FloatArray, FloatArray]:
        # Sites scatter forces to their neighbours: every thread has arrays of its own but for the site energies.
        f, dm = (into[1], into[2]) if part[0] == 0 else (np.zeros((n, 3)), np.zeros(n))
        out = np.zeros(OUT_SIZE)
        code = run_lanes.evaluate(
            *form.packed, system.types, system.first, system.neighbors, system.vectors, moments,
            *part, flags, into[0], f, dm, out,
        )  # fmt: skip
        return code, f, dm, out

    done = [work((0, n))] if count < 2 else each(work, ranges(n, count, W))
    for code, *_ in done:
        if code:
            raise InputError(_ERRORS[code])
    energies, forces, dm = into
    out = done[0][3]
    for _, f, slope, more in done[1:]:
        forces += f
        dm += slope
        out += more
    return energies, forces, -out[_VOIGT], dm


def energy_gradient(
    form: Form, system: System, moments: FloatArray, per_site: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return ∂E/∂ξ, ∂E/∂s and ∂E/∂c, shapes (rows, …) of those in `Form`, with n rows for sites, or one."""
    if fast_kernels():
        return _fast_rows(form, system, moments, per_site)
    from mmtp_fw.potential import kernels

    rows = len(system) if per_site else 1
    d_xi, d_constants = np.zeros((rows, len(form.xi))), np.zeros((rows, len(form.constants)))
    d_c = np.zeros((rows, *form.c.shape))
    t = form.tables
    kernels.energy_gradient(
        system.types, system.first, system.neighbors, system.vectors, moments, form.c, form.xi,
        t.basic, t.times, t.scalars, t.n_moments, *form.ranges, per_site, d_xi, d_constants, d_c,
    )  # fmt: skip
    return d_xi, d_constants, d_c


def arranged_size(form: Form) -> int:
    """Return the number of radial coefficients in the layout of the fast kernels."""
    from mmtp_fw.potential.lanes import W

    R = form.c.shape[3]
    return int(form.c.size // R * (R + -R % W))


def _fast_rows(
    form: Form, system: System, moments: FloatArray, per_site: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    from mmtp_fw.potential import lanes_layout, run_lanes
    from mmtp_fw.potential.program import disarrange

    rows = len(system) if per_site else 1
    d_xi, d_constants = np.zeros((rows, len(form.xi))), np.zeros((rows, len(form.constants)))
    d_c, out = np.zeros((rows, arranged_size(form))), np.zeros(lanes_layout.OUT_SIZE)
    code = run_lanes.rows(
        *form.packed, system.types, system.first, system.neighbors, system.vectors, moments,
        per_site, d_xi, d_constants, d_c, out,
    )  # fmt: skip
    if code:
        raise InputError(_ERRORS[code])
    return d_xi, d_constants, disarrange(d_c, form.c.shape)


def _fast_gradient(
    form: Form, system: System, moments: FloatArray, a: float, u: FloatArray, strain: FloatArray, h: FloatArray
) -> tuple[float, FloatArray, FloatArray, FloatArray]:
    from mmtp_fw.potential import lanes_layout, run_lanes
    from mmtp_fw.potential.program import disarrange

    d_xi, d_constants = np.zeros(len(form.xi)), np.zeros(len(form.constants))
    d_c, out = np.zeros(arranged_size(form)), np.zeros(lanes_layout.OUT_SIZE)
    code = run_lanes.gradient(
        *form.packed, system.types, system.first, system.neighbors, system.vectors, moments,
        a, u, strain, h, d_xi, d_constants, d_c, out,
    )  # fmt: skip
    if code:
        raise InputError(_ERRORS[code])
    return float(out[0]), d_xi, d_constants, disarrange(d_c[None], form.c.shape)[0]


def directional_gradient(
    form: Form,
    system: System,
    moments: FloatArray,
    a: float,
    u: FloatArray,
    strain: FloatArray,
    h: FloatArray,
) -> tuple[float, FloatArray, FloatArray, FloatArray]:
    """Return S = a E + D E and its gradients over ξ, s and c, of their shapes; see `kernels_tangent`.

    D is the derivative along displacements u, shape (n, 3), a strain, shape (3, 3), and changes h of the moments, both
    of shape (n,).
    """
    if fast_kernels():
        return _fast_gradient(form, system, moments, a, u, strain, h)
    return directional_gradient_plain(form, system, moments, a, u, strain, h)


def directional_gradient_plain(
    form: Form,
    system: System,
    moments: FloatArray,
    a: float,
    u: FloatArray,
    strain: FloatArray,
    h: FloatArray,
) -> tuple[float, FloatArray, FloatArray, FloatArray]:
    """Do as `directional_gradient`, with the same shapes, by the plain kernels."""
    from mmtp_fw.potential import kernels_tangent

    d_xi, d_constants, d_c = np.zeros_like(form.xi), np.zeros_like(form.constants), np.zeros_like(form.c)
    t = form.tables
    value = kernels_tangent.directional_gradient(
        system.types, system.first, system.neighbors, system.vectors, moments, form.c, form.xi,
        form.constants, t.basic, t.times, t.scalars, t.n_moments, *form.ranges, a, u, strain, h,
        d_xi, d_constants, d_c,
    )  # fmt: skip
    return value, d_xi, d_constants, d_c


def directional_rows(
    form: Form, system: System, moments: FloatArray, u: FloatArray, strain: FloatArray, h: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the gradients of `directional_gradient` for many changes, leading axis alike, at a = 0.

    u has shape (rows, n, 3), strain (rows, 3, 3) and h (rows, n).
    """
    rows = len(u)
    d_xi, d_constants = np.zeros((rows, len(form.xi))), np.zeros((rows, len(form.constants)))
    if not fast_kernels():
        d_c = np.zeros((rows, *form.c.shape))
        for k in range(rows):
            found = directional_gradient_plain(form, system, moments, 0.0, u[k], strain[k], h[k])
            d_xi[k], d_constants[k], d_c[k] = found[1:]
        return d_xi, d_constants, d_c
    from mmtp_fw.potential import lanes_layout, run_lanes
    from mmtp_fw.potential.program import disarrange

    arranged, out = np.zeros((rows, arranged_size(form))), np.zeros(lanes_layout.OUT_SIZE)
    for k in range(rows):
        code = run_lanes.gradient(
            *form.packed, system.types, system.first, system.neighbors, system.vectors, moments,
            0.0, u[k], strain[k], h[k], d_xi[k], d_constants[k], arranged[k], out,
        )  # fmt: skip
        if code:
            raise InputError(_ERRORS[code])
    return d_xi, d_constants, disarrange(arranged, form.c.shape)
