"""Sites, fillings, distortions and moments against what can be said exactly."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from mmtp_fw.errors import InputError
from mmtp_fw.structures import ORDERS, counts_of, crystal, generate, target_moments

FE_PD = {"Fe": 0.75, "Pd": 0.25}
TYPICAL = {"Fe": 2.6, "Pd": 0.3}
CORNER = [(0, 0, 0)]
BODY = [*CORNER, (0.5, 0.5, 0.5)]
FACES = [*CORNER, (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("composition", "sites", "expected"),
    [
        ({"A": 0.5, "B": 0.5}, 4, [2, 2]),
        ({"A": 0.3, "B": 0.7}, 10, [3, 7]),
        ({"A": 0.26, "B": 0.74}, 10, [3, 7]),
        ({"A": 0.24, "B": 0.76}, 10, [2, 8]),
        ({"A": 0.34, "B": 0.33, "C": 0.33}, 10, [4, 3, 3]),
        ({"A": 1 / 3, "B": 1 / 3, "C": 1 / 3}, 9, [3, 3, 3]),
        ({"A": 1.0, "B": 0.0}, 5, [5, 0]),
        ({"A": 1.0}, 7, [7]),
        ({"A": 0.1, "B": 0.2, "C": 0.7}, 1, [0, 0, 1]),
    ],
)
def test_fractions_become_whole_atoms(composition, sites, expected):
    assert list(counts_of(composition, sites).values()) == expected


@pytest.mark.parametrize("wrong", [{}, {"A": 1.1, "B": -0.1}, {"A": 0.5}, {"A": 0.5, "B": 0.51}, {"A": 0.99999}])
def test_fractions_that_are_none(wrong):
    with pytest.raises(InputError, match="add up to 1"):
        counts_of(wrong, 8)


def test_fractions_may_be_rounded():
    assert counts_of({"A": 0.3333333, "B": 0.6666666}, 3) == {"A": 1, "B": 2}


@pytest.mark.parametrize(
    ("lattice", "sites"), [("fcc", FACES), ("L1_2", FACES), ("bcc", BODY), ("B2", BODY), ("sc", CORNER)]
)
def test_sites_of_a_lattice(lattice, sites):
    a = 3.2
    atoms = crystal(lattice, a, (1, 2, 3), {"Fe": 1.0}, rng())
    np.testing.assert_allclose(np.asarray(atoms.cell), np.diag([a, 2 * a, 3 * a]))
    assert atoms.pbc.all() and len(atoms) == 6 * len(sites)
    wanted = {tuple(np.add(site, (0, j, k)) * a) for site in np.array(sites) for j in range(2) for k in range(3)}
    found = {tuple(np.round(position, 9)) for position in atoms.positions}
    assert found == {tuple(np.round(place, 9)) for place in wanted}
    assert not atoms.get_tags().any()


@pytest.mark.parametrize(("lattice", "minority"), [("L1_2", 0.25), ("B2", 0.5)])
def test_the_minority_of_an_ordered_lattice_sits_on_the_corners(lattice, minority):
    for seed in range(5):
        atoms = crystal(lattice, 1.0, (2, 2, 2), {"Fe": 1 - minority, "Pd": minority}, rng(seed))
        corners = np.all(np.isclose(atoms.positions % 1.0, 0.0), axis=1)
        # Of two equal species it is the first by name that counts as the minority.
        rare = "Pd" if minority < 0.5 else "Fe"
        assert set(atoms.symbols[corners]) == {rare} and rare not in set(atoms.symbols[~corners])


def test_what_does_not_fit_on_the_corners_goes_anywhere_else():
    atoms = crystal("L1_2", 1.0, (2, 2, 2), {"Fe": 0.5, "Pd": 0.375, "Ni": 0.125}, rng(1))
    corners = np.all(np.isclose(atoms.positions % 1.0, 0.0), axis=1)
    assert sorted(atoms.symbols[corners]) == ["Ni"] * 4 + ["Pd"] * 4
    assert list(atoms.symbols[~corners]).count("Pd") == 8


def test_a_random_alloy_is_random_and_repeats():
    one, two, other = (crystal("fcc", 3.7, (2, 2, 2), FE_PD, rng(seed)) for seed in (1, 1, 2))
    assert list(one.symbols) == list(two.symbols) != list(other.symbols)
    assert one.symbols.formula.count() == {"Fe": 24, "Pd": 8}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("hexagonal", 3.0, (1, 1, 1)), "unknown lattice"),
        (("fcc", 3.0, (1, 1)), "three positive integers"),
        (("fcc", 3.0, (1, 1, 0)), "three positive integers"),
        (("fcc", 0.0, (1, 1, 1)), "not positive"),
        (("fcc", float("nan"), (1, 1, 1)), "not positive"),
    ],
)
def test_lattices_that_make_no_sense(arguments, words):
    with pytest.raises(InputError, match=words):
        crystal(*arguments, {"Fe": 1.0}, rng())


# Moments ------------------------------------------------------------------------------------------------------


def alloy(supercell=(2, 2, 2), composition=FE_PD) -> Atoms:
    atoms = crystal("fcc", 3.7, supercell, composition, rng())
    atoms.info["supercell"] = supercell
    return atoms


def typical(atoms: Atoms) -> np.ndarray:
    return np.array([TYPICAL[symbol] for symbol in atoms.symbols])


def test_sizes_scatter_as_documented():
    atoms = alloy((5, 5, 4))
    size = typical(atoms)
    scale = 0.2 * np.maximum(size, 0.4)
    disordered = (target_moments(atoms, "disordered", TYPICAL, 0.2, 0.0, rng(1)) - size) / scale
    ferromagnetic = (target_moments(atoms, "ferromagnetic", TYPICAL, 0.2, 0.5, rng(1)) - size) / scale
    assert np.abs(disordered).max() == pytest.approx(2.0), "cut at twice the standard deviation"
    assert disordered.std() == pytest.approx(0.95, abs=0.1) and abs(disordered.mean()) < 0.15
    np.testing.assert_allclose(ferromagnetic, 0.25 * disordered, atol=1e-12)
    np.testing.assert_array_equal(target_moments(atoms, "ferromagnetic", TYPICAL, 0.0, 0.5, rng(1)), size)


def test_scaled_moments_share_one_factor():
    atoms = alloy()
    factors = []
    for seed in range(300):
        ratio = target_moments(atoms, "scaled", TYPICAL, 0.0, 0.0, rng(seed)) / typical(atoms)
        assert np.ptp(ratio) < 1e-12
        factors.append(ratio[0])
    assert 0.3 <= min(factors) < 0.33 and 1.12 < max(factors) <= 1.15
    scatter = target_moments(atoms, "scaled", TYPICAL, 0.2, 0.0, rng(3))
    plain = target_moments(atoms, "ferromagnetic", TYPICAL, 0.2, 0.0, rng(3))
    difference = (scatter - plain) / typical(atoms)
    assert np.ptp(difference) < 1e-12, "both scatter by a quarter"


def test_planes_of_an_antiferromagnet_alternate():
    axes = set()
    for seed in range(12):
        atoms = alloy((2, 3, 1))
        moments = target_moments(atoms, "antiferromagnetic", TYPICAL, 0.0, 0.5, rng(seed))
        np.testing.assert_allclose(np.abs(moments), typical(atoms))
        heights = np.round(2 * atoms.positions / 3.7).astype(int)
        along = [axis for axis in range(3) if np.array_equal(np.sign(moments), np.where(heights[:, axis] % 2, -1, 1))]
        assert len(along) == 1, "the planes along one cubic axis, the first of them up"
        axes.add(along[0])
    assert axes == {0, 1, 2}
    scattered = target_moments(alloy(), "antiferromagnetic", TYPICAL, 0.2, 0.0, rng(1))
    plain = target_moments(alloy(), "ferromagnetic", TYPICAL, 0.2, 0.0, rng(1))
    np.testing.assert_allclose(np.abs(scattered), plain)


def test_a_cell_that_is_not_repeated_is_one_conventional_cell():
    atoms = alloy((1, 1, 1))
    del atoms.info["supercell"]
    for seed in range(12):
        moments = target_moments(atoms, "antiferromagnetic", TYPICAL, 0.0, 0.0, rng(seed))
        assert np.sum(moments > 0) == np.sum(moments < 0) == 2 and moments[0] > 0


def test_up_to_the_asked_fraction_is_reversed():
    atoms = alloy()
    flips = []
    for seed in range(200):
        moments = target_moments(atoms, "disordered", TYPICAL, 0.0, 0.25, rng(seed))
        np.testing.assert_allclose(np.abs(moments), typical(atoms))
        flips.append(int(np.sum(moments < 0)))
    assert set(flips) == set(range(9)), "none to a quarter of 32"
    assert np.all(target_moments(atoms, "disordered", TYPICAL, 0.0, 0.0, rng()) > 0)


def test_moments_need_a_size_and_an_order():
    with pytest.raises(InputError, match="no typical moment for species 'Pd'"):
        target_moments(alloy(), "ferromagnetic", {"Fe": 2.6}, 0.0, 0.0, rng())
    with pytest.raises(InputError, match="unknown magnetic order 'spiral'"):
        target_moments(alloy(), "spiral", TYPICAL, 0.0, 0.0, rng())  # type: ignore[arg-type]


# Pretraining --------------------------------------------------------------------------------------------------


def made(count: int = 12, **changed) -> list[Atoms]:
    return generate(FE_PD, [3.7, 3.8], TYPICAL, count, **changed)


def test_every_configuration_says_how_it_was_made():
    found = made(4, strain=0.01, seed=9, supercell=(1, 2, 2))
    for index, atoms in enumerate(found):
        assert len(atoms) == 16
        told = atoms.info["generator"]
        assert set(atoms.info) == {"generator"}
        assert told["index"] == index and told["seed"] == 9 and told["strain"] == 0.01
        assert told["structure"] == "fcc" and told["lattice_parameter_A"] == (3.7, 3.8)[index % 2]
        assert 0.2 * 0.12 <= told["displacement_A"] <= 0.12


def test_orders_and_lattice_parameters_take_turns():
    turns = [(a.info["generator"]["lattice_parameter_A"], a.info["generator"]["magnetic_order"]) for a in made(12)]
    orders = [order for order in ORDERS if order != "given"]  # a lattice has no moments of its own
    n = len(orders)
    assert turns == [((3.7, 3.8)[k % 2], orders[(k // 2 + k % 2) % n]) for k in range(12)]
    chosen = made(4, magnetic_orders=["scaled", "disordered"])
    assert [a.info["generator"]["magnetic_order"] for a in chosen] == ["scaled", "disordered", "disordered", "scaled"]


def test_displacements_have_the_size_that_is_told():
    for atoms in made(6, supercell=(4, 4, 3), strain=0.0, displacement_A=0.1, min_distance_fraction=0.1):
        perfect = crystal("fcc", atoms.info["generator"]["lattice_parameter_A"], (4, 4, 3), FE_PD, rng())
        np.testing.assert_allclose(np.asarray(atoms.cell), np.asarray(perfect.cell))
        moved = atoms.positions - perfect.positions
        assert moved.std() == pytest.approx(atoms.info["generator"]["displacement_A"], rel=0.12)
        assert abs(moved.mean()) < 0.02
    sizes = [a.info["generator"]["displacement_A"] for a in made(60, displacement_A=0.1)]
    assert min(sizes) < 0.03 and max(sizes) > 0.09


def test_strains_are_symmetric_and_reach_their_limit():
    strains = []
    for atoms in made(60, strain=0.03, supercell=(1, 1, 1), displacement_A=1e-9):
        deformation = np.asarray(atoms.cell) / atoms.info["generator"]["lattice_parameter_A"] - np.eye(3)
        np.testing.assert_allclose(deformation, deformation.T, atol=1e-12)
        strains.append(deformation)
    found = np.array(strains)
    assert 0.028 < np.abs(found).max() <= 0.03 + 1e-12
    assert found.min() < -0.025 and found.max() > 0.025
    diagonal = np.abs(found[:, range(3), range(3)]).max()
    assert diagonal > 0.028
    perfect = made(1, strain=0.0, displacement_A=1e-9)[0]
    np.testing.assert_allclose(np.asarray(perfect.cell), np.diag([7.4, 7.4, 3.7]), atol=1e-12)


@pytest.mark.parametrize("lattice", ["fcc", "bcc", "sc", "B2", "L1_2"])
def test_no_atoms_come_nearer_than_asked(lattice):
    nearest = {"fcc": 0.5**0.5, "L1_2": 0.5**0.5, "bcc": 0.75**0.5, "B2": 0.75**0.5, "sc": 1.0}[lattice]
    with pytest.raises(InputError, match=f"nearer than {1.01 * nearest * 3.0:.2f} Å"):
        # More than the perfect lattice has: no displacement can help.
        generate({"Fe": 1.0}, [3.0], {"Fe": 2.0}, 1, lattice, displacement_A=1e-6, strain=0, min_distance_fraction=1.01)
    close = generate(
        {"Fe": 1.0}, [3.0], {"Fe": 2.0}, 12, lattice, (2, 2, 2), displacement_A=0.1, min_distance_fraction=0.85
    )
    shortest = min(np.sort(a.get_all_distances(mic=True), axis=1)[:, 1].min() for a in close)
    assert 0.85 * nearest * 3.0 <= shortest < 0.95 * nearest * 3.0


@pytest.mark.parametrize(
    "wrong", [{"structures": 0}, {"lattice_parameters_A": []}, {"magnetic_orders": []}, {"structures": -1}]
)
def test_nothing_to_make(wrong):
    arguments = {"composition": FE_PD, "lattice_parameters_A": [3.7], "typical_moments_muB": TYPICAL, "structures": 1}
    assert len(generate(**arguments)) == 1
    with pytest.raises(InputError, match="must not be empty"):
        generate(**(arguments | wrong))
