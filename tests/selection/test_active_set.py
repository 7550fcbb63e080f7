from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential
from mmtp_fw.selection import ActiveSet, rows_of
from mmtp_fw.structures import generate


def made(count, seed, displacement=0.12):
    return generate(
        {"Fe": 0.68, "Pd": 0.32},
        [3.7, 3.78],
        {"Fe": 2.6, "Pd": 0.3},
        count,
        supercell=(1, 1, 2),
        seed=seed,
        displacement_A=displacement,
    )


@pytest.fixture(scope="module")
def potential():
    return Potential.from_level(6, ["Fe", "Pd"], r_min=1.9, r_cut=4.5, radial_size=4, magnetic_size=2, seed=2)


@pytest.fixture(scope="module")
def many():
    return made(60, seed=0)


@pytest.fixture(scope="module")
def full(potential, many):
    return ActiveSet.from_configurations(potential, many)


def test_training_configurations_interpolate(full, many):
    assert max(full.grade(atoms) for atoms in many) < 1.02


def test_grade_is_the_largest_coefficient_of_the_rows(potential, full, many):
    atoms = made(1, seed=77)[0]
    rows = rows_of(potential, atoms)
    state = full.state
    grades = np.abs(rows @ state.inverse).max(axis=1)
    np.testing.assert_allclose(full.grades(atoms), grades, rtol=1e-9)
    np.testing.assert_allclose(full.grades_of_rows(rows), grades, rtol=1e-9)
    assert full.grade(atoms) == full.grades(atoms).max()
    assert state.potential_hash == potential.content_hash


def test_gauge_modes_never_show(potential, many):
    """Rescaling f_0 against ξ and mixing f_0 into f_1 change no energy, so no row reaches them."""
    rows = np.vstack([rows_of(potential, atoms) for atoms in many])
    size = np.sqrt((rows**2).mean(axis=0))
    scaled = rows / np.maximum(size, 1e-12 * size.max())
    values = np.linalg.svd(scaled, compute_uv=False)
    nulls = int(np.sum(values < 1e-10 * values[0]))
    K = potential.radial_count
    assert nulls >= K * (K + 1) // 2
    full = ActiveSet.from_configurations(potential, many, floor=1e-6)
    assert full.filled <= 1 - nulls / potential.n_parameters
    assert np.isfinite(full.grade(made(1, 5)[0]))


def test_grades_are_useful_before_the_set_is_full(potential, many):
    few = ActiveSet.from_configurations(potential, many[:3])
    more = ActiveSet.from_configurations(potential, many[:12])
    others = made(6, seed=123, displacement=0.08)
    early, late = (np.median([s.grade(atoms) for atoms in others]) for s in (few, more))
    assert few.filled < 0.5
    assert 1.0 < early < 1e3
    assert late < early


def test_grade_rises_when_atoms_come_together_or_moments_leave(full, many):
    atoms = many[4].copy()
    base = full.grade(atoms)
    squeezed = atoms.copy()
    squeezed.set_cell(atoms.cell * 0.9, scale_atoms=True)
    assert full.grade(squeezed) > 3 * base
    moments = atoms.get_initial_magnetic_moments()
    moments[0] = 3.9
    assert full.grade(atoms, moments) > base


def test_selection_takes_what_sticks_out_and_no_near_duplicates(potential, many):
    active = ActiveSet.from_configurations(potential, many[:6])
    candidates = made(8, seed=9)
    twins = []
    for atoms in candidates:
        twin = atoms.copy()
        twin.positions += 1e-5
        twins.append(twin)
    chosen = active.select([*candidates, *twins])
    assert chosen
    assert len({index % 8 for index in chosen}) == len(chosen)
    grades = [active.grade(atoms) for atoms in [*candidates, *twins]]
    assert chosen[0] == int(np.argmax(grades))
    assert active.select(candidates, max_count=2) == active.select(candidates)[:2]
    assert active.select([*many[:6]]) == []
    assert active.select([]) == []


def test_what_was_selected_is_inside_once_it_is_added(potential, many):
    active = ActiveSet.from_configurations(potential, many[:6])
    candidates = made(8, seed=9)
    chosen = active.select(candidates, threshold=1.0)
    volume = active.log_volume
    active.add([candidates[index] for index in chosen])
    assert active.log_volume > volume
    assert max(active.grade(candidates[index]) for index in chosen) < 1.05
    assert max(active.configurations) >= 6


def test_configuration_mode_does_not_depend_on_the_supercell(potential, many):
    active = ActiveSet.from_configurations(potential, many, mode="configuration")
    atoms = made(1, seed=31)[0]
    assert active.grades(atoms).shape == (1,)
    doubled = atoms.repeat((2, 1, 1))
    assert active.grade(doubled) == pytest.approx(active.grade(atoms), rel=1e-6)


def test_rows_of_magnetic_forces_and_forces(potential, many):
    atoms = many[0]
    n, p = len(atoms), potential.n_parameters
    rows = rows_of(potential, atoms, magnetic_force_weight=1.0, force_weight=1.0)
    assert rows.shape == (n + n + 3 * n, p)
    step = 1e-5
    moments = atoms.get_initial_magnetic_moments()
    shifted = []
    for sign in (1, -1):
        changed = moments.copy()
        changed[2] += sign * step
        shifted.append(potential.energy_parameter_gradient(atoms, moments=changed))
    slope = -(shifted[0] - shifted[1]) / (2 * step)
    np.testing.assert_allclose(rows[n + 2], slope, rtol=1e-5, atol=1e-6 * np.abs(slope).max())
    active = ActiveSet.from_configurations(potential, many[:4], magnetic_force_weight=1.0)
    assert len(active.grades(many[9])) == 2 * n


def test_bytes_keep_everything(full, many):
    again = ActiveSet.from_bytes(full.to_bytes())
    atoms = made(1, seed=55)[0]
    assert again.grade(atoms) == pytest.approx(full.grade(atoms), rel=1e-9)
    assert again.configurations == full.configurations
    assert again.mode == full.mode
    assert again.select([atoms]) == full.select([atoms])
    with pytest.raises(InputError, match="not an active set"):
        ActiveSet.from_bytes(b"something else")


def test_bad_input(potential, many):
    with pytest.raises(InputError, match="at least one"):
        ActiveSet.from_configurations(potential, [])
    with pytest.raises(InputError, match="unknown mode"):
        ActiveSet.from_configurations(potential, many[:1], mode="atoms")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Ni"):
        ActiveSet.from_configurations(potential, [Atoms("Ni2", [[0, 0, 0], [0, 0, 2]])])


def test_nothing_has_no_grade(full):
    assert full.grade(Atoms()) == 0.0 and full.grades(Atoms()).shape == (0,)
