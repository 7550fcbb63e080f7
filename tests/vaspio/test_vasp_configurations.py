"""Finished runs of VASP as labels: F − E_p with moments along their axis, or a refusal."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmtp_fw.errors import InputError
from mmtp_fw.fitting.datasets import read_configurations
from mmtp_fw.vaspio import is_vasp_output
from mmtp_fw.vaspio.outcar import parse_outcar
from mmtp_fw.vaspio.text import VaspFileError, read_text
from mmtp_fw.vaspio.vasprun import parse_vasprun

DATA = Path(__file__).with_name("data")
OUTCAR, OSZICAR = (DATA / "OUTCAR-UO2").read_text(), (DATA / "OSZICAR-UO2").read_text()

VASPRUN = """<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <incar>
  <i type="int" name="I_CONSTRAINED_M">     2</i>
 </incar>
 <parameters><i type="int" name="ISPIN">     1</i><i type="logical" name="LNONCOLLINEAR"> T  </i></parameters>
 <atominfo><array name="atoms" ><set>
  <rc><c>U </c><c>   1</c></rc><rc><c>O </c><c>   2</c></rc><rc><c>O </c><c>   2</c></rc>
 </set></array></atominfo>
 <calculation>
  <structure><crystal><varray name="basis" >
   <v> -2.734 0.0 2.734 </v><v> 0.0 2.734 2.734 </v><v> -2.734 2.734 0.0 </v>
  </varray></crystal>
  <varray name="positions" ><v> 0.0 0.0 0.0 </v><v> 0.75 0.75 0.75 </v><v> 0.25 0.25 0.25 </v></varray></structure>
  <varray name="forces" ><v> 0.0 0.0 0.0 </v><v> 0.0 0.0 0.001 </v><v> 0.0 0.0 -0.001 </v></varray>
  <varray name="stress" ><v> -41.9 -2.1 -0.03 </v><v> -2.1 -41.9 -0.02 </v><v> -0.03 -0.02 -46.4 </v></varray>
  <energy><i name="e_fr_energy">     65.45896626 </i><i name="e_0_energy">     66.45896626 </i></energy>
 </calculation>
