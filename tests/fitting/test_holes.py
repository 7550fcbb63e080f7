"""Holes at moments that no label had: found before a trajectory finds them, with a candidate that closes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read

from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.fitting import FitSettings, check_stability, fit
from mmtp_fw.potential import Potential, TrainedRange
from mmtp_fw.structures import generate

ROOT = Path(__file__).parents[1]
DATA = ROOT / "potential" / "data"
EXAMPLE = ROOT.parent / "docs" / "examples" / "fe-pd.mmtp"


@pytest.fixture(scope="module")
def frame():
    return read(DATA / "hole.xyz")


def ranged(path: Path, frame) -> Potential:
    """Return a potential of the demonstration with the range that its labels had."""
    potential = Potential.read(path)
    distances = TrainedRange.of(potential, [frame]).distances
    potential.trained = TrainedRange(np.array([[-3.2, 3.2], [-0.5, 0.5]]), distances)
    return potential


def test_a_hole_at_large_moments_is_found(frame):
    potential = ranged(DATA / "hole.mmtp", frame)
    found = check_stability(potential, [frame])
    assert not found.stable and not found.holes
    (hole,) = found.moment_holes
    assert hole.species == "Pd" and hole.depth > 1.0 and 0.0 < hole.barrier < 1.0
    assert abs(hole.moment) > 0.6 and f"{hole.depth:.3g}" in found.messages[0]
    assert found.within_reach(300.0) == [hole] and not found.within_reach(50.0)


def test_its_candidate_is_where_the_fall_begins(frame):
    potential = ranged(DATA / "hole.mmtp", frame)
    (candidate,) = check_stability(potential, [frame]).candidates
    moments = candidate.get_initial_magnetic_moments()
    changed = np.flatnonzero(moments != frame.get_initial_magnetic_moments())
    assert 1 <= len(changed) <= 10 and np.all(candidate.numbers[changed] == 46)
    assert np.all(np.abs(moments[changed]) > 0.6), "beyond what was trained"
    assert potential.evaluate(candidate).energy < potential.evaluate(frame).energy
    assert "outside the trained" in " ".join(potential.evaluate(candidate).warnings)
    np.testing.assert_array_equal(candidate.positions, frame.positions)


def test_a_potential_without_holes_has_none(frame):
    found = check_stability(ranged(EXAMPLE, frame), [frame])
    assert found.stable and not found.messages and not found.moment_holes


def test_where_labels_reach_the_ends_of_the_range_there_is_nothing_beyond(frame):
    potential = ranged(DATA / "hole.mmtp", frame)
    potential.trained = TrainedRange(np.array([[-4.0, 4.0], [-4.0, 4.0]]), potential.trained.distances)
    assert not check_stability(potential, [frame]).moment_holes
    plain = Potential.from_level(4, ["Fe", "Pd"], r_min=1.9, magnetic_size=0)
    assert not check_stability(plain, [frame]).moment_holes


def test_a_fit_records_its_range_and_looks_for_holes():
    model, labels = ReferenceHamiltonian(), []
    for atoms in generate({"Fe": 0.75, "Pd": 0.25}, [3.75], {"Fe": 2.5, "Pd": 0.3}, 8, supercell=(1, 1, 1), seed=3):
        found = model.evaluate(atoms, atoms.get_initial_magnetic_moments())
        atoms.set_array("magnetic_forces", found.magnetic_forces)
        atoms.calc = SinglePointCalculator(
            atoms, energy=found.energy, forces=found.forces, stress=found.stress, magmoms=found.moments
        )
        labels.append(atoms)
    form = Potential.from_level(6, ["Fe", "Pd"], r_min=1.6, radial_size=4, magnetic_size=3, seed=2)
    result = fit(form, labels, settings=FitSettings(max_iterations=30, threads=1))
    again = Potential.loads(result.potential.dumps())
    expected = TrainedRange.of(form, labels)
    np.testing.assert_array_equal(again.trained.moments, expected.moments)
    np.testing.assert_array_equal(again.trained.distances, expected.distances)
    holes = check_stability(result.potential, labels)
    assert set(holes.messages) <= set(result.warnings)
    assert form.trained is None
