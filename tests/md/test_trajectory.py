"""Trajectories in LAMMPS: right forces, conserved energy, and every way to end with what came before."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, make_supercell
from ase.geometry import find_mic

from mmtp_fw.dft.hamiltonian_calculator import HamiltonianCalculator
from mmtp_fw.errors import InputError
from mmtp_fw.md import CalculatorModel, MdSettings, MdState, PotentialModel, run_md, trajectory
from mmtp_fw.md.lammps import LammpsRun
from mmtp_fw.md.models import ModelState
from mmtp_fw.potential import Potential

GPA = 160.21766208


def cell(kind: str):
    """Cells smaller than twice the cut-off, of every shape."""
    if kind == "primitive":
        atoms = bulk("Fe", "fcc", a=3.75)
    elif kind == "triclinic":
        atoms = make_supercell(bulk("Fe", "fcc", a=3.75), [[2, 0, 0], [1, 2, 0], [0, 1, 2]])
    else:
        atoms = bulk("Fe", "fcc", a=3.75, cubic=True) * (2, 2, 1)
    atoms.symbols[::3] = "Pd"
    atoms.rattle(0.03, seed=4)
    atoms.set_initial_magnetic_moments([2.6 if s == "Fe" else 0.3 for s in atoms.symbols])
    return atoms


@pytest.fixture(scope="module")
def potential():
    """An untrained potential, weak enough not to tear a crystal apart at once."""
    made = Potential.from_level(6, ["Fe", "Pd"], r_min=1.9, r_cut=5.0, magnetic_size=2, seed=3)
    made.parameters = 0.05 * made.parameters
    return made


class Springs:
    """Atoms tied to their sites: a model with a known answer."""

    def __init__(self, sites, constant=2.0):
        self.sites, self.constant = sites, constant

    def evaluate(self, atoms):
        away = find_mic(atoms.get_positions() - self.sites, atoms.cell)[0]
        energy = 0.5 * self.constant * float((away**2).sum())
        return ModelState(energy, -self.constant * away, np.zeros(6), np.zeros(len(atoms)))


@pytest.mark.parametrize("kind", ["primitive", "cubic", "triclinic"])
def test_lammps_sees_the_models_energy_forces_and_pressure(kind):
    atoms = cell(kind)
    model = CalculatorModel(HamiltonianCalculator(), atoms.get_initial_magnetic_moments())
    run = LammpsRun(atoms, model, MdSettings(timestep_fs=1.0, thermostat_damping_fs=0.0))
    run.advance(0)
    for steps in (0, 3):
        run.advance(steps)
        snapshot = run.snapshot()
        snapshot.calc = HamiltonianCalculator()
        thermo = run.thermo()
        assert thermo["potential_energy_eV"] == pytest.approx(snapshot.get_potential_energy(), abs=1e-7)
        pressure = -snapshot.get_stress(include_ideal_gas=True)[:3].mean() * GPA
        assert thermo["pressure_GPa"] == pytest.approx(pressure, rel=1e-6, abs=1e-6)
    run.close()


def test_lammps_moves_atoms_as_newton_does():
    atoms = cell("triclinic")
    sites = atoms.get_positions()
    atoms.positions[2] += (0.1, -0.05, 0.2)
    atoms.set_velocities(np.zeros((len(atoms), 3)) + 1e-12)
    run = LammpsRun(atoms, Springs(sites), MdSettings(timestep_fs=1.0, thermostat_damping_fs=0.0))
    run.advance(0)
    run.advance(50)
    frequency = np.sqrt(2.0 / atoms.get_masses()[2])
    expected = np.array([0.1, -0.05, 0.2]) * np.cos(frequency * 50 * units.fs)
    away = find_mic(run.snapshot().get_positions() - sites, atoms.cell)[0]
    assert away[2] == pytest.approx(expected, abs=2e-4)
    run.close()


def test_energy_is_conserved_with_relaxed_moments():
    atoms = cell("cubic")
    hamiltonian = HamiltonianCalculator()
    model = CalculatorModel(hamiltonian, atoms.get_initial_magnetic_moments())
    settings = MdSettings(steps=400, timestep_fs=1.0, thermostat_damping_fs=0.0, temperature_K=600)
    result = trajectory(model, atoms, settings)
    energy = result.thermo["total_energy_eV"] / len(atoms)
    slope = np.polyfit(result.thermo["step"] * 1e-3, energy, 1)[0]  # eV/atom/ps
    assert result.state is MdState.COMPLETED
    assert abs(slope) < 1e-4
    assert energy.std() < 1e-4


def test_thermostat_holds_the_temperature():
    atoms = cell("cubic")
    result = trajectory(Springs(atoms.get_positions()), atoms, MdSettings(steps=6000, sample_interval=20))
    assert result.thermo["temperature_K"][50:].mean() == pytest.approx(300.0, rel=0.25)


def test_same_seed_same_trajectory(potential):
    atoms = cell("cubic")
    runs = [
        trajectory(PotentialModel(potential, atoms.get_initial_magnetic_moments(), 0), atoms, MdSettings(steps=20))
        for _ in range(2)
    ]
    assert np.array_equal(runs[0].frames[-1].positions, runs[1].frames[-1].positions)


class Grades:
    """Stands for an active set whose grade is known: it grows with the step."""

    def __init__(self, values):
        self.values = iter(values)

    def grade(self, atoms):
        return next(self.values)


def test_candidates_are_saved_above_one_threshold_and_the_run_stops_above_the_other():
    atoms = cell("cubic")
    settings = MdSettings(steps=100, grade_interval=5, gamma_select=2.0, gamma_break=10.0)
    grades = Grades([0.5, 1.0, 2.5, 1.5, 9.0, 11.0])
    result = trajectory(Springs(atoms.get_positions()), atoms, settings, grades)
    assert result.state is MdState.EXTRAPOLATED
    assert result.steps_done == 25
    assert [(a.info["step"], a.info["grade"]) for a in result.candidates] == [
        (10, 2.5),
        (20, 9.0),
        (25, 11.0),
    ]
    assert result.max_grade == 11.0
    assert len(result.thermo["step"]) == 3


def test_grade_is_looked_at_every_step_and_neighbours_in_time_are_not_both_saved():
    atoms = cell("cubic")
    grades = Grades([0.5, 0.5, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 11.0])
    result = trajectory(Springs(atoms.get_positions()), atoms, MdSettings(steps=100), grades)
    assert result.state is MdState.EXTRAPOLATED
    assert result.steps_done == 8
    assert [a.info["step"] for a in result.candidates] == [2, 7, 8]


@pytest.mark.parametrize(
    ("grades", "saved"),
    [
        ([0.5, 3.0, 4.0, 2.0, 9.0, 1e5], [(1, 3.0), (4, 9.0)]),  # the last one above γ_select, not yet saved
        ([0.5, 1.0, 3.0, 1e5], [(2, 3.0)]),  # it was saved already
        ([0.5, 1.0, 1.5, 1e5, 0.75], [(2, 0.75)]),  # none was above: the last sample, graded now
        ([1e5], [(0, 1e5)]),  # nothing was before
        ([0.5, 1.0, 3.0, 90.0], [(2, 3.0), (3, 90.0)]),  # far, but no explosion
    ],
)
def test_a_frame_that_has_flown_apart_is_replaced_by_the_last_sane_one(grades, saved):
    atoms = cell("cubic")
    result = trajectory(Springs(atoms.get_positions()), atoms, MdSettings(steps=100, sample_interval=2), Grades(grades))
    assert result.state is MdState.EXTRAPOLATED and result.max_grade == max(grades)
    assert [(a.info["step"], a.info["grade"]) for a in result.candidates] == saved
    assert all("grade" not in frame.info for frame in result.frames)


def test_enough_candidates_end_the_run():
    atoms = cell("cubic")
    settings = MdSettings(steps=100, grade_interval=5, max_candidates=4)
    result = trajectory(Springs(atoms.get_positions()), atoms, settings, Grades([3.0] * 100))
    assert result.state is MdState.TOO_MANY_CANDIDATES
    assert len(result.candidates) == 4


class After:
    """A model that goes wrong after some evaluations."""

    def __init__(self, atoms, what):
        self.good, self.what, self.calls = Springs(atoms.get_positions()), what, 0

    def evaluate(self, atoms):
        self.calls += 1
        state = self.good.evaluate(atoms)
        if self.calls < 30:
            return state
        if self.what == "nan":
            return ModelState(state.energy, state.forces * np.nan, state.stress, state.moments)
        if self.what == "kick":
            return ModelState(state.energy, state.forces + 500.0 * np.sign(state.forces), state.stress, state.moments)
        if self.what == "bound":
            return ModelState(state.energy, state.forces, state.stress, state.moments, at_bounds=True)
        raise InputError("atoms 1 and 2 coincide")


@pytest.mark.parametrize(
    ("what", "state"),
    [
        ("nan", MdState.NOT_A_NUMBER),
        ("kick", MdState.EXPLODED),
        ("bound", MdState.MOMENTS_AT_BOUND),
        ("coincide", MdState.EXPLODED),
    ],
)
def test_a_broken_trajectory_says_how_and_keeps_what_came_before(what, state):
    atoms = cell("cubic")
    result = trajectory(After(atoms, what), atoms, MdSettings(steps=200))
    assert result.state is state
    assert result.message
    assert list(result.thermo["step"][:3]) == [0.0, 10.0, 20.0]
    assert result.steps_done < 200


def test_wall_time_and_a_wish_to_stop_end_cleanly():
    atoms = cell("cubic")
    springs = Springs(atoms.get_positions())
    late = trajectory(springs, atoms, MdSettings(steps=10**6, wall_seconds=0.3))
    assert late.state is MdState.WALL_TIME
    asked = trajectory(springs, atoms, MdSettings(steps=10**6), should_stop=lambda: True)
    assert (asked.state, asked.steps_done) == (MdState.INTERRUPTED, 10)


def test_energy_is_conserved_while_moments_follow_the_atoms():
    made = Potential.from_level(4, ["Fe", "Pd"], r_min=1.9, r_cut=5.0, magnetic_size=5, max_moment=4.0, seed=1)
    # A double well in m on every site, an exchange that changes with distance, and repulsion.
    theta = np.zeros(made.n_parameters)
    radial = theta[made.parameter_slices["radial"]].reshape(2, 2, 1, made.radial_size, 5, 5)
    radial[:, :, 0, 0, 2, 0], radial[:, :, 0, 0, 4, 0] = 0.11, 0.10
    radial[:, :, 0, 0, 1, 1], radial[:, :, 0, 1, 1, 1] = 0.03, 0.2
    radial[:, :, 0, 0, 0, 0], radial[:, :, 0, 1, 0, 0] = 0.2, -0.2
    theta[0] = 1.0
    made.parameters = theta
    settings = MdSettings(steps=600, timestep_fs=1.0, thermostat_damping_fs=0.0, sample_interval=5)
    result = trajectory(PotentialModel(made, np.full(16, 2.0), 1), cell("cubic"), settings)
    assert result.state is MdState.COMPLETED
    moments = np.array([frame.get_initial_magnetic_moments() for frame in result.frames])
    assert np.ptp(moments, axis=0).max() > 0.005  # the moments do have to follow
    assert 1.2 < result.moment_evaluations < 3.0
    assert np.abs(made.evaluate(result.frames[-1]).magnetic_forces).max() <= settings.relax_tolerance
    energy = result.thermo["total_energy_eV"] / 16
    slope = np.polyfit(result.thermo["step"] * 1e-3, energy, 1)[0]  # eV/atom/ps
    assert abs(slope) < 1e-5
    assert energy.std() < 1e-5


def test_run_md_in_its_own_process(potential, tmp_path):
    atoms = cell("cubic")
    result = run_md(potential, None, atoms, MdSettings(steps=20, relax_interval=0), tmp_path)
    assert result.state is MdState.COMPLETED
    here = trajectory(PotentialModel(potential, atoms.get_initial_magnetic_moments(), 0), atoms, MdSettings(steps=20))
    assert np.array_equal(result.frames[-1].positions, here.frames[-1].positions)
    assert not (tmp_path / "task.pickle").exists()


def test_run_md_survives_a_process_that_dies(potential, tmp_path):
    atoms = cell("cubic")
    stops = iter([False, False])

    def kill_child():
        import psutil

        for child in psutil.Process().children():
            if "mmtp_fw.md.driver" in " ".join(child.cmdline()):
                child.kill()
        return next(stops, False)

    result = run_md(potential, None, atoms, MdSettings(steps=10**6, relax_interval=0), tmp_path, kill_child)
    assert result.state is MdState.CRASHED
    assert "exit code" in result.message


def test_run_md_refuses_what_cannot_run(potential, tmp_path):
    atoms = cell("cubic")
    atoms.set_initial_magnetic_moments(np.zeros(16))
    with pytest.raises(InputError, match="zero"):
        run_md(potential, None, atoms, MdSettings(), tmp_path)
    with pytest.raises(InputError, match="three vectors"):
        run_md(potential, None, Atoms("Fe"), MdSettings(), tmp_path)
    other = cell("cubic")
    other.symbols[0] = "Ni"
    with pytest.raises(InputError, match="not Ni"):
        run_md(potential, None, other, MdSettings(), tmp_path)
    outside = cell("cubic")
    outside.set_initial_magnetic_moments(np.full(16, 2.0 * potential.max_moment))
    with pytest.raises(InputError, match="range"):
        run_md(potential, None, outside, MdSettings(relax_interval=0), tmp_path)


def test_run_md_kills_a_process_that_no_longer_answers(potential, tmp_path, monkeypatch):
    import psutil

    monkeypatch.setattr("mmtp_fw.md.run.START_SECONDS", 1.0)

    def freeze_child():
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.ZombieProcess, psutil.NoSuchProcess):  # killed since
                if "mmtp_fw.md.driver" in " ".join(child.cmdline()):
                    child.suspend()
        return False

    settings = MdSettings(steps=10**6, relax_interval=0, wall_seconds=0.5)
    result = run_md(potential, None, cell("cubic"), settings, tmp_path, freeze_child)
    assert result.state is MdState.CRASHED
    assert "no longer answered" in result.message
