"""Phonons whose answer is known: springs in closed form, and force-constant matrices taken directly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.errors import InputError
from mmtp_fw.phonons import (
    MEV_PER_THZ,
    AdiabaticSurface,
    Harmonic,
    Modes,
    PhononSettings,
    averaged,
    phonons,
    spectrum,
    symmetrised,
    thermodynamics,
)
from mmtp_fw.phonons.spectrum import grid_of, moments_of_spectrum
from mmtp_fw.potential import Potential
from mmtp_fw.structures import crystal

POTENTIAL = Path(__file__).parents[2] / "docs" / "examples" / "fe-pd.mmtp"
THZ = np.sqrt(units._e * 1e20 / units._amu) / (2 * np.pi) * 1e-12  # √(eV/Å²/u)
SPRING = 1.7  # eV/Å²


@pytest.fixture(scope="module")
def potential():
    return Potential.read(POTENTIAL)


def fcc(symbols: str = "Fe4", a: float = 3.7) -> Atoms:
    made = bulk("Fe", "fcc", a, cubic=True)
    made.set_chemical_symbols(Atoms(symbols).get_chemical_symbols())
    return made


def springs(rest: Atoms, constant: float = SPRING):
    """Return forces of central springs between nearest neighbours, exact to second order in displacements."""
    n, cell = len(rest), np.asarray(rest.cell)
    shifts = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]) @ cell
    vectors = rest.positions[None, :, None] + shifts[None, None] - rest.positions[:, None, None]
    lengths = np.linalg.norm(vectors, axis=-1)
    nearest = lengths[lengths > 1e-6].min()
    bonds = np.argwhere(np.abs(lengths - nearest) < 0.1)

    def forces(atoms: Atoms, place: str = "") -> np.ndarray:
        moved = atoms.positions - rest.positions
        moved -= np.round(moved @ np.linalg.inv(cell)) @ cell
        found = np.zeros((n, 3))
        for i, j, image in bonds:
            along = vectors[i, j, image] / lengths[i, j, image]
            found[i] += constant * along * (along @ (moved[j] - moved[i]))
        return found

    return forces


def solved(atoms: Atoms, forces, **given) -> Harmonic:
    made = Harmonic(atoms, **given)
    made.solve(forces)
    return made


def spring_crystal(atoms: Atoms, supercell=(1, 1, 1), constant: float = SPRING) -> Harmonic:
    made = Harmonic(atoms, None, supercell)
    made.solve(springs(made.supercell, constant))
    return made


# Springs ------------------------------------------------------------------------------------------------------


def test_springs_on_fcc_have_the_frequencies_of_the_textbook():
    """At X: ω_L² = 8K/M, ω_T² = 4K/M; the cubic cell's Γ holds the three X points and the true Γ."""
    modes = spring_crystal(fcc()).modes((1, 1, 1))
    base = np.sqrt(SPRING / fcc().get_masses()[0]) * THZ
    expected = [0.0] * 3 + [np.sqrt(4) * base] * 6 + [np.sqrt(8) * base] * 3
    np.testing.assert_allclose(np.sort(modes.frequency_THz[0]), expected, atol=2e-5)
    assert modes.stable and modes.zero_fraction == pytest.approx(0.25)


def test_mean_squares_by_species_are_their_own_force_constants():
    """⟨ω²⟩ of a species is the trace of its on-site force constants over 3M: 4K/M with twelve springs."""
    made = spring_crystal(fcc("PdFe3"), (2, 2, 2))
    found = moments_of_spectrum(made.modes((4, 4, 4)))
    for name, mass in (("Pd", 106.42), ("Fe", 55.845)):
        assert found[name].rms_THz == pytest.approx(2 * np.sqrt(SPRING / mass) * THZ, rel=1e-5)
        assert found[name].mean_THz < found[name].rms_THz
    assert found["total"].rms_THz ** 2 == pytest.approx(
        0.25 * found["Pd"].rms_THz ** 2 + 0.75 * found["Fe"].rms_THz ** 2
    )


