"""What the vector kernels share: the layout of a packed potential, of lists and results, and their codes."""

from __future__ import annotations

from collections import namedtuple

from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.lanes import W, at
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
