"""What others call energies, moments and forces, and what a cfg may look like."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from mmtp_fw.errors import InputError
from mmtp_fw.fitting import read_configurations, write_configurations
from mmtp_fw.potential import has_moments, moments_of

CELL = 'Lattice="2.86 0 0 0 2.86 0 0 0 2.86"'
ROWS = "Fe 0 0 0 0.1 0.2 0.3 0 0 2.2 0 0 0.01\nFe 1.43 1.43 1.43 -0.1 -0.2 -0.3 0 0 2.1 0 0 -0.01\n"
VOLUME = 2.86**3
DIALECTS = {
    "MACE": (
        "REF_forces:R:3:REF_magmom:R:3:REF_magforces:R:3",
        'REF_energy=-16.5 REF_stress="-0.1 0 0 0 -0.1 0 0 0 -0.1"',
        -0.1,
    ),
    "spin NEP": ("force:R:3:spin:R:3:mforce:R:3", 'energy=-16.5 virial="0.1 0 0 0 0.1 0 0 0 0.1"', -0.1 / VOLUME),
    "NEP": (
        "force:R:3:magnetic_moment:R:3:magnetic_force:R:3",
        'Energy=-16.5 Virial="0.1 0 0 0 0.1 0 0 0 0.1"',
        -0.1 / VOLUME,
    ),
    "ASE": (
        "forces:R:3:magmoms:R:3:magnetic_forces:R:3",
        'energy=-16.5 stress="-0.1 0 0 0 -0.1 0 0 0 -0.1"',
        -0.1,
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_label_in_every_dialect(dialect, tmp_path):
    columns, facts, stress = DIALECTS[dialect]
    path = tmp_path / "a.xyz"
    path.write_text(f'2\n{CELL} Properties=species:S:1:pos:R:3:{columns} {facts} pbc="T T T"\n{ROWS}')
    (atoms,) = read_configurations(path)
    assert atoms.get_potential_energy() == -16.5
    assert np.allclose(atoms.get_forces()[0], [0.1, 0.2, 0.3])
    assert np.allclose(atoms.get_stress(), [stress] * 3 + [0] * 3)
    assert np.allclose(moments_of(atoms), [2.2, 2.1])
    assert np.allclose(atoms.arrays["magnetic_forces"], [0.01, -0.01])


@pytest.mark.parametrize(
    ("columns", "facts", "said"),
    [
        ("spin:R:3:REF_magmom:R:3", "", "REF_magmom and spin"),
        ("forces:R:3:REF_forces:R:3", "", "forces and REF_forces"),
        ("forces:R:3:spin:R:3", "energy=-1 REF_energy=-2", "energy and REF_energy"),
        (
            "forces:R:3:spin:R:3",
            'energy=-1 REF_stress="1 0 0 0 1 0 0 0 1" virial="1 0 0 0 1 0 0 0 1"',
            "REF_stress and virial",
        ),
    ],
)
def test_one_quantity_with_two_values_is_refused(columns, facts, said, tmp_path):
    path = tmp_path / "a.xyz"
    rows = "Fe 0 0 0 0.1 0 0 0 0 2.2\nFe 1.43 1.43 1.43 0 0 0 0 0 2.1\n"
    path.write_text(f"2\n{CELL} Properties=species:S:1:pos:R:3:{columns} {facts}\n{rows}")
    with pytest.raises(InputError, match=f"{said} are both there, and differ"):
        read_configurations(path)


def test_one_quantity_under_two_names_is_one(tmp_path):
    path = tmp_path / "a.xyz"
    rows = "Fe 0 0 0 0 0 2.2 0 0 2.2\nFe 1.43 1.43 1.43 0 0 2.1 0 0 2.1\n"
    path.write_text(f"2\n{CELL} Properties=species:S:1:pos:R:3:spin:R:3:magnetic_moment:R:3\n{rows}")
    (atoms,) = read_configurations(path)
    assert np.allclose(moments_of(atoms), [2.2, 2.1])


def test_moments_of_zero_come_back_from_a_cfg_as_moments(tmp_path):
    """They were left out, and what was written could then not be read as labels."""
    atoms = Atoms("Fe", cell=[2.5, 2.5, 2.5], pbc=True, magmoms=[0.0])
    write_configurations(tmp_path / "a.cfg", [atoms], "cfg", ["Fe"])
    assert has_moments(read_configurations(tmp_path / "a.cfg", ["Fe"])[0])
    bare = Atoms("Fe", cell=[2.5, 2.5, 2.5], pbc=True)
    write_configurations(tmp_path / "b.cfg", [bare], "cfg", ["Fe"])
    assert not has_moments(read_configurations(tmp_path / "b.cfg", ["Fe"])[0])


def test_a_column_magmom_holds_moments(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text(f"1\n{CELL} Properties=species:S:1:pos:R:3:magmom:R:1:forces:R:3 energy=-8\nFe 0 0 0 2.2 0 0 0\n")
    (atoms,) = read_configurations(path)
    assert has_moments(atoms) and moments_of(atoms) == [2.2]


DUMP = """ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
0 7.5
0 7.5
0 7.5
ITEM: ATOMS id type element x y z d_mag
2 2 Pd 0 1.875 1.875 0.28
1 1 Fe 0 0 0 2.66
"""


def test_dumps_of_lammps_have_their_moments(tmp_path):
    path = tmp_path / "a.dump"
    path.write_text(DUMP + DUMP.replace("2.66", "-2.5"))
    one, other = read_configurations(path)
    assert list(one.symbols) == ["Fe", "Pd"] and np.allclose(moments_of(one), [2.66, 0.28])
    assert np.allclose(moments_of(other), [-2.5, 0.28])


CFG = """BEGIN_CFG
 Size
    2
 Supercell
    2.86 0.0 0.0
    0.0 2.86 0.0
    0.1 0.0 2.86
 AtomData:  id type cartes_x cartes_y cartes_z fx fy fz magmom_x magmom_y magmom_z
    1 0 0.0 0.0 0.0 0.1 0.2 0.3 2.2 0.0 0.0
    2 0 1.43 1.43 1.5 -0.1 -0.2 -0.3 2.1 0.0 0.0
 Energy
    -16.5
 PlusStress:  xx yy zz yz xz xy
    1.0 2.0 3.0 4.0 5.0 6.0
 Feature   EFS_by VASP
