"""The whole protocol on the VASP engine with the stand-in: the same label as the Hamiltonian's, at any interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from ase import Atoms
from ase.build import bulk

from mmtp_fw.dft import OutcomeStatus, ProtocolSettings, Rule, ScfRequest, Stage, StageName, get_engine, run_protocol
from mmtp_fw.dft.engine import SMOOTHED, Engine
from mmtp_fw.dft.hamiltonian import SPHERES
from mmtp_fw.errors import EngineError, InputError

# So that no decision hangs on the third decimal of a moment, which is all that VASP prints.
PROTOCOL = ProtocolSettings(refine_limit_mae_muB=0.02)
RADII = {species: terms.default_radius for species, terms in SPHERES.items()}


@pytest.fixture(scope="module")
def atoms() -> Atoms:
    """Fe and Pd in turn, so that the order of POSCAR differs; one moment reversed."""
    structure = bulk("Fe", "fcc", a=3.72, cubic=True)
    structure.symbols[0] = "Pd"
    structure.rattle(0.04, seed=2)
    structure.set_initial_magnetic_moments([0.25, 2.3, -2.5, 2.6])
    return structure


@pytest.fixture
def settings(potcars, command) -> dict:
    quick = {"poll_s": 0.05, "nelm": 60, "kspacing_per_A": 0.4, "mixing_retries": 0}
    return quick | {"command": command, "rwigs_A": RADII}


def names(outcome) -> list[str]:
    return [stage.name.value for stage in outcome.stages]


def runs(directory: Path) -> int:
    """Return how often the stand-in was started."""
    return sum(path.stat().st_size for path in directory.rglob(".standin-runs"))


def check_label(outcome, expected) -> None:
    label, other = outcome.label, expected.label
    np.testing.assert_allclose(label.moments, other.moments, atol=2e-3)
    np.testing.assert_allclose(label.forces, other.forces, atol=5e-3)
    np.testing.assert_allclose(label.stress, other.stress, atol=2e-4)
    np.testing.assert_allclose(label.magnetic_forces, other.magnetic_forces, atol=3e-3)
    assert label.energy_eV == pytest.approx(other.energy_eV, abs=2e-3)


def test_the_engine_fits_the_interface(settings):
    engine = get_engine("vasp", **settings)
    assert isinstance(engine, Engine) and engine.settings_document()["engine"] == "vasp"
    with pytest.raises(InputError, match=r"engine 'vasp': dft\.settings\.encut_eV: "):
        get_engine("vasp", encut_eV=-1)
    with pytest.raises(InputError, match=r"no key 'encut' \(did you mean 'encut_eV'\? see docs/vasp.md\)"):
        get_engine("vasp", encut=500)


def test_refused_before_anything_runs(settings, atoms, tmp_path, monkeypatch):
    impossible, left = atoms.copy(), atoms.copy()
    impossible.set_initial_magnetic_moments([0.2, 9.0, 2.0, 2.0])
    left.set_cell(np.asarray(atoms.cell)[[1, 0, 2]])
    unknown = atoms.copy()
    unknown.symbols[3] = "X"
    engine = get_engine("vasp", **settings)
    for structure, message in ((impossible, "9.00 μB is impossible"), (left, "left-handed"), (unknown, "no element")):
        with pytest.raises(InputError, match=message):
            run_protocol(engine, structure, directory=tmp_path)
    with pytest.raises(EngineError, match="'no-vasp' is not an executable"):
        run_protocol(get_engine("vasp", **settings | {"command": "no-vasp"}), atoms, directory=tmp_path)
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(EngineError, match="no POTCARs: PMG_VASP_PSP_DIR is"):
        run_protocol(get_engine("vasp", **settings), atoms, directory=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_same_label_as_the_hamiltonian(settings, atoms, tmp_path):
    outcome = run_protocol(get_engine("vasp", **settings), atoms, PROTOCOL, tmp_path)
    expected = run_protocol(get_engine("hamiltonian"), atoms, PROTOCOL)
    assert outcome.status == expected.status == OutcomeStatus.ACCEPTED, outcome.reason
    assert names(outcome) == names(expected)
    assert [s.converged for s in outcome.stages] == [s.converged for s in expected.stages]
    check_label(outcome, expected)
    assert outcome.label.engine == "vasp" and outcome.label.which_definition == "PAW"
    assert runs(tmp_path) == outcome.scf_runs
    left = sorted(path.parent.name for path in tmp_path.rglob("WAVECAR"))
    ladder = [s for s in outcome.stages if s.converged and s.scf_steps and s.name != StageName.CHECK]
    # The check's calculation starts from scratch: nothing follows it, and it follows nothing.
    assert left == [f"{ladder[-1].index:02d}_ramp", f"{ladder[-1].index + 1:02d}_check"]
    assert not list(tmp_path.rglob("POTCAR"))


def test_magnetic_forces_have_the_digits_of_lambda_as_it_was_given(settings, atoms, tmp_path, monkeypatch):
    """OSZICAR prints λ = 1.5446 as 0.154E+01: moments computed with that would be 3e-3 of the way off."""
    monkeypatch.setenv("VASP_STANDIN_JUMP_SCALE", "10")
    targets = 0.85 * atoms.get_initial_magnetic_moments()
    asked = ScfRequest(atoms, "ramp", targets, tmp_path / "00_ramp", 1.5446, targets, RADII)
    found, exact = get_engine("vasp", **settings).scf(asked), get_engine("hamiltonian", jump_limit_scale=10).scf(asked)
    away = np.max(np.abs(exact.moments[SMOOTHED] - targets))
    assert found.converged and away > 0.05
    np.testing.assert_allclose(found.moments[SMOOTHED], exact.moments[SMOOTHED], atol=1e-3 * away)


def test_without_measuring_penalty_it_comes_to_the_same(settings, atoms, tmp_path):
    engine = get_engine("vasp", **settings, measuring_lambda_eV_per_muB2=0)
    outcome = run_protocol(engine, atoms, PROTOCOL, tmp_path)
    assert outcome.status == OutcomeStatus.ACCEPTED, outcome.reason
    assert "I_CONSTRAINED_M" not in (tmp_path / "00_equilibrium" / "INCAR").read_text()
    exact = get_engine("hamiltonian").model.evaluate(atoms, np.array(outcome.label.moments))
    assert outcome.label.energy_eV == pytest.approx(exact.energy, abs=1e-3)
    np.testing.assert_allclose(outcome.label.magnetic_forces, exact.magnetic_forces, atol=5e-3)


def test_too_large_a_step_is_stepped_back_from(settings, atoms, tmp_path, monkeypatch):
    monkeypatch.setenv("VASP_STANDIN_JUMP_SCALE", "0.12")
    series = ProtocolSettings(
        adaptive=False, lambda_series=(2.0,), refine_runs=0, radii_lambda_eV_per_muB2=0.05, radii_runs=1
    )
    outcome = run_protocol(get_engine("vasp", **settings), atoms, series, tmp_path)
    failed = [stage for stage in outcome.stages if not stage.converged]
    assert failed and "not converged in 60 electronic steps" in failed[0].message
    assert outcome.status == OutcomeStatus.ACCEPTED, outcome.reason
    assert len(outcome.stages) < 12


def test_flipped_moments_are_rejected(settings, atoms, tmp_path, monkeypatch):
    monkeypatch.setenv("VASP_STANDIN_FAIL", "flipped_always@ramp")
    wide = ProtocolSettings(useful_mae_limit_muB=9, useful_max_limit_muB=9, ramp_runs=1)
    turned = atoms.copy()
    turned.symbols[0] = "Fe"
    turned.set_initial_magnetic_moments([2.4, 2.4, 2.4, 2.4])
    outcome = run_protocol(get_engine("vasp", **settings), turned, wide, tmp_path)
    assert outcome.status == OutcomeStatus.REJECTED
    assert outcome.rule in (Rule.MOMENT_FLIPPED, Rule.INCONSISTENT_ENERGY)
    assert any("FlippedHandler" in str(stage.restart) for stage in outcome.stages), "what was tried is on record"


def test_unconstrained(settings, atoms):
    labelled = get_engine("vasp", **settings).unconstrained(atoms)
    relaxed = get_engine("hamiltonian").unconstrained(atoms)
    np.testing.assert_allclose(labelled.get_magnetic_moments(), relaxed.get_magnetic_moments(), atol=6e-4)
    np.testing.assert_allclose(labelled.get_forces(), relaxed.get_forces(), atol=1e-4)
    assert labelled.get_potential_energy() == pytest.approx(relaxed.get_potential_energy(), abs=1e-5)


SCRIPT = """
import json, sys
from pathlib import Path
from ase.io import read
from mmtp_fw.dft import ProtocolSettings, get_engine, run_protocol
given = json.loads(Path(sys.argv[1]).read_text())
atoms = read(given["atoms"])
with open(given["stages"], "a") as file:
    def keep(stage):
        print(stage.model_dump_json(), file=file, flush=True)
    run_protocol(
        get_engine("vasp", **given["settings"]), atoms, ProtocolSettings(refine_limit_mae_muB=0.02),
        given["directory"], on_stage=keep,
    )
