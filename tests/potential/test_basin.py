"""A relaxation stays in the basin it starts in, says what it is worth, and knows what the potential was trained for."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

from mmtp_fw.errors import InputError, PotentialWarning
from mmtp_fw.potential import MomentTracker, MomentVerdict, Potential, TrainedRange
from mmtp_fw.potential.descent import Curvature
from mmtp_fw.potential.fileio import DIALECTS
from tests.potential.conftest import DATA


@pytest.fixture(scope="module")
def hole():
    return Potential.read(DATA / "hole.mmtp")


@pytest.fixture(scope="module")
def frame():
    return read(DATA / "hole.xyz")


@pytest.fixture
def trained(hole, frame):
    """The potential with the range of that frame."""
    known = hole.copy()
    known.trained = TrainedRange.of(hole, [frame])
    return known


def ordered():
    """Fe3Pd without moments."""
    atoms = bulk("Fe", "fcc", 3.75, cubic=True)
    atoms.set_chemical_symbols(["Fe", "Fe", "Fe", "Pd"])
    return atoms


def test_a_relaxation_does_not_leap_into_a_hole(hole, frame):
    start = frame.get_initial_magnetic_moments()
    before = hole.evaluate(frame, moments=start)
    assert np.abs(before.magnetic_forces).max() < 0.02
    relaxed = hole.relax_moments(frame, start=start)
    assert relaxed.sound and before.energy - 0.02 < relaxed.energy <= before.energy
    assert np.abs(hole.evaluate(frame, moments=relaxed.moments).magnetic_forces).max() <= 1e-4
    tracker = MomentTracker(hole)
    tracker.reset(start)
    _, tracked = tracker.relax(hole.system(frame))
    assert tracked.sound and tracked.energy == pytest.approx(relaxed.energy, abs=1e-5)


def test_what_lies_in_a_hole_is_never_called_sound(hole, frame):
    for seed in range(4):
        start = np.random.default_rng(seed).uniform(-4, 4, len(frame))
        relaxed = hole.relax_moments(frame, start=start)
        assert relaxed.sound == (relaxed.verdict == MomentVerdict.CONVERGED) == (not relaxed.warning)
        if relaxed.energy < -150.0:
            assert not relaxed.sound


def test_many_moments_are_relaxed_with_the_last_steps_only(monkeypatch, hole, frame):
    start = frame.get_initial_magnetic_moments()
    whole = hole.relax_moments(frame, start=start)
    monkeypatch.setattr("mmtp_fw.potential.descent._DENSE", 1)
    limited = hole.relax_moments(frame, start=start)
    assert limited.sound and limited.energy == pytest.approx(whole.energy, abs=1e-5)


def test_curvature_is_that_of_a_quadratic_after_as_many_steps(monkeypatch):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    hessian = root @ root.T + np.eye(6)
    for dense in (1500, 0):
        monkeypatch.setattr("mmtp_fw.potential.descent._DENSE", dense)
        known = Curvature(6)
        directions = np.linalg.eigh(hessian)[1].T  # conjugate to one another: BFGS is then exact
        for step in directions:
            known.learn(step, hessian @ step)
        known.learn(directions[0], -directions[0])  # a concave step teaches nothing
        slope = rng.normal(size=6)
        np.testing.assert_allclose(known.times(slope), np.linalg.solve(hessian, slope), rtol=1e-10)


def test_the_calculator_tries_patterns_where_there_are_no_moments(fepd):
    atoms = ordered()
    atoms.calc = fepd.calculator(relax_moments=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        energy = atoms.get_potential_energy()
    assert atoms.calc.relaxed.sound and atoms.calc.warnings == ()
    given = ordered()
    given.set_initial_magnetic_moments([2.6, 2.6, 2.6, 0.3])
    assert energy == pytest.approx(fepd.relax_moments(given).energy, abs=1e-5)
    assert energy == pytest.approx(fepd.relax_moments(ordered()).energy, abs=1e-5)


@pytest.mark.parametrize(
    ("a", "moment", "relax", "words"),
    [(3.75, 9.0, False, "outside"), (2.2, 2.0, False, "r_min"), (6.5, 3.9, True, "bound of the magnetic range")],
)
def test_the_calculator_warns_once_of_what_the_potential_does_not_know(fepd, a, moment, relax, words):
    atoms = bulk("Fe", "fcc", a=a, cubic=True)
    atoms.set_initial_magnetic_moments([moment] * 4)
    atoms.calc = fepd.calculator(relax_moments=relax)
    with pytest.warns(PotentialWarning, match=words):
        atoms.get_potential_energy()
    assert words in " ".join(atoms.calc.warnings)
    atoms.rattle(0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_potential_energy()
    assert words in " ".join(atoms.calc.warnings), "still known where it is asked for"


def test_an_unsound_relaxation_is_no_start_for_the_next(fepd):
    atoms = bulk("Fe", "fcc", a=6.5, cubic=True)
    atoms.set_initial_magnetic_moments([2.6] * 4)
    atoms.calc = fepd.calculator(relax_moments=True)
    with pytest.warns(PotentialWarning):
        atoms.get_potential_energy()
    atoms.set_cell([3.75] * 3, scale_atoms=True)
    good = bulk("Fe", "fcc", a=3.75, cubic=True)
    good.set_initial_magnetic_moments([2.6] * 4)
    assert atoms.get_potential_energy() == pytest.approx(fepd.relax_moments(good).energy, abs=1e-5)


# The trained range ----------------------------------------------------------------------------------------


def test_the_trained_range_is_that_of_the_labels(trained, frame):
    moments, numbers = frame.get_initial_magnetic_moments(), frame.numbers
    for kind, number in enumerate((26, 46)):
        most = np.abs(moments[numbers == number]).max()
        np.testing.assert_allclose(trained.trained.moments[kind], [-most, most], atol=1e-4)
    distances = frame.get_all_distances(mic=True)
    for one, a in enumerate((26, 46)):
        for other, b in enumerate((26, 46)):
            block = distances[np.ix_(numbers == a, numbers == b)]
            assert trained.trained.distances[one, other] == pytest.approx(block[block > 0.1].min(), abs=1e-4)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_trained_range_travels_in_the_file(trained, hole, dialect):
    again = Potential.loads(trained.dumps(dialect))
    np.testing.assert_array_equal(again.trained.moments, trained.trained.moments)
    np.testing.assert_array_equal(again.trained.distances, trained.trained.distances)
    assert again == trained and again.species == hole.species and again.symmetrized
    tag = next(line for line in trained.dumps(dialect).splitlines() if line.startswith("potential_tag"))
    assert tag.count("=") == 1 and len(tag.split()) == 3, "MLIP reads one word, motep splits at equals signs"


def test_species_that_no_label_had_have_no_range(frame):
    three = Potential.from_level(4, ["Fe", "Pd", "Ni"], r_min=1.9, radial_size=3, seed=1)
    three.trained = TrainedRange.of(three, [frame])
    again = Potential.loads(three.dumps())
    assert np.isnan(again.trained.moments[2]).all() and np.isinf(again.trained.distances[2]).all()
    assert not again.trained.outside(np.array([2]), np.array([3.9])).any()


@pytest.mark.parametrize("part", ["trained:m,1,2:r,1", "trained:m,a,b,c,d:r,1,1,1,1", "trained:", "trained:m,1"])
def test_a_damaged_range_is_refused(hole, part):
    text = hole.dumps().replace("mmtp_fw-symmetrized", f"mmtp_fw-symmetrized;{part}")
    with pytest.raises(InputError, match="trained range of 2 species"):
        Potential.loads(text)


def test_leaving_the_trained_range_is_told(trained, frame):
    moments = frame.get_initial_magnetic_moments()
    assert trained.evaluate(frame, moments=moments).warnings == ()
    palladium = int(np.flatnonzero(frame.numbers == 46)[0])
    moments[palladium] = 1.5
    (told,) = trained.evaluate(frame, moments=moments).warnings
    assert "Pd" in told and "1.50" in told
    near = frame.copy()
    near.set_distance(0, int(np.argsort(frame.get_distances(0, range(32), mic=True))[1]), 2.05, mic=True)
    assert "below the shortest trained" in " ".join(trained.evaluate(near).warnings)


def test_a_minimum_inside_the_trained_range_is_preferred(trained, hole, frame):
    start = frame.get_initial_magnetic_moments()
    start[frame.numbers == 46] = -2.0
    away = trained.relax_moments(frame, start=start)
    assert not away.sound, "the hole of this potential at −2 μB"
    bare = frame.copy()
    bare.set_initial_magnetic_moments(np.zeros(len(frame)))
    found = trained.relax_moments(bare)
    assert found.sound and not found.outside.any()
    assert found.energy == pytest.approx(hole.relax_moments(frame).energy, abs=0.5)