END_CFG
"""
SAME = {
    "stress in another order": ("xx yy zz yz xz xy\n    1.0 2.0 3.0 4.0 5.0 6.0", "xx xy xz yy yz zz\n 1 6 5 2 4 3"),
    "energy in its line": ("Energy\n   ", "Energy"),
    "virial": ("PlusStress", "Virial"),
    "inline size": ("Size\n   ", "Size"),
}


@pytest.mark.parametrize("change", SAME)
def test_a_cfg_says_the_same_in_other_words(change, tmp_path):
    (tmp_path / "a.cfg").write_text(CFG)
    (tmp_path / "b.cfg").write_text(CFG.replace(*SAME[change]))
    (one,), (other,) = (read_configurations(tmp_path / name, ["Fe"]) for name in ("a.cfg", "b.cfg"))
    assert CFG.replace(*SAME[change]) != CFG
    assert one.get_potential_energy() == other.get_potential_energy() == -16.5
    assert np.array_equal(one.get_stress(), other.get_stress())
    assert np.array_equal(moments_of(one), moments_of(other))


def test_flags_and_types_that_mlip_leaves_out(tmp_path):
    text = CFG.replace("magmom_z", "magmom_z ghost").replace("2.2 0.0 0.0", "2.2 0.0 0.0 false")
    text = text.replace("2.1 0.0 0.0", "2.1 0.0 0.0 false")
    (tmp_path / "a.cfg").write_text(text)
    (atoms,) = read_configurations(tmp_path / "a.cfg", ["Fe"])
    assert np.allclose(moments_of(atoms), [2.2, 2.1])
    (tmp_path / "b.cfg").write_text(text.replace("false", "true"))
    with pytest.raises(InputError, match=r"line 9: a ghost atom"):
        read_configurations(tmp_path / "b.cfg", ["Fe"])
    untyped = CFG.replace("id type", "id").replace("1 0 0.0 0.0", "1 0.0 0.0").replace("2 0 1.43", "2 1.43")
    (tmp_path / "c.cfg").write_text(untyped)
    (atoms,) = read_configurations(tmp_path / "c.cfg", ["Fe"])
    assert list(atoms.symbols) == ["Fe", "Fe"]


DAMAGES = {
    "a misspelt column": (("magmom_x", "mag_x"), "unknown column mag_x"),
    "an unknown block": ((" Energy", " Enrgy"), "'Enrgy' is not understood"),
    "too many rows": (("Size\n    2", "Size\n    1"), "more rows of atoms"),
    "no atoms": (("Size\n    2", "Size\n    -1"), "no number of atoms"),
    "a negative type": (("2 0 1.43", "2 -1 1.43"), "no whole number"),
    "an endless cell": (("2.86 0.0 0.0", "4e9 0.0 0.0"), "damaged?"),
    "another stress": (("xx yy zz yz xz xy", "xx yy zz yz xz zx"), "the stress is given as"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_a_cfg_cannot_mean_is_refused(damage, tmp_path):
    change, words = DAMAGES[damage]
    path = tmp_path / "bad.cfg"
    path.write_text(CFG.replace(*change))
    with pytest.raises(InputError, match=r"bad\.cfg, line \d+") as caught:
        read_configurations(path, ["Fe"])
    assert words in str(caught.value)


def test_a_lost_end_loses_no_configuration(tmp_path):
    (tmp_path / "a.cfg").write_text(CFG.replace("END_CFG\n", "") + CFG)
    with pytest.raises(InputError, match="line 1: BEGIN_CFG without END_CFG"):
        read_configurations(tmp_path / "a.cfg", ["Fe"])
