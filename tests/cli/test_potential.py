"""`mmtp potential` on plain files: no database, no server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from mmtp_fw.cli import main
from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.fitting import write_configurations
from mmtp_fw.potential import Potential
from mmtp_fw.structures import generate


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A training set of twelve labelled cells."""
    place = tmp_path_factory.mktemp("plain")
    model = ReferenceHamiltonian()
    made = generate({"Fe": 0.75, "Pd": 0.25}, [3.7, 3.8], {"Fe": 2.5, "Pd": 0.3}, 12, supercell=(1, 1, 1), seed=3)
    for atoms in made:
        found = model.evaluate(atoms, atoms.get_initial_magnetic_moments())
        atoms.set_array("magnetic_forces", found.magnetic_forces)
        atoms.calc = SinglePointCalculator(
            atoms, energy=found.energy, forces=found.forces, stress=found.stress, magmoms=found.moments
        )
    write_configurations(place / "training.extxyz", made)
    return place


def mmtp(capsys, *arguments) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return int(ended.value.code), captured.out, captured.err


FORM = ("--level", 4, "--radial-size", 4, "--magnetic-size", 2, "--r-min", 1.6)


def test_fit_then_grade_then_relax(files, tmp_path, capsys):
    out = tmp_path / "fe-pd.mmtp"
    code, text, _ = mmtp(
        capsys, "potential", "fit", files / "training.extxyz", out, *FORM, "--max-iterations", 20, "--hold-out", 0.25,
        "--weights", "energy=2,magnetic_forces=0.2", "--json",
    )  # fmt: skip
    facts = json.loads(text)
    assert code == 0 and facts["iterations"] > 0
    assert facts["errors"]["energy_per_atom_eV"].keys() == facts["validation_errors"]["energy_per_atom_eV"].keys()
    assert set(facts["errors_by_species"]) == {"Fe", "Pd"}
    assert len(facts["errors_by_volume"]) >= 2
    assert Potential.read(out).species == ["Fe", "Pd"]
    assert not list(tmp_path.glob("*.checkpoint")), "a finished fit leaves none"
    same = files / "training.extxyz"
    code, text, _ = mmtp(capsys, "potential", "grade", out, same, same, "--json")
    grades = json.loads(text)["grades"]
    assert code == 0 and len(grades) == 12 and max(grades) < 1.02
    code, text, _ = mmtp(capsys, "potential", "relax", out, files / "training.extxyz")
    assert code == 0 and len(text.splitlines()) == 13


def test_uncertainty_of_files(files, tmp_path, capsys):
    out, training = tmp_path / "fe-pd.mmtp", files / "training.extxyz"
    mmtp(capsys, "potential", "fit", training, out, *FORM, "--max-iterations", 30, "--json")
    other = bulk("Pd", "fcc", a=3.8, cubic=True)
    other.set_initial_magnetic_moments([0.3] * 4)
    write(tmp_path / "other.xyz", other, format="extxyz")
    code, text, _ = mmtp(capsys, "potential", "uncertainty", out, training, tmp_path / "other.xyz", "--json")
    found = json.loads(text)
    assert code == 0 and "the energy of Fe against Pd is not fixed by one composition" in found["undetermined"]
    (one,) = found["configurations"]
    assert one["verdict"] == "undetermined" and one["energy"] is None and "energy" in one["undetermined"]
    code, text, _ = mmtp(capsys, "potential", "uncertainty", out, training, training, "--held-out", training)
    assert code == 0 and len(text.splitlines()) > 13 and "Not determined by these labels: the energy of Fe" in text

    told = tmp_path / "told.xyz"
    asked = ("potential", "evaluate", out, tmp_path / "other.xyz", "--uncertainty", training, "-o", told)
    code, text, _ = mmtp(capsys, *asked, "--json")
    (one,) = json.loads(text)
    assert code == 0 and one["uncertainty"]["verdict"] == "undetermined" and one["uncertainty"]["energy"] is None
    again = read(told)
    assert again.info["verdict"] == "undetermined" and again.arrays["forces_uncertainty"].shape == (4, 3)
    np.testing.assert_allclose(again.get_forces(), one["forces"], atol=1e-7)
    code, text, _ = mmtp(capsys, *asked)
    assert "undetermined" in text and "± Forces" in text and "Not determined by these labels: the energy of Fe" in text
    code, _, told = mmtp(capsys, "potential", "evaluate", out, training, "--held-out", training)
    assert code != 0 and "--uncertainty FILE" in told


