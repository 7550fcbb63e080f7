"""What gives no forces: moments that have no minimum, leave their basin, or what was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from mmtp_fw.errors import InputError
from mmtp_fw.phonons import AdiabaticSurface, Arrangement, PhononSettings, SurfaceError, drawn, phonons
from mmtp_fw.phonons.study import study
from mmtp_fw.potential import Potential, TrainedRange

POTENTIAL = Path(__file__).parents[2] / "docs" / "examples" / "fe-pd.mmtp"


@pytest.fixture
def potential():
    return Potential.read(POTENTIAL)


@pytest.fixture
def atoms():
    made = bulk("Fe", "fcc", 3.7, cubic=True)
    made.symbols[0] = "Pd"
    return made


FERROMAGNETIC = np.array([0.3, 2.6, 2.6, 2.6])


def trained(iron: float, distance: float = 2.3) -> TrainedRange:
    return TrainedRange(np.array([[-iron, iron], [-0.6, 0.6]]), np.full((2, 2), distance))


def test_forces_do_not_depend_on_what_was_asked_before(potential, atoms):
    surface = AdiabaticSurface(potential, atoms, FERROMAGNETIC)
    moved, other = atoms.copy(), atoms.copy()
    moved.positions[1, 0] += 0.02
    other.positions[2] -= 0.05
    first = surface.forces(moved)
    surface.forces(other)
    np.testing.assert_array_equal(surface.forces(moved), first)
    assert surface.verdicts == {"converged": 4} and 0 < surface.largest_change < 0.1


def test_moments_outside_the_trained_range_are_refused_or_told(potential, atoms):
    potential.trained = trained(iron=1.5)
    with pytest.raises(SurfaceError, match=r"the undisplaced cell: 3 of 4 relaxed moments lie outside .*--extrapolate"):
        phonons(potential, atoms, FERROMAGNETIC)
    found = phonons(potential, atoms, FERROMAGNETIC, PhononSettings(mesh_A=4.0, extrapolate=True))
    assert "3 moments of Fe" in found.warnings[0] and found.verdicts["outside the trained range"] > 1


def test_distances_outside_the_trained_range_are_refused(potential, atoms):
    potential.trained = trained(iron=3.0, distance=2.9)
    with pytest.raises(SurfaceError, match="lies below the shortest trained one"):
        phonons(potential, atoms, FERROMAGNETIC)


def test_a_trained_range_that_is_kept_says_nothing(potential, atoms):
    potential.trained = trained(iron=3.0)
    found = phonons(potential, atoms, FERROMAGNETIC, PhononSettings(mesh_A=4.0))
    assert not any("trained" in line for line in found.warnings)


def test_an_unknown_trained_range_is_told(potential, atoms):
    assert "does not say what it was trained for" in AdiabaticSurface(potential, atoms, FERROMAGNETIC).warnings[0]


def test_moments_that_leave_their_basin_are_refused(potential, atoms):
    surface = AdiabaticSurface(potential, atoms, FERROMAGNETIC)
    surface.moments = surface.moments + np.array([0.0, 0.6, 0.0, 0.0])  # no minimum: it will go back
    with pytest.raises(SurfaceError, match=r"displacement 7: the moment of atom 1 leaps from .*another basin"):
        surface.forces(atoms, "displacement 7")


def test_moments_without_a_minimum_are_refused(atoms):
    untrained = Potential.from_level(4, ["Fe", "Pd"], max_moment=3.0, seed=1)
    with pytest.raises(SurfaceError, match=r"the undisplaced cell: .* end at the bound"):
        AdiabaticSurface(untrained, atoms, FERROMAGNETIC)


def test_a_start_of_zeros_is_refused(potential, atoms):
    with pytest.raises(InputError, match="always stationary"):
        phonons(potential, atoms, np.zeros(4))


def test_potentials_without_moments_have_phonons_too():
    plain = Potential.from_level(4, ["Fe"], magnetic_size=0, seed=2)
    found = phonons(plain, bulk("Fe", "fcc", 3.7), None, PhononSettings((2, 2, 2), relax=False, mesh_A=4.0))
    assert found.verdicts == {} and not found.atoms.get_initial_magnetic_moments().any()


def test_positions_come_to_rest_first_unless_they_are_to_stay(potential, atoms):
    atoms.rattle(0.03, seed=1)
    rest = phonons(potential, atoms, FERROMAGNETIC, PhononSettings(mesh_A=4.0))
    assert rest.residual_eV_per_A <= 2e-3 and rest.modes.stable
    there = phonons(potential, atoms, FERROMAGNETIC, PhononSettings(mesh_A=4.0, relax=False))
    np.testing.assert_array_equal(there.atoms.positions, atoms.positions)
    assert any("eV/Å at rest" in line for line in there.warnings)


def test_disordered_moments_are_drawn_by_seed(atoms):
    big = atoms * (2, 2, 2)
    one, two, same = (drawn(big, "disordered", {"Fe": 2.6, "Pd": 0.3}, seed) for seed in (1, 2, 1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != two) and 0 < np.count_nonzero(one < 0) < len(big)
    np.testing.assert_allclose(np.abs(one[big.numbers == 26]), 2.6)
    with pytest.raises(InputError, match="needs typical moments"):
        drawn(big, "ferromagnetic", {}, 1)


def test_moments_that_turn_on_the_way_are_told(potential, atoms):
    """Pd's moment is induced: it follows its neighbours, whatever sign it starts with."""
    found = phonons(potential, atoms, np.array([-0.3, 2.6, 2.6, 2.6]), PhononSettings(mesh_A=4.0))
    assert found.turned == {"Pd": 1} and any(line.endswith("1 of Pd") for line in found.warnings)


def test_arrangements_without_phonons_are_counted(potential, atoms):
    potential.trained = trained(iron=2.2)
    far = atoms.copy()
    far.set_cell(1.05 * np.asarray(far.cell), scale_atoms=True)  # where the moment of iron is larger
    asked = [Arrangement("near", atoms, FERROMAGNETIC), Arrangement("far", far, FERROMAGNETIC)]
    found = study(potential, asked, PhononSettings(mesh_A=4.0), 2.0, [300.0])
    assert list(found.found) == ["near"] and "outside the range" in found.refused["far"]
    assert found.warnings[0].startswith("1 of 2 arrangements gave no phonons")
    with pytest.raises(SurfaceError, match="far: the undisplaced cell"):
        study(potential, asked[1:], PhononSettings(mesh_A=4.0), 2.0, [300.0])
