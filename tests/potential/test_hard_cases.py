"""Input that is wrong or extreme: a clear error or the correct number, never silence."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential, moments_of
from tests.potential.conftest import random_atoms

POT = Potential.from_level(8, ["Fe", "Pd"], seed=1, max_moment=3.0)


def iron(**changes):
    atoms = bulk("Fe", "bcc", 2.87, cubic=True)
    atoms.set_initial_magnetic_moments([2.0, 2.0])
    for key, value in changes.items():
        setattr(atoms, key, value)
    return atoms


def test_coincident_atoms():
    atoms = iron() + Atoms("Fe", positions=[[0, 0, 1e-9]], magmoms=[1.0])
    with pytest.raises(InputError, match="coincide"):
        POT.evaluate(atoms)


@pytest.mark.parametrize("where", ["positions", "moments", "cell"])
def test_nan_in_the_input(where):
    atoms = iron()
    moments = np.array([2.0, 2.0])
    if where == "positions":
        atoms.positions[1, 2] = np.nan
    if where == "cell":
        atoms.cell[0, 0] = np.inf
    if where == "moments":
        moments[1] = np.nan
    with pytest.raises(InputError, match="finite"):
        POT.evaluate(atoms, moments=moments)


def test_unknown_species_and_wrong_moments():
    with pytest.raises(InputError, match="Ni"):
        POT.evaluate(Atoms("Ni", cell=[3] * 3, pbc=True))
    with pytest.raises(InputError, match="shape"):
        POT.evaluate(iron(), moments=[1.0])
    vectors = iron()
    vectors.arrays["initial_magmoms"] = np.ones((2, 3))
    with pytest.raises(InputError, match="collinear"):
        POT.evaluate(vectors)


def test_extrapolation_is_reported():
    assert POT.evaluate(iron()).warnings == ()
    outside = POT.evaluate(iron(), moments=np.array([2.0, 3.5]))
    assert "1 moment" in outside.warnings[0]
    near = iron()
    near.set_cell(np.diag([2.0] * 3), scale_atoms=True)
    assert any("r_min" in warning for warning in POT.evaluate(near).warnings)


def test_moments_of_prefers_the_label():
    atoms = iron()
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, magmoms=np.array([1.5, -1.5]))
    np.testing.assert_array_equal(moments_of(atoms), [1.5, -1.5])
    atoms.calc = None
    np.testing.assert_array_equal(moments_of(atoms), [2.0, 2.0])


def test_a_cell_without_volume():
    with pytest.raises(InputError, match="volume"):
        POT.evaluate(Atoms("Fe", cell=[3, 0, 3], pbc=True))


@pytest.mark.parametrize("pbc", [(True, False, True), (False, False, False), (False, True, False)])
def test_partly_periodic_cells_equal_large_ones(pbc):
    atoms = random_atoms(["Fe", "Pd"], 4, 3, cell=np.diag([5.0, 5.0, 5.0]))
    atoms.pbc = pbc
    wide = atoms.copy()
    wide.set_cell(np.where(pbc, 1.0, 8.0)[:, None] * np.array(atoms.cell))
    wide.pbc = True
    np.testing.assert_allclose(POT.evaluate(wide).forces, POT.evaluate(atoms).forces, atol=1e-10)


def test_large_moment_range_and_many_atoms():
    atoms = bulk("Fe", "bcc", 2.87, cubic=True) * (5, 5, 5)
    atoms.rattle(0.03, seed=1)
    m = np.random.default_rng(0).uniform(-2, 2, len(atoms))
    result = POT.evaluate(atoms, moments=m)
    assert np.abs(result.forces.sum(axis=0)).max() < 1e-10
    assert result.energies.sum() == pytest.approx(result.energy)


def test_a_form_that_cannot_be_symmetrized():
    pot = Potential.from_level(6, ["Fe"], symmetrized=False)
    text = pot.dumps().replace("min_mag = -4.0", "min_mag = -3.0")
    assert Potential.loads(text).min_moment == -3.0
    with pytest.raises(InputError):
        Potential.from_level(7, ["Fe"])
    with pytest.raises(InputError):
        Potential.from_level(6, [])
    with pytest.raises(InputError):
        Potential.from_level(6, ["Fe"], r_min=5.0, r_cut=4.0)
    with pytest.raises(InputError, match="shape"):
        pot.parameters = np.zeros(3)


def test_copies_are_independent():
    pot = POT.copy()
    before = POT.parameters
    pot.parameters = 2 * before
    np.testing.assert_array_equal(POT.parameters, before)
    assert pot != POT and pot == pot.copy()


def test_import_is_light():
    """numba, scipy and vesin wait for the first use: the command line starts at once."""
    code = "import sys, mmtp_fw.potential; print(*(m for m in ('numba', 'scipy', 'vesin') if m in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_without_a_place_to_cache(tmp_path):
    code = (
        "import numpy as np, numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = []\n"
        "from mmtp_fw.potential.kernels import chebyshev\n"
        "v = np.zeros(3); chebyshev(0.5, 0.0, 1.0, v, v.copy()); print(v)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
