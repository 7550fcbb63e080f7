"""Moments that ran away are drawn back to what an atom can carry, and no others."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ase.build import bulk

from mmtp_fw.dft import get_engine
from mmtp_fw.dft.checks import check_request
from mmtp_fw.dft.targets import INSIDE, drawn_back, largest_targets, spin_capacity


@pytest.mark.parametrize(
    ("species", "moment"),
    [
        ("H", 1), ("He", 0), ("Li", 1), ("C", 4), ("N", 3), ("O", 2), ("F", 1), ("Ne", 0), ("Al", 3), ("Ti", 4),
        ("V", 5), ("Cr", 6), ("Mn", 5), ("Fe", 4), ("Co", 3), ("Ni", 2), ("Cu", 1), ("Zn", 0), ("Ga", 3), ("Pd", 2),
        ("Pt", 2), ("Ir", 3), ("Bi", 3), ("Gd", math.inf), ("U", math.inf),
    ],
)  # fmt: skip
def test_electrons_that_can_be_of_one_spin(species, moment):
    assert spin_capacity(species) == moment


def test_the_tightest_limit_counts():
    typical = {"Fe": 2.6, "Pd": 0.3, "Cu": 1.0}
    free = dict.fromkeys(typical, 9.0)
    assert largest_targets(typical, free, 9.0) == pytest.approx(
        {"Fe": 4 * INSIDE, "Pd": 2 * INSIDE, "Cu": 1.5 * INSIDE}
    )
    assert largest_targets(typical, free | {"Fe": 3.0}, 9.0)["Fe"] == pytest.approx(3 * INSIDE)
    assert largest_targets(typical, free, 3.5)["Fe"] == pytest.approx(3.5 * INSIDE)


def test_what_ran_away_can_be_labelled_afterwards():
    engine = get_engine("hamiltonian")
    atoms = bulk("Fe", "fcc", 3.7, cubic=True)
    atoms.symbols[:2] = "Pd"
    limits = largest_targets(
        {"Fe": 2.6, "Pd": 0.3}, {name: engine.largest_moment(name) for name in ("Fe", "Pd")}, max_moment_muB=4.0
    )
    atoms.set_initial_magnetic_moments([-4.0, 0.4, 4.0, -2.7])
    drawn, changed = drawn_back(atoms, limits)
    assert changed == 2
    np.testing.assert_allclose(drawn.get_initial_magnetic_moments(), [-1.9, 0.4, 3.8, -2.7])
    np.testing.assert_array_equal(drawn.positions, atoms.positions)
    assert atoms.get_initial_magnetic_moments()[0] == -4.0, "the candidate itself stays as it was"
    check_request(engine, drawn)
    again, changed = drawn_back(drawn, limits)
    assert again is drawn and changed == 0


def test_a_program_allows_what_its_settings_say():
    assert get_engine("abinit", max_moment_muB=3.25).largest_moment("Fe") == 3.25
