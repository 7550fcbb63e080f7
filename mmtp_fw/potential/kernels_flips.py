"""Site energies around a changed moment, and Metropolis flips: only the neighbourhood is evaluated."""

from __future__ import annotations

import numpy as np

from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.kernels_lanes import run, scratch_doubles, scratch_integers
from mmtp_fw.potential.lanes import outlive, pointer
from mmtp_fw.potential.lanes_layout import (
    OUT_CLOSEST,
    OUT_SIZE,
    SITE_ENERGIES,
    Lists,
    Results,
    view,
)
from mmtp_fw.potential.run_lanes import list_addresses


@jit
def flip(
    packed_integers, packed_doubles, types, first, neighbors, vectors, moments, candidates, uniforms, kT,
    keep, energies, differences,
):  # fmt: skip
    """Try to reverse the moments of `candidates` one after the other; return how many stay reversed.

    `differences` receives the change of energy of every trial. With `keep` a trial is accepted by Metropolis'
    rule, with ``uniforms`` in [0, 1), and `moments` and site `energies` follow; without it all are undone.
    """
    n = len(types)
    v = view(pointer(packed_integers), pointer(packed_doubles))
    lengths, lists, longest = list_addresses(first, neighbors)
    type_map = np.arange(v.C)
    doubles = np.empty(scratch_doubles(v, longest))
    integers = np.empty(scratch_integers(v, longest), dtype=np.int64)
    centres = np.empty(longest + 1, dtype=np.int32)
    marked = np.full(n, -1, dtype=np.int64)
    trial, slopes, out = np.zeros(n), np.zeros(n), np.zeros(OUT_SIZE)
    q = Lists(
        pointer(centres), pointer(lengths), pointer(lists), pointer(first), 1, pointer(vectors),
        pointer(vectors), pointer(types), pointer(type_map), pointer(moments),
    )  # fmt: skip
    results = Results(pointer(trial), pointer(slopes), pointer(trial), pointer(trial), pointer(out))
    accepted = 0
    for c in range(len(candidates)):
        i = candidates[c]
        centres[0] = i
        marked[i] = c
        count = 1
        for p in range(first[i], first[i + 1]):
            j = neighbors[p]
            if marked[j] != c:  # several images of an atom may be neighbours
                marked[j] = c
                centres[count] = j
                count += 1
        for s in range(count):
            trial[centres[s]] = 0.0
        moments[i] = -moments[i]
        out[OUT_CLOSEST] = v.ranges[1] ** 2
        run(v, q, results, 0, count, longest, pointer(doubles), pointer(integers), SITE_ENERGIES)
        difference = 0.0
        for s in range(count):
            difference += trial[centres[s]] - energies[centres[s]]
        differences[c] = difference
        if keep and (difference <= 0.0 or uniforms[c] < np.exp(-difference / kT)):
            accepted += 1
            for s in range(count):
                energies[centres[s]] = trial[centres[s]]
        else:
            moments[i] = -moments[i]
    outlive(doubles, integers, centres, lengths, lists, type_map, trial, slopes, out)
    return accepted