"""


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_interrupted_and_gone_on_with(settings, atoms, tmp_path, monkeypatch, how):
    """Kill the process, or ask it to stop, during the stage 'ramp'; go on in another directory of launch."""
    settings = settings | {"work_directory": "$VASP_SCRATCH/labels"}
    monkeypatch.setenv("VASP_SCRATCH", str(tmp_path))
    monkeypatch.setenv("VASP_STANDIN_STEP_SECONDS", "0.05")
    stages = tmp_path / "stages"

    def at_ramp() -> bool:
        return any(path.read_text().count("DAV:") > 2 for path in (tmp_path / "labels").glob("*/*_ramp/OSZICAR"))

    if how == "killed":
        atoms.write(tmp_path / "atoms.json")
        given = {"atoms": str(tmp_path / "atoms.json"), "stages": str(stages), "settings": settings}
        (tmp_path / "given.json").write_text(json.dumps(given | {"directory": str(tmp_path / "one")}))
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "given.json")])
        while not at_ramp():
            assert process.poll() is None
            time.sleep(0.02)
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        gone, alive = psutil.wait_procs(children, timeout=5)
        assert gone and not alive, "VASP ends with the process that started it"
    else:
        with stages.open("w") as file:
            first = run_protocol(
                get_engine("vasp", **settings), atoms, PROTOCOL, tmp_path / "one",
                on_stage=lambda stage: print(stage.model_dump_json(), file=file), should_stop=at_ramp,
            )  # fmt: skip
        assert first.status == OutcomeStatus.INTERRUPTED and "to go on from WAVECAR" in first.reason
    finished = [Stage.model_validate_json(line) for line in stages.read_text().splitlines()]
    assert [stage.name.value for stage in finished][-1] == "map"

    monkeypatch.setenv("VASP_STANDIN_STEP_SECONDS", "0")
    before = runs(tmp_path / "labels")
    new: list[Stage] = []
    outcome = run_protocol(
        get_engine("vasp", **settings), atoms, PROTOCOL, tmp_path / "two", finished=finished, on_stage=new.append
    )
    assert outcome.status == OutcomeStatus.ACCEPTED and new[0].name == "ramp"
    assert runs(tmp_path / "labels") - before == sum(stage.scf_steps > 0 and stage.name != "accept" for stage in new)
    folder = next((tmp_path / "labels").glob("*/*_ramp"))
    assert "ISTART = 1" in (folder / "INCAR").read_text()
    check_label(outcome, run_protocol(get_engine("hamiltonian"), atoms, PROTOCOL))
