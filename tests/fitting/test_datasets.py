from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from mmtp_fw.errors import InputError
from mmtp_fw.fitting import read_configurations, write_configurations


@pytest.mark.parametrize(("format", "tolerance"), [("extxyz", 1e-7), ("cfg", 0.0)])
def test_round_trip(training, tmp_path, format, tolerance):
    path = tmp_path / f"set.{format}"
    training[0].info["features"] = {"origin": "hand made"}
    write_configurations(path, training, format)
    back = read_configurations(path, ["Fe", "Pd"])
    assert len(back) == len(training)
    for old, new in zip(training, back, strict=True):
        assert list(old.symbols) == list(new.symbols)
        for key in ("energy", "forces", "magmoms"):
            np.testing.assert_allclose(new.calc.results[key], old.calc.results[key], atol=tolerance)
        np.testing.assert_allclose(new.calc.results["stress"], old.calc.results["stress"], atol=1e-9)
        np.testing.assert_allclose(new.positions, old.positions, atol=tolerance)
        np.testing.assert_allclose(np.array(new.cell), np.array(old.cell), atol=tolerance)
        np.testing.assert_allclose(new.arrays["magnetic_forces"], old.arrays["magnetic_forces"], atol=tolerance)
    if format == "cfg":
        assert back[0].info["features"] == {"origin": "hand made"}


def test_the_sign_of_cfg_derivatives_is_detected(training, tmp_path):
    path = tmp_path / "set.cfg"
    truth = [atoms.arrays["magnetic_forces"].copy() for atoms in training]
    write_configurations(path, training, "cfg")
    np.testing.assert_array_equal(read_configurations(path, ["Fe", "Pd"])[0].arrays["magnetic_forces"], truth[0])
    for atoms in training:
        atoms.arrays["magnetic_forces"] = -atoms.arrays["magnetic_forces"]
    write_configurations(path, training, "cfg")
    np.testing.assert_array_equal(read_configurations(path, ["Fe", "Pd"])[3].arrays["magnetic_forces"], truth[3])
    asked = read_configurations(path, ["Fe", "Pd"], magnetic_derivatives="force")
    np.testing.assert_array_equal(asked[3].arrays["magnetic_forces"], -truth[3])


CFG = """BEGIN_CFG
 Size
    2
 Supercell
    4 0 0
    0 4 0
    0 0 4
 AtomData:  id type direct_x direct_y direct_z fx fy fz magmom_x magmom_y magmom_z
    1 0 0 0 0  0.1 0 0  2.0 0 0
    2 1 0.5 0.5 0.5  -0.1 0 0  -0.3 0 0
 Energy
    -8.5
 PlusStress:  xx yy zz yz xz xy
    6.4 0 0 1.28 0 0
END_CFG
"""


def test_cfg_conventions(tmp_path):
    path = tmp_path / "a.cfg"
    path.write_text(CFG)
    (atoms,) = read_configurations(path, ["Fe", "Pd"])
    np.testing.assert_allclose(atoms.positions[1], [2, 2, 2])
    np.testing.assert_allclose(atoms.calc.results["stress"], [-0.1, 0, 0, -0.02, 0, 0])
    np.testing.assert_allclose(atoms.calc.results["magmoms"], [2.0, -0.3])
    assert atoms.calc.results["energy"] == -8.5


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("-0.3 0 0", "-0.3 1 0", "aren't collinear"),
        ("-8.5", "minus", "line 12: numbers expected"),
        ("END_CFG", "", "BEGIN_CFG without END_CFG"),
        ("    2 1 0.5 0.5 0.5  -0.1 0 0  -0.3 0 0\n", "", "numbers expected"),
        ("    2 1 0.5", "    2 4 0.5", "types up to 4 have no names"),
    ],
)
def test_bad_cfg_names_file_and_line(tmp_path, old, new, words):
    path = tmp_path / "bad.cfg"
    path.write_text(CFG.replace(old, new))
    with pytest.raises(InputError, match=r"bad\.cfg") as caught:
        read_configurations(path, ["Fe", "Pd"])
    assert words in str(caught.value)


