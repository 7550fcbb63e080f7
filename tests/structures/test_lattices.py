"""The table of lattices: what follows from a row, and that one row is all it takes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from ase.build import bulk

from mmtp_fw.campaign import Campaign
from mmtp_fw.errors import InputError
from mmtp_fw.loop.cost import estimate
from mmtp_fw.structures import LATTICES, Lattice, crystal, generate, lattice, number_of_atoms

HCP = Lattice(
    "random alloy", ((0, 0, 0), (2 / 3, 1 / 3, 0.5)), (0, 0), ((1, 0, 0), (-0.5, 0.75**0.5, 0), (0, 0, 1.633))
)
CORNERS = ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
EDGES = ((0.5, 0.5, 0.5), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5))
L2_1 = Lattice(
    "Heusler alloy",
    (*product((0.25, 0.75), repeat=3), *CORNERS, *EDGES),
    (0,) * 8 + (1,) * 4 + (2,) * 4,
)


@pytest.mark.parametrize("name", LATTICES)
def test_size_and_neighbours_follow_from_the_row(name):
    for supercell in ((1, 1, 1), (2, 2, 2), (3, 2, 1)):
        atoms = crystal(name, 3.0, supercell, {"Fe": 1.0}, np.random.default_rng(0))
        assert len(atoms) == number_of_atoms(name, supercell)
    assert number_of_atoms(name, (2, 2, 2)) == 8 * {"fcc": 4, "L1_2": 4, "bcc": 2, "B2": 2, "sc": 1}[name]
    atoms = crystal(name, 3.0, (3, 3, 3), {"Fe": 1.0}, np.random.default_rng(0))
    assert atoms.get_all_distances(mic=True)[0, 1:].min() == pytest.approx(3.0 * lattice(name).nearest)
    assert lattice(name).nearest == pytest.approx({4: 0.5, 2: 0.75, 1: 1.0}[len(lattice(name).sites)] ** 0.5)


def test_an_unknown_one_is_refused_with_those_that_are_known():
    with pytest.raises(InputError, match="unknown lattice 'hcp'") as told:
        number_of_atoms("hcp", (1, 1, 1))
    assert all(name in told.value.hint for name in LATTICES)
    campaign = Campaign(name="c")
    other = campaign.model_copy(update={"system": campaign.system.model_copy(update={"structure": "hcp"})})
    with pytest.raises(InputError, match="unknown lattice 'hcp'"):
        estimate(other)


def test_one_row_is_a_lattice(monkeypatch):
    monkeypatch.setitem(LATTICES, "hcp", HCP)
    made = crystal("hcp", 2.5, (3, 3, 2), {"Co": 1.0}, np.random.default_rng(0))
    expected = bulk("Co", "hcp", a=2.5, c=2.5 * 1.633) * (3, 3, 2)
    np.testing.assert_allclose(made.cell.lengths(), expected.cell.lengths())
    np.testing.assert_allclose(
        np.sort(made.get_all_distances(mic=True), axis=None), np.sort(expected.get_all_distances(mic=True), axis=None)
    )
    assert lattice("hcp").nearest == pytest.approx(1.0)
    campaign = Campaign.model_validate({"name": "c", "system": {"structure": "hcp", "supercell": [2, 2, 3]}})
    assert estimate(campaign).atoms == 24
    configurations = generate({"Fe": 0.5, "Pd": 0.5}, [2.6], {"Fe": 2.6, "Pd": 0.3}, 12, "hcp", (2, 2, 2))
    assert {atoms.info["generator"]["structure"] for atoms in configurations} == {"hcp"}


def test_several_sublattices_are_filled_in_their_order(monkeypatch):
    monkeypatch.setitem(LATTICES, "L2_1", L2_1)
    composition = {"Co": 0.5, "Mn": 0.25, "Si": 0.25}
    atoms = crystal("L2_1", 5.65, (1, 1, 1), composition, np.random.default_rng(3))
    tags = np.array(L2_1.sublattices)
    for species, sublattice in (("Co", 0), ("Mn", 2), ("Si", 1)):
        assert set(tags[atoms.symbols == species]) == {sublattice}