def test_masses_of_the_structure_count():
    light, heavy = fcc(), fcc()
    heavy.set_masses([4 * mass for mass in heavy.get_masses()])
    one, two = (spring_crystal(cell).modes((2, 2, 2)).frequency_THz for cell in (light, heavy))
    np.testing.assert_allclose(one, 2 * two, atol=1e-5)


def test_partial_spectra_add_up_and_have_the_area_of_their_atoms():
    modes = spring_crystal(fcc("PdFe3"), (2, 2, 2)).modes((4, 4, 4))
    grid = grid_of(0.0, float(modes.frequency_THz.max()), 1.0)
    found = spectrum(modes, grid, 1.0)
    np.testing.assert_allclose(found.species["Fe"] + found.species["Pd"], found.total, rtol=1e-12)
    assert np.trapezoid(found.total, grid) == pytest.approx(1.0, abs=1e-5)
    assert np.trapezoid(found.species["Pd"], grid) == pytest.approx(0.25, abs=1e-5)


def test_a_line_has_the_width_of_the_instrument():
    line = Modes(np.zeros((1, 3)), np.full((1, 3), 6.0), np.ones(1), {"Fe": np.ones((1, 3))})
    grid = np.linspace(0, 12, 24001)
    found = spectrum(line, grid, 2.5)
    half = grid[found.total >= 0.5 * found.total.max()]
    assert (half[-1] - half[0]) * MEV_PER_THZ == pytest.approx(2.5, rel=1e-3)
    assert pytest.approx(4.135667696) == MEV_PER_THZ


@pytest.mark.parametrize(("fwhm", "points"), [(0.0, 500), (-1.0, 500), (1.0, 10)])
def test_resolutions_that_a_grid_can_not_show(fwhm, points):
    modes = spring_crystal(fcc()).modes((1, 1, 1))
    with pytest.raises(InputError, match="resolution"):
        spectrum(modes, np.linspace(0, 12, points), fwhm)


def test_imaginary_modes_are_told_and_have_no_free_energy():
    modes = spring_crystal(fcc(), constant=-SPRING).modes((2, 2, 2))
    assert not modes.stable and modes.imaginary_fraction == pytest.approx(1.0)
    assert modes.verdict.startswith("unstable: 100.00% of the states are imaginary, the lowest ")
    assert thermodynamics(modes, [300.0]) is None and moments_of_spectrum(modes) is None
    grid = grid_of(modes.lowest_THz, 0.0, 1.0)
    assert np.trapezoid(spectrum(modes, grid, 1.0).total[grid < 0], grid[grid < 0]) > 0.9


# Thermodynamics -----------------------------------------------------------------------------------------------


def test_thermodynamics_of_one_frequency_are_einsteins():
    line = Modes(np.zeros((1, 3)), np.full((1, 3), 6.0), np.ones(1), {"Fe": np.ones((1, 3))})
    found = thermodynamics(line, [0.0, 300.0, 1e5])
    x = 6e-3 * MEV_PER_THZ / (units.kB * 300)
    assert found.free_energy_eV[0] == pytest.approx(1.5 * 6e-3 * MEV_PER_THZ)
    assert found.free_energy_eV[1] == pytest.approx(3 * units.kB * 300 * np.log(2 * np.sinh(x / 2)))
    assert found.heat_capacity_kB[1] == pytest.approx(3 * (x / 2 / np.sinh(x / 2)) ** 2)
    assert found.entropy_kB[0] == found.heat_capacity_kB[0] == 0.0
    assert found.heat_capacity_kB[2] == pytest.approx(3.0, rel=1e-4), "Dulong and Petit"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.5, 12.0), min_size=3, max_size=3), st.floats(5.0, 2000.0))