</modeling>
"""


@pytest.fixture
def run(tmp_path) -> Path:
    """A folder with the files of one constrained run."""
    (tmp_path / "OUTCAR").write_text(OUTCAR)
    (tmp_path / "OSZICAR").write_text(OSZICAR)
    (tmp_path / "vasprun.xml").write_text(VASPRUN)
    return tmp_path


@pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml"])
def test_the_energy_is_without_the_penalty_and_moments_along_their_axis(run, name):
    (atoms,) = read_configurations(run / name)
    found = atoms.calc.results
    assert found["energy"] == pytest.approx(-34.541034, abs=1e-6)
    np.testing.assert_allclose(found["magmoms"], [1.356, -0.029, -0.029], atol=1e-3)
    assert list(atoms.symbols) == ["U", "O", "O"]
    assert found["forces"].shape == (3, 3)
    # in kB: XX YY ZZ XY YZ ZX of the negative stress
    np.testing.assert_allclose(found["stress"] / 6.2415e-4, [41.9, 41.9, 46.4, 0.02, 0.03, 2.1], atol=0.03)


def test_files_may_be_packed_and_have_other_names(tmp_path):
    with gzip.open(tmp_path / "OUTCAR-7.gz", "wt") as file:
        file.write(OUTCAR)
    (tmp_path / "OSZICAR-7").write_text(OSZICAR)
    (tmp_path / "OSZICAR").write_text(OSZICAR.replace("0.65458966E+02", "0.75458966E+02"))
    (atoms,) = read_configurations(tmp_path / "OUTCAR-7.gz")
    assert atoms.calc.results["energy"] == pytest.approx(-34.541034, abs=1e-6)
    (tmp_path / "seven").write_bytes((tmp_path / "OUTCAR-7.gz").read_bytes())
    assert is_vasp_output(tmp_path / "seven")
    assert not is_vasp_output(tmp_path / "OSZICAR-7")
    (tmp_path / "from-OUTCAR.xyz").write_text("1\n\nFe 0 0 0\n")
    assert not is_vasp_output(tmp_path / "from-OUTCAR.xyz")
    (tmp_path / "OUTCAR.old").write_text("cut off at its beginning\n")
    with pytest.raises(InputError, match="no number of ions"):
        read_configurations(tmp_path / "OUTCAR.old")


def test_a_penalty_of_unknown_size_is_refused(run):
    for name in ("OUTCAR", "vasprun.xml"):
        (run / "OSZICAR").unlink(missing_ok=True)
        with pytest.raises(InputError, match="penalty"):
            read_configurations(run / name)
    # Where the parts of the energy happen to hide it, the tags don't.
    (run / "vasprun.xml").unlink()
    balanced = OUTCAR.replace("2272.46765527", "2372.46765527")
    (run / "OUTCAR").write_text(balanced)
    read_configurations(run / "OUTCAR")
    (run / "INCAR").write_text("ENCUT = 420\n I_CONSTRAINED_M = 1\n")
    with pytest.raises(InputError, match="constrained moments"):
        read_configurations(run / "OUTCAR")
    (run / "INCAR").unlink()
    (run / "OUTCAR").write_text(balanced.replace("TITEL", "I_CONSTRAINED_M = 2\n   TITEL", 1))
    with pytest.raises(InputError, match="constrained moments"):
        read_configurations(run / "OUTCAR")


def test_files_of_another_run_are_refused(run):
    (run / "OSZICAR").write_text(OSZICAR.replace("0.65458966E+02", "0.75458966E+02"))
    with pytest.raises(InputError, match="are of different runs"):
        read_configurations(run / "OUTCAR")
    (run / "OSZICAR").write_text(OSZICAR)
    (run / "vasprun.xml").write_text(VASPRUN.replace("65.45896626", "55.45896626"))
    with pytest.raises(InputError, match="are of different runs"):
        read_configurations(run / "vasprun.xml")


def test_a_vasprun_without_its_outcar_has_no_moments(run):
    (run / "OUTCAR").unlink()
    with pytest.raises(InputError, match="holds no moments"):
        read_configurations(run / "vasprun.xml")
    plain = VASPRUN.replace("> T  <", "> F  <").replace("I_CONSTRAINED_M", "NELM")
    (run / "vasprun.xml").write_text(plain)
    (atoms,) = read_configurations(run / "vasprun.xml")
    assert atoms.calc.results["energy"] == 65.45896626, "the free energy, not σ → 0"
    np.testing.assert_array_equal(atoms.calc.results["magmoms"], 0)


def test_the_enthalpy_is_no_energy():
    pressed = VASPRUN.replace("<parameters>", '<parameters><i name="PSTRESS"> 100.0 </i>')
    before, after = parse_vasprun(VASPRUN).steps[0], parse_vasprun(pressed).steps[0]
    volume = abs(np.linalg.det(before.cell))
    assert before.free_energy_eV - after.free_energy_eV == pytest.approx(10 * volume / 160.21766, rel=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("General timing", "General", "cut off"),
        ("because EDIFF is reached", "EDIFF was not reached (unconverged)", "did not reach EDIFF"),
        ("  1        0.005   0.002   0.018   1.331   1.356", "\0" * 40, "NUL bytes"),
        ("   1.331   1.356", "   1.331   0.111", "sum of table"),
        ("  2       -0.002  -0.028   0.000   0.000  -0.029\n", "", "has 1 of 3 ions"),
        ("  2       -0.002  -0.028", "  1       -0.002  -0.028", "has 1 of 3 ions"),
        (" magnetization (z)", " orbital moment (z)", "has no moments"),
        (
            "      0.00000      0.00000      0.00000         0.0",
            "      0.00000      xxxxxxx      0.0       0.0",
            "incomplete",
        ),
        ("free  energy   TOTEN", "free  energy   NOTEN", "no free energy"),
        ("NIONS =      3", "NIONS =      4", "of 4 ions"),
        ("TITEL  = PAW U 17Apr2000", "TITEL  = PAW Qq 17Apr2000", "does not name the species"),
        (
            "  1       -0.000  -0.000  -0.000  -0.003  -0.003",
            "  1       -0.000  -0.000  -0.000  *******  *******",
            "finite",
        ),
        ("   1.331   1.356", "   1.331  *******", "finite"),
    ],
)
def test_damaged_files_are_refused_in_a_line(run, old, new, message):
    assert old in OUTCAR
    (run / "OUTCAR").write_text(OUTCAR.replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        read_configurations(run / "OUTCAR")
    assert "OUTCAR" in str(caught.value) and "\n" not in str(caught.value)


def test_an_oszicar_whose_last_penalty_is_damaged_does_not_give_the_one_before(run):
    lines = OSZICAR.splitlines()
    last = [k for k, line in enumerate(lines) if "E_p" in line]
    broken = [line for k, line in enumerate(lines) if k not in last[1:]]
    (run / "OSZICAR").write_text("\n".join(broken))
    with pytest.raises(InputError, match="does not say the penalty"):
        read_configurations(run / "OUTCAR")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</modeling>", "", "cut off"),
        ("<v> 0.75 0.75 0.75 </v>", "", "no structure of 3 ions"),
        ("<v> 0.0 0.0 0.001 </v>", "<v> 0.0 0.001 </v>", "different lengths"),
        ("<v> 0.0 0.0 0.001 </v>", "<v> 0.0 oops 0.001 </v>", "something else than numbers"),
        ("<v> 0.0 0.0 0.001 </v>", "", "forces on 2 ions"),
        ("e_fr_energy", "e_xx_energy", "no complete ionic step"),
        ("65.45896626", "***********", "different runs"),
    ],
)
def test_damaged_vaspruns_are_refused_in_a_line(run, old, new, message):
    assert old in VASPRUN
    (run / "vasprun.xml").write_text(VASPRUN.replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        read_configurations(run / "vasprun.xml")
    assert "\n" not in str(caught.value)


def test_every_ionic_step_is_a_configuration(run):
    begin = OUTCAR.index("-----", OUTCAR.index("RWIGS"))
    end = OUTCAR.index(" orbital moment")
    second = (
        OUTCAR[begin:end].replace("Iteration    1(  14)", "Iteration    2(   9)").replace("65.45896626", "64.45896626")
    )
    (run / "OUTCAR").write_text(OUTCAR[:end] + second + OUTCAR[end:])
    steps = OSZICAR + OSZICAR.replace("0.65458966E+02", "0.64458966E+02").replace("0.10000E+03", "0.99000E+02")
    (run / "OSZICAR").write_text(steps)
    energies = [atoms.calc.results["energy"] for atoms in read_configurations(run / "OUTCAR")]
    np.testing.assert_allclose(energies, [-34.541034, -34.541034], atol=1e-6)


def test_a_collinear_run_has_one_table():
    text = OUTCAR.replace("LNONCOLLINEAR =      T", "LNONCOLLINEAR =      F").replace(
        "ISPIN  =      1", "ISPIN  =      2"
    )
    cut = text[: text.index(" magnetization (y)")] + text[text.index("  FORCE on cell") : text.index(" orbital moment")]
    (step,) = parse_outcar(cut).steps
    np.testing.assert_array_equal(step.moments[:, 2], [-0.003, 0, 0])
    assert parse_outcar(cut).magnetic and not parse_outcar(cut).noncollinear


def test_holes_and_other_containers(tmp_path):
    (tmp_path / "a").write_bytes(b"one\ntwo\0\0\n")
    with pytest.raises(VaspFileError, match="line 2: NUL bytes"):
        read_text(tmp_path / "a")
    (tmp_path / "b").write_bytes(gzip.compress(b"a" * 5000)[:40])
    with pytest.raises(VaspFileError, match="can't be read"):
        read_text(tmp_path / "b")
    with pytest.raises(VaspFileError, match="wrote no"):
        read_text(tmp_path / "c")
    shutil.copy(DATA / "OUTCAR-UO2", tmp_path / "d")
    assert read_text(tmp_path / "d") == OUTCAR
