"""``pair_style mmtp`` in real LAMMPS: the potential's own numbers, whatever the cell, the threads and the ranks."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc100, make_supercell
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmtp_fw.errors import EngineError, InputError
from mmtp_fw.md import MdSettings, MdState, PotentialModel, trajectory
from mmtp_fw.md.lammps import LammpsRun
from mmtp_fw.md.pair import PairRun
from mmtp_fw.md.plugin import build
from mmtp_fw.potential import Potential
from mmtp_fw.potential.threads import threads

STILL = MdSettings(thermostat_damping_fs=0.0, timestep_fs=1.0)


def cell(kind: str) -> Atoms:
    """Cells of 2 to 108 atoms, smaller and larger than twice the cut-off, with and without surfaces."""
    iron = bulk("Fe", "fcc", a=3.75)
    atoms = {
        "two atoms": lambda: iron * (2, 1, 1),
        "sixteen": lambda: bulk("Fe", "fcc", a=3.75, cubic=True) * (2, 2, 1),
        "large": lambda: bulk("Fe", "fcc", a=3.75, cubic=True) * (3, 3, 3),
        "triclinic": lambda: make_supercell(iron, [[2, 0, 0], [1, 2, 0], [0, 1, 2]]),
        "surface": lambda: fcc100("Fe", (2, 2, 4), a=3.75, vacuum=6.0, periodic=True),
    }[kind]()
    atoms.rattle(0.05, seed=4)
    random = np.random.default_rng(3)
    atoms.set_chemical_symbols(random.choice(["Fe", "Pd"], len(atoms)))
    atoms.set_initial_magnetic_moments(random.uniform(-2.5, 2.5, len(atoms)))
    atoms.positions += 0.4 * atoms.cell[0] + 1.3 * atoms.cell[1]  # outside the cell as well
    return atoms


def check(run: PairRun, atoms: Atoms, potential: Potential, tolerance: float = 1e-10) -> None:
    """Compare everything that LAMMPS knows with the potential's own evaluation of the same configuration."""
    now = run.snapshot()
    result = potential.evaluate(now)
    n = len(atoms)
    forces = run.cell.prism.vector_to_ase(run.cell.gather("f"))
    per_atom = run.cell.lmp.extract_compute("energies", 1, 1)
    energies = np.empty(n)
    energies[run._order()] = [per_atom[i] for i in range(n)]
    thermo = run.thermo()
    assert abs(thermo["potential_energy_eV"] - result.energy) < tolerance * max(1, abs(result.energy))
    assert np.abs(forces - result.forces).max() < tolerance
    assert np.abs(energies - result.energies).max() < tolerance
    kinetic = 2 * now.get_kinetic_energy() / 3 / now.get_volume()
    pressure = (kinetic - np.mean(result.stress[:3])) / units.GPa
    assert thermo["pressure_GPa"] == pytest.approx(pressure, rel=2e-6, abs=2e-6)


def fixed(potential, atoms) -> PairRun:
    run = PairRun(atoms, PotentialModel(potential, atoms.get_initial_magnetic_moments(), 0), STILL)
    run.cell.commands("compute energies all pe/atom", "fix e all ave/atom 1 1 1 c_energies")
    return run


@pytest.mark.parametrize("kind", ["two atoms", "sixteen", "large", "triclinic", "surface"])
def test_energy_forces_and_pressure_are_the_potentials(fepd, kind):
    atoms = cell(kind)
    run = fixed(fepd, atoms)
    run.advance(0)
    check(run, atoms, fepd)
    run.advance(3)
    check(run, atoms, fepd)
    run.close()


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    level=st.sampled_from([2, 6, 10]),
    size=st.integers(1, 4),
    symmetrized=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_potential_gives_the_same_in_lammps(level, size, symmetrized, seed):
    potential = Potential.from_level(
        level, ["Pd", "Fe"], r_min=1.5, r_cut=4.5, magnetic_size=size, max_moment=3.0,
        symmetrized=symmetrized, seed=seed,
    )  # fmt: skip
    atoms = cell("triclinic")
    run = fixed(potential, atoms)
    run.advance(0)
    check(run, atoms, potential, 1e-9)
    run.close()


def test_threads_give_the_same(fepd):
    atoms = cell("large")
    with threads(3):
        run = fixed(fepd, atoms)
    run.advance(2)
    check(run, atoms, fepd)
    run.close()


