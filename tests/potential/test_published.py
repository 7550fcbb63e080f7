"""Published potentials and another implementation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmtp_fw.potential import Potential
from tests.conftest import require
from tests.potential.conftest import DATA, random_atoms, read_cfg


@pytest.mark.parametrize("name", ["06", "12", "16"])
def test_published_potentials(name, kernels):
    pot = Potential.read(DATA / f"{name}.mmtp", species=["Fe"])
    expected = json.loads((DATA / f"expected-{name}.json").read_text())
    result = pot.evaluate(read_cfg())
    assert result.energy == pytest.approx(expected["energy"], rel=1e-12)
    np.testing.assert_allclose(result.energies, expected["energies"], rtol=1e-11)
    np.testing.assert_allclose(result.forces, expected["forces"], atol=1e-11)
    np.testing.assert_allclose(result.stress, expected["stress"], atol=1e-13)
    np.testing.assert_allclose(-result.magnetic_forces, expected["mgrad"], atol=1e-11)


@pytest.mark.parametrize("name", ["06", "12", "16"])
def test_published_energies_of_other_magnetic_states(name, kernels):
    pot = Potential.read(DATA / f"{name}.mmtp", species=["Fe"])
    oracle = json.loads((DATA / "oracle_mmtp_fe54.json").read_text())["levels"][name]
    atoms = read_cfg()
    m = atoms.get_initial_magnetic_moments()
    assert pot.evaluate(atoms, moments=-m).energy == pytest.approx(oracle["energy_flipped_M"], rel=1e-12)
    assert pot.evaluate(atoms, moments=0 * m).energy == pytest.approx(oracle["energy_M0"], rel=1e-12)
    assert pot.n_parameters == oracle["nparams"]
    if "dE_dmoment_coeffs" in oracle:
        gradient, where = pot.energy_parameter_gradient(atoms), pot.parameter_slices
        np.testing.assert_allclose(gradient[where["moments"]], oracle["dE_dmoment_coeffs"], rtol=1e-9)
        np.testing.assert_allclose(gradient[where["radial"]][:10], oracle["dE_dradial_first10"], rtol=1e-9)


MOTEP_CASES = [(2, 1, 2), (6, 2, 3), (10, 3, 2), (12, 2, 4), (16, 2, 2), (20, 1, 2)]


@pytest.mark.parametrize("level,n_species,magnetic_size", MOTEP_CASES)
@pytest.mark.parametrize("symmetrized", [True, False])
def test_motep_evaluates_our_files_alike(level, n_species, magnetic_size, symmetrized, tmp_path):
    require("python:motep")
    from motep.calculator import MMTP
    from motep.io.mlip.mtp import read_mmtp

    species = ["Fe", "Pd", "Al"][:n_species]
    pot = Potential.from_level(
        level, species, magnetic_size=magnetic_size, seed=level, r_cut=4.5, symmetrized=symmetrized
    )
    atoms = random_atoms(species, 12, level)
    pot.write(tmp_path / "pot.mmtp", "motep")
    data = read_mmtp(str(tmp_path / "pot.mmtp"))
    data.species = np.array([26, 46, 13][:n_species])
    atoms.calc = MMTP(data, engine="cext", mode="run", relax_magmoms=False)
    result = pot.evaluate(atoms, moments=atoms.get_initial_magnetic_moments())
    scale = np.abs(result.forces).max()
    assert atoms.get_potential_energy() == pytest.approx(result.energy, rel=1e-10, abs=1e-10 * scale)
    np.testing.assert_allclose(atoms.get_forces(), result.forces, atol=1e-10 * scale)
    np.testing.assert_allclose(atoms.get_stress(), result.stress, atol=1e-10 * scale)
    np.testing.assert_allclose(-atoms.calc.results["mgrad"], result.magnetic_forces, atol=1e-10 * scale)