def test_relax_says_what_it_is_worth(tmp_path, capsys):
    tests = Path(__file__).parents[1]
    published = tests / "potential" / "data" / "12.mmtp"  # falls to the bounds of its magnetic range
    asked = (published, tests / "potential" / "data" / "mag.cfg", "--species", "Fe")
    code, text, told = mmtp(capsys, "potential", "relax", *asked)
    assert code == 0 and "at the bound" in text and "converged" not in text
    assert "configuration 1:" in told and "relaxed moments end at the bound" in told
    code, text, _ = mmtp(capsys, "potential", "relax", *asked, "--json")
    (found,) = json.loads(text)
    assert found["verdict"] == "at the bound" and len(found["warnings"]) == 1 and sum(found["at_bounds"]) > 0
    cell = bulk("Fe", "fcc", a=3.75, cubic=True)
    cell.set_initial_magnetic_moments([2.6] * 4)
    write(tmp_path / "cell.xyz", cell, format="extxyz")
    good = tests.parent / "docs" / "examples" / "fe-pd.mmtp"
    code, text, told = mmtp(capsys, "potential", "relax", good, tmp_path / "cell.xyz", "--json")
    (found,) = json.loads(text)
    assert (found["verdict"], found["warnings"], sum(found["at_bounds"]), told) == ("converged", [], 0, "")


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_fit_goes_on(files, tmp_path, kind, capsys):
    out, kept = tmp_path / "fe-pd.mmtp", tmp_path / "fe-pd.mmtp.checkpoint"
    command = ["potential", "fit", files / "training.extxyz", out, "--level", 8, "--max-iterations", 100_000]
    program = Path(sys.executable).parent / "mmtp"
    process = subprocess.Popen([program, *map(str, command)], stderr=subprocess.PIPE, text=True)
    try:
        limit = time.monotonic() + 120
        while not kept.exists() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.05)
        process.send_signal(kind)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert f"goes on from {kept}" in err and "Traceback" not in err
    assert kept.exists() and not out.exists()
    code, text, _ = mmtp(capsys, *command[:-1], 5)
    assert code == 0 and "continued from iteration" in text
    assert "Å³/atom" in text and "magnetic_forces_eV_per_muB" in text
    assert out.exists() and not kept.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--weights", "energy"], "not NAME=VALUE"),
        (["--weights", "spin=1"], "no such weight"),
        (["--weights", "energy=-1"], "not negative"),
        (["--species", "Fe"], "Pd"),
        (["--hold-out", "0.9", "--species", "Fe,Pd,Ni", "--level", "3"], "level"),
    ],
)
def test_bad_options_are_one_line(files, tmp_path, capsys, options, words):
    code, _, err = mmtp(
        capsys, "potential", "fit", files / "training.extxyz", tmp_path / "x.mmtp", "--max-iterations", 1, *options
    )
    assert code == 2 and words in err and len(err.splitlines()) == 1


def test_no_directory_is_said_before_the_fit(files, tmp_path, capsys):
    code, _, err = mmtp(capsys, "potential", "fit", files / "training.extxyz", tmp_path / "no" / "x.mmtp")
    assert code == 2 and "there is no directory" in err


