"""Rows ∂E_i/∂(packed parameters) of sites behind a C function, for extrapolation grades inside LAMMPS.

    int rows(double *params, int inum, int *ilist, int *numneigh, int **firstneigh, double *x, int *type, double *m,
             double *rows, double *doubles, int64 *integers, int longest)

`params` and the lists are those of `mmtp_fw.potential.cabi`. `rows` (inum, length) must be zero; a row holds the
gradients over ξ, the species constants and the arranged radial coefficients, one after the other for all sites:
first inum × n_scalars, then inum × C, then inum × size. `doubles` and `integers` are scratch of `scratch_sizes` for
lists of up to `longest` entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types

from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.kernels_lanes_rows import Rows, rows_doubles, rows_integers, run_rows
from mmtp_fw.potential.lanes import address, as_integers, at, pointer
from mmtp_fw.potential.lanes_layout import OUT_CLOSEST, OUT_SIZE, Lists, view
from mmtp_fw.potential.objects import compile_object
from mmtp_fw.potential.program import disarrange

if TYPE_CHECKING:
    from mmtp_fw.potential.potential import Potential


def object_code(name: str) -> bytes:
    """Return the C function as object code with `name` as its symbol; see `mmtp_fw.potential.objects`."""
    integers, doubles = types.CPointer(types.int32), types.CPointer(types.float64)
    signature = types.int32(
        doubles, types.int32, integers, integers, types.CPointer(types.int64), doubles, integers, doubles,
        doubles, doubles, types.CPointer(types.int64), types.int32,
    )  # fmt: skip
    return compile_object(_entry, signature, name)


def scratch_sizes(potential: Potential, longest: int) -> tuple[int, int]:
    """Return how many doubles and integers of scratch lists of up to `longest` entries need."""
    return _scratch(*potential.form.packed, longest)


def row_parts(potential: Potential) -> tuple[int, int, int]:
    """Return the lengths of the three parts of a packed row: ξ, species constants, radial coefficients."""
    integers = potential.form.packed[0]
    c, k, m, padded = integers[0], integers[1], integers[3], integers[4]
    return len(potential.form.xi), int(c), int(c * c * k * m * m * padded)


def folding(potential: Potential) -> tuple[np.ndarray, np.ndarray]:
    """Return how ∂E_i/∂θ comes from a packed row: entry k counts for parameter `target[k]`, `weight[k]` times.

    Returns
    -------
    target : ndarray of int64, shape (sum of `row_parts`,)
    weight : ndarray, same shape
        Zero for padding.
    """
    parts = row_parts(potential)
    target, weight = np.zeros(sum(parts), dtype=np.int64), np.zeros(sum(parts))
    begin = 0
    for place, length in enumerate(parts):
        for first in range(0, length, 256):  # the unit rows of a large potential would fill the memory
            count = min(256, length - first)
            unit = [np.zeros((count, other)) for other in parts]
            unit[place][np.arange(count), first + np.arange(count)] = 1.0
            rows = potential._gather_gradient(unit[0], unit[1], disarrange(unit[2], potential.form.c.shape))
            here = slice(begin + first, begin + first + count)
            target[here] = np.argmax(np.abs(rows), axis=1)
            weight[here] = rows[np.arange(count), target[here]]
        begin += length
    return target, weight


@jit
def _scratch(integers: Any, doubles: Any, longest: int) -> tuple[int, int]:
    v = view(pointer(integers), pointer(doubles))
    return rows_doubles(v, longest) + OUT_SIZE, rows_integers(v, longest)


def _entry(params, inum, ilist, numneigh, firstneigh, x, kind, m, rows, doubles, integers, longest):
    head = as_integers(address(params))
    v = view(at(head, head[2]), at(params, head[3]))
    head[7] = -1  # no stored vectors: differences of positions
    q = Lists(ilist, numneigh, firstneigh, at(head, 7), 0, x, x, kind, at(head, head[4] - 1), m)
    out = doubles
    for k in range(OUT_SIZE):
        out[k] = 0.0
    out[OUT_CLOSEST] = v.ranges[1] * v.ranges[1]
    constants = at(rows, inum * v.n_scalars)
    gradients = Rows(rows, constants, at(constants, inum * v.C), 1)
    return run_rows(v, q, out, gradients, inum, longest, at(doubles, OUT_SIZE), integers)
