"""The base of engines that run a program: what it refuses, how programs start and end, what is kept of a stop."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from pydantic import Field

from mmtp_fw.dft.engine import FINAL, ScfRequest, ScfResult
from mmtp_fw.dft.folder import INTERRUPTED, RUNNING
from mmtp_fw.dft.machine import DatasetSearch
from mmtp_fw.dft.processes import command_words, run_program
from mmtp_fw.dft.program_engine import ProgramEngine
from mmtp_fw.dft.program_settings import ProgramSettings
from mmtp_fw.dft.registry import EngineCosts, EngineDescription
from mmtp_fw.errors import EngineError, InputError


class ShellSettings(ProgramSettings):
    command: str = Field(default="sh", description="The program")
    script: str = Field(default="echo 1 > energy", description="What it does")


class OneFile:
    def __init__(self, path: Path) -> None:
        self.path, self.digest = path, path.read_text()


def find(species: str, settings: ShellSettings) -> OneFile:
    path = Path(os.environ["SHELL_DATA"]) / species
    if not path.is_file():
        raise EngineError(f"no file of {species}")
    return OneFile(path)


class Shell(ProgramEngine):
    """Its energy is what a shell script writes."""

    description = EngineDescription(
        "shell",
        "Shell",
        "a shell script",
        ShellSettings,
        lambda **settings: Shell(**settings),
        EngineCosts(1.0),
        datasets=DatasetSearch("files", list, find, "make them"),
    )
    final_definition = FINAL

    def command(self):
        return command_words(self.settings.command, "install a shell", ["-c", self.settings.script])

    def refuse(self, atoms):
        if len(atoms) > 1:
            raise InputError("one atom is the most")

    def _kept(self, run, note):
        return self._result(run) if (run.directory / "energy").is_file() else None

    def _compute(self, run, goes_on):
        run.remarks["goes_on"] = goes_on
        run.note(RUNNING)
        stop = (run.directory / "stop").touch
        if run_program(self.command(), run.directory, run.should_stop, stop, self.settings.stop_grace_s):
            run.note(INTERRUPTED)
            return self._interrupted(run)
        return self._result(run)

    def _result(self, run):
        energy = float((run.directory / "energy").read_text())
        moments = np.asarray(run.request.start_moments)
        return ScfResult(True, {FINAL: moments}, energy, energy, 0.0, np.zeros((1, 3)), np.zeros(6), {}, 1)

    def _no_longer_needed(self, run):
        return [] if run.before is None else [run.before / "density"]


@pytest.fixture
def iron(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "Fe").write_text("digest of iron")
    monkeypatch.setenv("SHELL_DATA", str(tmp_path / "data"))
    atoms = bulk("Fe", "bcc", a=2.86)
    atoms.set_initial_magnetic_moments([2.2])
    return atoms


def request(atoms, folder: Path, **more) -> ScfRequest:
    return ScfRequest(atoms, "equilibrium", atoms.get_initial_magnetic_moments(), folder, **more)


def test_a_verdict_on_the_structure_goes_before_what_is_missing_here(iron):
    engine = Shell(command="no-such-shell")
    assert engine.datasets(iron) == {"Fe": "digest of iron"}
    with pytest.raises(EngineError, match="'no-such-shell' is not installed"):
        engine.check(iron)
    palladium = iron.copy()
    palladium.symbols = "Pd"
    with pytest.raises(EngineError, match="no file of Pd"):
        engine.check(palladium)
    palladium.set_initial_magnetic_moments([-7.0])
    with pytest.raises(InputError, match=r"atom 0 \(Pd\): target -7.00 μB is impossible"):
        engine.check(palladium)
    with pytest.raises(InputError, match="one atom is the most"):
        engine.check(iron * (2, 1, 1))
    Shell().check(iron)


def test_what_defines_a_label():
    plain = Shell().settings_document()
    assert plain == {"engine": "shell", "script": "echo 1 > energy"}
    elsewhere = {"command": "bash", "work_directory": "/x", "stop_grace_s": 1, "keep_restart_files": True}
    assert Shell(**elsewhere, wall_time_margin_s=5, max_moment_muB=3).settings_document() == plain

    class Later(Shell):
        document_version = 2

    assert Later().settings_document() == plain | {"version": 2}


def test_a_finished_calculation_is_not_made_again(iron, tmp_path):
    engine = Shell(script="echo x >> log2; echo 3 > energy")
    assert engine.scf(request(iron, tmp_path / "00")).energy_eV == 3
    assert engine.scf(request(iron, tmp_path / "00")).energy_eV == 3
    assert (tmp_path / "00" / "log2").read_text() == "x\n"
    (tmp_path / "data" / "Fe").write_text("another file of that name")
    assert Shell(script=engine.settings.script).scf(request(iron, tmp_path / "00")).energy_eV == 3
    assert (tmp_path / "00" / "log2").read_text() == "x\nx\n", "other datasets are another calculation"


@pytest.mark.parametrize("keep", [False, True])
def test_restart_files_of_the_stage_before_go_when_this_one_has_converged(iron, tmp_path, keep):
    (tmp_path / "00").mkdir()
    (tmp_path / "00" / "density").write_text("large")
    Shell(keep_restart_files=keep).scf(request(iron, tmp_path / "01", restart={"folder": "00"}))
    assert (tmp_path / "00" / "density").exists() == keep


def test_a_stopped_calculation_is_gone_on_with(iron, tmp_path):
    script = "until [ -e stop ]; do sleep 0.05; done; echo 5 > energy"
    engine = Shell(script=script, stop_grace_s=30)
    began = tmp_path / "00" / "mmtp.json"
    result = engine.scf(request(iron, tmp_path / "00", should_stop=began.exists))
    assert result.interrupted and json.loads(began.read_text())["state"] == INTERRUPTED
    result = engine.scf(request(iron, tmp_path / "00"))
    assert result.energy_eV == 5 and json.loads(began.read_text())["goes_on"] is True
    stopped = Shell(script="exit 1").scf(request(iron, tmp_path / "01", should_stop=lambda: True))
    assert stopped.interrupted and not (tmp_path / "01" / "log").exists(), "not even begun"


def test_without_constraint(iron, tmp_path):
    labelled = Shell(script="echo 7 > energy").unconstrained(iron)
    assert labelled.get_potential_energy() == 7 and labelled.get_magnetic_moments()[0] == 2.2
    assert np.all(labelled.arrays["magnetic_forces"] == 0)


def test_a_program_that_does_not_heed_is_ended_with_its_children(tmp_path):
    child = tmp_path / "child"
    script = f"trap '' TERM; (trap '' TERM; echo $BASHPID > {child}; exec sleep 300) & wait"
    words = command_words("bash", "", ["-c", script])
    assert run_program(words, tmp_path, child.exists, lambda: None, patience_s=0.0)
    number = int(child.read_text())
    with pytest.raises(ProcessLookupError):
        for _ in range(100):  # its new parent has yet to collect it
            os.kill(number, 0)
            time.sleep(0.1)


def test_a_program_that_can_not_be_started_is_named(tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("no program")
    broken.chmod(0o755)
    with pytest.raises(EngineError, match=r"broken' can't be started"):
        run_program(command_words(str(broken), ""), tmp_path, lambda: False, lambda: None, 0.0)


def test_several_processes_need_a_launcher(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("scf", "launch"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert command_words("scf", "", ["x"]) == [str(tmp_path / "scf"), "x"]
    words = command_words("scf", "", ["x"], 4, "launch")
    assert words == [str(tmp_path / "launch"), "-n", "4", "--oversubscribe", str(tmp_path / "scf"), "x"]
    with pytest.raises(EngineError, match="'mpirun' is not installed"):
        command_words("scf", "", ["x"], 4, "mpirun")
