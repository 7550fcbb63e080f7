"""What is written for Elk, and what is read from it: kept output of a real run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.units import Bohr, Hartree

from mmtp_fw.dft import ScfRequest, get_engine
from mmtp_fw.dft.elk.inputs import input_text, species_order
from mmtp_fw.dft.elk.outputs import parse_output
from mmtp_fw.dft.elk.settings import ElkSettings, ElkSpecies, find_species, muffin_tin_bohr
from mmtp_fw.dft.registry import describe
from mmtp_fw.errors import EngineError, InputError

INFO = (Path(__file__).with_name("data") / "INFO-fe2.OUT").read_text()

SPECIES = """ 'Fe'                                       : spsymb
 'iron'                                     : spname
  -26.0000                                  : spzn
   101799.2074                              : spmass
  0.392232E-06    2.4000   42.6274   500    : rminsp, rmt, rmaxsp, nrmt
  10                                        : nstsp
"""


@pytest.fixture
def species(tmp_path, monkeypatch) -> Path:
    """A folder with species files of Fe and Pd."""
    folder = tmp_path / "species"
    folder.mkdir()
    (folder / "Fe.in").write_text(SPECIES)
    (folder / "Pd.in").write_text(SPECIES.replace("'Fe'", "'Pd'").replace("2.4000", "2.6000"))
    monkeypatch.setenv("MMTP_ELK_SPECIES", str(folder))
    return folder


def test_kept_output():
    read = parse_output(INFO, "", 2)
    assert read.completed and read.converged and read.steps == 86
    assert read.energy_eV == pytest.approx(-2545.59473512 * Hartree, abs=1e-6)
    np.testing.assert_allclose(read.moments, [2.2, 1.5], atol=1e-5)
    np.testing.assert_allclose(read.fields, np.array([0.0066004, 0.0102995]) * Hartree, atol=1e-5)
    np.testing.assert_allclose(read.forces[0] * Bohr / Hartree, [-0.00002571, 0.00003417, -0.00006949], atol=1e-12)
    assert 0 < read.energy_noise_eV < 1e-3


@pytest.mark.parametrize("kept", [0.0, 0.2, 0.5, 0.8, 0.97])
def test_output_that_is_cut_off_is_not_complete(kept):
    assert not parse_output(INFO[: int(kept * len(INFO))], "", 2).completed


def test_tables_of_another_number_of_atoms_are_none():
    read = parse_output(INFO, "", 3)
    assert read.moments is None and read.fields is None and read.forces is None
    damaged = INFO[: INFO.rindex("Moments :")] + INFO[INFO.rindex("Moments :") :].replace(
        "   atom    2  ", "   atxx    2  ", 1
    )
    assert parse_output(damaged, "", 2).moments is None, "not those of the loop before"


def test_an_error_is_told():
    log = "Elk code version 8.4.30 started\n\nError(readinput): error reading tasks\n(blank line required)\n"
    read = parse_output("", log, 2)
    assert (read.error, read.steps, read.energy_eV) == ("error reading tasks", 0, None)


def test_input_holds_targets_by_species_and_starts_against_the_field(species):
    atoms = Atoms("PdFePdFe", positions=np.arange(12).reshape(4, 3), cell=[6, 6, 12], pbc=True)
    targets = np.array([0.3, 2.2, 0.0, -1.5])
    files = {"Fe": "Fe.in", "Pd": "Pd.in"}
    text = input_text(atoms, ElkSettings(), files, targets, targets)
    np.testing.assert_array_equal(species_order(atoms), [1, 3, 0, 2])
    rows = text[text.index("mommtfix") :].splitlines()[1:5]
    assert [row.split()[:2] for row in rows] == [["1", "1"], ["1", "2"], ["2", "1"], ["2", "2"]]
    assert [float(row.split()[4]) for row in rows] == [2.2, -1.5, 0.3, 0.0]
    fields = [float(line.split()[5]) for line in text.splitlines() if line.count(".") == 6]
    assert fields == [-0.022, 0.015, -0.003, 0.0], "Elk starts with a magnetization against it"
    assert "nosym\n  .true." in text
    assert text.endswith("\n\n"), "Elk reads past a table that ends with the file"
    assert text.startswith("tasks\n  0\n") and "fsmtype" in text
    free = input_text(atoms, ElkSettings(), files, targets, None, restart=True)
    assert free.startswith("tasks\n  1\n") and "fsmtype" not in free


def test_muffin_tins_are_the_same_in_every_structure(species, tmp_path):
    iron = find_species("Fe", ElkSettings())
    assert iron.radius_bohr == 2.4 and muffin_tin_bohr(iron, ElkSettings()) == pytest.approx(1.92)
    assert iron.install(tmp_path, 2.05) == "Fe.in"
    assert ElkSpecies("Fe", tmp_path / "Fe.in").radius_bohr == 2.05
    with pytest.raises(EngineError, match="no Elk species file Xx"):
        find_species("Xx", ElkSettings())
    (species / "Pd.in").write_text(SPECIES)
    with pytest.raises(EngineError, match="no species file of Pd"):
        find_species("Pd", ElkSettings())


def test_atoms_whose_muffin_tins_overlap_are_refused(species, monkeypatch):
    engine = get_engine("elk", command="true")
    iron = bulk("Fe", "bcc", a=2.86, cubic=True)
    iron.set_initial_magnetic_moments([2.2, -2.2])
    engine.check(iron)
    assert set(engine.datasets(iron)) == {"Fe"}
    iron.set_cell(iron.cell * 0.8, scale_atoms=True)
    with pytest.raises(InputError, match="nearer than their muffin-tins allow"):
        engine.check(iron)
    primitive = bulk("Fe", "bcc", a=2.0)
    with pytest.raises(InputError, match="atoms 0 and 0"):
        engine.check(primitive)


def test_elk_knows_no_soft_constraint(species, tmp_path):
    iron = bulk("Fe", "bcc", a=2.86, cubic=True)
    target = np.array([2.2, 1.5])
    with pytest.raises(EngineError, match="no soft constraint"):
        get_engine("elk", command="true").scf(ScfRequest(iron, "ramp", target, tmp_path / "a", 1.0, target))
    assert describe("elk").constraints == ("hard",)


def test_a_run_that_leaves_nothing_is_an_error(species, tmp_path):
    iron = bulk("Fe", "bcc", a=2.86, cubic=True)
    target = np.array([2.2, 1.5])
    request = ScfRequest(iron, "hard", target, tmp_path / "a", constraint=target, hard=True)
    with pytest.raises(EngineError, match=r"did not come to its end.*it said nothing"):
        get_engine("elk", command="true").scf(request)
