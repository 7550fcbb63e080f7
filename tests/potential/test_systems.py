"""Neighbour lists that several steps of one work share."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential, Systems
from mmtp_fw.selection import ActiveSet


def crystal(seed: int = 0):
    atoms = bulk("Fe", cubic=True)
    atoms.rattle(0.05, seed=seed)
    atoms.set_initial_magnetic_moments([2.0, 1.5])
    return atoms


def made(**changes) -> Potential:
    form = {"level": 4, "species": ["Fe"], "r_min": 1.8, "r_cut": 4.0, "seed": 1}
    return Potential.from_level(**(form | changes))


def test_a_list_is_made_once_and_is_that_of_the_potential():
    potential, one, other = made(), crystal(1), crystal(2)
    systems = Systems(potential)
    assert systems.of(one) is systems.of(one) and systems.of(one) is not systems.of(other)
    for atoms in (one, other):
        expected = potential.system(atoms)
        assert np.array_equal(systems.of(atoms).vectors, expected.vectors)
        assert np.array_equal(systems.of(atoms).neighbors, expected.neighbors)
    # An equal configuration is another one: nothing is compared that could move.
    assert systems.of(one.copy()) is not systems.of(one)


def test_configurations_live_as_long_as_their_lists():
    systems = Systems(made())
    found = [systems.of(crystal(seed)).closest for seed in range(50)]
    assert found == [made().system(crystal(seed)).closest for seed in range(50)], "no identity is given twice"


def test_they_serve_only_potentials_with_the_same_lists():
    systems = Systems(made())
    assert systems.serving(made(seed=7, level=6)) is systems
    for changes in ({"r_cut": 4.5}, {"species": ["Fe", "Pd"]}):
        with pytest.raises(InputError, match="of another potential"):
            ActiveSet.from_configurations(made(**changes), [crystal()], systems=systems)


def test_what_has_no_list_says_so_at_each_call():
    systems, atoms = Systems(made()), crystal()
    atoms.positions[1] = atoms.positions[0]
    for _ in range(2):
        with pytest.raises(InputError, match="coincide"):
            systems.of(atoms)
