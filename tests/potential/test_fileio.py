from __future__ import annotations

import re

import numpy as np
import pytest

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential
from tests.potential.conftest import DATA, random_atoms


@pytest.mark.parametrize("dialect", ["spin-mlip", "mlip3", "motep"])
@pytest.mark.parametrize("magnetic_size", [0, 1, 3])
@pytest.mark.parametrize("symmetrized", [True, False])
def test_what_is_written_is_read_back_to_the_last_bit(dialect, magnetic_size, symmetrized, tmp_path):
    pot = Potential.from_level(
        8, ["Fe", "Pd"], magnetic_size=magnetic_size, seed=3, symmetrized=symmetrized and magnetic_size > 0
    )
    pot.write(tmp_path / "pot.mmtp", dialect)
    again = Potential.read(tmp_path / "pot.mmtp")
    np.testing.assert_array_equal(again.parameters, pot.parameters)
    assert again == pot
    assert again.content_hash == pot.content_hash
    assert (again.species, again.level, again.symmetrized) == (["Fe", "Pd"], 8, pot.symmetrized)


def test_a_symmetrized_file_without_its_tag_evaluates_alike():
    pot = Potential.from_level(8, ["Fe"], seed=1)
    plain = Potential.loads(pot.dumps().replace(";mmtp_fw-symmetrized", ""))
    atoms = random_atoms(["Fe"], 5, 0)
    assert not plain.symmetrized
    assert plain.radial_count == 2 * pot.radial_count
    np.testing.assert_allclose(plain.evaluate(atoms).forces, pot.evaluate(atoms).forces, atol=1e-12)


def test_a_broken_symmetry_is_found():
    pot = Potential.from_level(6, ["Fe"], seed=1, symmetrized=False)
    text = pot.dumps().replace("species:Fe", "species:Fe;mmtp_fw-symmetrized")
    with pytest.raises(InputError, match="reversal"):
        Potential.loads(text)


def test_numbered_species_take_names():
    assert Potential.read(DATA / "06.mmtp").species == ["0"]
    assert Potential.read(DATA / "06.mmtp", species=["Fe"]).species == ["Fe"]
    with pytest.raises(InputError, match="names"):
        Potential.read(DATA / "06.mmtp", species=["Fe", "Pd"])


DAMAGES = {
    "not a potential": (lambda t: t.replace("MTP\n", "ABC\n", 1), "line 1"),
    "cut off": (lambda t: t[: len(t) // 2], ""),
    "empty": (lambda t: "", "line 1"),
    "no constants": (lambda t: re.sub(r"species_coeffs.*\n", "", t), "'species_coeffs' is missing"),
    "NaN": (lambda t: t.replace("moment_coeffs = {-2", "moment_coeffs = {nan, -2"), "not finite"),
    "letters": (lambda t: t.replace("max_dist = 5.5", "max_dist = x5.5"), "line 12: max_dist"),
    "wrong size": (lambda t: t.replace("radial_basis_size = 8", "radial_basis_size = 7"), "radial_coeffs"),
    "no range": (lambda t: t.replace("max_dist = 5.5", "max_dist = 0.5"), "range"),
    "wrong index": (lambda t: t.replace("{0, 5, 1, 7}", "{0, 55, 1, 7}"), "alpha_moments_count"),
    "a term that is not there": (
        lambda t: t.replace("species_count", "zbl_repulsion = 1\nspecies_count"),
        "'zbl_repulsion'",
    ),
    "another basis": (lambda t: t.replace("= RBChebyshev", "= RBChebyshev_repuls"), "'RBChebyshev_repuls'"),
    "twice": (lambda t: t.replace("scaling =", "scaling = 2\nscaling ="), "there again"),
    "untrained": (
        lambda t: re.sub(r"(\tradial_coeffs\n(\t\t.*\n)+|(species|moment)_coeffs.*\n?)", "", t),
        "untrained template",
    ),
    "endless index": (lambda t: t.replace("{0, 5, 1, 7}", "{0, 99999999999999999999, 1, 7}"), "no index"),
    "endless count": (lambda t: t.replace("radial_basis_size = 8", "radial_basis_size = 9999999999999"), "too many"),
    "cyclic": (lambda t: t.replace("{0, 5, 1, 7}", "{0, 7, 1, 7}"), "before it is complete"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_its_fault(damage, tmp_path):
    spoil, expected = DAMAGES[damage]
    path = tmp_path / "bad.mmtp"
    path.write_text(spoil((DATA / "06.mmtp").read_text()))
    with pytest.raises(InputError) as error:
        Potential.read(path)
    assert "bad.mmtp" in str(error.value)
    assert expected in str(error.value)


def test_the_selection_state_behind_a_potential_is_no_part_of_it(tmp_path):
    """MLIP-3's .almtp: binary, behind a line that begins with #."""
    path = tmp_path / "active-set.almtp"
    path.write_bytes((DATA / "06.mmtp").read_bytes() + b"#MVS_v1.1\nenergy_weight 1\n#\xff\xfe\x00\x80")
    assert Potential.read(path).dumps() == Potential.read(DATA / "06.mmtp").dumps()


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(InputError, match="no such"):
        Potential.read(tmp_path / "none.mmtp")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="can't be read"):
        Potential.read(tmp_path / "binary")


def test_writing_where_it_is_impossible(tmp_path):
    pot = Potential.from_level(2, ["Fe"])
    with pytest.raises(InputError, match="can't write"):
        pot.write(tmp_path / "none" / "pot.mmtp")
    with pytest.raises(InputError, match="dialect"):
        pot.dumps("other")  # type: ignore[arg-type]