def test_absent_moments_are_no_moments_of_zero(files, tmp_path, capsys):
    """Asked about structures without moments, a magnetic potential does not answer for zero ones."""
    potential = tmp_path / "a.mmtp"
    Potential.from_level(4, ["Fe", "Pd"], radial_size=4, magnetic_size=2).write(potential)
    labels = read(files / "training.extxyz", index=":2")
    bare = [atoms.copy() for atoms in labels]
    for atoms in bare:
        for name in ("initial_magmoms", "magmoms", "magnetic_forces"):
            atoms.arrays.pop(name, None)
    write(tmp_path / "bare.extxyz", bare)
    code, _, told = mmtp(capsys, "potential", "evaluate", potential, tmp_path / "bare.extxyz")
    assert code == 2 and "2 of 2 configurations have no moments" in told and "--moments relax" in told
    given = ("potential", "evaluate", potential, tmp_path / "bare.extxyz", "--json", "--moments")
    _, zero, _ = mmtp(capsys, *given, "zero")
    _, same, _ = mmtp(capsys, *given, files / "training.extxyz")
    assert not same, "another number of configurations"
    write_configurations(tmp_path / "both.extxyz", labels)
    _, same, _ = mmtp(capsys, *given, tmp_path / "both.extxyz")
    _, whole, _ = mmtp(capsys, "potential", "evaluate", potential, tmp_path / "both.extxyz", "--json")
    assert np.allclose(json.loads(same)[1]["energy"], json.loads(whole)[1]["energy"])
    assert not np.any(json.loads(zero)[1]["moments"])
    code, _, told = mmtp(
        capsys, "potential", "fit", tmp_path / "bare.extxyz", tmp_path / "b.mmtp", *FORM, "--moments", "relax"
    )
    assert code == 2 and "labels belong to the moments" in told


def test_a_fit_of_molecules_ends_with_its_table(tmp_path, capsys):
    """No cell, no volume, no stress: the fit was written, and its table then lost."""
    made = []
    for length in (2.2, 2.3, 2.4, 2.5):
        atoms = Atoms("Fe2", [[0, 0, 0], [length, 0, 0]])
        force = [[length - 2.35, 0, 0], [2.35 - length, 0, 0]]
        atoms.calc = SinglePointCalculator(atoms, energy=-6 + (length - 2.35) ** 2, forces=force, magmoms=[2.9, 2.9])
        made.append(atoms)
    write_configurations(tmp_path / "molecules.cfg", made, "cfg", ["Fe"])
    code, text, _ = mmtp(
        capsys, "potential", "fit", tmp_path / "molecules.cfg", tmp_path / "m.mmtp", "--species", "Fe", *FORM,
        "--max-iterations", 5, "--json",
    )  # fmt: skip
    assert code == 0 and json.loads(text)["errors_by_volume"] == []


def test_a_potential_without_moments_needs_none(tmp_path, capsys):
    Potential.from_level(4, ["Fe"], magnetic_size=0, radial_size=4).write(tmp_path / "a.mmtp")
    made = []
    for length in (2.75, 2.8, 2.85):
        atoms = bulk("Fe", "bcc", length, cubic=True)
        atoms.calc = SinglePointCalculator(atoms, energy=-16 + length, forces=np.zeros((2, 3)), stress=np.zeros(6))
        made.append(atoms)
    write(tmp_path / "labels.extxyz", made)
    start = ("--start", tmp_path / "a.mmtp")
    code, _, told = mmtp(
        capsys, "potential", "fit", tmp_path / "labels.extxyz", tmp_path / "b.mmtp", *start, "--max-iterations", 2
    )
    assert code == 0, told
    code, _, told = mmtp(capsys, "potential", "evaluate", tmp_path / "b.mmtp", tmp_path / "labels.extxyz")
    assert code == 0, told
    code, _, told = mmtp(
        capsys, "potential", "grade", tmp_path / "b.mmtp", tmp_path / "labels.extxyz", tmp_path / "labels.extxyz"
    )
    assert code == 0, told
