"""Entry points of the fast kernels for arrays of a `System`."""

from __future__ import annotations

import numpy as np

from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.kernels_lanes import (
    OUT_CLOSEST,
    SITE_ENERGIES,
    Lists,
    Results,
    run,
    scratch_doubles,
    scratch_integers,
    view,
)
from mmtp_fw.potential.lanes import address, at, pointer


@jit
def evaluate(
    packed_integers, packed_doubles, types, first, neighbors, vectors, moments, flags, energies, f, gm, out
):
    """Evaluate a configuration; energies (n,), f (n, 3) and gm (n,) must be zero. Returns OK or an error."""
    n = len(types)
    v = view(pointer(packed_integers), pointer(packed_doubles))
    centres = np.empty(n, dtype=np.int32)
    lengths = np.empty(n, dtype=np.int32)
    lists = np.empty(n, dtype=np.int64)
    type_map = np.arange(v.C)
    longest = 0
    for i in range(n):
        centres[i] = i
        lengths[i] = first[i + 1] - first[i]
        lists[i] = address(at(pointer(neighbors), first[i]))
        longest = max(longest, lengths[i])
    doubles = np.empty(scratch_doubles(v, longest))
    integers = np.empty(scratch_integers(v, longest), dtype=np.int64)
    q = Lists(
        pointer(centres), pointer(lengths), pointer(lists), pointer(first), 1, pointer(vectors),
        pointer(vectors), pointer(types), pointer(type_map), pointer(moments),
    )  # fmt: skip
    results = Results(pointer(f), pointer(gm), pointer(energies), pointer(energies), pointer(out))
    out[:] = 0.0
    out[OUT_CLOSEST] = v.ranges[1] ** 2
    return run(v, q, results, 0, n, longest, pointer(doubles), pointer(integers), flags | SITE_ENERGIES)
