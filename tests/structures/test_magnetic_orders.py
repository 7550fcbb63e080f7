"""The table of magnetic orders: one list with one meaning, from the settings to the start of a trajectory."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from mmtp_fw.campaign import Campaign, parse_campaign
from mmtp_fw.errors import InputError
from mmtp_fw.firetasks.start import check_engine, starting_cell
from mmtp_fw.structures import (
    LATTICES,
    MAGNETIC_ORDERS,
    MagneticOrder,
    crystal,
    generate,
    magnetic_order,
    target_moments,
)

TYPICAL = {"Fe": 2.6, "Pd": 0.3}


def moments(atoms, order, seed=0, scale=0.0, flipped=0.0):
    return target_moments(atoms, order, TYPICAL, scale, flipped, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("supercell", [(2, 2, 2), (2, 3, 4), (4, 2, 1)])
@pytest.mark.parametrize("name", LATTICES)
def test_antiferromagnetic_planes_alternate_in_sign(name, supercell, seed):
    atoms = crystal(name, 3.6, supercell, {"Fe": 1.0}, np.random.default_rng(0))
    found = moments(atoms, "antiferromagnetic", seed)
    assert np.sum(found > 0) == np.sum(found < 0) == len(atoms) // 2, "as many up as down"
    np.testing.assert_allclose(np.abs(found), 2.6)
    alternating = []
    for axis in range(3):
        heights = np.round(atoms.get_scaled_positions()[:, axis] * supercell[axis] * 12).astype(int)
        planes = [set(np.sign(found[heights == height])) for height in sorted(set(heights))]
        pure = all(len(plane) == 1 for plane in planes)
        alternating.append(pure and all(one != two for one, two in zip(planes, planes[1:] + planes[:1], strict=True)))
    assert any(alternating), "one sign in every plane, the other in its neighbours, over the cell's face as well"


def test_antiferromagnetic_cells_take_every_axis_in_its_turn():
    atoms = crystal("fcc", 3.6, (1, 1, 1), {"Fe": 1.0}, np.random.default_rng(0))
    assert len({tuple(moments(atoms, "antiferromagnetic", seed)) for seed in range(20)}) == 3


@pytest.mark.parametrize("supercell", [(1, 1, 1), (3, 3, 3)])
def test_a_cell_that_can_not_alternate_is_refused_and_not_made_ferromagnetic(supercell):
    atoms = crystal("sc", 2.6, supercell, {"Fe": 1.0}, np.random.default_rng(0))
    assert not magnetic_order("antiferromagnetic").possible(atoms)
    with pytest.raises(InputError, match="can't alternate"):
        moments(atoms, "antiferromagnetic")
    arguments = {"structures": 12, "structure": "sc", "supercell": supercell, "displacement_A": 0.01}
    with pytest.raises(InputError, match="can't alternate"):
        generate({"Fe": 1.0}, [2.6], TYPICAL, magnetic_orders=["antiferromagnetic"], **arguments)
    made = generate({"Fe": 1.0}, [2.6], TYPICAL, **arguments)
    assert {atoms.info["generator"]["magnetic_order"] for atoms in made} == {"ferromagnetic", "scaled", "disordered"}
    system = {"structure": "sc", "supercell": list(supercell)}
    campaign = Campaign.model_validate(
        {"name": "c", "system": system, "md": {"magnetic_orders": ["ferromagnetic", "antiferromagnetic"]}}
    )
    with pytest.raises(InputError, match="can't alternate"):
        check_engine(campaign, here=True)


def test_planes_of_a_strained_cell_are_its_planes():
    atoms = bulk("Fe", "fcc", a=3.6, cubic=True) * (2, 2, 2)
    atoms.set_cell(np.asarray(atoms.cell) @ np.array([[1, 0.04, 0], [0, 1.02, 0.03], [0, 0, 0.97]]), scale_atoms=True)
    atoms.positions -= 1e-7
    found = moments(atoms, "antiferromagnetic")
    assert np.sum(found > 0) == np.sum(found < 0) == 16


def test_disordered_signs():
    atoms = crystal("fcc", 3.6, (3, 3, 3), {"Fe": 1.0}, np.random.default_rng(0))
    reversed_ = [np.mean(moments(atoms, "disordered", seed, flipped=0.25) < 0) for seed in range(30)]
    assert 0.15 < max(reversed_) <= 0.25
    drawn = [np.mean(moments(atoms, "disordered", seed, flipped=None) < 0) for seed in range(30)]
    assert min(drawn) > 0.3 and max(drawn) < 0.7, "a paramagnet: every atom has either sign by chance"
    np.testing.assert_allclose(np.abs(moments(atoms, "disordered", flipped=None)), 2.6)
    np.testing.assert_array_equal(
        moments(atoms, "random", 3, flipped=None), moments(atoms, "disordered", 3, flipped=None)
    )


@pytest.mark.parametrize("order", [*sorted(MAGNETIC_ORDERS.keys() - {"given"}), "random"])
def test_trajectories_start_with_every_order(order):
    campaign = Campaign.model_validate({"name": "c", "md": {"magnetic_orders": [order]}})
    assert campaign.document()["md"]["magnetic_orders"] == [order], "as it was written: keys of actions hold it"
    cell = starting_cell(campaign, 3.7, order, 1)
    signs = np.sign(cell.get_initial_magnetic_moments())
    assert set(signs) == ({1.0} if order in ("ferromagnetic", "scaled") else {1.0, -1.0})


def test_an_unknown_order_is_an_error_everywhere():
    atoms = crystal("fcc", 3.6, (1, 1, 1), {"Fe": 1.0}, np.random.default_rng(0))
    campaign = Campaign(name="c")
    for refuse in (
        lambda: moments(atoms, "spiral"),
        lambda: magnetic_order("spiral"),
        lambda: starting_cell(campaign, 3.7, "spiral", 0),
        lambda: generate({"Fe": 1.0}, [3.6], TYPICAL, 1, magnetic_orders=["spiral"]),
        lambda: parse_campaign("name: c\nmd: {magnetic_orders: [spiral]}"),
    ):
        with pytest.raises(InputError, match="unknown magnetic order 'spiral'") as told:
            refuse()
        assert all(name in str(told.value) for name in MAGNETIC_ORDERS)
    with pytest.raises(InputError, match="one order is named by two words"):
        parse_campaign("name: c\nmd: {magnetic_orders: [random, disordered]}")


def test_one_row_is_an_order(monkeypatch):
    monkeypatch.setitem(MAGNETIC_ORDERS, "down", MagneticOrder("all down", lambda draw: -draw.typical))
    campaign = Campaign.model_validate({"name": "c", "md": {"magnetic_orders": ["down"]}})
    assert np.all(starting_cell(campaign, 3.7, "down", 0).get_initial_magnetic_moments() < 0)
    (made,) = generate({"Fe": 1.0}, [3.6], TYPICAL, 1, magnetic_orders=["down"])
    assert np.all(made.get_initial_magnetic_moments() < 0)
