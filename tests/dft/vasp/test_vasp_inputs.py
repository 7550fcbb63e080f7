"""Input files: read again by pymatgen and ASE, they hold what was asked for."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.io.vasp.inputs import Incar, Kpoints, Potcar

from mmtp_fw.dft.kpoints import k_grid
from mmtp_fw.dft.vasp.inputs import MagneticInput, incar, species_order, write_incar, write_inputs
from mmtp_fw.dft.vasp.potcars import find_potcar
from mmtp_fw.dft.vasp.run import VaspRun
from mmtp_fw.dft.vasp.settings import VaspSettings


@pytest.fixture
def mixed() -> Atoms:
    """Pd and Fe in turn, displaced, in a sheared cell."""
    atoms = bulk("Fe", "fcc", a=3.7, cubic=True)
    atoms.symbols[[0, 2]] = "Pd"
    atoms.set_cell(np.asarray(atoms.cell) @ [[1, 0.02, 0], [0, 1, 0.01], [0, 0, 1.03]], scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    return atoms


def magnetic(start, constraint=None, strength=5.0) -> MagneticInput:
    given = None if constraint is None else np.array(constraint)
    return MagneticInput(np.array(start), given, strength, {"Fe": 1.31, "Pd": 1.42})


def test_the_penalty_is_that_of_size_and_direction(mixed):
    tags = incar(mixed, VaspSettings(), magnetic([0.3, 2.5, 0.2, -2.4], [0.25, 2.0, 0.3, -1.9]))
    again = Incar.from_str(tags.get_str())
    assert again["I_CONSTRAINED_M"] == 2 and again["LAMBDA"] == 5.0
    assert again["LNONCOLLINEAR"] and again["ISYM"] == -1 and again["LASPH"] and again["NSW"] == 0
    np.testing.assert_array_equal(np.reshape(again["M_CONSTR"], (4, 3))[:, 2], [2.0, -1.9, 0.25, 0.3])
    np.testing.assert_array_equal(np.array(again["MAGMOM"])[:, 2], [2.5, -2.4, 0.3, 0.2])
    assert not np.any(np.reshape(again["M_CONSTR"], (4, 3))[:, :2])
    assert again["RWIGS"] == [1.31, 1.42]


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=4), st.floats(1e-3, 100))
@settings(max_examples=40, deadline=None)
def test_numbers_survive_the_text(constraint, strength):
    atoms = bulk("Fe", "fcc", a=3.7, cubic=True)
    tags = incar(atoms, VaspSettings(), magnetic([2.0] * 4, constraint, strength))
    again = Incar.from_str(tags.get_str())
    assert again["LAMBDA"] == strength
    written = np.reshape(again["M_CONSTR"], (4, 3))[:, 2]
    np.testing.assert_allclose(written, constraint, rtol=0, atol=1.01e-4)
    assert np.all(written != 0), "0 0 0 is no constraint to VASP"


def test_without_constraint_only_the_penalty_differs(mixed):
    start = [0.3, 2.5, 0.2, 2.4]
    free = incar(mixed, VaspSettings(), magnetic(start))
    bound = incar(mixed, VaspSettings(), magnetic(start, start))
    assert {key for key in bound if free.get(key) != bound[key]} == {"LAMBDA"}
    assert free["LAMBDA"] == 1e-6
    silent = incar(mixed, VaspSettings(measuring_lambda_eV_per_muB2=0), magnetic(start))
    assert not {"LAMBDA", "M_CONSTR", "I_CONSTRAINED_M", "RWIGS"} & set(silent)


def test_starting_moments_have_the_signs_of_the_constraint(mixed):
    tags = incar(mixed, VaspSettings(), magnetic([0.3, -2.5, 0.2, 2.4], [0.3, 2.0, 0.2, 2.0]))
    np.testing.assert_array_equal(np.array(tags["MAGMOM"])[:, 2], [2.0, 2.4, 0.3, 0.2])


@pytest.mark.parametrize(
    ("files", "start", "charge"),
    [((), 0, 2), (("WAVECAR",), 1, 0), (("WAVECAR", "CHGCAR"), 1, 1), (("CHGCAR",), 0, 1)],
)
def test_restart_tags(mixed, files, start, charge):
    tags = incar(mixed, VaspSettings(), magnetic([1.0] * 4), files)
    assert (tags["ISTART"], tags["ICHARG"]) == (start, charge)
    assert tags["LWAVE"] and tags["LCHARG"]


def test_files_are_what_pymatgen_and_ase_read(mixed, potcars, tmp_path):
    chosen = VaspSettings(extra_incar={"ncore": 4, "LDAUU": [3.0, 0.0]})
    files = {species: find_potcar(species, chosen) for species in ("Fe", "Pd")}
    write_inputs(tmp_path, mixed, chosen, files, magnetic([0.3, 2.5, 0.2, 2.4], [0.3, 2.0, 0.2, 2.0]))
    structure = ase.io.read(tmp_path / "POSCAR", format="vasp")
    order = species_order(mixed)
    assert list(structure.symbols) == ["Fe", "Fe", "Pd", "Pd"]
    np.testing.assert_allclose(structure.positions, mixed.positions[order], atol=1e-13)
    np.testing.assert_allclose(np.asarray(structure.cell), np.asarray(mixed.cell), atol=1e-13)
    assert Kpoints.from_file(tmp_path / "KPOINTS").kpts == [k_grid(mixed, 0.2)]
    written = Incar.from_file(tmp_path / "INCAR")
    assert written["NCORE"] == 4 and written["LDAUU"] == [3.0, 0.0]
    assert Potcar.from_file(tmp_path / "POTCAR").symbols == ["Fe", "Pd"]
    assert (tmp_path / "POTCAR").read_bytes() == files["Fe"].content() + files["Pd"].content()


def test_no_line_is_longer_than_vasp_reads(tmp_path):
    rng = np.random.default_rng(1)
    atoms = bulk("Fe", "fcc", a=3.7, cubic=True) * (2, 2, 2)
    tags = incar(atoms, VaspSettings(), magnetic(rng.normal(2, 0.3, 32), rng.normal(2, 0.3, 32)))
    write_incar(tags, tmp_path / "INCAR")
    VaspRun(tmp_path, ["true"], 32, None, True).change_incar(AMIX=0.1)
    lines = (tmp_path / "INCAR").read_text().splitlines()
    assert max(map(len, lines)) <= 255 and any(line.endswith(" \\") for line in lines)
    assert Incar.from_file(tmp_path / "INCAR") == Incar.from_str(tags.get_str()) | {"AMIX": 0.1}
