"""What holds for any configuration: physics, not numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.potential import Potential
from tests.potential.conftest import random_atoms

POTENTIALS = [
    Potential.from_level(12, ["Fe", "Pd"], magnetic_size=3, seed=1, r_cut=4.0),
    Potential.from_level(8, ["Fe", "Pd"], magnetic_size=2, seed=2, r_cut=4.0, symmetrized=False),
]
potentials = st.sampled_from(POTENTIALS)
seeds = st.integers(0, 10**6)
cases = settings(max_examples=12, deadline=None)


def cell_of(seed):
    """A cell of any shape with 12 Å³ or more per atom, edges shorter than the cut-off included."""
    rng = np.random.default_rng(seed)
    return np.diag(rng.uniform(3.2, 5.0, 3)) + rng.uniform(-1.0, 1.0, (3, 3)) * (1 - np.eye(3))


def atoms_of(seed, n=None):
    n = 1 + seed % 3 if n is None else n
    cell = cell_of(seed)
    cell[2] *= max(1, n)
    return random_atoms(["Fe", "Pd"], n, seed, cell=cell, spacing=1.5)


@cases
@given(potentials, seeds)
def test_rotation(pot, seed):
    atoms = atoms_of(seed)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn)
    turned.set_positions(atoms.positions @ turn)
    a, b = pot.evaluate(atoms), pot.evaluate(turned)
    scale = 1 + np.abs(a.forces).max() + abs(a.energy)
    assert abs(a.energy - b.energy) < 1e-10 * scale
    np.testing.assert_allclose(a.forces @ turn, b.forces, atol=1e-10 * scale)


@cases
@given(potentials, seeds)
def test_translation_permutation_and_wrapping(pot, seed):
    atoms = atoms_of(seed, 4)
    rng = np.random.default_rng(seed)
    order = rng.permutation(4)
    moved = atoms[order]
    moved.translate(rng.normal(size=3))
    moved.wrap()
    a, b = pot.evaluate(atoms), pot.evaluate(moved)
    scale = 1 + np.abs(a.forces).max() + abs(a.energy)
    assert abs(a.energy - b.energy) < 1e-10 * scale
    np.testing.assert_allclose(a.forces[order], b.forces, atol=1e-10 * scale)
    np.testing.assert_allclose(a.magnetic_forces[order], b.magnetic_forces, atol=1e-10 * scale)


@cases
@given(potentials, seeds)
def test_a_supercell_is_twice_the_cell(pot, seed):
    atoms = atoms_of(seed)
    a, b = pot.evaluate(atoms), pot.evaluate(atoms * (2, 1, 1))
    scale = 1 + np.abs(a.forces).max() + abs(a.energy)
    assert abs(2 * a.energy - b.energy) < 1e-10 * scale
    np.testing.assert_allclose(np.tile(a.energies, 2), b.energies, atol=1e-10 * scale)
    np.testing.assert_allclose(a.stress, b.stress, atol=1e-10 * scale)


@cases
@given(seeds)
def test_time_reversal_of_symmetrized_potentials(seed):
    pot, atoms = POTENTIALS[0], atoms_of(seed)
    m = atoms.get_initial_magnetic_moments()
    a, b = pot.evaluate(atoms), pot.evaluate(atoms, moments=-m)
    scale = 1 + np.abs(a.forces).max() + abs(a.energy)
    assert abs(a.energy - b.energy) < 1e-11 * scale
    np.testing.assert_allclose(a.magnetic_forces, -b.magnetic_forces, atol=1e-11 * scale)
    assert np.abs(pot.evaluate(atoms, moments=0 * m).magnetic_forces).max() < 1e-11 * scale


@cases
@given(potentials, seeds)
def test_forces_and_torques_sum_to_zero(pot, seed):
    atoms = random_atoms(["Fe", "Pd"], 5, seed, cell=np.diag([12.0] * 3), pbc=False)
    atoms.positions *= 0.5
    f = pot.evaluate(atoms).forces
    scale = 1e-11 * (1 + np.abs(f).max())
    assert np.abs(f.sum(axis=0)).max() < 10 * scale
    assert np.abs(np.cross(atoms.positions, f).sum(axis=0)).max() < 100 * scale


@pytest.mark.parametrize("pot", POTENTIALS)
def test_energy_and_forces_are_continuous_at_the_cut_off(pot):
    atoms = random_atoms(["Fe"], 1, 0, cell=np.diag([20.0] * 3), pbc=False)
    atoms += random_atoms(["Pd"], 1, 0, cell=np.diag([20.0] * 3), pbc=False)
    atoms.positions = [[0, 0, 0], [pot.r_cut - 1e-7, 0, 0]]
    inside = pot.evaluate(atoms)
    atoms.positions = [[0, 0, 0], [pot.r_cut + 1e-7, 0, 0]]
    outside = pot.evaluate(atoms)
    assert inside.energy == pytest.approx(outside.energy, abs=1e-9)
    np.testing.assert_allclose(inside.forces, outside.forces, atol=1e-4)