def test_entropy_is_minus_the_slope_of_the_free_energy(frequencies, kelvin):
    modes = Modes(np.zeros((1, 3)), np.array([frequencies]), np.ones(1), {"Fe": np.ones((1, 3))})
    h = 1e-3 * kelvin
    low, middle, high = (thermodynamics(modes, [T]) for T in (kelvin - h, kelvin, kelvin + h))
    slope = (high.free_energy_eV - low.free_energy_eV) / (2 * h)
    np.testing.assert_allclose(middle.entropy_kB * units.kB, -slope, rtol=1e-3, atol=1e-12)
    rise = kelvin * (high.entropy_kB - low.entropy_kB) / (2 * h)
    np.testing.assert_allclose(middle.heat_capacity_kB, rise, rtol=1e-3, atol=1e-7)


def test_temperatures_below_zero_are_refused():
    modes = spring_crystal(fcc()).modes((2, 2, 2))
    with pytest.raises(InputError, match="not below 0 K"):
        thermodynamics(modes, [-1.0])


# Force constants ----------------------------------------------------------------------------------------------


def direct(atoms: Atoms, forces, h: float = 0.01) -> np.ndarray:
    """Return the total force-constant matrix of a cell, (3n, 3n), by central differences of every coordinate."""
    n = len(atoms)
    matrix = np.zeros((3 * n, 3 * n))
    for k in range(3 * n):
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[k // 3, k % 3] += sign * h
            matrix[k] -= sign * forces(moved).ravel() / (2 * h)
    return symmetrised(matrix.reshape(n, 3, n, 3).transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)


def frequencies(matrix: np.ndarray, masses: np.ndarray) -> np.ndarray:
    root = np.sqrt(np.repeat(masses, 3))
    squares = np.linalg.eigvalsh(matrix / np.outer(root, root))
    return np.sign(squares) * np.sqrt(np.abs(squares)) * THZ


def test_the_centre_of_the_zone_is_the_cells_own_matrix(potential):
    """A compressed alloy, whose moments answer to displacements."""
    atoms = crystal("fcc", 3.55, (2, 1, 1), {"Fe": 0.75, "Pd": 0.25}, np.random.default_rng(3))
    surface = AdiabaticSurface(potential, atoms, np.where(atoms.numbers == 26, 2.6, 0.3))
    made = solved(atoms, surface.forces, moments=surface.moments, step_A=0.003)

    def relaxed(cell: Atoms) -> np.ndarray:
        found = potential.relax_moments(cell, start=surface.moments, tolerance=1e-6)
        return potential.evaluate(cell, moments=found.moments).forces

    expected = direct(atoms, relaxed, 0.003)
    own = made.force_constants.transpose(0, 2, 1, 3).reshape(24, 24)
    np.testing.assert_allclose(own, expected, atol=2e-3)
    nu = frequencies(expected, atoms.get_masses())
    np.testing.assert_allclose(np.sort(made.modes((1, 1, 1)).frequency_THz[0]), nu, atol=0.002)
    # Fixed moments are another surface, and another answer.
    fixed = direct(atoms, lambda cell: potential.evaluate(cell, surface.moments).forces, 0.003)
    assert np.abs(frequencies(fixed, atoms.get_masses()) - nu).max() > 0.1


@pytest.mark.parametrize("moments", [[0.3, 2.6, 2.6, 2.6], [0.3, 2.6, -2.6, 2.6]])
def test_symmetry_saves_displacements_and_changes_nothing(potential, moments):
    atoms = fcc("PdFe3")
    surface = AdiabaticSurface(potential, atoms, np.array(moments))
    few, all_of_them = (
        solved(atoms, surface.forces, moments=surface.moments, symmetry=symmetry) for symmetry in (True, False)
    )
    assert len(few.displaced) < len(all_of_them.displaced) == 24
    np.testing.assert_allclose(few.force_constants, all_of_them.force_constants, atol=5e-3)


def test_phonons_of_the_reference_hamiltonian_are_those_of_its_own_matrix():
    """An alloy with relaxed moments: nothing of the potential is in it."""
    model = ReferenceHamiltonian()
    atoms = crystal("fcc", 3.7, (2, 1, 1), {"Fe": 0.75, "Pd": 0.25}, np.random.default_rng(3))
    start = model.relaxed(atoms)[1].moments

    def forces(cell: Atoms, place: str = "") -> np.ndarray:
        return model.relaxed(cell, start)[0].forces

    made = solved(atoms, forces, moments=start)
    nu = frequencies(direct(atoms, forces), atoms.get_masses())
    np.testing.assert_allclose(np.sort(made.modes((1, 1, 1)).frequency_THz[0]), nu, atol=0.005)


def test_phonons_do_not_depend_on_the_step(potential):
    """Stated in docs/phonons.md: from 0.005 to 0.02 Å no frequency of Fe3Pd changes by more than 0.02 THz."""
    found = [
        phonons(potential, fcc("PdFe3"), np.array([0.3, 2.6, 2.6, 2.6]), PhononSettings((2, 2, 2), step, mesh_A=8.0))
        for step in (0.005, 0.01, 0.02)
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other.modes.frequency_THz, found[0].modes.frequency_THz, atol=0.02)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_symmetrised_force_constants_are_symmetric_and_move_nothing_rigid(seed):
    raw = np.random.default_rng(seed).normal(size=(4, 4, 3, 3))
    found = symmetrised(raw)
    np.testing.assert_allclose(found, found.transpose(1, 0, 3, 2), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(symmetrised(found), found, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"supercell": (0, 1, 1)}, "three whole numbers"),
        ({"supercell": (1, 1)}, "three whole numbers"),
        ({"step_A": 0.0}, "a displacement of 0 Å"),
        ({"step_A": 1.0}, "at most 0.2"),
    ],
)
def test_supercells_and_steps_that_make_no_sense(change, words):
    with pytest.raises(InputError, match=words):
        Harmonic(fcc(), **change)


