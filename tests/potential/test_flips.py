from __future__ import annotations

import numpy as np
import pytest

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential
from mmtp_fw.potential.flips import BOLTZMANN, flip_energies, metropolis_flips
from tests.potential.conftest import random_atoms

POT = Potential.from_level(8, ["Fe", "Pd"], magnetic_size=3, seed=1, r_cut=4.0)


@pytest.mark.parametrize("n,cell", [(2, [3.0, 3.0, 3.5]), (24, [6.0, 6.0, 18.0])])
def test_a_local_difference_is_the_full_one(n, cell, kernels):
    atoms = random_atoms(["Fe", "Pd"], n, 3, cell=np.diag(cell), spacing=1.5)
    m = atoms.get_initial_magnetic_moments()
    before = POT.evaluate(atoms).energy
    full = []
    for i in range(n):
        turned = m.copy()
        turned[i] *= -1
        full.append(POT.evaluate(atoms, turned).energy - before)
    found = flip_energies(POT, POT.system(atoms), m)
    np.testing.assert_allclose(found, full, atol=1e-9 * max(1, np.abs(full).max()))
    np.testing.assert_array_equal(m, atoms.get_initial_magnetic_moments())


def test_flips_reach_the_boltzmann_distribution(kernels):
    atoms = random_atoms(["Fe"], 3, 5, cell=np.diag([3.5, 3.5, 6.0]))
    pot = POT.copy()
    parameters = pot.parameters
    parameters[pot.parameter_slices["moments"]] *= 0.02
    pot.parameters = parameters
    system, m = pot.system(atoms), np.array([1.0, 1.4, -0.7])
    states = np.array([[(-1) ** ((s >> i) & 1) for i in range(3)] for s in range(8)]) * m
    energies = np.array([pot.evaluate(atoms, state).energy for state in states])
    kT = float(np.ptp(energies)) / 2 or 1.0
    weights = np.exp(-(energies - energies.min()) / kT)
    expected = (weights * energies).sum() / weights.sum()
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(1500):
        result = metropolis_flips(pot, system, m, kT / BOLTZMANN, 4, rng)
        m = result.moments
        seen.append(result.energy)
    assert result.energy == pytest.approx(pot.evaluate(atoms, m).energy)
    assert 0 < result.accepted <= result.trials or result.accepted == 0
    assert np.mean(seen) == pytest.approx(expected, abs=6 * np.std(energies) / np.sqrt(700))


def test_what_cannot_be_flipped():
    atoms = random_atoms(["Fe"], 2, 0)
    plain = Potential.from_level(4, ["Fe"], magnetic_size=0)
    with pytest.raises(InputError, match="magnetic"):
        flip_energies(plain, plain.system(atoms), np.ones(2))
    with pytest.raises(InputError, match="temperature"):
        metropolis_flips(POT, POT.system(atoms), np.ones(2), 0.0, 1, np.random.default_rng(0))
