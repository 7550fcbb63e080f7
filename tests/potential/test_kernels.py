"""Every path of the kernels against the reference implementation, derivatives included."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from mmtp_fw.potential import Potential
from tests.potential import reference
from tests.potential.conftest import DATA, random_atoms

CASES = [
    # level, species, magnetic size, radial size, symmetrized, atoms
    (2, ["Fe"], 2, 3, False, 3),
    (6, ["Fe", "Pd"], 2, 8, True, 4),
    (10, ["Fe", "Pd", "Al"], 3, 5, False, 5),
    (12, ["Fe", "Pd"], 4, 9, True, 3),
    (16, ["Fe"], 2, 8, False, 2),
    (8, ["Fe", "Pd"], 0, 8, False, 3),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{len(c[1])}-{c[2]}")
def test_evaluation_equals_the_reference(case, kernels):
    level, species, magnetic, radial, symmetrized, n = case
    pot = Potential.from_level(
        level,
        species,
        r_cut=4.0,
        radial_size=radial,
        magnetic_size=magnetic,
        seed=level,
        symmetrized=symmetrized,
    )
    pot.parameters = pot.parameters + 0.1 * (np.arange(pot.n_parameters) < len(pot.tables.scalars) + len(species))
    atoms = random_atoms(species, n, level, cell=[[3.5, 0.4, 0.1], [0, 3.8, -0.3], [0.2, 0, 3.6 * n / 3]])
    moments = atoms.get_initial_magnetic_moments()
    energy, sites, forces, stress, magnetic_forces = reference.evaluate(pot, atoms, moments)
    result = pot.evaluate(atoms)
    scale = max(1.0, np.abs(forces).max())
    assert result.energy == pytest.approx(energy, rel=1e-11)
    np.testing.assert_allclose(result.energies, sites, rtol=1e-10, atol=1e-11 * scale)
    np.testing.assert_allclose(result.forces, forces, atol=1e-10 * scale)
    np.testing.assert_allclose(result.stress, stress, atol=1e-10 * scale)
    np.testing.assert_allclose(result.magnetic_forces, magnetic_forces, atol=1e-10 * scale)


@pytest.mark.parametrize(("symmetrized", "radial"), [(True, 8), (False, 5), (False, 11)])
def test_parameter_gradients_equal_complex_steps(symmetrized, radial, kernels):
    pot = Potential.from_level(
        10, ["Fe", "Pd"], r_cut=4.0, radial_size=radial, magnetic_size=3, seed=2, symmetrized=symmetrized
    )
    atoms = random_atoms(["Fe", "Pd"], 4, 5, cell=np.diag([4.0, 4.0, 5.0]))
    moments = atoms.get_initial_magnetic_moments()
    types = np.array([pot.species.index(s) for s in atoms.get_chemical_symbols()])
    rng = np.random.default_rng(0)
    rows = pot.energy_parameter_gradient(atoms, per_site=True)
    assert rows.shape == (4, pot.n_parameters)
    np.testing.assert_allclose(pot.energy_parameter_gradient(atoms), rows.sum(axis=0), atol=1e-9)
    for _ in range(3):
        direction = rng.normal(size=pot.n_parameters)
        step = reference.energies(
            pot, types, atoms.positions.astype(complex), np.array(atoms.cell), atoms.pbc, moments,
            pot.parameters + 1e-30j * direction,
        ).imag / 1e-30  # fmt: skip
        np.testing.assert_allclose(rows @ direction, step, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("symmetrized", [True, False])
def test_directional_gradient(symmetrized, kernels):
    pot = Potential.from_level(12, ["Fe", "Pd"], r_cut=4.0, magnetic_size=3, seed=4, symmetrized=symmetrized)
    atoms = random_atoms(["Fe", "Pd"], 9, 7)
    moments = atoms.get_initial_magnetic_moments()
    system, rng = pot.system(atoms), np.random.default_rng(1)
    u, e, h = rng.normal(size=(9, 3)), rng.normal(size=(3, 3)), rng.normal(size=9)

    def value(parameters):
        other = pot.copy()
        other.parameters = parameters
        r = other.evaluate(atoms)
        s = r.stress[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
        return 0.7 * r.energy - (r.forces * u).sum() - r.magnetic_forces @ h + system.volume * (s * e).sum()

    S, gradient = pot.directional_parameter_gradient(system, moments, 0.7, u, e, h)
    assert pytest.approx(value(pot.parameters), rel=1e-10) == S
    for _ in range(3):
        direction = rng.normal(size=pot.n_parameters) * np.abs(pot.parameters)
        step = (value(pot.parameters + 1e-4 * direction) - value(pot.parameters - 1e-4 * direction)) / 2e-4
        assert gradient @ direction == pytest.approx(step, rel=1e-6)


def test_both_kernels_give_the_same_gradients(monkeypatch):
    from mmtp_fw.potential import engine

    pot = Potential.from_level(14, ["Fe", "Pd"], magnetic_size=2, radial_size=11, seed=4)
    atoms = random_atoms(["Fe", "Pd"], 13, 8)
    system, rng = pot.system(atoms), np.random.default_rng(1)
    changes = 0.3, rng.normal(size=(13, 3)), rng.normal(size=(3, 3)), rng.normal(size=13)
    found = []
    for fast in (True, False):
        monkeypatch.setattr(engine, "_fast", fast)
        found.append(pot.directional_parameter_gradient(system, atoms.get_initial_magnetic_moments(), *changes))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-11)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-10, atol=1e-11 * np.abs(found[1][1]).max())


def test_tables_with_gaps_are_evaluated_as_written(kernels):
    """A file may lack basis functions, and list elementary moments in any order."""
    text = (DATA / "06.mmtp").read_text()
    text = text.replace(
        "alpha_index_basic = {{0, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}, {1, 0, 0, 0}}",
        "alpha_index_basic = {{0, 0, 0, 0}, {0, 0, 0, 1}, {0, 0, 2, 0}, {0, 1, 0, 0}, {1, 0, 0, 0}}",
    )
    pot = Potential.loads(text, species=["Fe"])
    atoms = random_atoms(["Fe"], 3, 3, cell=np.diag([4.0, 4.0, 4.5]))
    energy, _, forces, _, magnetic = reference.evaluate(pot, atoms, atoms.get_initial_magnetic_moments())
    result = pot.evaluate(atoms)
    assert pot.level is None or pot.level == 6
    assert result.energy == pytest.approx(energy, rel=1e-11)
    np.testing.assert_allclose(result.forces, forces, atol=1e-10)
    np.testing.assert_allclose(result.magnetic_forces, magnetic, atol=1e-10)


def test_a_potential_without_some_neighbours(kernels):
    pot = Potential.from_level(8, ["Fe", "Pd"], seed=1)
    single = pot.evaluate(Atoms("Fe", magmoms=[1.0]))
    assert single.energy == pytest.approx(pot.parameters[pot.parameter_slices["species"]][0])
    assert not single.forces.any() and not single.stress.any() and not single.magnetic_forces.any()
    pair = Atoms("FePd", positions=[[0, 0, 0], [0, 0, 2.5]], magmoms=[1.0, 0.2])
    far = pair + Atoms("Pd", positions=[[30, 0, 0]], magmoms=[0.1])
    assert pot.evaluate(far).energy == pytest.approx(pot.evaluate(pair).energy)
    assert pot.evaluate(Atoms()).energy == 0.0