def test_relaxed_moments_are_those_of_the_relaxation(fepd, invar):
    run = PairRun(invar, PotentialModel(fepd, invar.get_initial_magnetic_moments(), 1, 1e-6), STILL)
    run.advance(5)
    now = run.snapshot()
    relaxed = fepd.relax_moments(now, start=now.get_initial_magnetic_moments(), tolerance=1e-8)
    assert np.abs(relaxed.moments - now.get_initial_magnetic_moments()).max() < 1e-5
    assert run.thermo()["potential_energy_eV"] == pytest.approx(relaxed.energy, abs=1e-8)
    assert np.abs(fepd.evaluate(now).magnetic_forces).max() <= 1e-6
    assert run.state.at_bounds == relaxed.at_bounds.any()
    run.close()


def test_pair_style_and_callback_run_the_same_trajectory(fepd, invar):
    model = PotentialModel(fepd, invar.get_initial_magnetic_moments(), 1, 1e-7)
    both = [PairRun(invar, model, STILL), LammpsRun(invar, model, STILL)]
    for run in both:
        run.advance(40)
    ends = [run.snapshot() for run in both]
    assert np.abs(ends[0].positions - ends[1].positions).max() < 1e-6
    moments = [end.get_initial_magnetic_moments() for end in ends]
    assert np.abs(moments[0] - moments[1]).max() < 1e-5
    for run in both:
        run.close()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", ["two atoms", "triclinic", "large"])
def test_grades_inside_lammps_are_those_of_the_active_set(fepd, active, kind, count):
    atoms = cell(kind)
    with threads(count):
        model = PotentialModel(fepd, atoms.get_initial_magnetic_moments(), 0)
        run = PairRun(atoms, model, STILL.model_copy(update={"grade_interval": 2}), active)
    run.cell.commands("fix grades all pair 1 mmtp grade 0")
    run.advance(0)
    for _ in range(2):
        expected = active.grades(run.snapshot())
        assert run.grade == pytest.approx(expected.max(), rel=1e-8)
        found = np.empty(len(atoms))
        column = run.cell.lmp.extract_fix("grades", 1, 1)
        found[run._order()] = [column[i] for i in range(len(atoms))]
        assert np.allclose(found, expected, rtol=1e-7, atol=1e-9)
        run.advance(2)
    run.close()


def test_a_trajectory_saves_and_stops_by_the_grades_of_lammps(fepd, active, invar):
    low = float(active.grade(invar))
    settings = MdSettings(steps=40, gamma_select=0.5 * low, gamma_break=1e9, candidate_interval=10)
    result = trajectory(PotentialModel(fepd, invar.get_initial_magnetic_moments(), 1), invar, settings, active)
    assert result.state is MdState.COMPLETED
    assert len(result.candidates) >= 4
    for atoms in result.candidates:
        assert active.grade(atoms) == pytest.approx(atoms.info["grade"], rel=1e-6)
    assert result.max_grade >= max(atoms.info["grade"] for atoms in result.candidates)
    stopped = trajectory(
        PotentialModel(fepd, invar.get_initial_magnetic_moments(), 1),
        invar,
        settings.model_copy(update={"gamma_break": 0.9 * low}),
        active,
    )
    assert stopped.state is MdState.EXTRAPOLATED and stopped.candidates