def test_molecules_have_no_crystal_phonons():
    with pytest.raises(InputError, match="periodic along all three"):
        Harmonic(Atoms("Fe2", [[0, 0, 0], [0, 0, 2.5]], cell=[10, 10, 10]))


# Averages -----------------------------------------------------------------------------------------------------


def test_arrangements_are_averaged_with_the_error_of_the_mean(potential):
    found = [
        phonons(potential, fcc("PdFe3", a), np.array([0.3, 2.6, 2.6, 2.6]), PhononSettings(mesh_A=8.0))
        for a in (3.68, 3.7, 3.72)
    ]
    mean = averaged(found, 2.0, [0.0, 300.0])
    assert mean.arrangements == 3 and mean.verdict == "stable"
    each = [moments_of_spectrum(one.modes)["Fe"].mean_THz for one in found]
    assert mean.moments["Fe"]["mean_THz"] == pytest.approx(np.mean(each))
    assert mean.moments_error["Fe"]["mean_THz"] == pytest.approx(np.std(each, ddof=1) / np.sqrt(3))
    assert mean.moments["Fe"]["mean_meV"] == pytest.approx(np.mean(each) * MEV_PER_THZ)
    free = [thermodynamics(one.modes, [300.0]).free_energy_eV[0] for one in found]
    assert mean.thermodynamics.free_energy_eV[1] == pytest.approx(np.mean(free))
    assert mean.thermodynamics_error.free_energy_eV[1] == pytest.approx(np.std(free, ddof=1) / np.sqrt(3))
    assert mean.total_error.max() > 0 and set(mean.species_error) == {"Fe", "Pd"}
    np.testing.assert_allclose(sum(mean.spectrum.species.values()), mean.spectrum.total)
    alone = averaged(found[:1], 2.0, [300.0])
    assert alone.total_error is None and alone.moments_error is None and alone.thermodynamics_error is None


def test_different_compositions_are_not_averaged(potential):
    found = [phonons(potential, fcc(name), None, PhononSettings(mesh_A=8.0)) for name in ("PdFe3", "Fe4")]
    with pytest.raises(InputError, match="different compositions"):
        averaged(found, 2.0, [300.0])
    with pytest.raises(InputError, match="no arrangement"):
        averaged([], 2.0, [300.0])
