"""The C function as LAMMPS calls it: ghost atoms, full lists, newton on."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential, cabi
from tests.potential.conftest import random_atoms

POT = Potential.from_level(10, ["Fe", "Pd"], magnetic_size=3, seed=1, r_cut=4.5)


def ghosts(atoms, r_cut, reach):
    """Own atoms, then all images within reach."""
    own = atoms.positions
    shifts = sorted(itertools.product(range(-reach, reach + 1), repeat=3), key=np.count_nonzero)
    x = np.concatenate([own + np.array(s) @ np.array(atoms.cell) for s in shifts])
    near = []
    for i in range(len(own)):
        d = np.linalg.norm(x - own[i], axis=1)
        near.append(np.flatnonzero((d < r_cut + 0.5) & (np.arange(len(x)) != i)).astype(np.int32))
    return np.ascontiguousarray(x), near, len(shifts)


def call(params, atoms, x, near, copies, flags=7, m=None, kinds=None):
    n, nall = len(atoms), len(x)
    kinds = np.array([{"Fe": 2, "Pd": 1}[s] for s in atoms.symbols]) if kinds is None else kinds
    arrays = {
        "ilist": np.arange(n, dtype=np.int32),
        "numneigh": np.array([len(k) for k in near] + [0] * (nall - n), dtype=np.int32),
        "firstneigh": np.array([k.ctypes.data for k in near] + [0] * (nall - n), dtype=np.intp),
        "x": x, "type": np.tile(kinds, copies).astype(np.int32),
        "m": np.tile(atoms.get_initial_magnetic_moments() if m is None else m, copies),
        "f": np.zeros((nall, 3)), "gm": np.zeros(nall), "eatom": np.zeros(nall), "vatom": np.zeros((nall, 6)),
        "gamma": np.zeros(nall), "out": np.zeros(cabi.OUT_SIZE),
    }  # fmt: skip
    types = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int] + [ctypes.c_void_p] * 12 + [ctypes.c_int]
    function = ctypes.CFUNCTYPE(ctypes.c_int, *types)(cabi.kernel().address)
    code = function(params.ctypes.data, n, nall, *(a.ctypes.data for a in arrays.values()), flags)
    return code, arrays


@pytest.mark.parametrize("reach,size", [(2, 5), (3, 2)])
def test_ghost_lists_equal_the_periodic_sum(reach, size):
    cell = np.diag([4.0, 4.2, 4.4]) if size > 2 else np.diag([3.0, 3.0, 3.1])
    atoms = random_atoms(["Fe", "Pd"], size, 4, cell=cell + 0.2 * np.eye(3, k=1), spacing=1.4)
    expected = POT.evaluate(atoms)
    x, near, copies = ghosts(atoms, POT.r_cut, reach)
    code, a = call(cabi.pack(POT, [1, 0]), atoms, x, near, copies)
    scale = max(1.0, np.abs(expected.forces).max())
    assert code == cabi.OK
    assert a["out"][cabi.OUT_ENERGY] == pytest.approx(expected.energy)
    folded = a["f"].reshape(copies, size, 3).sum(axis=0)
    np.testing.assert_allclose(folded, expected.forces, atol=1e-11 * scale)
    np.testing.assert_allclose(-a["gm"].reshape(copies, size).sum(axis=0), expected.magnetic_forces, atol=1e-11 * scale)
    np.testing.assert_allclose(a["eatom"][:size], expected.energies, atol=1e-11 * scale)
    virial = a["out"][cabi.OUT_VIRIAL : cabi.OUT_VIRIAL + 6]
    np.testing.assert_allclose(a["vatom"].sum(axis=0), virial, atol=1e-11 * scale)
    np.testing.assert_allclose(-virial[[0, 1, 2, 5, 4, 3]] / atoms.get_volume(), expected.stress, atol=1e-11 * scale)
    distances = atoms.get_all_distances(mic=True) + 99 * np.eye(size)
    if size > 2:
        assert a["out"][cabi.OUT_CLOSEST] == pytest.approx(distances.min())


def test_moment_derivatives_alone_leave_forces_untouched():
    atoms = random_atoms(["Fe", "Pd"], 3, 1, cell=np.diag([4.0] * 3))
    x, near, copies = ghosts(atoms, POT.r_cut, 2)
    code, a = call(cabi.pack(POT, [1, 0]), atoms, x, near, copies, flags=0)
    assert code == cabi.OK
    assert not a["f"].any() and not a["eatom"].any()
    np.testing.assert_allclose(-a["gm"].reshape(copies, 3).sum(axis=0), POT.evaluate(atoms).magnetic_forces)


def test_repacking_changes_the_parameters_in_place():
    atoms = random_atoms(["Fe", "Pd"], 3, 1, cell=np.diag([4.0] * 3))
    x, near, copies = ghosts(atoms, POT.r_cut, 2)
    params = cabi.pack(POT, [1, 0])
    other = POT.copy()
    other.parameters = 1.1 * POT.parameters
    cabi.repack(params, other)
    assert call(params, atoms, x, near, copies)[1]["out"][0] == pytest.approx(other.evaluate(atoms).energy)
    with pytest.raises(InputError, match="form"):
        cabi.repack(params, Potential.from_level(4, ["Fe", "Pd"]))
    with pytest.raises(InputError, match="type map"):
        cabi.pack(POT, [2])


def test_what_is_wrong_has_a_code():
    atoms = random_atoms(["Fe", "Pd"], 3, 1, cell=np.diag([4.0] * 3))
    x, near, copies = ghosts(atoms, POT.r_cut, 2)
    params = cabi.pack(POT, [1, 0])
    assert call(params, atoms, x, near, copies, m=np.array([0, np.nan, 0]))[0] == cabi.NOT_FINITE
    assert call(cabi.pack(POT, [-1, 0]), atoms, x, near, copies)[0] == cabi.UNKNOWN_TYPE
    assert call(cabi.pack(POT, [1, 0], longest=3), atoms, x, near, copies)[0] == cabi.LISTS_TOO_LONG
    twice = x.copy()
    twice[1] = twice[0]
    assert call(params, atoms, twice, near, copies)[0] == cabi.COINCIDENT
    outside = call(params, atoms, x, near, copies, m=np.array([0.0, 9.0, 0.0]))[1]["out"]
    assert outside[cabi.OUT_OUTSIDE] == 1
