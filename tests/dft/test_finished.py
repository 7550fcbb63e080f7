"""Finished calculations of others as labels."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.campaign.start_from import digest_of
from mmtp_fw.dft import get_engine
from mmtp_fw.dft.finished import contradictions, label_of, output_in, read_finished, runs_in
from mmtp_fw.errors import InputError
from mmtp_fw.fitting import write_configurations

ABINIT = Path(__file__).parent / "abinit" / "data"
WHOLE = ABINIT / "fe2_hard_whole.abo"


def abinit_settings(**changed):
    return get_engine("abinit", **changed).settings_document()


def test_a_hard_label_of_abinit_with_its_magnetic_forces():
    found = read_finished(WHOLE)
    label = label_of(found.configurations[0], found, "here")
    assert found.engine == "abinit" and label.constraint == "hard" and label.magnetic_forces is not None
    assert found.moment.startswith("sphere of ") and found.settings["functional"] == "PBE"
    assert label.target == label.moments, "the moments reached stand for targets that the file has not"
    assert label.check.verdict == "unchecked" and label.grade == "B"
    own = abinit_settings(**{name: found.settings[name] for name in ("ecut_Ha", "pawecutdg_Ha", "tsmear_Ha")})
    assert contradictions(found, "abinit", own) == []
    finer = contradictions(found, "abinit", own | {"ecut_Ha": found.settings["ecut_Ha"] + 2})
    assert len(finer) == 1 and "ecut_Ha" in finer[0]
    assert "their energies do not mix" in contradictions(found, "vasp", {})[0]


def test_smearing_and_functional_are_no_setting_and_are_compared(tmp_path):
    text = (WHOLE).read_text(encoding="utf-8")
    assert "occopt           4" in text
    (tmp_path / "a.abo").write_text(text.replace("occopt           4", "occopt           7"), encoding="utf-8")
    found = read_finished(tmp_path / "a.abo")
    own = abinit_settings(**{name: found.settings[name] for name in ("ecut_Ha", "pawecutdg_Ha", "tsmear_Ha")})
    assert contradictions(found, "abinit", own) == ["smearing: Gaussian, the campaign's is cold"]


def test_a_calculation_that_did_not_end_is_no_label(tmp_path):
    text = (WHOLE).read_text(encoding="utf-8")
    (tmp_path / "cut.abo").write_text(text[: len(text) // 2], encoding="utf-8")
    with pytest.raises(InputError, match="did not converge"):
        read_finished(tmp_path / "cut.abo")


def test_folders_of_runs(tmp_path):
    for name in ("one", "two/deep"):
        (tmp_path / name).mkdir(parents=True)
        shutil.copy(WHOLE, tmp_path / name / "run.abo")
    assert [path.name for path in runs_in([tmp_path], "abinit")] == ["one", "deep"]
    assert output_in(tmp_path / "one").name == "run.abo"
    assert read_finished(tmp_path / "one").name == "one/run.abo"
    (tmp_path / "one" / "slurm-1.out").write_text("a line that names ABINIT\n", encoding="utf-8")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "slurm-2.out").write_text("nothing\n", encoding="utf-8")
    assert [path.name for path in runs_in([tmp_path], "abinit")] == ["one", "deep"], "by content, not by name"
    assert output_in(tmp_path / "one").name == "run.abo"
    shutil.copy(WHOLE, tmp_path / "one" / "other.abo")
    with pytest.raises(InputError, match="several outputs"):
        output_in(tmp_path / "one")
    with pytest.raises(InputError, match="no output of vasp"):
        list(runs_in([tmp_path], "vasp"))
    with pytest.raises(InputError, match="is no folder"):
        list(runs_in([tmp_path / "one" / "run.abo"], "abinit"))


def test_a_file_that_only_names_a_program_is_none_of_its_outputs(tmp_path):
    atoms = Atoms("Fe", cell=[2.5] * 3, pbc=True, info={"engine": "ABINIT"})
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.zeros((1, 3)), magmoms=[2.0])
    write_configurations(tmp_path / "a.xyz", [atoms])
    assert read_finished(tmp_path / "a.xyz").engine == "imported"


def test_what_mmtp_fw_wrote_keeps_its_quality(tmp_path):
    atoms = Atoms("Fe2", positions=[[0, 0, 0], [1.4, 1.4, 1.4]], cell=[2.8] * 3, pbc=True)
    atoms.set_initial_magnetic_moments([2.2, 2.1])
    atoms.info |= {"label_grade": "A", "label_constraint": "soft", "label_lambda_eV_per_muB2": 5.0}
    atoms.info |= {"label_mae_muB": 0.01, "label_check": "confirmed"}
    results = {"energy": -16.5, "forces": np.zeros((2, 3)), "stress": np.arange(6.0), "magmoms": [2.21, 2.09]}
    atoms.calc = SinglePointCalculator(atoms, **results)
    write_configurations(tmp_path / "a.xyz", [atoms])
    found = read_finished(tmp_path / "a.xyz")
    label = label_of(found.configurations[0], found, "a.xyz")
    assert (label.grade, label.constraint, label.lambda_eV_per_muB2) == ("A", "soft", 5.0)
    assert label.target == [2.2, 2.1] and label.moments == [2.21, 2.09] and label.stress == list(np.arange(6.0))
    assert label.mae_muB == pytest.approx(0.01) and label.check.verdict == "confirmed"
    assert label.magnetic_forces is None and "magnetic_forces" not in label.to_atoms().arrays
    assert label.extrapolation is None and label.bias_eV_per_atom is None


def test_what_a_label_needs():
    atoms = Atoms("Fe", cell=[2.5] * 3, pbc=True)
    found = read_finished(WHOLE)
    for results, words in (
        ({}, "no energy"),
        ({"energy": 1.0}, "no forces"),
        ({"energy": 1.0, "forces": np.zeros((1, 3))}, "no magnetic moments"),
        ({"energy": 1.0, "forces": np.full((1, 3), np.nan), "magmoms": [2.0]}, "forces are not finite"),
    ):
        atoms.calc = SinglePointCalculator(atoms, **results)
        with pytest.raises(InputError, match=words):
            label_of(atoms, found, "here")
    slab = Atoms("Fe", cell=[2.5, 2.5, 0], pbc=[True, True, False])
    slab.calc = SinglePointCalculator(slab, energy=1.0, forces=np.zeros((1, 3)), magmoms=[2.0])
    with pytest.raises(InputError, match="not periodic"):
        label_of(slab, found, "here")


def test_a_folder_has_the_digest_of_its_output(tmp_path):
    (tmp_path / "one").mkdir()
    shutil.copy(WHOLE, tmp_path / "one" / "run.abo")
    alone = digest_of([tmp_path / "one"])
    (tmp_path / "one" / "run_WFK").write_bytes(b"gigabytes that nobody wants to read")
    assert digest_of([tmp_path / "one"]) == alone == digest_of([tmp_path / "one" / "run.abo"])
    (tmp_path / "empty").mkdir()
    assert digest_of([tmp_path / "one", tmp_path / "empty"]) == alone
    with pytest.raises(InputError, match="no output of a finished run"):
        digest_of([tmp_path / "empty"])
