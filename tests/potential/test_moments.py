from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from mmtp_fw.errors import InputError
from mmtp_fw.potential import MomentTracker, Potential
from tests.potential.conftest import DATA, random_atoms, read_cfg


@pytest.fixture(scope="module")
def landau():
    """A potential with a double well in every moment: E = Σ_i a (b_i² − b_i⁴ …) from one radial function."""
    pot = Potential.from_level(6, ["Fe"], r_cut=4.0, max_moment=4.0, magnetic_size=3, radial_size=4, seed=1)
    c = np.zeros((1, 1, 2, 4, 3, 3))
    c[0, 0, 0, 0, 2, 0] = 1.0  # f_0 ∝ T_2(m_i): its square has minima at T_2 = −ξ_1/(2 ξ_2 …)
    c[0, 0, 1, 0, 1, 1] = 0.02
    parameters = np.zeros(pot.n_parameters)
    tables, where = pot.tables, pot.parameter_slices
    parameters[where["radial"]] = c.ravel() * 0.01
    xi = np.zeros(len(tables.scalars))
    products = {(i, j): t for i, j, _, t in tables.times.tolist()}
    xi[tables.scalars.tolist().index(0)] = 1.0
    xi[tables.scalars.tolist().index(products[0, 0])] = 2.0
    xi[tables.scalars.tolist().index(int(np.flatnonzero(tables.basic[:, 0] == 1)[0]))] = -1.0
    parameters[where["moments"]] = xi
    pot.parameters = parameters
    return pot


def crystal(seed=1, size=2):
    atoms = bulk("Fe", "bcc", 2.87, cubic=True) * (size, size, size)
    atoms.rattle(0.03, seed=seed)
    atoms.set_initial_magnetic_moments(np.full(len(atoms), 2.0))
    return atoms


def test_relaxed_moments_are_a_minimum(landau):
    atoms = crystal()
    found = landau.relax_moments(atoms)
    assert found.converged and not found.at_bounds.any()
    assert np.abs(landau.evaluate(atoms, found.moments).magnetic_forces).max() < 1e-4
    assert np.abs(found.moments).min() > 0.1
    for seed in range(3):
        other = found.moments + np.random.default_rng(seed).normal(scale=0.05, size=len(atoms))
        assert landau.evaluate(atoms, other).energy > found.energy


def test_a_start_of_zeros_is_refused(landau):
    with pytest.raises(InputError, match="zero"):
        landau.relax_moments(crystal(), start=np.zeros(16))
    with pytest.raises(InputError, match="magnetic"):
        Potential.from_level(4, ["Fe"], magnetic_size=0).relax_moments(crystal())


def test_moments_at_their_bounds_are_reported():
    pot = Potential.read(DATA / "12.mmtp", species=["Fe"])
    found = pot.relax_moments(read_cfg(), start=read_cfg().get_initial_magnetic_moments())
    assert found.at_bounds.any()
    assert np.abs(found.moments).max() <= 3.5


def test_a_tracker_needs_few_evaluations(landau):
    atoms = crystal()
    tracker = MomentTracker(landau, tolerance=1e-4)
    tracker.reset(landau.relax_moments(atoms).moments)
    rng = np.random.default_rng(0)
    amplitude, phase = rng.normal(scale=0.05, size=(16, 3)), rng.uniform(0, 6, (16, 3))
    home, counts = atoms.positions.copy(), []
    for step in range(60):
        atoms.positions = home + amplitude * np.sin(phase + 0.1 * step)
        result, relaxed = tracker.relax(landau.system(atoms))
        counts.append(relaxed.evaluations)
        assert relaxed.converged
        assert np.abs(result.magnetic_forces).max() <= 1e-4
    assert np.mean(counts[20:]) <= 3.0


@pytest.mark.parametrize("relax", [True, False])
def test_the_calculator(landau, relax):
    atoms = crystal()
    atoms.calc = landau.calculator(relax_moments=relax)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    moments = atoms.get_magnetic_moments()
    direct = landau.evaluate(atoms, moments)
    assert energy == pytest.approx(direct.energy)
    np.testing.assert_allclose(forces, direct.forces, atol=1e-12)
    np.testing.assert_allclose(atoms.get_stress(), direct.stress, atol=1e-12)
    assert atoms.calc.results["magmom"] == pytest.approx(moments.sum())
    if relax:
        assert np.abs(atoms.calc.results["magnetic_forces"]).max() < 1e-4
    else:
        np.testing.assert_array_equal(moments, atoms.get_initial_magnetic_moments())


def test_forces_at_relaxed_moments_are_those_of_the_relaxed_energy(landau):
    atoms = crystal(seed=3)
    calc = landau.calculator(relax_moments=True)
    calc.tolerance = 1e-8
    atoms.calc = calc
    force = atoms.get_forces()[2, 1]
    energies = []
    for step in (1e-3, -1e-3):
        moved = atoms.copy()
        moved.calc = calc
        moved.positions[2, 1] += step
        energies.append(moved.get_potential_energy())
    assert -(energies[0] - energies[1]) / 2e-3 == pytest.approx(force, abs=1e-5)


def test_random_patterns_find_no_deeper_minimum_than_several_starts(landau):
    atoms = random_atoms(["Fe"], 4, 2, cell=np.diag([4.0, 4.0, 4.5]))
    several = landau.relax_moments(atoms)
    assert several.energy <= landau.relax_moments(atoms, start=np.full(4, 1.0)).energy + 1e-6


def test_a_minimum_inside_is_preferred_to_a_lower_one_at_the_bounds():
    potential = Potential.from_level(
        2, ["Fe"], r_min=1.5, r_cut=3.2, magnetic_size=5, max_moment=3.0, symmetrized=False, seed=0
    )
    theta = np.zeros(potential.n_parameters)
    radial = theta[potential.parameter_slices["radial"]].reshape(1, 1, 1, potential.radial_size, 5, 5)
    # T3 of the own moment has a minimum inside, and a little T1 makes the lower bound deeper.
    radial[0, 0, 0, 0, 3, 0], radial[0, 0, 0, 0, 1, 0], theta[0] = 0.2, 0.05, 1.0
    potential.parameters = theta
    atoms = bulk("Fe", "bcc", 2.87, cubic=True)
    atoms.set_initial_magnetic_moments([-1.0, -1.0])
    scan = np.linspace(-3, 3, 601)
    energies = np.array([potential.evaluate(atoms, moments=np.full(2, m)).energy for m in scan])
    inside = [k for k in range(1, 600) if energies[k] < energies[k - 1] and energies[k] < energies[k + 1]]
    lowest = min(inside, key=lambda k: energies[k]) if inside else None
    assert lowest is not None and energies[[0, -1]].min() < energies[lowest], "the case is the one meant"
    relaxed = potential.relax_moments(atoms)
    assert relaxed.converged and not relaxed.at_bounds.any()
