"""The reference Hamiltonian: exact derivatives, symmetries, and the material that it claims to be."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.dft.hamiltonian_calculator import HamiltonianCalculator
from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.dft.hamiltonian_moments import Penalty
from mmtp_fw.errors import InputError

GPA = 160.21766


def alloy(a: float, seed: int = 1, rattle: float = 0.0) -> Atoms:
    """Return Fe11Pd5 in a 2×2×1 fcc cell."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Fe", "fcc", a=a, cubic=True) * (2, 2, 1)
    atoms.symbols[rng.permutation(16)[:5]] = "Pd"
    atoms.positions += rng.normal(0.0, rattle, atoms.positions.shape)
    return atoms


def disordered(seed: int) -> tuple[Atoms, np.ndarray]:
    """Return a sheared, rattled alloy with arbitrary moments."""
    rng = np.random.default_rng(seed)
    atoms = alloy(3.7, seed, 0.08)
    atoms.set_cell(np.asarray(atoms.cell) @ (np.eye(3) + rng.normal(0, 0.02, (3, 3))), scale_atoms=True)
    return atoms, rng.uniform(-3, 3, 16)


@pytest.fixture(scope="module")
def model() -> ReferenceHamiltonian:
    return ReferenceHamiltonian()


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_all_derivatives_against_finite_differences(seed):
    model = ReferenceHamiltonian()
    atoms, moments = disordered(seed)
    exact = model.evaluate(atoms, moments)
    rng = np.random.default_rng(seed)
    h = 1e-4
    move = rng.normal(size=(16, 3))
    turn = rng.normal(size=16)
    strain = rng.normal(size=(3, 3))
    strain += strain.T

    def energy(t_move: float, t_turn: float, t_strain: float) -> float:
        changed = atoms.copy()
        changed.positions += t_move * move
        changed.set_cell(np.asarray(atoms.cell) @ (np.eye(3) + t_strain * strain), scale_atoms=True)
        return model.evaluate(changed, moments + t_turn * turn).energy

    voigt = strain.flat[[0, 4, 8, 5, 2, 1]] * np.array([1, 1, 1, 2, 2, 2])
    slopes = [
        (energy(h, 0, 0) - energy(-h, 0, 0)) / (2 * h),
        (energy(0, h, 0) - energy(0, -h, 0)) / (2 * h),
        (energy(0, 0, 0.1 * h) - energy(0, 0, -0.1 * h)) / (0.2 * h),
    ]
    analytic = [
        -np.sum(exact.forces * move),
        -np.sum(exact.magnetic_forces * turn),
        atoms.get_volume() * np.sum(exact.stress * voigt),
    ]
    np.testing.assert_allclose(slopes, analytic, rtol=2e-6, atol=1e-5)


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_time_reversal_translation_and_supercell(seed):
    model = ReferenceHamiltonian()
    atoms, moments = disordered(seed)
    here = model.evaluate(atoms, moments)
    reversed_ = model.evaluate(atoms, -moments)
    assert reversed_.energy == pytest.approx(here.energy, abs=1e-11)
    np.testing.assert_allclose(reversed_.magnetic_forces, -here.magnetic_forces, atol=1e-12)
    np.testing.assert_allclose(reversed_.forces, here.forces, atol=1e-12)
    moved = atoms.copy()
    moved.positions += [0.3, -0.7, 11.0]
    moved.wrap()
    assert model.evaluate(moved, moments).energy == pytest.approx(here.energy, abs=1e-9)
    assert model.evaluate(atoms * (1, 1, 2), np.tile(moments, 2)).energy == pytest.approx(2 * here.energy)
    assert np.sum(here.energies) == pytest.approx(here.energy)
    np.testing.assert_allclose(here.forces.sum(axis=0), 0, atol=1e-10)


def test_energy_is_smooth_at_the_cutoff(model):
    r = np.linspace(4.7, 4.9, 2001)
    dimers = [Atoms("FePd", [[0, 0, 0], [x, 0, 0]]) for x in r[::50]]
    forces = [model.evaluate(dimer, [2.0, 0.5]).forces[0, 0] for dimer in dimers]
    assert np.all(np.abs(np.diff(forces)) < 0.05)
    assert forces[-1] == 0.0


