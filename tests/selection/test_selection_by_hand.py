"""Squares, exchanges, rows and choices that can be worked out, and the laws that docstrings promise."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import qr

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential
from mmtp_fw.selection import ActiveSet, SquareSet, maxvol, rows_of
from mmtp_fw.selection.maxvol import greedy_rows, largest_coefficients
from mmtp_fw.structures import generate


def rows_for(seed: int, n: int, p: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)) * 10.0 ** rng.uniform(-2, 2, p)


# Squares ----------------------------------------------------------------------------------------------------------


def test_coefficients_and_grades_of_a_small_square():
    square = SquareSet.from_matrix(np.array([[2.0, 0.0], [1.0, 4.0]]), np.array([7, 8]))
    rows = np.array([[2.0, 0.0], [3.0, 4.0], [-6.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(square.coefficients(rows), [[1, 0], [1, 1], [-3, 0], [-0.125, 0.25], [0, 0]])
    np.testing.assert_allclose(square.grades(rows), [1, 1, 3, 0.25, 0])
    np.testing.assert_allclose(largest_coefficients(np.array([[1.0, -5.0], [0.5, 0.25]])), [5.0, 0.5])
    assert square.log_volume == pytest.approx(np.log(8.0))
    np.testing.assert_array_equal(square.labels, [7, 8])


def test_stand_ins_are_a_multiple_of_the_unit_matrix():
    square = SquareSet.diagonal(3, 0.1)
    np.testing.assert_allclose(square.matrix, 0.1 * np.eye(3))
    np.testing.assert_allclose(square.inverse, 10 * np.eye(3))
    assert square.labels.tolist() == [-1] * 3 and square.log_volume == pytest.approx(3 * np.log(0.1))
    assert SquareSet.diagonal(2).log_volume == 0.0
    np.testing.assert_allclose(square.grades(np.array([[0.3, 0.0, 0.0]])), [3.0])


def test_copies_are_independent():
    square = SquareSet.from_matrix(np.eye(2), np.array([0, 1]))
    other = square.copy()
    assert other.absorb(np.array([[3.0, 0.0]]), np.array([5])) == 1
    assert square.log_volume == 0.0 and square.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(square.matrix, np.eye(2))
    np.testing.assert_array_equal(square.inverse, np.eye(2))
    assert sorted(other.labels.tolist()) == [1, 5] and other.log_volume == pytest.approx(np.log(3))


@pytest.mark.parametrize(
    ("size", "tolerance", "exchanges"),
    [(1.005, 1.01, 0), (1.02, 1.01, 1), (1.02, 1.5, 0), (1.6, 1.5, 1), (0.9, 0.5, 0), (1.001, 0.5, 1)],
)
def test_an_exchange_multiplies_the_volume_by_more_than_the_tolerance(size, tolerance, exchanges):
    square = SquareSet.diagonal(2)
    assert square.absorb(np.array([[size, 0.0]]), np.array([4]), tolerance) == exchanges
    assert square.log_volume == pytest.approx(exchanges * np.log(size))
    assert SquareSet.diagonal(2).absorb(np.array([[1.02, 0.0]]), np.array([4])) == 1, "1.01 by default"
    assert SquareSet.diagonal(2).absorb(np.array([[1.009, 0.0]]), np.array([4])) == 0


def test_nothing_to_absorb_and_no_more_than_allowed():
    square = SquareSet.diagonal(3, 0.01)
    assert square.absorb(np.zeros((0, 3)), np.zeros(0, dtype=int)) == 0
    assert square.absorb(np.diag([1.0, 2.0, 4.0]), np.arange(3), 1.01, 0) == 0
    assert square.absorb(np.diag([1.0, 2.0, 4.0]), np.arange(3), 1.01, 1) == 1
    assert sorted(square.labels.tolist()) == [-1, -1, 2], "the one that sticks out most"
    assert square.absorb(np.diag([1.0, 2.0, 4.0]), np.arange(3), 1.01, 9) == 2
    assert square.log_volume == pytest.approx(np.log(8.0))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 70), st.sampled_from([1.0001, 1.01, 1.5]))
def test_each_exchange_raises_the_volume_by_at_least_the_tolerance(seed, p, tolerance):
    """In blocks, too: a wrong coefficient within a block would exchange what lowers the volume."""
    rows = np.random.default_rng(seed).normal(size=(3 * p + 2, p))
    square = SquareSet.from_matrix(np.linalg.qr(rows[:p])[0] * 0.5, np.full(p, -1))
    before = square.log_volume
    exchanges = square.absorb(rows, np.arange(len(rows)), tolerance)
    assert square.log_volume - before >= exchanges * np.log(tolerance) - 1e-8
    assert square.grades(rows).max() <= tolerance + 1e-8
    assert exchanges >= np.sum(square.labels >= 0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_one_block_takes_the_largest_coefficient_each_time(seed, p):
    """As the textbook does: the same rows in the same places."""
    rows = np.random.default_rng(seed).normal(size=(2 * p + 6, p))
    square = SquareSet.diagonal(p, 0.3)
    exchanges = square.absorb(rows, np.arange(len(rows)), 1.05)
    pool, labels = np.vstack([0.3 * np.eye(p), rows]), [-1] * p + list(range(len(rows)))
    places, count = list(range(p)), 0
    while True:
        coefficients = pool @ np.linalg.inv(pool[places])
        i, j = np.unravel_index(np.argmax(np.abs(coefficients)), coefficients.shape)
        if abs(coefficients[i, j]) <= 1.05:
            break
        places[j], count = int(i), count + 1
    assert square.labels.tolist() == [labels[k] for k in places]
    assert exchanges == count


@pytest.mark.parametrize(("n", "p"), [(6, 6), (40, 12), (300, 120), (384, 50)])
def test_greedy_rows_are_those_of_a_pivoted_qr(n, p):
    rows = rows_for(n + p, n, p)
    pivots = qr(rows.T, mode="economic", pivoting=True)[2][:p]
    np.testing.assert_array_equal(greedy_rows(rows), pivots)


def test_many_rows_lose_little_against_a_pivoted_qr():
    rows = np.random.default_rng(2).normal(size=(2500, 110))
    places = greedy_rows(rows)
    pivots = qr(rows.T, mode="economic", pivoting=True)[2][:110]
    mine, its = (np.linalg.slogdet(rows[chosen])[1] for chosen in (places, pivots))
    assert len(set(places.tolist())) == 110
    assert mine > its - 5.0


def test_rows_of_small_rank_are_refused_without_a_floor():
    flat = np.outer(np.arange(1.0, 9.0), np.ones(3))
    with pytest.raises(InputError, match="without full rank"):
        greedy_rows(flat)
    square = maxvol(flat, floor=0.5)
    assert sorted(square.labels.tolist()) == [-1, -1, 7], "the longest row, and stand-ins for the rest"
    assert square.log_volume == pytest.approx(np.log(8 * 0.25))
    assert maxvol(np.zeros((1, 2)), floor=0.1).labels.tolist() == [-1, -1]


def test_a_floor_holds_the_directions_that_no_row_reaches():
    rows = np.diag([3.0, 0.4, 2.0])
    square = maxvol(rows, floor=0.5)
    assert sorted(square.labels.tolist()) == [-1, 0, 2]
    assert square.log_volume == pytest.approx(np.log(3.0 * 0.5 * 2.0))
    assert sorted(maxvol(rows, floor=0.3).labels.tolist()) == [0, 1, 2]
    assert sorted(maxvol(rows).labels.tolist()) == [0, 1, 2]


@pytest.mark.parametrize("wrong", [np.ones(3), np.array([[1.0, np.nan]]), np.array([[np.inf, 1.0]]), np.ones((1, 2))])
def test_matrices_without_a_square(wrong):
    with pytest.raises(InputError):
        maxvol(wrong)


# Rows and sets ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def potential() -> Potential:
    return Potential.from_level(4, ["Fe", "Pd"], r_min=1.9, r_cut=4.0, radial_size=3, magnetic_size=2, seed=4)


@pytest.fixture(scope="module")
def made() -> list[Atoms]:
    return generate({"Fe": 0.75, "Pd": 0.25}, [3.7, 3.8], {"Fe": 2.6, "Pd": 0.3}, 24, supercell=(1, 1, 1), seed=5)


@pytest.fixture(scope="module")
def active(potential, made) -> ActiveSet:
    return ActiveSet.from_configurations(potential, made[:6])


def test_one_row_per_configuration_is_the_mean_of_its_sites(potential, made):
    atoms = made[0]
    sites, one = rows_of(potential, atoms), rows_of(potential, atoms, "configuration")
    assert sites.shape == (4, potential.n_parameters) and one.shape == (1, potential.n_parameters)
    np.testing.assert_allclose(one[0], sites.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        sites.sum(axis=0), potential.energy_parameter_gradient(atoms, moments=atoms.get_initial_magnetic_moments())
    )
    moments = np.array([1.0, 2.0, 0.5, 0.1])
    other = atoms.copy()
    other.set_initial_magnetic_moments(moments)
    np.testing.assert_array_equal(rows_of(potential, atoms, moments=moments), rows_of(potential, other))


def test_rows_of_forces_are_derivatives_of_forces(potential, made):
    atoms = made[1]
    plain = rows_of(potential, atoms)
    rows = rows_of(potential, atoms, magnetic_force_weight=0.5, force_weight=0.25)
    np.testing.assert_array_equal(rows[:4], plain)
    assert len(rows) == 4 + 4 + 12
    assert len(rows_of(potential, atoms, magnetic_force_weight=0.5)) == 8
    assert len(rows_of(potential, atoms, force_weight=0.5)) == 16
    step, rng = 1e-4, np.random.default_rng(0)
    direction = rng.normal(size=potential.n_parameters)
    found = []
    for sign in (1, -1):
        moved = potential.copy()
        moved.parameters = potential.parameters + sign * step * direction
        found.append(moved.evaluate(atoms))
    magnetic = (found[0].magnetic_forces - found[1].magnetic_forces) / (2 * step)
    forces = (found[0].forces - found[1].forces).ravel() / (2 * step)
    scale = np.abs(forces).max()
    np.testing.assert_allclose(rows[4:8] @ direction, 0.5 * magnetic, rtol=1e-4, atol=1e-6 * scale)
    np.testing.assert_allclose(rows[8:] @ direction, 0.25 * forces, rtol=1e-4, atol=1e-6 * scale)


def test_a_set_knows_whose_rows_it_holds(potential, made, active):
    assert set(active.configurations) <= set(range(6)) and active.configurations == sorted(active.configurations)
    full = ActiveSet.from_configurations(potential, [*made[:3], made[0], made[1]])
    assert max(full.configurations) <= 4
    rows = np.vstack([rows_of(potential, atoms) for atoms in made[:6]])
    scale = np.sqrt((rows**2).mean(axis=0))
    scale[scale == 0] = scale[scale > 0].min()
    square = maxvol(rows / scale, floor=1e-2)
    assert active.configurations == sorted({int(k) // 4 for k in square.labels if k >= 0})
    assert active.filled == pytest.approx(np.mean(square.labels >= 0))
    assert active.log_volume == pytest.approx(square.log_volume)


def test_every_way_to_a_grade_is_the_same(potential, made, active):
    atoms = made[10]
    rows = rows_of(potential, atoms)
    grades = active.grades(atoms)
    np.testing.assert_allclose(active.grades_of_rows(rows), grades, rtol=1e-9)
    np.testing.assert_allclose(np.abs(rows @ active.state.inverse).max(axis=1), grades, rtol=1e-9)
    assert active.grade(atoms) == grades.max() and active.state.mode == "site"
    np.testing.assert_allclose(active.grades_of_rows(rows[0]), grades[:1], rtol=1e-9)
    moments = atoms.get_initial_magnetic_moments() * 0.5
    other = atoms.copy()
    other.set_initial_magnetic_moments(moments)
    assert active.grade(atoms, moments) == pytest.approx(active.grade(other)) != active.grade(atoms)


@pytest.mark.parametrize("options", [{"mode": "configuration"}, {"magnetic_force_weight": 1.0}, {"force_weight": 0.5}])
def test_grades_by_other_rows(potential, made, options):
    active = ActiveSet.from_configurations(potential, made[:6], **options)
    assert not active.sites_only
    atoms = made[12]
    rows = rows_of(potential, atoms, **options)
    np.testing.assert_allclose(active.grades(atoms), active.grades_of_rows(rows), rtol=1e-9)
    assert len(active.grades(atoms)) == len(rows)
    again = ActiveSet.from_bytes(active.to_bytes())
    np.testing.assert_allclose(again.grades(atoms), active.grades(atoms), rtol=1e-9)
    assert again.mode == active.mode and again.sites_only == active.sites_only


def test_the_choice_is_that_of_one_by_one(potential, made, active):
    """The farthest first, then all others graded anew against the set that holds it."""
    candidates = made[6:20]
    chosen = active.select(candidates, threshold=1.5)
    copy, left, expected = ActiveSet.from_bytes(active.to_bytes()), set(range(len(candidates))), []
    while True:
        grades = {k: copy.grade(candidates[k]) for k in sorted(left)}
        best = max(grades, key=lambda k: (grades[k], -k)) if grades else None
        if best is None or grades[best] <= 1.5:
            break
        expected.append(best)
        left.remove(best)
        left -= {k for k in left if grades[k] <= 1.5}
        copy.add([candidates[best]])
    assert chosen == expected and len(chosen) >= 2
    assert active.select(candidates, max_count=1, threshold=1.5) == chosen[:1]
    assert active.select(candidates, max_count=0) == []
    assert active.select(candidates, threshold=1e9) == []
    assert active.select(candidates, threshold=0.1) == active.select(candidates, threshold=1.0)
    grades = [active.grade(atoms) for atoms in candidates]
    assert active.select(candidates, threshold=max(grades)) == [], "more than the threshold, not as much"
    assert active.select([candidates[chosen[0]]] * 3) == [0], "the first of equal ones"


def test_choosing_changes_nothing_and_adding_does(potential, made, active):
    before = active.to_bytes(), active.log_volume
    active.select(made[6:12])
    assert active.log_volume == before[1]
    copy = ActiveSet.from_bytes(active.to_bytes())
    assert copy.add([]) == 0
    exchanges = copy.add(made[6:9])
    assert exchanges > 0 and copy.log_volume > active.log_volume
    assert max(copy.configurations) in (6, 7, 8)
    copy.add(made[9:12])
    assert max(copy.configurations) <= 11
    assert max(copy.grade(atoms) for atoms in made[:12]) < 1.05
    again = ActiveSet.from_bytes(copy.to_bytes())
    assert again.configurations == copy.configurations
    again.add(made[12:20])
    assert set(again.configurations) - set(copy.configurations) <= set(range(12, 20)), "numbers go on"
    assert set(again.configurations) - set(copy.configurations)


def test_sets_that_cannot_be_made(potential, made, active):
    with pytest.raises(InputError, match=r"floor 0\.0 must be positive"):
        ActiveSet.from_configurations(potential, made[:2], floor=0.0)
    broken = potential.copy()
    parameters = broken.parameters
    parameters[potential.parameter_slices["radial"]] = np.nan
    broken.parameters = parameters
    with pytest.raises(InputError, match="finite"):
        ActiveSet.from_configurations(broken, made[:2])
    with pytest.raises(InputError, match="not an active set"):
        ActiveSet.from_bytes(active.to_bytes()[:100])


def test_a_higher_floor_leaves_more_to_stand_ins(potential, made):
    low, high = (ActiveSet.from_configurations(potential, made, floor=floor) for floor in (1e-6, 0.5))
    assert high.filled < low.filled
