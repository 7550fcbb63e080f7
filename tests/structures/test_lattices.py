"""The table of lattices: what follows from a row, and that one row is all it takes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import spglib
from ase.build import bulk
from ase.neighborlist import neighbor_list

from mmtp_fw.campaign import Campaign
from mmtp_fw.errors import InputError
from mmtp_fw.loop.cost import estimate
from mmtp_fw.structures import LATTICES, Lattice, Phase, crystal, generate, lattice, number_of_atoms

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
    sizes = {"fcc": 4, "L1_2": 4, "L1_0": 4, "bcc": 2, "B2": 2, "sc": 1, "hcp": 2, "B1": 8, "D0_3": 16, "L2_1": 16}
    assert number_of_atoms(name, (2, 2, 2)) == 8 * sizes[name]
    atoms = crystal(name, 3.0, (3, 3, 3), {"Fe": 1.0}, np.random.default_rng(0))
    assert atoms.get_all_distances(mic=True)[0, 1:].min() == pytest.approx(3.0 * lattice(name).nearest)
    squares = {"bcc": 0.75, "B2": 0.75, "sc": 1.0, "hcp": 1.0, "B1": 0.25, "D0_3": 3 / 16, "L2_1": 3 / 16}
    assert lattice(name).nearest == pytest.approx(squares.get(name, 0.5) ** 0.5)


@pytest.mark.parametrize(
    ("name", "composition", "group"),
    [
        ("fcc", {"Fe": 1.0}, 225),
        ("bcc", {"Fe": 1.0}, 229),
        ("sc", {"Fe": 1.0}, 221),
        ("hcp", {"Co": 1.0}, 194),
        ("B1", {"Cr": 0.5, "N": 0.5}, 225),
        ("B2", {"Fe": 0.5, "Co": 0.5}, 221),
        ("L1_2", {"Fe": 0.75, "Pd": 0.25}, 221),
        ("D0_3", {"Fe": 0.75, "Al": 0.25}, 225),
        ("L2_1", {"Co": 0.5, "Mn": 0.25, "Si": 0.25}, 225),
    ],
)
def test_ordered_cells_have_the_space_group_of_their_name(name, composition, group):
    atoms = crystal(name, 4.0, (1, 1, 1), composition, np.random.default_rng(1))
    cell = (np.asarray(atoms.cell), atoms.get_scaled_positions(), atoms.numbers)
    assert spglib.get_symmetry_dataset(cell).number == group


def test_neighbours_of_ordered_cells_are_those_of_their_name():
    chromium = crystal("B1", 4.15, (2, 2, 2), {"Cr": 0.5, "N": 0.5}, np.random.default_rng(0))
    aluminium = crystal("D0_3", 5.8, (1, 1, 1), {"Fe": 0.75, "Al": 0.25}, np.random.default_rng(0))
    for atoms, symbol, distance, neighbour, count in (
        (chromium, "Cr", 4.15 / 2, "N", 6),
        (aluminium, "Al", 5.8 * 3**0.5 / 4, "Fe", 8),
    ):
        i, j, d = neighbor_list("ijd", atoms, distance * 1.05)
        assert d == pytest.approx(distance)
        mine = atoms.symbols[j[i == int(np.flatnonzero(atoms.symbols == symbol)[0])]]
        assert list(mine) == [neighbour] * count


def test_an_unknown_one_is_refused_with_those_that_are_known():
    with pytest.raises(InputError, match="unknown lattice 'B8'") as told:
        number_of_atoms("B8", (1, 1, 1))
    assert all(name in told.value.hint for name in LATTICES)
    campaign = Campaign(name="c")
    other = campaign.model_copy(update={"system": campaign.system.model_copy(update={"structure": "B8"})})
    with pytest.raises(InputError, match="unknown lattice 'B8'"):
        estimate(other)


def test_one_row_is_a_lattice(monkeypatch):
    monkeypatch.setitem(LATTICES, "A3", HCP)
    made = crystal("A3", 2.5, (3, 3, 2), {"Co": 1.0}, np.random.default_rng(0))
    expected = bulk("Co", "hcp", a=2.5, c=2.5 * 1.633) * (3, 3, 2)
    np.testing.assert_allclose(made.cell.lengths(), expected.cell.lengths())
    np.testing.assert_allclose(
        np.sort(made.get_all_distances(mic=True), axis=None), np.sort(expected.get_all_distances(mic=True), axis=None)
    )
    assert lattice("A3").nearest == pytest.approx(1.0)
    campaign = Campaign.model_validate({"name": "c", "system": {"structure": "A3", "supercell": [2, 2, 3]}})
    assert estimate(campaign).atoms == 24
    configurations = generate({"Fe": 0.5, "Pd": 0.5}, [2.6], {"Fe": 2.6, "Pd": 0.3}, 12, "A3", (2, 2, 2))
    assert {atoms.info["generator"]["structure"] for atoms in configurations} == {"A3"}


def test_several_sublattices_are_filled_in_their_order(monkeypatch):
    monkeypatch.setitem(LATTICES, "Heusler", L2_1)
    composition = {"Co": 0.5, "Mn": 0.25, "Si": 0.25}
    atoms = crystal("Heusler", 5.65, (1, 1, 1), composition, np.random.default_rng(3))
    tags = np.array(L2_1.sublattices)
    for species, sublattice in (("Co", 0), ("Mn", 2), ("Si", 1)):
        assert set(tags[atoms.symbols == species]) == {sublattice}


@pytest.mark.parametrize(
    ("name", "composition", "share"),
    [
        ("fcc", {"Fe": 0.5, "Pd": 0.5}, 0.0),
        ("L1_0", {"Fe": 0.5, "Pd": 0.5}, 0.0),
        ("L1_0", {"Fe": 0.75, "Pd": 0.25}, 0.25),
        ("D0_3", {"Fe": 0.75, "Al": 0.25}, 0.0),
        ("D0_3", {"Fe": 0.5, "Al": 0.5}, 0.25),
        ("D0_3", {"Fe": 0.71875, "Al": 0.28125}, 1 / 32),
        ("B1", {"Cr": 0.5, "N": 0.5}, 0.0),
        ("L2_1", {"Co": 0.5, "Mn": 0.25, "Si": 0.25}, 0.0),
        ("L2_1", {"Co": 0.5, "Mn": 0.5}, 0.0),
        ("D0_3", {"Fe": 1.0}, 0.0),
    ],
)
def test_how_far_a_composition_is_off_its_order(name, composition, share):
    phase = Phase(structure=name, supercell=(2, 1, 1), composition=composition)
    assert phase.off_order == pytest.approx(share)