def test_material_is_an_invar_alloy(model):
    lattice = np.arange(3.55, 3.86, 0.05)
    states = [model.relaxed(alloy(a))[0] for a in lattice]
    iron = [state.moments[alloy(3.7).symbols == "Fe"].mean() for state in states]
    palladium = [state.moments[alloy(3.7).symbols == "Pd"].mean() for state in states]
    pressure = np.array([-np.mean(state.stress[:3]) * GPA for state in states])
    assert np.all(np.diff(iron) > 0.05), "magnetization is lost under compression"
    assert 2.6 < np.interp(3.75, lattice, iron) < 2.8
    assert 0.2 < np.interp(3.75, lattice, palladium) < 0.4
    assert 3.73 < np.interp(0, -pressure, lattice) < 3.77
    volumes = lattice**3 / 4
    bulk_modulus = -volumes[4] * (pressure[5] - pressure[3]) / (volumes[5] - volumes[3])
    assert 140 < bulk_modulus < 200


@given(st.integers(0, 10_000), st.floats(3.55, 3.85), st.floats(0.3, 1.4))
@settings(max_examples=15, deadline=None)
def test_ferromagnetic_branch_is_unique(seed, a, scale):
    model = ReferenceHamiltonian()
    atoms = alloy(a, seed, 0.1)
    state, minimum = model.relaxed(atoms)
    other, _ = model.relaxed(atoms, scale * model.ferromagnetic(atoms))
    assert minimum.converged
    assert np.all(state.moments > 0)
    np.testing.assert_allclose(other.moments, state.moments, atol=1e-7)
    np.testing.assert_allclose(state.magnetic_forces, 0, atol=1e-8)


def test_antiferromagnetic_start_stays_in_its_basin(model):
    atoms = bulk("Fe", "fcc", a=3.75, cubic=True)
    up, _ = model.relaxed(atoms)
    layered, _ = model.relaxed(atoms, np.array([2.5, 2.5, -2.5, -2.5]))
    assert np.all(np.sign(layered.moments) == [1, 1, -1, -1])
    assert layered.energy > up.energy + 0.02


@given(st.integers(0, 10_000), st.floats(0.1, 50))
@settings(max_examples=15, deadline=None)
def test_penalised_minimum_is_stationary(seed, strength):
    model = ReferenceHamiltonian()
    atoms, moments = disordered(seed)
    slopes = np.full(16, 0.7)
    penalty = Penalty(strength, slopes, 0.7 * moments)
    landscape = model.landscape(atoms)
    found = landscape.minimise(model.ferromagnetic(atoms), penalty)
    assert found.converged
    force = model.evaluate(atoms, found.moments).magnetic_forces
    np.testing.assert_allclose(force, 2 * strength * slopes * (slopes * found.moments - penalty.constraint), atol=1e-8)


def test_calculator_follows_moments_and_agrees_with_the_model(model):
    atoms = alloy(3.7, rattle=0.05)
    atoms.calc = HamiltonianCalculator()
    atoms.get_potential_energy()
    atoms.positions[0] += [0.05, 0.02, -0.04]
    expected, _ = model.relaxed(atoms)
    assert atoms.get_potential_energy() == pytest.approx(expected.energy, abs=1e-10)
    np.testing.assert_allclose(atoms.get_forces(), expected.forces, atol=1e-8)
    np.testing.assert_allclose(atoms.get_magnetic_moments(), expected.moments, atol=1e-7)
    frozen = alloy(3.7)
    frozen.set_initial_magnetic_moments(np.linspace(-2, 2, 16))
    frozen.calc = HamiltonianCalculator(relax_moments=False)
    np.testing.assert_array_equal(frozen.get_magnetic_moments(), np.linspace(-2, 2, 16))


def test_calculator_refreshes_its_neighbour_list(model):
    atoms = alloy(3.7)
    atoms.calc = HamiltonianCalculator()
    atoms.get_potential_energy()
    atoms.positions[3] += 0.6
    assert atoms.get_potential_energy() == pytest.approx(model.relaxed(atoms)[0].energy, abs=1e-9)
    atoms.set_cell(np.asarray(atoms.cell) * 1.02, scale_atoms=True)
    assert atoms.get_potential_energy() == pytest.approx(model.relaxed(atoms)[0].energy, abs=1e-9)


def test_unknown_species_is_refused(model):
    with pytest.raises(InputError, match="Al"):
        model.evaluate(bulk("Al"), [0.0])
