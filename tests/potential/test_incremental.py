from __future__ import annotations

import numpy as np
import pytest

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential
from mmtp_fw.potential.incremental import MomentState
from tests.potential.conftest import random_atoms

POTENTIALS = [
    Potential.from_level(8, ["Fe", "Pd"], magnetic_size=3, seed=1, r_cut=4.0),
    Potential.from_level(10, ["Fe", "Pd"], magnetic_size=2, seed=2, r_cut=4.0, symmetrized=False),
]


@pytest.mark.parametrize("pot", POTENTIALS, ids=["symmetrized", "plain"])
@pytest.mark.parametrize("n,cell", [(1, [2.5, 2.6, 2.7]), (2, [3.0, 3.0, 3.5]), (24, [6.0, 6.0, 18.0])])
def test_a_trial_changes_the_energy_as_an_evaluation_says(pot, n, cell):
    """Also where an atom is its own neighbour, or the neighbour of another one several times."""
    atoms = random_atoms(["Fe", "Pd"], n, 3, cell=np.diag(cell), spacing=1.5)
    system, m = pot.system(atoms), atoms.get_initial_magnetic_moments()
    state = MomentState(pot, system, m)
    before = pot.evaluate(atoms).energy
    scale = max(1.0, abs(before))
    assert state.energy == pytest.approx(before, abs=1e-10 * scale)
    rng = np.random.default_rng(0)
    sites, factors = rng.integers(n, size=20), rng.choice([-1.0, 1.0], 20)
    shifts, limits = rng.normal(size=20), np.tile([-3.5, 3.5], (n, 1))
    outcome, alone = state.attempt(sites, factors, shifts, np.zeros(20), limits, 1.0, keep=False)
    assert not (outcome == 1).any()
    np.testing.assert_array_equal(state.moments, m)
    for i, a, b, told, change in zip(sites, factors, shifts, outcome, alone, strict=True):
        turned = m.copy()
        turned[i] = a * m[i] + b
        assert (told == -1) == (abs(turned[i]) > 3.5)
        if told == 0:
            assert change == pytest.approx(pot.evaluate(atoms, turned).energy - before, abs=1e-9 * scale)
    # At a huge temperature all are accepted, and the energy stays that of the moments.
    outcome, changes = state.attempt(sites, factors, shifts, np.zeros(20), limits, 1e9)
    assert set(outcome) <= {1, -1}
    assert state.energy == pytest.approx(before + changes.sum(), abs=1e-9 * scale)
    assert state.energy == pytest.approx(pot.evaluate(atoms, state.moments).energy, abs=1e-9 * scale)


def test_a_potential_without_moments_has_no_state():
    plain = Potential.from_level(4, ["Fe"], magnetic_size=0)
    atoms = random_atoms(["Fe"], 2, 0)
    with pytest.raises(InputError, match="magnetic basis"):
        MomentState(plain, plain.system(atoms), np.ones(2))
