"""The potential behind a C function on LAMMPS' neighbour lists with ghost atoms.

`kernel()` returns a `numba.cfunc` with the signature

    int kernel(double *params, int inum, int nall, int *ilist, int *numneigh, int **firstneigh,
               double *x, int *type, double *m, double *f, double *gm,
               double *eatom, double *vatom, double *gamma, double *out, int flags)

and `pack` the array behind ``params``. x is (nall, 3), type LAMMPS' (from 1), m the moments of own and ghost
atoms; f (nall, 3), gm (nall), eatom (nall), vatom (nall, 6) are added to, ghosts included (``newton on``).
Lists are full ones; entries are masked with 0x1FFFFFFF. gm receives ∂E/∂m, the negative magnetic force; gamma
is not touched. It is the same code as behind `Potential.evaluate`; it allocates nothing, so that it can be
compiled ahead of time, and works in scratch memory inside ``params``: every thread needs its own array.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import cfunc, types

from mmtp_fw.errors import InputError
from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.kernels_lanes import run, scratch_doubles, scratch_integers
from mmtp_fw.potential.lanes import address, as_integers, at, pointer
from mmtp_fw.potential.lanes_layout import (
    COINCIDENT,
    FORCES,
    NOT_FINITE,
    OK,
    OUT_CLOSEST,
    OUT_ENERGY,
    OUT_OUTSIDE,
    OUT_SIZE,
    OUT_VIRIAL,
    SITE_ENERGIES,
    SITE_VIRIALS,
    UNKNOWN_TYPE,
    Lists,
    Results,
    view,
)
from mmtp_fw.potential.objects import compile_object

if TYPE_CHECKING:
    from mmtp_fw.potential.potential import Potential

__all__ = [
    "COINCIDENT", "FORCES", "LISTS_TOO_LONG", "NOT_FINITE", "OK", "OUT_CLOSEST", "OUT_ENERGY", "OUT_OUTSIDE",
    "OUT_SIZE", "OUT_VIRIAL", "SITE_ENERGIES", "SITE_VIRIALS", "UNKNOWN_TYPE",
    "kernel", "object_code", "pack", "repack", "scratch_sizes",
]  # fmt: skip

# What the function returns besides the codes of `lanes_layout`: the scratch is too small for a list.
LISTS_TOO_LONG = 4
# Head of `params`: longest list it has scratch for, number of types, then where its parts begin: integers,
# doubles, type map, scratch of doubles, scratch of integers.
_HEAD = 8


def pack(potential: Potential, type_map: Sequence[int], longest: int = 512) -> np.ndarray:
    """Return the parameter array of a potential.

    Parameters
    ----------
    potential : Potential
    type_map : sequence of int
        Index into `potential.species` of LAMMPS' types 1, 2, …; −1 for a type that may not occur.
    longest : int
        Length of the longest neighbour list there will be.

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
    integers, doubles = potential.form.packed
    n_doubles, n_integers = _scratch(integers, doubles, longest)
    parts = [
        integers.view(np.float64), doubles, np.array(type_map, dtype=np.int64).view(np.float64),
        np.zeros(n_doubles), np.zeros(n_integers),
    ]  # fmt: skip
    starts = np.cumsum([_HEAD] + [len(part) for part in parts])[:-1]
    head = np.zeros(_HEAD, dtype=np.int64)
    head[:7] = [longest, len(type_map), *starts]
    return np.concatenate([head.view(np.float64), *parts])


def scratch_sizes(potential: Potential, longest: int) -> tuple[int, int]:
    """Return how many doubles and integers of scratch neighbour lists of up to `longest` entries need."""
    return _scratch(*potential.form.packed, longest)


def repack(params: np.ndarray, potential: Potential) -> None:
    """Write the parameters of a potential of the same form into a packed array.

    Raises
    ------
    InputError
        The potential has another form.
    """
    head = params[:_HEAD].view(np.int64)
    start = head[4]
    fresh = pack(potential, params[start : start + head[1]].view(np.int64).tolist(), int(head[0]))
    if fresh.shape != params.shape:
        raise InputError("the packed potential has another form")
    params[:] = fresh


@jit
def _scratch(integers: Any, doubles: Any, longest: int) -> tuple[int, int]:
    v = view(pointer(integers), pointer(doubles))
    return scratch_doubles(v, longest), scratch_integers(v, longest)


@lru_cache(maxsize=1)
def kernel() -> Any:
    """Return the compiled C function; ``.address`` is its address."""
    return cfunc(_signature(), nopython=True)(_entry)  # what it calls is cached


def object_code(name: str) -> bytes:
    """Return the C function as object code with `name` as its symbol; see `mmtp_fw.potential.objects`."""
    return compile_object(_entry, _signature(), name)


def _signature() -> Any:
    integers, doubles = types.CPointer(types.int32), types.CPointer(types.float64)
    return types.int32(
        doubles, types.int32, types.int32, integers, integers, types.CPointer(types.int64), doubles, integers,
        doubles, doubles, doubles, doubles, doubles, doubles, doubles, types.int32,
    )  # fmt: skip


def _entry(params, inum, nall, ilist, numneigh, firstneigh, x, kind, m, f, gm, eatom, vatom, gamma, out, flags):
    head = as_integers(address(params))
    longest = 1
    for s in range(inum):
        longest = max(longest, numneigh[ilist[s]])
    for k in range(OUT_SIZE):
        out[k] = 0.0
    if longest > head[0]:
        return LISTS_TOO_LONG
    v = view(at(head, head[2]), at(params, head[3]))
    out[OUT_CLOSEST] = v.ranges[1] * v.ranges[1]
    head[7] = -1  # no stored vectors: differences of positions
    q = Lists(
        ilist, numneigh, firstneigh, at(head, 7), 0, x, x, kind, at(head, head[4] - 1), m,
    )  # fmt: skip
    results = Results(f, gm, eatom, vatom, out)
    scratch = at(params, head[5])
    code = run(v, q, results, 0, inum, head[0], scratch, at(head, head[6]), flags)
    out[OUT_CLOSEST] = out[OUT_CLOSEST] ** 0.5
    return code
