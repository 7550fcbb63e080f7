"""Every handler, on the failure that it mends, with the stand-in as a process of its own."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pymatgen.io.vasp.inputs import Incar, Kpoints

from mmtp_fw.dft import ScfRequest, run_protocol
from mmtp_fw.dft.engine import FINAL
from mmtp_fw.dft.stages import OutcomeStatus, Rule
from mmtp_fw.dft.vasp import VaspEngine
from mmtp_fw.dft.vasp.run import CHANGEABLE_INCAR, VaspRun
from mmtp_fw.errors import EngineError, RefusedInputError

TARGET = np.array([2.4, 2.5])


@pytest.fixture(scope="module")
def atoms() -> Atoms:
    structure = bulk("Fe", "bcc", a=2.95, cubic=True)
    structure.rattle(0.03, seed=4)
    structure.set_initial_magnetic_moments(TARGET)
    return structure


@pytest.fixture
def engine(potcars, command, monkeypatch):
    """Return a function that makes an engine; its keywords are settings."""
    monkeypatch.setenv("VASP_STANDIN_JUMP_SCALE", "9")

    def make(**settings) -> VaspEngine:
        return VaspEngine(**({"command": command, "poll_s": 0.05, "nelm": 60, "kspacing_per_A": 0.4} | settings))

    return make


def ramp(atoms, directory: Path, restart=None, should_stop=None) -> ScfRequest:
    return ScfRequest(
        atoms, "ramp", TARGET, directory / "02_ramp", 1.0, 0.7 * TARGET, {"Fe": 1.33}, restart or {}, should_stop
    )


@pytest.fixture(scope="module")
def undisturbed(atoms, library, command, tmp_path_factory):
    """The directory of an equilibrium stage, and the result of the ramp stage after it, without failure."""
    directory = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PMG_VASP_PSP_DIR", str(library))
        patch.setenv("VASP_STANDIN_JUMP_SCALE", "9")
        vasp = VaspEngine(command=command, poll_s=0.05, nelm=60, kspacing_per_A=0.4, keep_restart_files=True)
        first = vasp.scf(ScfRequest(atoms, "equilibrium", TARGET, directory / "00_equilibrium"))
        assert first.converged and first.restart == {"folder": "00_equilibrium"}
        return directory, vasp.scf(ramp(atoms, directory, first.restart))


def changes(directory: Path) -> dict[str, tuple]:
    """Return the INCAR tags that differ between what was asked for and what ran last."""
    asked, ran = Incar.from_file(directory / "INCAR.asked"), Incar.from_file(directory / "INCAR")
    return {tag: (asked.get(tag), ran.get(tag)) for tag in {*asked, *ran} if asked.get(tag) != ran.get(tag)}


@pytest.fixture(autouse=True)
def keep_what_was_asked(monkeypatch):
    """Keep a copy of every INCAR as the engine wrote it."""
    from mmtp_fw.dft.vasp import engine as module

    write = module.write_inputs

    def write_and_copy(directory, *arguments):
        write(directory, *arguments)
        (directory / "INCAR.asked").write_text((directory / "INCAR").read_text())

    monkeypatch.setattr(module, "write_inputs", write_and_copy)


def test_without_failure_nothing_is_changed(undisturbed):
    directory, result = undisturbed
    assert result.converged and result.message == "converged"
    assert "corrections" not in result.restart
    assert not list(directory.rglob("POTCAR*")), "POTCARs are never kept"
    assert Incar.from_file(directory / "02_ramp" / "INCAR")["ISTART"] == 1
    assert (directory / "00_equilibrium" / "WAVECAR").is_file(), "keep_restart_files"


@pytest.mark.parametrize(
    ("failure", "settings", "symptom", "changed"),
    [
        ("zbrent@ramp", {"algo": "All"}, "ZBRENT", {"ALGO": ("All", "Normal")}),
        ("edddav@ramp", {}, "EDDDAV", {"ALGO": ("Normal", "All"), "ISTART": (1, 0), "ICHARG": (1, 2)}),
        ("no_convergence@ramp", {}, "no convergence", {"AMIX": (0.2, 0.1), "AMIX_MAG": (0.8, 0.4)}),
        ("flipped@ramp", {}, "wrong sign", {"ISTART": (1, 0), "ICHARG": (1, 2)}),
        ("nan@ramp", {}, "not finite", {"ISTART": (1, 0), "ICHARG": (1, 2)}),
        ("killed@ramp:1", {}, "did not come to its end", {}),
        ("truncated@ramp:1", {}, "did not come to its end", {}),
        ("frozen@ramp:1", {"frozen_after_s": 3}, "has written nothing", {}),
    ],
)
def test_a_failure_is_mended_and_recorded(
    engine, atoms, undisturbed, tmp_path, monkeypatch, failure, settings, symptom, changed
):
    monkeypatch.setenv("VASP_STANDIN_FAIL", failure)
    shutil.copytree(undisturbed[0] / "00_equilibrium", tmp_path / "00_equilibrium")
    result = engine(**settings).scf(ramp(atoms, tmp_path, {"folder": "00_equilibrium"}))
    assert result.converged, result.message
    assert len(result.restart["corrections"]) == 1
    assert symptom in result.message and "; corrected: " in result.message
    assert not (tmp_path / "00_equilibrium" / "WAVECAR").exists(), "no longer needed"
    (handler, _, words) = result.restart["corrections"][0]
    assert handler.endswith("Handler") and words
    assert changes(tmp_path / "02_ramp") == changed
    assert set(changed) <= CHANGEABLE_INCAR
    # The grid, and with it what the label means, is as it was asked for.
    assert Kpoints.from_file(tmp_path / "02_ramp" / "KPOINTS").kpts
    np.testing.assert_allclose(result.moments[FINAL], undisturbed[1].moments[FINAL], atol=1e-3)
    assert result.energy_eV == pytest.approx(undisturbed[1].energy_eV, abs=1e-5)


def test_no_convergence_that_mixing_does_not_cure_is_an_answer(engine, atoms, tmp_path, monkeypatch):
    monkeypatch.setenv("VASP_STANDIN_JUMP_SCALE", "0.01")
    result = engine(mixing_retries=2).scf(ramp(atoms, tmp_path))
    assert not result.converged and "folder" not in result.restart
    assert [words for _, _, words in result.restart["corrections"]][1][1:] == ["AMIX 0.1 → 0.05", "AMIX_MAG 0.4 → 0.2"]


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("truncated", "cut off"),
        ("segfault", r"last words: forrtl: severe \(174\).*; tried: VASP did not come to its end"),
        ("refused", r"^VASP refuses its input: Error reading item LAMBDA from file INCAR\. \(see .*vasp\.out\)$"),
        ("wrong_ions", "forces on 1 ions, asked were 2"),
    ],
)
def test_what_cannot_be_mended_is_one_line(engine, atoms, tmp_path, monkeypatch, failure, message):
    monkeypatch.setenv("VASP_STANDIN_FAIL", failure)
    with pytest.raises(EngineError, match=message) as caught:
        engine().scf(ramp(atoms, tmp_path))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("POTCAR*"))


def test_what_vasp_refuses_is_not_run_a_second_time(engine, atoms, tmp_path, monkeypatch):
    monkeypatch.setenv("VASP_STANDIN_FAIL", "refused")
    with pytest.raises(RefusedInputError):
        engine().scf(ramp(atoms, tmp_path))
    assert (tmp_path / "02_ramp" / ".standin-runs").stat().st_size == 1
    outcome = run_protocol(engine(), atoms, None, tmp_path / "label")
    assert (outcome.status, outcome.rule) == (OutcomeStatus.FAILED, Rule.INPUT_REFUSED)
    assert "LAMBDA" in outcome.reason


def test_a_flip_that_stays_is_left_to_the_protocol(engine, atoms, tmp_path, monkeypatch):
    monkeypatch.setenv("VASP_STANDIN_FAIL", "flipped_always")
    result = engine().scf(ramp(atoms, tmp_path))
    assert result.converged and result.moments[FINAL][0] < 0 < result.moments[FINAL][1]
    assert [name for name, _, _ in result.restart["corrections"]] == ["FlippedHandler"]


def test_a_stop_is_clean_and_is_gone_on_from(engine, atoms, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("VASP_STANDIN_STEP_SECONDS", "0.15")
    vasp = engine()
    directory = tmp_path / "02_ramp"

    def at_work() -> bool:
        return (directory / "OSZICAR").is_file() and (directory / "OSZICAR").read_text().count("DAV:") >= 3

    stopped = vasp.scf(ramp(atoms, tmp_path, should_stop=at_work))
    assert stopped.interrupted and not stopped.converged and "WAVECAR" in stopped.message
    assert "hard stop encountered" in (directory / "OUTCAR").read_text()
    assert json.loads((directory / "mmtp.json").read_text())["state"] == "interrupted"
    monkeypatch.setenv("VASP_STANDIN_STEP_SECONDS", "0")
    done = vasp.scf(ramp(atoms, tmp_path))
    assert done.converged and Incar.from_file(directory / "INCAR")["ISTART"] == 1
    assert done.scf_steps < undisturbed[1].scf_steps
    assert done.energy_eV == pytest.approx(undisturbed[1].energy_eV, abs=1e-5)


def test_a_program_deaf_to_stopcar_is_ended(engine, atoms, tmp_path, monkeypatch):
    monkeypatch.setenv("VASP_STANDIN_STEP_SECONDS", "5")
    monkeypatch.setenv("VASP_STANDIN_FAIL", "hang")
    started = time.monotonic()
    result = engine(stop_grace_s=0.3).scf(ramp(atoms, tmp_path, should_stop=lambda: time.monotonic() - started > 3))
    assert result.interrupted
    assert json.loads((tmp_path / "02_ramp" / "mmtp.json").read_text())["state"] == "interrupted"


def test_near_the_end_of_the_job_nothing_is_started(engine, atoms, tmp_path, monkeypatch):
    monkeypatch.setenv("MMTP_JOB_END", str(time.time() + 300))
    monkeypatch.setattr("signal.getsignal", lambda number: None)
    assert engine().scf(ramp(atoms, tmp_path)).interrupted
    assert not (tmp_path / "02_ramp" / "OUTCAR").exists()
    assert engine(wall_time_margin_s=60).scf(ramp(atoms, tmp_path)).converged
    monkeypatch.setenv("MMTP_JOB_END", "tomorrow")
    with pytest.raises(EngineError, match="MMTP_JOB_END is 'tomorrow'"):
        engine().scf(ramp(atoms, tmp_path))


def test_corrections_touch_nothing_that_a_label_means(undisturbed, tmp_path):
    shutil.copytree(undisturbed[0] / "02_ramp", tmp_path / "02_ramp")
    run = VaspRun(tmp_path / "02_ramp", ["true"], 2, None, True)
    for tag in ("ENCUT", "EDIFF", "LAMBDA", "M_CONSTR", "RWIGS", "SIGMA", "GGA", "NELM", "MAGMOM"):
        with pytest.raises(ValueError, match=tag):
            run.change_incar(**{tag: 1})
    assert run.change_incar(AMIX=0.05) == ["AMIX 0.2 → 0.05"]


def test_what_was_computed_is_not_computed_again(engine, atoms, tmp_path, monkeypatch):
    vasp = engine()
    once = vasp.scf(ramp(atoms, tmp_path))
    monkeypatch.setenv("VASP_STANDIN_FAIL", "segfault")
    again = vasp.scf(ramp(atoms, tmp_path))
    assert again.energy_eV == once.energy_eV and again.message == once.message
    assert (tmp_path / "02_ramp" / ".standin-runs").stat().st_size == 1
