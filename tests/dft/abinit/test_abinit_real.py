"""ABINIT itself: a constrained label of bcc Fe, end to end."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from mmtp_fw.dft import (
    CheckVerdict,
    ConstraintKind,
    OutcomeStatus,
    ProtocolSettings,
    StageName,
    get_engine,
    run_protocol,
)
from mmtp_fw.errors import EngineError
from tests.conftest import require

COARSE = {"ecut_Ha": 10, "pawecutdg_Ha": 20, "kspacing_per_A": 1.0}


SOFT = ProtocolSettings(constraint="soft")


def one_atom() -> Atoms:
    iron = bulk("Fe", "bcc", a=2.87)
    iron.set_initial_magnetic_moments([1.8])
    return iron


def test_hard_label_of_iron(tmp_path):
    require("abinit")
    engine, iron = get_engine("abinit", **COARSE), one_atom()
    outcome = run_protocol(engine, iron, ProtocolSettings(), tmp_path)
    assert outcome.status == OutcomeStatus.ACCEPTED, outcome.reason
    # How many steps a calculation takes depends on the build: one that did not converge is gone on with in the next.
    told = [stage for stage in outcome.stages if stage.converged]
    label, (hard, second, free, again) = outcome.label, told[:4]
    assert [s.name for s in told] == ["hard", "check", "equilibrium", "check", "accept"]
    assert abs(label.moments[0] - 1.8) <= 1e-3 and label.constraint == ConstraintKind.HARD
    # ABINIT prints its pressure in GPa beside the table in hartree/bohr³ that is read.
    pressures = re.findall(r"Pressure=\s*(\S+) GPa", (tmp_path / "00_hard" / "run.abo").read_text())
    assert -np.mean(label.stress[:3]) * 160.21766208 == pytest.approx(float(pressures[-1]), rel=1e-3)
    assert label.energy_eV > free.energy_eV, "a constraint costs energy"
    assert label.magnetic_forces[0] * (free.final_moments()[0] - 1.8) > 0, "towards the free moment"
    step = second.final_moments()[0] - hard.final_moments()[0]
    mean_force = 0.5 * (hard.magnetic_forces[0] + second.magnetic_forces[0])
    assert second.energy_eV - hard.energy_eV == pytest.approx(-mean_force * step, abs=1e-4)
    assert label.check.verdict == CheckVerdict.CONFIRMED
    assert again.energy_eV == pytest.approx(hard.energy_eV, abs=1e-5)
    assert 0 < hard.energy_noise_eV < 1e-4
    assert run_protocol(engine, iron, ProtocolSettings(), tmp_path, finished=outcome.stages).label == label
    assert "getden_filepath" in (tmp_path / "01_check" / "run.abi").read_text()


def test_soft_label_of_iron(tmp_path):
    require("abinit")
    engine, iron = get_engine("abinit", **COARSE), one_atom()
    outcome = run_protocol(engine, iron, SOFT, tmp_path, check=False)
    assert outcome.status == OutcomeStatus.ACCEPTED, outcome.reason
    label = outcome.label
    assert abs(label.moments[0] - 1.8) <= 0.05
    assert label.check.verdict == CheckVerdict.CONFIRMED
    hard = run_protocol(engine, iron, ProtocolSettings(), tmp_path / "hard", check=False).label
    assert label.extrapolation.energy_eV == pytest.approx(hard.energy_eV, abs=5e-4)
    assert label.magnetic_forces[0] == pytest.approx(hard.magnetic_forces[0], abs=0.02)
    free = outcome.stages[0]
    assert label.energy_eV > free.energy_eV, "a constraint costs energy"
    # The magnetic force against the energies: towards the free moment, and equal to −dE/dm.
    constrained = [s for s in outcome.stages if s.name in (StageName.RAMP, StageName.REFINE)]
    far, near = constrained[0], constrained[-1]
    step = near.final_moments()[0] - far.final_moments()[0]
    slope = (near.energy_eV - far.energy_eV) / step
    mean_force = 0.5 * (near.magnetic_forces[0] + far.magnetic_forces[0])
    assert -slope == pytest.approx(mean_force, rel=0.1)
    assert label.magnetic_forces[0] * (free.final_moments()[0] - 1.8) > 0
    # What is finished is not run again, and restart files are used where they are.
    assert run_protocol(engine, iron, SOFT, tmp_path, finished=outcome.stages, check=False).label == label
    text = (tmp_path / f"{constrained[0].index:02d}_ramp" / "run.abi").read_text()
    assert "getden_filepath" in text


def test_stopped_and_unreadable_runs(tmp_path):
    require("abinit")
    iron = one_atom()
    asked: list[bool] = []

    def soon() -> bool:
        asked.append(True)
        return len(asked) > 3

    stopped = run_protocol(get_engine("abinit", **COARSE), iron, directory=tmp_path, should_stop=soon)
    assert stopped.status == OutcomeStatus.INTERRUPTED
    assert not [s for s in stopped.stages if not s.converged]
    unfinished = get_engine("abinit", **(COARSE | {"nstep": 2}))
    with pytest.raises(EngineError, match="no self-consistent state"):
        unfinished.unconstrained(iron)
    assert np.all(iron.get_initial_magnetic_moments() == 1.8)


def test_in_a_work_directory_a_later_launch_goes_on_where_the_first_was_stopped(tmp_path):
    require("abinit")
    scratch = tmp_path / "scratch"
    settings = COARSE | {"work_directory": str(scratch)}
    iron = one_atom()

    def after_four_steps() -> bool:
        return any(" ETOT  4 " in log.read_text(errors="replace") for log in scratch.rglob("log"))

    first = run_protocol(get_engine("abinit", **settings), iron, SOFT, tmp_path / "a", should_stop=after_four_steps)
    assert first.status == OutcomeStatus.INTERRUPTED and not first.stages
    second = run_protocol(get_engine("abinit", **settings), iron, SOFT, tmp_path / "b", check=False)
    assert second.status == OutcomeStatus.ACCEPTED, second.reason
    (inputs,) = scratch.glob("*/00_equilibrium/run.abi")
    assert 'getden_filepath "resumeo_DEN"' in inputs.read_text()
    alone = get_engine("abinit", **COARSE).unconstrained(iron)
    assert second.stages[0].energy_eV == pytest.approx(alone.get_potential_energy(), abs=1e-5)
    assert len(list(scratch.rglob("runo_WFK"))) == 1, "restart files of the last stage only"
    # A worker that died before it could store a stage: its output is read, no program is started.
    idle = get_engine("abinit", **settings, command="false")
    third = run_protocol(idle, iron, SOFT, tmp_path / "c", check=False)
    assert third.label == second.label
    assert not any((tmp_path / name).exists() for name in "abc"), "nothing is left elsewhere"