def test_files_that_are_none(tmp_path, training):
    with pytest.raises(InputError, match="can't be read"):
        read_configurations(tmp_path / "missing.xyz")
    (tmp_path / "bad.xyz").write_text("not a number\n")
    with pytest.raises(InputError, match="can't be read as configurations"):
        read_configurations(tmp_path / "bad.xyz")
    with pytest.raises(InputError, match="unknown format"):
        write_configurations(tmp_path / "x", training, "json")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not among the species"):
        write_configurations(tmp_path / "x.cfg", training, "cfg", species=["Ni"])


def test_moments_along_any_axis_with_noise_are_signed_numbers(tmp_path):
    xyz = tmp_path / "noise.xyz"
    xyz.write_text(
        '2\nLattice="2.86 0 0 0 2.86 0 0 0 2.86" Properties=species:S:1:pos:R:3:magmoms:R:3:magnetic_forces:R:3'
        ' energy=-16.5 pbc="T T T"\nFe 0 0 0 0.001 -0.002 2.2 0.1 0 0.5\nFe 1.43 1.43 1.5 0.000 0.001 -2.2 0 0 0.25\n'
    )
    (atoms,) = read_configurations(xyz)
    np.testing.assert_allclose(atoms.calc.results["magmoms"], [2.2, -2.2], atol=1e-5)
    np.testing.assert_allclose(atoms.arrays["magnetic_forces"], [0.5, 0.25], atol=2e-4)
    cfg = tmp_path / "z.cfg"
    head, rows = (
        "magmom_x magmom_y magmom_z",
        CFG.replace("2.0 0 0\n", "0 0.02 2.0\n").replace("-0.3 0 0\n", "0 0 -0.3\n"),
    )
    assert head in rows
    cfg.write_text(rows)
    (atoms,) = read_configurations(cfg, ["Fe", "Pd"])
    np.testing.assert_allclose(atoms.calc.results["magmoms"], [2.0, -0.3], atol=1e-3)


def test_vectors_of_derivatives_follow_the_axis_of_the_moments(tmp_path):
    path = tmp_path / "z.cfg"
    text = CFG.replace("magmom_x magmom_y magmom_z", "magmom_x magmom_y magmom_z en_der_mx en_der_my en_der_mz")
    text = text.replace("2.0 0 0\n", "0 0 2.0 0 0 0.4\n").replace("-0.3 0 0\n", "0 0 -0.3 9 0 0.1\n")
    path.write_text(text)
    (atoms,) = read_configurations(path, ["Fe", "Pd"], "force")
    np.testing.assert_allclose(atoms.arrays["magnetic_forces"], [0.4, 0.1])


def test_the_energy_is_the_one_that_forces_belong_to(tmp_path):
    path = tmp_path / "both.xyz"
    path.write_text(
        '1\nLattice="2.5 0 0 0 2.5 0 0 0 2.5" Properties=species:S:1:pos:R:3:forces:R:3:magmoms:R:1 energy=-8.25'
        ' free_energy=-8.3 pbc="T T T"\nFe 0 0 0 0.1 0.2 0.3 2.2\n'
    )
    assert read_configurations(path)[0].calc.results["energy"] == -8.3


def test_an_unknown_meaning_of_derivatives_is_refused(tmp_path):
    with pytest.raises(InputError, match="'gradient'"):
        read_configurations(tmp_path / "a.cfg", magnetic_derivatives="gradient")


def test_integers_beside_a_label_survive_a_second_writing(tmp_path):
    """Numbers of a comment line are numpy's once they were read."""
    atoms = Atoms("Fe", cell=[2.5] * 3, pbc=True)
    atoms.info.update(steps=28, checked=True, seconds=1.5, name="first")
    write_configurations(tmp_path / "one.xyz", [atoms])
    write_configurations(tmp_path / "two.xyz", read_configurations(tmp_path / "one.xyz"))
    again = read_configurations(tmp_path / "two.xyz")[0].info
    assert {key: again[key] for key in atoms.info} == {"steps": 28, "checked": True, "seconds": 1.5, "name": "first"}
