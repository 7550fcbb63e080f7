"""A potential has no memory: what it answers depends on the question alone, to the last bit."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from ase.build import bulk
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


def bits(potential: Potential, atoms) -> bytes:
    r = potential.evaluate(atoms)
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


def test_kept_lists_belong_to_who_asked_for_them():
    one, other = POT.lists(), POT.copy().lists()
    assert one is not other and one is not POT.lists()
    for seed in (0, 0, 1):
        POT.evaluate(crystal(seed), lists=one)
    assert (one.builds, other.builds) == (2, 0)


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
