"""What a trajectory and plain LAMMPS say of moments that mean nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from mmtp_fw.md import MdSettings, MdState, PotentialModel, trajectory
from mmtp_fw.md.lammps import LammpsRun
from mmtp_fw.md.pair import PairRun
from mmtp_fw.potential import Potential, TrainedRange
from tests.md.test_lmp import EXAMPLES, lmp, script

DATA = Path(__file__).parents[1] / "potential" / "data"
STILL = MdSettings(thermostat_damping_fs=0.0, timestep_fs=1.0)


@pytest.fixture
def place(tmp_path):
    shutil.copytree(EXAMPLES, tmp_path / "example")
    return tmp_path / "example"


@pytest.fixture(scope="module")
def frame():
    return read(DATA / "hole.xyz")


@pytest.fixture
def hole(frame):
    """A potential with holes beside its minima, and the trained range of one frame."""
    potential = Potential.read(DATA / "hole.mmtp")
    potential.trained = TrainedRange.of(potential, [frame])
    return potential


@pytest.mark.parametrize("run", [PairRun, LammpsRun])
def test_moments_in_lammps_stay_in_their_basin(hole, frame, run):
    start = frame.get_initial_magnetic_moments()
    one = run(frame, PotentialModel(hole, start, 1), STILL)
    one.advance(0)
    relaxed = hole.relax_moments(frame, start=start)
    assert one.state.converged and not one.state.at_bounds
    assert one.thermo()["potential_energy_eV"] == pytest.approx(relaxed.energy, abs=1e-5)
    one.close()


def test_moments_in_a_hole_end_a_trajectory(hole, frame):
    start = frame.get_initial_magnetic_moments()
    start[frame.numbers == 46] = -2.0
    result = trajectory(PotentialModel(hole, start, 1), frame, MdSettings(steps=5))
    assert result.state in (MdState.MOMENTS_AT_BOUND, MdState.MOMENTS_NOT_RELAXED)
    assert result.steps_done == 0 and result.outside == 1


def test_leaving_the_trained_range_selects_like_a_high_grade(hole, frame, active):
    class Known:
        sites_only = False

        @staticmethod
        def grade(atoms):
            return 1.0

    start = frame.get_initial_magnetic_moments()
    settings = MdSettings(steps=10, sample_interval=5, candidate_interval=5)
    inside = trajectory(PotentialModel(hole, start, 0), frame, settings, Known())
    assert inside.state is MdState.COMPLETED and inside.outside == 0 and not inside.candidates
    start[frame.numbers == 46] = 1.0
    result = trajectory(PotentialModel(hole, start, 0), frame, settings, Known())
    assert result.state is MdState.COMPLETED and result.max_grade == 1.0
    assert result.outside == 11 and "Pd" in result.message
    assert [atoms.info["step"] for atoms in result.candidates] == [0, 5, 10]
    assert all("outside the trained" in atoms.info["outside"] for atoms in result.candidates)


def test_plain_lammps_refuses_moments_that_are_all_zero(place):
    script(place, "in.write", "read_data fe-pd.data fix mom NULL mom", "run 0", "write_restart r.rst")
    lmp(place, "in.write")
    lost = (place / "in.write").read_text().splitlines()
    lost = [line for line in lost if not line.startswith(("read_data", "write_restart"))]
    lost.insert(lost.index("fix mom all property/atom d_mag ghost yes") + 1, "read_restart r.rst")
    (place / "in.lost").write_text("\n".join(lost) + "\n")
    assert "all moments are zero" in lmp(place, "in.lost", ok=False)
    kept = [line.replace("tolerance 1e-6", "moments fixed") for line in lost]
    (place / "in.kept").write_text("\n".join(kept) + "\n")
    assert "all moments are zero and kept there" in lmp(place, "in.kept")


@pytest.mark.parametrize(
    ("moments", "change", "words"),
    [
        ("relax", "set group all d_mag 9", "moments outside [-4, 4] μB, relaxed from its bound"),
        ("fixed", "set group all d_mag 9", "where the potential is extrapolated"),
        ("fixed", "change_box all x scale 0.6 y scale 0.6 z scale 0.6 remap", "atoms closer than the potential"),
        ("relax", "change_box all x scale 1.7 y scale 1.7 z scale 1.7 remap", "at the bound of [-4, 4] μB"),
        ("fixed", "set type 2 d_mag 2", "moments beyond those that the potential was trained for"),
    ],
)
def test_plain_lammps_warns_of_what_the_potential_does_not_know(place, fepd, invar, moments, change, words):
    known = fepd.copy()
    known.trained = TrainedRange.of(known, [invar])
    known.write(place / "fe-pd.mmtp")
    start = "read_data fe-pd.data fix mom NULL mom"
    text = (place / script(place, "in.far", start, change, "run 0")).read_text()
    (place / "in.far").write_text(text.replace("mmtp tolerance 1e-6", f"mmtp moments {moments}"))
    warnings = [line for line in lmp(place, "in.far").splitlines() if line.startswith("WARNING: pair_style mmtp")]
    assert words in " ".join(warnings)
    assert len(warnings) == len(set(warnings))


def test_within_its_ranges_plain_lammps_says_nothing(place, fepd):
    known = fepd.copy()
    known.trained = TrainedRange(np.array([[-3.5, 3.5], [-0.8, 0.8]]), np.full((2, 2), 2.3))
    known.write(place / "fe-pd.mmtp")
    script(place, "in.usual", "read_data fe-pd.data fix mom NULL mom", "run 20")
    assert "WARNING: pair_style" not in lmp(place, "in.usual")
