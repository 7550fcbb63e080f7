"""ABINIT itself: a constrained label of bcc Fe, end to end."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ase.build import bulk

from mmtp_fw.dft import OutcomeStatus, ProtocolSettings, StageName, get_engine, run_protocol
from mmtp_fw.errors import EngineError
from tests.conftest import require

COARSE = {"ecut_Ha": 10, "pawecutdg_Ha": 20, "kspacing_per_A": 1.0}


def test_constrained_label_of_iron(tmp_path):
    require("abinit")
    engine = get_engine("abinit", **COARSE)
    iron = bulk("Fe", "bcc", a=2.87)
    iron.set_initial_magnetic_moments([1.8])
    outcome = run_protocol(engine, iron, ProtocolSettings(), tmp_path)
    assert outcome.status == OutcomeStatus.ACCEPTED, outcome.reason
    label = outcome.label
    assert abs(label.moments[0] - 1.8) <= 0.05
    # ABINIT prints its pressure in GPa beside the table in hartree/bohr³ that is read.
    last = max(tmp_path.glob("*/run.abo"), key=lambda path: path.stat().st_mtime)
    pressures = re.findall(r"Pressure=\s*(\S+) GPa", last.read_text())
    assert -np.mean(label.stress[:3]) * 160.21766208 == pytest.approx(float(pressures[-1]), rel=1e-3)
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
    assert run_protocol(engine, iron, ProtocolSettings(), tmp_path, finished=outcome.stages).label == label
    text = (tmp_path / f"{constrained[0].index:02d}_ramp" / "run.abi").read_text()
    assert "getden_filepath" in text


def test_stopped_and_unreadable_runs(tmp_path):
    require("abinit")
    iron = bulk("Fe", "bcc", a=2.87)
    iron.set_initial_magnetic_moments([1.8])
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
    iron = bulk("Fe", "bcc", a=2.87)
    iron.set_initial_magnetic_moments([1.8])

    def after_four_steps() -> bool:
        return any(" ETOT  4 " in log.read_text(errors="replace") for log in scratch.rglob("log"))

    first = run_protocol(get_engine("abinit", **settings), iron, directory=tmp_path / "a", should_stop=after_four_steps)
    assert first.status == OutcomeStatus.INTERRUPTED and not first.stages
    second = run_protocol(get_engine("abinit", **settings), iron, directory=tmp_path / "b")
    assert second.status == OutcomeStatus.ACCEPTED, second.reason
    (inputs,) = scratch.glob("*/00_equilibrium/run.abi")
    assert 'getden_filepath "resumeo_DEN"' in inputs.read_text()
    alone = get_engine("abinit", **COARSE).unconstrained(iron)
    assert second.stages[0].energy_eV == pytest.approx(alone.get_potential_energy(), abs=1e-5)
    assert len(list(scratch.rglob("runo_WFK"))) == 1, "restart files of the last stage only"
    # A worker that died before it could store a stage: its output is read, no program is started.
    third = run_protocol(get_engine("abinit", **settings, command="false"), iron, directory=tmp_path / "c")
    assert third.label == second.label
    assert not any((tmp_path / name).exists() for name in "abc"), "nothing is left elsewhere"
