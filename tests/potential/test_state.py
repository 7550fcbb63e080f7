"""A potential has no memory: what it answers depends on the question alone, to the last bit."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms
from ase.build import bcc100, bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.potential import Potential, moments_of
from mmtp_fw.selection import ActiveSet

POT = Potential.from_level(4, ["Fe", "Pd"], r_min=1.8, r_cut=4.2, radial_size=4, magnetic_size=2, seed=1)


def crystal(seed: int):
    atoms = bulk("Fe", "bcc", 2.87, cubic=True) * (2, 2, 1)
    atoms.symbols[::3] = "Pd"
    atoms.rattle(0.03, seed=0)
    random = np.random.default_rng(seed)
    atoms.positions += 0.02 * seed * random.normal(size=atoms.positions.shape)
    atoms.set_cell(np.array(atoms.cell) * (1 + 0.002 * seed), scale_atoms=True)
    atoms.set_initial_magnetic_moments(random.uniform(1.0, 2.5, len(atoms)))
    return atoms


def bits(potential: Potential, atoms, lists=None) -> bytes:
    r = potential.evaluate(atoms, lists=lists)
    return b"".join(np.ascontiguousarray(x).tobytes() for x in (r.energy, r.forces, r.stress, r.magnetic_forces))


def calculate(potential: Potential, atoms) -> None:
    atoms.calc = potential.calculator()
    atoms.get_potential_energy()


ACTIVE = ActiveSet.from_configurations(POT, [crystal(seed) for seed in (0, 5)])
GRADES = {seed: ACTIVE.grades(crystal(seed)).tobytes() for seed in range(6)}
OTHERS = {
    "evaluate": lambda potential, atoms: potential.evaluate(atoms),
    "elsewhere": lambda potential, atoms: potential.evaluate(atoms, moments=-moments_of(atoms)),
    "gradient": lambda potential, atoms: potential.energy_parameter_gradient(atoms),
    "relax": lambda potential, atoms: potential.relax_moments(atoms, start=moments_of(atoms)),
    "calculator": calculate,
    "copy": lambda potential, atoms: potential.copy().evaluate(atoms),
    "write": lambda potential, _: potential.dumps(),
    "follow": lambda potential, atoms: potential.evaluate(atoms, lists=potential.lists()),
}
FRESH = {seed: bits(pickle.loads(pickle.dumps(POT)), crystal(seed)) for seed in range(6)}


@settings(max_examples=25, deadline=None)
@given(
    calls=st.lists(st.tuples(st.sampled_from(sorted(OTHERS)), st.integers(0, 5)), max_size=6), asked=st.integers(0, 5)
)
def test_the_order_of_evaluations_changes_no_bit(calls, asked):
    for what, seed in calls:
        OTHERS[what](POT, crystal(seed))
        assert ACTIVE.grades(crystal(seed)).tobytes() == GRADES[seed]
    assert bits(POT, crystal(asked)) == FRESH[asked]
    assert bits(POT.copy(), crystal(asked)) == FRESH[asked]


def kinds() -> dict[str, Atoms]:
    """Return configurations of all kinds; every one has relatives that lists may be handed on to."""
    water = molecule("H2O", vacuum=3.0)
    water.set_chemical_symbols(["Fe", "Pd", "Fe"])
    slab = bcc100("Fe", (2, 2, 3), a=2.87, vacuum=5.0)
    slab.symbols[::2] = "Pd"
    tiny = bulk("Fe", "bcc", 2.87)
    found = {"molecule": water, "slab": slab, "tiny": tiny, "at the cut-off": bulk("Fe", "sc", 4.2) * (1, 1, 2)}
    skew = bulk("Pd", "fcc", 3.9)
    skew.set_cell(skew.cell.array @ np.array([[1, 0.4, 0], [0, 1, 0.3], [0, 0, 1]]), scale_atoms=True)
    found |= {"skew": skew, "crystal": crystal(0), "pair in a row": bulk("Fe", "bcc", 2.87, cubic=True)}
    found["pair in a row"].pbc = [True, False, False]
    for atoms in found.values():
        atoms.set_initial_magnetic_moments(np.linspace(1.0, 2.5, len(atoms)))
    return found


def moved(kind: str, way: str, amount: int) -> Atoms:
    atoms = kinds()[kind]
    if way == "walk":
        atoms.rattle(0.03 * amount, seed=amount)
    elif way == "drag":
        atoms.positions += 0.31 * amount
    elif way == "strain":
        atoms.set_cell(atoms.cell.array * (1 + 0.004 * amount), scale_atoms=True)
    elif way == "shear":
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.01 * amount * np.eye(3, k=1)), scale_atoms=True)
    elif atoms.pbc.any():  # the same atoms in other images
        atoms.positions[amount % len(atoms)] += atoms.cell.array[0]
    return atoms


@settings(max_examples=60, deadline=None)
@given(
    asked=st.lists(
        st.tuples(
            st.sampled_from(sorted(kinds())),
            st.sampled_from(["walk", "drag", "strain", "shear", "image"]),
            st.integers(0, 5),
            st.sampled_from(["own", "lists", "copy", "pickle", "threads"]),
        ),
        min_size=2,
        max_size=12,
    )
)
def test_no_way_to_a_neighbour_list_changes_a_bit(asked):
    lists, twin = POT.lists(), POT.copy()
    for kind, way, amount, by in asked:
        atoms = moved(kind, way, amount)
        expected = bits(pickle.loads(pickle.dumps(POT)), atoms)
        if by == "threads":
            with ThreadPoolExecutor(3) as pool:
                found = set(pool.map(lambda atoms: bits(POT, atoms), [atoms.copy() for _ in range(6)]))
        else:
            potential = {"copy": twin, "pickle": pickle.loads(pickle.dumps(twin))}.get(by, POT)
            found = {bits(potential, atoms, lists if by == "lists" else None)}
        assert found == {expected}


def test_copies_share_no_lists():
    first, second = POT.copy(), POT.copy()
    first.evaluate(crystal(0))
    assert (first._lists.builds, second._lists.builds, first.copy()._lists.builds) == (1, 0, 0)
    assert pickle.loads(pickle.dumps(first))._lists._kept == (), "pickles carry no lists"


def test_kept_lists_belong_to_who_asked_for_them():
    one, other = POT.lists(), POT.copy().lists()
    assert one is not other and one is not POT.lists()
    for seed in (0, 0, 1):
        POT.evaluate(crystal(seed), lists=one)
    assert (one.builds, other.builds) == (1, 0)


def test_what_makes_a_potential_is_fixed():
    potential = Potential.from_level(4, ["Fe"], seed=1)
    before = potential.dumps()
    form = "species symmetrized scaling r_min r_cut min_moment max_moment radial_size magnetic_size tables"
    for name in form.split():
        with pytest.raises(AttributeError, match=f"{name} of a potential is fixed"):
            setattr(potential, name, getattr(potential, name))
    assert potential.dumps() == before
    potential.parameters = 2.0 * potential.parameters
    assert potential.dumps() != before


def test_a_copy_shares_nothing_that_can_change():
    twin = POT.copy()
    twin.species[0] = "Co"
    twin.parameters = np.zeros(twin.n_parameters)
    assert POT.species == ["Fe", "Pd"]
    assert bits(POT, crystal(3)) == FRESH[3]
