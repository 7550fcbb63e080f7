"""Entry points of the fast kernels for arrays of a `System`."""

from __future__ import annotations

import numpy as np

from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.kernels_lanes import run, scratch_doubles, scratch_integers
from mmtp_fw.potential.kernels_lanes_gradient import Changes, Gradients, gradient_doubles, run_gradient
from mmtp_fw.potential.kernels_lanes_rows import Rows, rows_doubles, rows_integers, run_rows
from mmtp_fw.potential.lanes import address, at, outlive, pointer
from mmtp_fw.potential.lanes_layout import (
    OUT_CLOSEST,
    SITE_ENERGIES,
    Lists,
    Results,
    view,
)


@jit
def list_addresses(first, neighbors):
    """Return the lengths (int32) and the addresses of the lists of all atoms, and the longest length."""
    n = len(first) - 1
    lengths = np.empty(n, dtype=np.int32)
    lists = np.empty(n, dtype=np.int64)
    longest = 0
    for i in range(n):
        lengths[i] = first[i + 1] - first[i]
        lists[i] = address(at(pointer(neighbors), first[i]))
        longest = max(longest, lengths[i])
    return lengths, lists, longest


@jit
def lists_of(centres, lengths, lists, first, vectors, types, type_map, moments):
    """Return what the kernels read of a configuration; the arrays must outlive it, see `lanes.outlive`."""
    return Lists(
        pointer(centres), pointer(lengths), pointer(lists), pointer(first), 1, pointer(vectors),
        pointer(vectors), pointer(types), pointer(type_map), pointer(moments),
    )  # fmt: skip


@jit
def evaluate(
    packed_integers, packed_doubles, types, first, neighbors, vectors, moments, begin, end, flags,
    energies, f, gm, out,
):  # fmt: skip
    """Evaluate sites begin … end; energies (n,), f (n, 3) and gm (n,) are added to. Returns OK or an error."""
    n = len(types)
    v = view(pointer(packed_integers), pointer(packed_doubles))
    lengths, lists, longest = list_addresses(first, neighbors)
    centres = np.arange(n).astype(np.int32)
    type_map = np.arange(v.C)
    doubles = np.empty(scratch_doubles(v, longest))
    integers = np.empty(scratch_integers(v, longest), dtype=np.int64)
    q = lists_of(centres, lengths, lists, first, vectors, types, type_map, moments)
    results = Results(pointer(f), pointer(gm), pointer(energies), pointer(energies), pointer(out))
    out[:] = 0.0
    out[OUT_CLOSEST] = v.ranges[1] ** 2
    code = run(v, q, results, begin, end, longest, pointer(doubles), pointer(integers), flags | SITE_ENERGIES)
    outlive(doubles, integers, centres, lengths, lists, type_map)
    return code


@jit
def rows(
    packed_integers, packed_doubles, types, first, neighbors, vectors, moments, per_site, d_xi, d_constants, d_c, out
):
    """Add E to out[0] and ∂E/∂θ to the gradients (rows: sites, or one); returns OK or an error."""
    n = len(types)
    v = view(pointer(packed_integers), pointer(packed_doubles))
    lengths, lists, longest = list_addresses(first, neighbors)
    centres = np.arange(n).astype(np.int32)
    type_map = np.arange(v.C)
    doubles = np.empty(rows_doubles(v, longest))
    integers = np.empty(rows_integers(v, longest), dtype=np.int64)
    q = lists_of(centres, lengths, lists, first, vectors, types, type_map, moments)
    out[:] = 0.0
    out[OUT_CLOSEST] = v.ranges[1] ** 2
    gradients = Rows(pointer(d_xi), pointer(d_constants), pointer(d_c), int(per_site))
    code = run_rows(v, q, pointer(out), gradients, n, longest, pointer(doubles), pointer(integers))
    outlive(doubles, integers, centres, lengths, lists, type_map)
    return code


@jit
def gradient(
    packed_integers, packed_doubles, types, first, neighbors, vectors, moments, a, u, strain, h,
    d_xi, d_constants, d_c, out,
):  # fmt: skip
    """Add S to out[0] and ∂S/∂θ to the gradients; returns OK or an error."""
    n = len(types)
    v = view(pointer(packed_integers), pointer(packed_doubles))
    lengths, lists, longest = list_addresses(first, neighbors)
    centres = np.arange(n).astype(np.int32)
    type_map = np.arange(v.C)
    doubles = np.empty(gradient_doubles(v, longest))
    integers = np.empty(scratch_integers(v, longest), dtype=np.int64)
    q = lists_of(centres, lengths, lists, first, vectors, types, type_map, moments)
    out[:] = 0.0
    out[OUT_CLOSEST] = v.ranges[1] ** 2
    changes = Changes(pointer(u), pointer(strain), pointer(h), a)
    gradients = Gradients(pointer(d_xi), pointer(d_constants), pointer(d_c))
    code = run_gradient(v, q, pointer(out), changes, gradients, n, longest, pointer(doubles), pointer(integers))
    outlive(doubles, integers, centres, lengths, lists, type_map)
    return code