def drift(run, steps: int, atoms: int) -> float:
    """Return the slope of the total energy in eV/atom/ps."""
    run.advance(0)
    energies = []
    for _ in range(steps // 5):
        run.advance(5)
        energies.append(run.thermo()["total_energy_eV"] / atoms)
    return abs(np.polyfit(np.arange(len(energies)) * 5e-3, energies, 1)[0])


def test_relaxed_moments_drain_no_energy(fepd, invar):
    hot = MdSettings(thermostat_damping_fs=0.0, timestep_fs=1.0, temperature_K=600)
    free = PairRun(invar, PotentialModel(fepd, invar.get_initial_magnetic_moments(), 1, 1e-4), hot)
    free.advance(0)
    relaxed = free.snapshot().get_initial_magnetic_moments()
    frozen = PairRun(invar, PotentialModel(fepd, relaxed, 0), hot)
    slopes = [drift(run, 800, len(invar)) for run in (free, frozen)]
    assert slopes[0] < slopes[1] + 2e-5, "eV/atom/ps, beyond that of fixed moments"
    assert 1.0 <= free.evaluations <= 3.0
    for run in (free, frozen):
        run.close()


def test_constant_pressure_scales_the_cell(fepd, invar):
    settings = MdSettings(steps=60, temperature_K=300, pressure_GPa=0.0, barostat_damping_fs=100.0, sample_interval=20)
    compressed = invar.copy()
    compressed.set_cell(invar.cell * 0.985, scale_atoms=True)
    result = trajectory(PotentialModel(fepd, invar.get_initial_magnetic_moments(), 1), compressed, settings)
    assert result.state is MdState.COMPLETED
    volumes = [frame.get_volume() for frame in result.frames]
    assert volumes[-1] > 1.005 * volumes[0], "it expands from high pressure"
    last = result.frames[-1]
    stress = fepd.evaluate(last).stress
    kinetic = 2 * last.get_kinetic_energy() / 3 / last.get_volume()
    pressure = (kinetic - stress[:3].mean()) / units.GPa
    assert result.thermo["pressure_GPa"][-1] == pytest.approx(pressure, abs=0.01)


def test_flips_obey_detailed_balance(tmp_path):
    """Eight rigid atoms of fixed |m| have 256 states: their averages by enumeration and by Monte Carlo agree."""
    potential = Potential.from_level(
        2, ["Fe"], r_min=1.5, r_cut=3.2, magnetic_size=2, max_moment=2.0, symmetrized=False, seed=4
    )
    atoms = bulk("Fe", "bcc", 2.87, cubic=True) * (2, 2, 1)
    atoms.set_initial_magnetic_moments(np.full(8, 1.0))
    states = [[1.0 if k >> i & 1 else -1.0 for i in range(8)] for k in range(256)]
    energies = np.array([potential.evaluate(atoms, moments=np.array(state)).energy for state in states])
    kelvin = np.std(energies) / units.kB
    weights = np.exp(-(energies - energies.min()) / (units.kB * kelvin))
    weights /= weights.sum()
    exact = weights @ energies
    magnetization = weights @ np.abs(np.mean(states, axis=1))
    settings = MdSettings(
        temperature_K=float(kelvin), flip_interval=1, flip_attempts=16, thermostat_damping_fs=0.0, seed=7
    )
    run = PairRun(atoms, PotentialModel(potential, np.full(8, 1.0), 0), settings)
    run.cell.commands("unfix move", "velocity all set 0 0 0")  # rigid
    run.advance(0)
    found = []
    for _ in range(3000):
        run.advance(1)
        found.append((run.thermo()["potential_energy_eV"], abs(run.state.moments.mean())))
    mean, error = np.mean(found[100:], axis=0), np.std(found[100:], axis=0) / np.sqrt(2900 / 4)
    assert abs(mean[0] - exact) < 4 * error[0]
    assert abs(mean[1] - magnetization) < 4 * error[1]
    flips = run.cell.lmp.extract_fix("flips", 0, 1, 0), run.cell.lmp.extract_fix("flips", 0, 1, 1)
    assert flips[0] >= 48000 and 0.05 < flips[1] / flips[0] < 0.95
    run.close()


def test_flips_stay_inside_the_magnetic_range():
    even = Potential.from_level(
        2, ["Fe"], r_min=1.5, r_cut=3.2, magnetic_size=2, max_moment=2.0, symmetrized=False, seed=4
    )
    potential = Potential.loads(re.sub(r"min_mag = \S+", "min_mag = -0.4", even.dumps()), ["Fe"])
    assert potential.min_moment == -0.4
    atoms = bulk("Fe", "bcc", 2.87, cubic=True) * (2, 2, 1)
    start = np.array([0.3, 1.0] * 4)
    atoms.set_initial_magnetic_moments(start)
    settings = MdSettings(temperature_K=1e6, flip_interval=1, flip_attempts=8, thermostat_damping_fs=0.0, seed=7)
    run = PairRun(atoms, PotentialModel(potential, start, 0), settings)
    run.cell.commands("unfix move", "velocity all set 0 0 0")
    seen = []
    for _ in range(10):
        run.advance(1)
        seen.append(run.state.moments.copy())
    assert np.all(np.array(seen)[:, 1::2] == 1.0) and np.any(np.array(seen)[:, ::2] == -0.3)
    run.close()


def test_moments_are_looked_at_also_where_they_are_not_relaxed(fepd, invar):
    moments = np.full(len(invar), fepd.max_moment)
    run = PairRun(invar, PotentialModel(fepd, moments, 0), STILL)
    run.advance(1)
    columns = run.cell.lmp.extract_compute("pair", 0, 1)
    torque = -fepd.evaluate(run.snapshot()).magnetic_forces
    left = np.abs(moments - np.clip(moments - torque, fepd.min_moment, fepd.max_moment))
    assert columns[2] == pytest.approx(left.max(), abs=1e-9) and columns[4] == len(invar)
    run.close()


def test_surfaces_may_stand_out_of_their_cell(fepd):
    slab = fcc100("Fe", (2, 2, 4), a=3.75, vacuum=None)
    slab.set_cell([*slab.cell[:2], [0, 0, 3 * 3.75 / 2 + 4]])
    slab.pbc = (True, True, False)
    slab.rattle(0.05, seed=4)
    slab.set_initial_magnetic_moments(np.full(len(slab), 2.2))
    assert slab.positions[:, 2].min() < 0
    run = fixed(fepd, slab)
    run.advance(0)
    assert run.thermo()["potential_energy_eV"] == pytest.approx(fepd.evaluate(slab).energy, abs=1e-9)
    run.close()


def test_a_barostat_that_goes_astray_ends_the_trajectory(fepd, invar):
    settings = MdSettings(
        steps=500, pressure_GPa=400.0, barostat_damping_fs=20.0, sample_interval=1, max_temperature_factor=1e9
    )
    result = trajectory(PotentialModel(fepd, invar.get_initial_magnetic_moments(), 1), invar, settings)
    assert result.state is not MdState.COMPLETED and result.message
    assert result.frames and all(np.all(np.isfinite(frame.cell)) for frame in result.frames)
    ratio = result.last.get_volume() / invar.get_volume()
    assert 0.2 < ratio < 5


def test_what_lammps_refuses_in_the_middle_keeps_what_came_before(fepd, invar, monkeypatch):
    real, calls = PairRun.advance, []

    def breaking(self, steps):
        calls.append(steps)
        if len(calls) == 4:
            raise EngineError("ERROR: Too many neighbor bins")
        return real(self, steps)

    monkeypatch.setattr(PairRun, "advance", breaking)
    settings = MdSettings(steps=50, sample_interval=1)
    result = trajectory(PotentialModel(fepd, invar.get_initial_magnetic_moments(), 1), invar, settings)
    assert result.state is MdState.CRASHED and "neighbor bins" in result.message
    assert len(result.frames) == 3 and result.steps_done == 2


def test_atoms_on_top_of_each_other_are_an_explosion(fepd, invar):
    bad = invar.copy()
    bad.positions[1] = bad.positions[0]
    result = trajectory(PotentialModel(fepd, invar.get_initial_magnetic_moments(), 1), bad, MdSettings(steps=5))
    assert result.state is MdState.EXPLODED
    assert "coincide" in result.message


def test_without_a_compiler_python_drives_lammps(fepd, invar, monkeypatch, tmp_path):
    here = build.plugin()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert build.plugin() == here, "one that is built needs no compiler"
    monkeypatch.setenv("MMTP_CACHE", str(tmp_path))
    model = PotentialModel(fepd, invar.get_initial_magnetic_moments(), 1)
    with pytest.warns(UserWarning, match="no C\\+\\+ compiler"):
        result = trajectory(model, invar, MdSettings(steps=5))
    assert result.state is MdState.COMPLETED
    with pytest.warns(UserWarning), pytest.raises(EngineError, match="flip_interval"):
        trajectory(model, invar, MdSettings(steps=5, flip_interval=1))


def test_a_failing_compiler_is_quoted(monkeypatch, tmp_path):
    compiler = tmp_path / "cxx"
    compiler.write_text("#!/bin/sh\n[ $1 = --version ] || { echo 'error: no such header' >&2; exit 1; }\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(EngineError, match="no such header"):
        build.plugin(directory=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_a_species_that_the_potential_lacks_is_refused(fepd):
    atoms = bulk("Cr", cubic=True)
    with pytest.raises(InputError, match="knows Fe, Pd, not Cr"):
        PairRun(atoms, PotentialModel(fepd, np.ones(2), 0), STILL)


def test_an_explosion_is_noticed_and_what_came_before_is_kept(fepd, invar):
    invar.set_velocities(np.random.default_rng(1).normal(scale=0.9, size=(32, 3)))
    settings = MdSettings(steps=500, timestep_fs=2.0, thermostat_damping_fs=0.0, sample_interval=1)
    result = trajectory(PotentialModel(fepd, invar.get_initial_magnetic_moments(), 1), invar, settings)
    assert result.state in (MdState.EXPLODED, MdState.NOT_A_NUMBER, MdState.MOMENTS_AT_BOUND, MdState.LOST_ATOMS)
    assert result.message and result.steps_done < 500
    assert len(result.frames) >= 1 and result.thermo["step"][0] == 0


def test_a_moment_that_is_no_number_ends_the_trajectory(fepd, invar):
    moments = invar.get_initial_magnetic_moments()
    moments[3] = np.nan
    result = trajectory(PotentialModel(fepd, moments, 0), invar, MdSettings(steps=5))
    assert result.state is MdState.NOT_A_NUMBER and "not finite" in result.message
