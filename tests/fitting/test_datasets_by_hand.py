"""Files of configurations, number by number: what is read, what is written, and what is refused with its line."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from mmtp_fw.errors import InputError
from mmtp_fw.fitting import read_configurations, write_configurations
from mmtp_fw.fitting.cfg import derivative_sign

CFG = """BEGIN_CFG
 Size
    2
 Supercell
    4 0 0
    0 5 0
    0 0 6
 AtomData:  id type cartes_x cartes_y cartes_z fx fy fz magmom_x magmom_y magmom_z en_der_mx en_der_my en_der_mz
    1 1 0 0 0  0.1 0.2 0.3  2.0 0 0  -0.5 0 0
    2 0 2 2.5 3  -0.1 -0.2 -0.3  -0.3 0 0  0.25 0 0
 Energy
    -8.5
 PlusStress:  xx yy zz yz xz xy
    12 24 36 1.2 2.4 3.6
 Feature   EFS_by\tVASP 6
 Feature   conf_number\t17
 Feature   empty
END_CFG
"""


def read(tmp_path, text: str, **options) -> list[Atoms]:
    path = tmp_path / "a.cfg"
    path.write_text(text, encoding="utf-8")
    return read_configurations(path, ["Fe", "Pd"], **options)


def test_every_number_of_a_block(tmp_path):
    (atoms,) = read(tmp_path, CFG, magnetic_derivatives="force")
    assert list(atoms.symbols) == ["Pd", "Fe"] and atoms.pbc.all()
    np.testing.assert_array_equal(np.asarray(atoms.cell), np.diag([4, 5, 6]))
    np.testing.assert_array_equal(atoms.positions, [[0, 0, 0], [2, 2.5, 3]])
    results = atoms.calc.results
    assert results["energy"] == -8.5
    np.testing.assert_array_equal(results["forces"], [[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]])
    np.testing.assert_allclose(results["stress"], np.array([12, 24, 36, 1.2, 2.4, 3.6]) / -120)
    np.testing.assert_array_equal(results["magmoms"], [2.0, -0.3])
    np.testing.assert_array_equal(atoms.arrays["magnetic_forces"], [-0.5, 0.25])
    assert atoms.info["features"] == {"EFS_by": "VASP 6", "conf_number": "17", "empty": ""}
    (turned,) = read(tmp_path, CFG, magnetic_derivatives="derivative")
    np.testing.assert_array_equal(turned.arrays["magnetic_forces"], [0.5, -0.25])


def test_several_blocks_and_what_stands_between_them(tmp_path):
    bare = "BEGIN_CFG\n Size\n 1\n AtomData: id type cartes_x cartes_y cartes_z\n 1 0 0.5 1 1.5\nEND_CFG\n"
    found = read(tmp_path, f"{CFG}\n# a remark\n\n{bare}{CFG}")
    assert [len(atoms) for atoms in found] == [2, 1, 2]
    one = found[1]
    assert not one.pbc.any() and one.calc is None and "features" not in one.info
    np.testing.assert_array_equal(one.positions, [[0.5, 1, 1.5]])


@pytest.mark.parametrize("periodic", [1, 2])
def test_chains_and_slabs_have_fewer_vectors(tmp_path, periodic):
    vectors = "\n".join(["    4 0 0", "    0 5 0", "    0 0 6"][:periodic])
    text = CFG.replace("    4 0 0\n    0 5 0\n    0 0 6", vectors).replace("Supercell", "SuperCell")
    (atoms,) = read(tmp_path, text)
    assert atoms.pbc.tolist() == [k < periodic for k in range(3)]
    assert atoms.cell.rank == periodic and "stress" not in atoms.calc.results, "no volume, no stress"
    assert atoms.calc.results["energy"] == -8.5


def test_moments_without_a_label_are_targets(tmp_path):
    text = CFG.replace(" fx fy fz", "").replace("  0.1 0.2 0.3", "").replace("  -0.1 -0.2 -0.3", "")
    text = text.replace(" Energy\n    -8.5\n", "")
    (atoms,) = read(tmp_path, text)
    assert atoms.calc is None
    np.testing.assert_array_equal(atoms.get_initial_magnetic_moments(), [2.0, -0.3])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("    2\n Supercell", "    two\n Supercell", "line 3: numbers expected, found 'two'"),
        ("    0 5 0", "    0 5", "line 6: 3 numbers expected, found 2"),
        ("    12 24 36 1.2 2.4 3.6", "    12 24 36", "line 14: 6 numbers expected, found 3"),
        ("    -8.5", "    -8.5 1", "line 12: 1 numbers expected, found 2"),
        ("  0.25 0 0", "  0.25 0", "line 10: 14 numbers expected, found 13"),
        ("    2\n Supercell", "    40\n Supercell", "line 8: fewer than 40 rows of atoms"),
        (" type ", " kind ", "line 8: unknown column kind"),
        ("cartes_z", "cartes_w", "line 8: unknown column cartes_w"),
        ("    1 1 0", "    1 2 0", "line 1: types up to 2 have no names"),
        ("2.0 0 0", "2.0 0 0.9", "line 1: its moments aren't collinear"),
        ("2.0 0 0", "2.0 0.9 0", "line 1: its moments aren't collinear"),
        ("2.0 0 0", "nan 0 0", "line 9: a number is not finite"),
        ("END_CFG", "END", "line 1: BEGIN_CFG without END_CFG"),
    ],
)
def test_faults_are_told_with_their_line(tmp_path, old, new, words):
    with pytest.raises(InputError) as caught:
        read(tmp_path, CFG.replace(old, new))
    assert f"a.cfg, {words}" in str(caught.value)
    small = CFG.replace("2.0 0 0", "2.0 1e-7 -1e-7")
    assert len(read(tmp_path, small)) == 1, "rounding is no direction"
    with pytest.raises(InputError, match="have no names"):
        read_configurations(tmp_path / "a.cfg")


def spins(pairs: list[tuple[str, float, float]]) -> list[Atoms]:
    """Return one configuration of atoms with moments and magnetic forces."""
    atoms = Atoms([symbol for symbol, _, _ in pairs], np.zeros((len(pairs), 3)))
    atoms.set_initial_magnetic_moments([m for _, m, _ in pairs])
    atoms.set_array("magnetic_forces", np.array([t for _, _, t in pairs]))
    return [atoms]


def test_a_magnetic_force_restores():
    restoring = [("Fe", m, -0.5 * (abs(m) - 2) * np.sign(m)) for m in (1.8, 2.1, 2.4, -1.9, -2.3)]
    assert derivative_sign(spins(restoring)) == 1.0
    assert derivative_sign(spins([(s, m, -t) for s, m, t in restoring])) == -1.0
    # Species are told apart: small palladium moments under strong fields beside iron that says little.
    both = [*restoring, *[("Pd", m, 3 - 5 * m) for m in (0.1, 0.2, 0.3, 0.4)]]
    assert derivative_sign(spins(both)) == 1.0
    assert derivative_sign(spins([(s, m, -t) for s, m, t in both])) == -1.0


def test_what_is_undecided_keeps_the_published_sign():
    for pairs in (
        [],
        [("Fe", 2.0, 1.0), ("Fe", 2.5, 2.0)],
        [("Fe", 2.0, 1.0), ("Fe", 2.0, 2.0), ("Fe", 2.0, 4.0)],
        [("Fe", 2.0, 1.0), ("Fe", 2.2, 1.0), ("Fe", 2.4, 1.0)],
        [("Fe", 0.0, 1.0), ("Fe", 0.0, 5.0), ("Fe", 0.0, 7.0), ("Fe", 1.0, 9.0)],
    ):
        assert derivative_sign(spins(pairs)) == 1.0
    bare = Atoms("Fe")
    assert derivative_sign([bare]) == 1.0
    rising = [("Fe", 1.0 + 0.1 * k, 0.2 * k) for k in range(5)]
    assert derivative_sign([*spins(rising), bare]) == -1.0


def labelled(cell=(4.0, 5.0, 6.0), pbc=True) -> Atoms:
    atoms = Atoms("PdFe", [[0, 0, 0], [2, 2.5, 3]], cell=cell, pbc=pbc)
    atoms.calc = SinglePointCalculator(
        atoms, energy=-8.5, forces=np.arange(6.0).reshape(2, 3), stress=np.arange(6.0) / 8, magmoms=[0.25, 2.5]
    )
    atoms.set_array("magnetic_forces", np.array([0.5, -0.125]))
    atoms.info["features"] = {"from": "here"}
    return atoms


def test_the_text_that_is_written(tmp_path):
    path = tmp_path / "out.cfg"
    write_configurations(path, [labelled()], "cfg")
    lines = [" ".join(line.split()) for line in path.read_text().splitlines() if line.strip()]
    np.testing.assert_allclose([float(word) for word in lines.pop(13).split()], [0, -15, -30, -45, -60, -75])
    assert lines == [
        "BEGIN_CFG",
        "Size",
        "2",
        "Supercell",
        "4 0 0",
        "0 5 0",
        "0 0 6",
        "AtomData: id type cartes_x cartes_y cartes_z fx fy fz magmom_x magmom_y magmom_z "
        "en_der_mx en_der_my en_der_mz",
        "1 1 0 0 0 0 1 2 0.25 0 0 0.5 0 0",
        "2 0 2 2.5 3 3 4 5 2.5 0 0 -0.125 0 0",
        "Energy",
        "-8.5",
        "PlusStress: xx yy zz yz xz xy",
        "Feature from here",
        "END_CFG",
    ]
    write_configurations(path, [labelled()], "cfg", species=["Pd", "Fe"])
    assert " 1 0 0 0 0" in path.read_text(), "in the order that is given"


def test_what_is_not_there_is_not_written(tmp_path):
    path = tmp_path / "out.cfg"
    bare = Atoms("Fe", [[1, 2, 3]])
    write_configurations(path, [bare], "cfg")
    text = path.read_text()
    for word in ("Supercell", "magmom", "en_der", "fx", "Energy", "PlusStress", "Feature"):
        assert word not in text
    slab = labelled(pbc=[True, True, False])
    write_configurations(path, [slab, bare], "cfg")
    (first, second) = read_configurations(path, ["Fe", "Pd"])
    assert first.pbc.tolist() == [True, True, False] and not second.pbc.any()
    write_configurations(path, [labelled(cell=(4.0, 5.0, 0.0), pbc=[True, True, False])], "cfg")
    assert "PlusStress" not in path.read_text()


def test_extended_xyz_keeps_labels_and_simple_notes(tmp_path):
    path, atoms = tmp_path / "out.xyz", labelled()
    atoms.info |= {"name": "x", "weight": 0.5, "count": 3, "flag": True, "array": np.zeros(3), "nothing": None}
    write_configurations(path, [atoms])
    (back,) = read_configurations(path)
    assert {name: back.info[name] for name in ("name", "weight", "count", "flag")} == {
        "name": "x", "weight": 0.5, "count": 3, "flag": True,
    }  # fmt: skip
    assert not {"features", "array", "nothing"} & set(back.info)
    assert back.calc.results["energy"] == -8.5
    np.testing.assert_allclose(back.calc.results["stress"], atoms.calc.results["stress"])
    np.testing.assert_allclose(back.calc.results["magmoms"], [0.25, 2.5])
    np.testing.assert_allclose(back.arrays["magnetic_forces"], [0.5, -0.125])
    assert [item.name for item in tmp_path.iterdir()] == ["out.xyz"]


@pytest.mark.parametrize("column", ["magmoms", "magnetic_moments", "initial_magmoms"])
def test_moments_in_any_column(tmp_path, column):
    path = tmp_path / "in.xyz"
    for label in ("energy=-1.0 ", ""):
        path.write_text(
            f'2\n{label}Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:{column}:R:1 pbc="T T T"\n'
            "Fe 0 0 0 2.5\nFe 2 2 2 -1.5\n"
        )
        (atoms,) = read_configurations(path)
        found = atoms.calc.results["magmoms"] if label else atoms.get_initial_magnetic_moments()
        np.testing.assert_array_equal(found, [2.5, -1.5])
        assert (atoms.calc is None) == (not label)


def test_vectors_along_one_axis_are_signed_moments(tmp_path):
    path = tmp_path / "in.xyz"
    head = '2\nenergy=-1.0 Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:magmoms:R:3 pbc="T T T"\n'
    for axis in range(3):
        rows = ["0 0 0", "0 0 0"]
        rows = [" ".join(str(m) if k == axis else "1e-8" for k in range(3)) for m in (2.5, -1.5)]
        path.write_text(f"{head}Fe 0 0 0 {rows[0]}\nFe 2 2 2 {rows[1]}\n")
        np.testing.assert_allclose(read_configurations(path)[0].calc.results["magmoms"], [2.5, -1.5])
    path.write_text(f"{head}Fe 0 0 0 0 0 0\nFe 2 2 2 0 0 0\n")
    np.testing.assert_array_equal(read_configurations(path)[0].calc.results["magmoms"], [0, 0])
    path.write_text(f"{head}Fe 0 0 0 0 0 2\nFe 2 2 2 0 0.5 0\n")
    with pytest.raises(InputError, match=r"in\.xyz: configuration 0: its moments aren't collinear"):
        read_configurations(path)


def test_other_formats_and_empty_files(tmp_path):
    path = tmp_path / "POSCAR"
    write(path, Atoms("Fe", cell=[3, 3, 3], pbc=True), format="vasp")
    assert read_configurations(path)[0].cell[0, 0] == 3
    (tmp_path / "empty.xyz").write_text("")
    with pytest.raises(InputError):
        read_configurations(tmp_path / "empty.xyz")
    with pytest.raises(InputError, match=r"nothing/out\.xyz: can't be written"):
        write_configurations(tmp_path / "nothing" / "out.xyz", [labelled()])
    with pytest.raises(InputError, match="Pd is not among the species Fe"):
        write_configurations(tmp_path / "out.cfg", [labelled()], "cfg", species=["Fe"])
    assert not (tmp_path / "out.cfg").exists(), "complete or not at all"
