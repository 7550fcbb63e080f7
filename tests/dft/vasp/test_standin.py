"""The stand-in's files are taken for VASP's by pymatgen, ASE and custodian, and hold the Hamiltonian's numbers."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from custodian.vasp.handlers import UnconvergedErrorHandler, VaspErrorHandler
from pymatgen.io.vasp.outputs import Oszicar, Outcar, Vasprun

from mmtp_fw.dft.engine import FINAL, SMOOTHED, UNSMOOTHED, ScfRequest
from mmtp_fw.dft.hamiltonian import HamiltonianEngine
from mmtp_fw.dft.vasp.inputs import MagneticInput, species_order, write_inputs
from mmtp_fw.dft.vasp.outputs import read_output
from mmtp_fw.dft.vasp.potcars import find_potcar
from mmtp_fw.dft.vasp.settings import VaspSettings
from mmtp_fw.errors import EngineError
from mmtp_fw.vaspio.oszicar import sharpened

RADII = {"Fe": 1.33, "Pd": 1.41}
TARGET = np.array([2.3, 0.25, 2.5, 2.6])
STRENGTH = 2.0


@pytest.fixture(scope="module")
def atoms() -> Atoms:
    structure = bulk("Fe", "fcc", a=3.72, cubic=True)
    structure.symbols[1] = "Pd"
    structure.rattle(0.04, seed=2)
    return structure


def start(directory: Path, atoms: Atoms, command: str, fail: str = "", **settings) -> subprocess.CompletedProcess[str]:
    chosen = VaspSettings(nelm=60, **settings)
    potcars = {species: find_potcar(species, chosen) for species in ("Fe", "Pd")}
    directory.mkdir(exist_ok=True)
    write_inputs(directory, atoms, chosen, potcars, MagneticInput(TARGET, 0.75 * TARGET, STRENGTH, RADII))
    environment = {**os.environ, "VASP_STANDIN_FAIL": fail, "VASP_STANDIN_JUMP_SCALE": "9"}
    return subprocess.run(
        shlex.split(command), cwd=directory, env=environment, capture_output=True, text=True, timeout=120
    )


def expected(atoms: Atoms):
    request = ScfRequest(atoms, "ramp", TARGET, Path(), STRENGTH, 0.75 * TARGET, RADII)
    return HamiltonianEngine(9).scf(request)


@pytest.fixture(scope="module")
def finished(atoms, library, command, tmp_path_factory) -> Path:
    """A directory where the stand-in ran without failure; tests that change it take a copy."""
    run = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PMG_VASP_PSP_DIR", str(library))
        ended = start(run, atoms, command)
    assert ended.returncode == 0, ended.stderr
    (run / "vasp.out").write_text(ended.stdout)
    return run


def test_everyone_reads_the_same(atoms, finished):
    exact, order, run = expected(atoms), species_order(atoms), finished

    vasprun = Vasprun(run / "vasprun.xml", parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    assert vasprun.converged_electronic and len(vasprun.ionic_steps[-1]["electronic_steps"]) == exact.scf_steps
    outcar, oszicar = Outcar(run / "OUTCAR"), Oszicar(run / "OSZICAR")
    assert outcar.final_fr_energy == pytest.approx(exact.energy_with_penalty_eV, abs=1e-7)
    assert len(oszicar.electronic_steps[-1]) == exact.scf_steps
    moments = [row["tot"].moment[2] for row in outcar.magnetization]
    np.testing.assert_allclose(moments, exact.moments[FINAL][order], atol=6e-4)

    for name in ("vasprun.xml", "OUTCAR"):
        read = ase.io.read(run / name)
        assert list(read.symbols) == list(atoms.symbols[order])
        assert read.calc.results["free_energy"] == pytest.approx(exact.energy_with_penalty_eV, abs=1e-7)
        np.testing.assert_allclose(read.get_forces(), exact.forces[order], atol=1e-6)
        np.testing.assert_allclose(read.get_stress(), exact.stress, atol=1e-7)

    assert not VaspErrorHandler("vasp.out").check(str(run))
    assert not UnconvergedErrorHandler(str(run / "vasprun.xml")).check(str(run))


def test_our_reader_finds_the_hamiltonian_again(atoms, finished):
    exact, order = expected(atoms), species_order(atoms)
    found = read_output(finished, 4, constrained=True)
    assert found.converged and found.steps == exact.scf_steps
    assert found.energy_eV == pytest.approx(exact.energy_eV, abs=2e-6)
    assert found.penalty_eV == pytest.approx(exact.penalty_eV, rel=1e-4)
    np.testing.assert_allclose(found.forces, exact.forces[order], atol=1e-9)
    np.testing.assert_allclose(found.stress, exact.stress, atol=1e-9)
    for moments, key in ((found.final, FINAL), (found.unsmoothed, UNSMOOTHED), (found.smoothed, SMOOTHED)):
        np.testing.assert_allclose(moments[:, 2], exact.moments[key][order], atol=5.1e-4)
    assert found.residual is not None
    fine = sharpened(found.smoothed[:, 2], 0.75 * TARGET[order], found.residual[:, 2], STRENGTH)
    np.testing.assert_allclose(fine, exact.moments[SMOOTHED][order], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "status", "message"),
    [
        ("truncated", 0, "OUTCAR is cut off"),
        ("killed", -9, "OUTCAR is cut off"),
        ("wrong_ions", 0, "forces on 3 ions, asked were 4"),
        ("segfault", 174, "VASP wrote no .*OUTCAR"),
        ("zbrent", 1, "VASP wrote no .*OUTCAR"),
    ],
)
def test_it_fails_as_vasp_does(atoms, potcars, command, tmp_path, kind, status, message):
    ended = start(tmp_path / "run", atoms, command, kind, algo="All")
    assert ended.returncode == status
    with pytest.raises(EngineError, match=message):
        read_output(tmp_path / "run", 4, constrained=True)


def test_half_of_a_run_is_not_mistaken_for_a_whole_one(finished, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    whole = {name: (run / name).read_text() for name in ("OUTCAR", "OSZICAR", "vasprun.xml")}
    assert read_output(run, 4, constrained=True).converged
    for name, text in whole.items():
        for part in (0.0, 0.3, 0.6, 0.9):
            (run / name).write_text(text[: int(part * len(text))])
            with pytest.raises(EngineError):
                read_output(run, 4, constrained=True)
        (run / name).write_text(text)
    (run / "OSZICAR").write_text(whole["OSZICAR"].replace(" F= -", " F= +"))
    with pytest.raises(EngineError, match="of one run"):
        read_output(run, 4, constrained=True)


def test_not_converged_and_not_finite_are_results(atoms, finished, potcars, command, tmp_path):
    start(tmp_path / "slow", atoms, command, "no_convergence")
    slow = read_output(tmp_path / "slow", 4, constrained=True)
    assert not slow.converged and "not converged in" in slow.message
    shutil.copytree(finished, tmp_path / "broken")
    xml = tmp_path / "broken" / "vasprun.xml"
    head, forces = xml.read_text().split('<varray name="forces" >\n', 1)
    row = forces.splitlines()[0]
    xml.write_text(head + '<varray name="forces" >\n' + forces.replace(row, "    <v> NaN ***** 0.0 </v>", 1))
    broken = read_output(tmp_path / "broken", 4, constrained=True)
    assert not broken.converged and "not finite" in broken.message


def test_without_potcar_it_refuses(finished, command, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "POTCAR").unlink()
    ended = subprocess.run(shlex.split(command), cwd=tmp_path / "run", capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and "POTCAR" in ended.stdout
