"""What goes to DFT: chosen among the candidates of a round that were never labelled."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from small_campaign import small

from mmtp_fw.database import atoms_codec, store
from mmtp_fw.dft import get_engine
from mmtp_fw.dft.checks import check_request
from mmtp_fw.errors import InputError
from mmtp_fw.firetasks.base import Context
from mmtp_fw.firetasks.select import SelectWork
from mmtp_fw.loop.facts import Action, Category, Kind
from mmtp_fw.potential import Potential
from mmtp_fw.selection import ActiveSet

CAMPAIGN = small()
POTENTIAL = Potential.from_level(4, ["Fe", "Pd"], r_min=1.8, r_cut=4.0, radial_size=4, magnetic_size=2, seed=1)


def crystal(seed: int, size: float):
    atoms = bulk("Fe", "fcc", 3.75, cubic=True)
    atoms.symbols[0] = "Pd"
    atoms.rattle(size, seed=seed)
    atoms.set_initial_magnetic_moments(np.random.default_rng(seed).uniform(1.0, 3.0, 4) * [0.3, 1, 1, 1])
    atoms.info["step"] = seed
    return atoms


@pytest.fixture
def round_of(database, tmp_path):
    """A potential, and two trajectories with candidates that are far from it; a function runs their selection."""
    database.campaigns.insert_one({"_id": "small", "name": "small"})
    active = ActiveSet.from_configurations(POTENTIAL, [crystal(k, 0.01) for k in range(3)])
    version = store.save_potential(
        database, POTENTIAL.dumps(), POTENTIAL.content_hash, active.to_bytes(), campaign="small", iteration=0,
        action="small/000/fit",
    )  # fmt: skip

    def selected(runs: dict[str, list[Atoms]], iteration: int = 0, max_count: int = 9) -> list[Atoms]:
        for key, candidates in runs.items():
            facts = {"campaign": "small", "iteration": 0, "potential": version, "params": {}, "state": "completed"}
            store.save_md_run(database, key, {"step": [0]}, candidates, steps=20, **facts)
        params = {"potential": version, "max_count": max_count}
        action = Action(f"small/{iteration:03d}/select", Kind.SELECT, Category.LIGHT, iteration, params, tuple(runs))
        chosen = SelectWork().compute(Context(database, CAMPAIGN, action, tmp_path, lambda: False))
        for atoms in chosen:
            assert atoms.info["grade"] == active.grade(atoms) > 1.1
            assert atoms.info["potential"] == version and atoms.info["md_run"] in (1, 2)
        return sorted(chosen, key=lambda atoms: atoms.info["step"])

    return selected


@pytest.fixture
def work(round_of):
    """Two trajectories with a candidate in common; a function selects from them and returns the steps."""
    runs = {"small/000/md/a": [10, 11], "small/000/md/b": [11, 12]}
    candidates = {key: [crystal(seed, 0.2) for seed in seeds] for key, seeds in runs.items()}
    return lambda *args, **settings: [atoms.info["step"] for atoms in round_of(candidates, *args, **settings)]


def label(database, seed: int, iteration: int, campaign: str = "small", kind: str = "label") -> None:
    """Plan a label of a candidate."""
    digest = atoms_codec.content_hash(crystal(seed, 0.2))
    key = f"{campaign}/{iteration:03d}/{kind}/{digest}"
    document = {"_id": key, "campaign": campaign, "kind": kind, "iteration": iteration}
    database.actions.insert_one(document | {"params": {"configuration": digest}})


def test_candidates_of_all_trajectories_count_once(work):
    assert work() == [10, 11, 12]
    assert len(work(max_count=2)) == 2


def test_what_was_labelled_is_not_offered_again(database, work):
    label(database, 11, iteration=0)
    assert work() == [10, 12]
    label(database, 10, iteration=0)
    assert work() == [12]


def test_only_labels_of_this_campaign_up_to_this_round_count(database, work):
    label(database, 10, iteration=1)
    label(database, 11, iteration=0, campaign="another")
    label(database, 12, iteration=0, kind="md")
    assert work() == [10, 11, 12], "a round selects the same when it is computed again later"
    assert work(iteration=1) == [11, 12]


def test_what_is_selected_can_be_labelled(round_of):
    """Moments at a bound are drawn back, and atoms on top of each other are nobody's target."""
    wild, near = crystal(10, 0.2), crystal(12, 0.2)
    wild.set_initial_magnetic_moments([-4.0, 4.0, 2.5, -2.5])
    near.positions[1] = near.positions[0] + [0.4, 0.3, 0.0]
    (atoms,) = round_of({"small/000/md/a": [wild, near]})
    assert atoms.info["step"] == 10 and atoms.info["drawn_back"] == 2
    np.testing.assert_allclose(atoms.get_initial_magnetic_moments(), [-1.9, 3.8, 2.5, -2.5])
    np.testing.assert_allclose(atoms.positions, wild.positions)
    check_request(get_engine("hamiltonian"), atoms)
    with pytest.raises(InputError, match="impossible"):
        check_request(get_engine("hamiltonian"), wild)


def test_two_candidates_that_are_the_same_when_drawn_back_count_once(database, round_of):
    both = [crystal(10, 0.2), crystal(10, 0.2)]
    for atoms, moment in zip(both, (3.9, 4.0), strict=True):
        atoms.set_initial_magnetic_moments([0.3, moment, 2.5, 2.5])
    (atoms,) = round_of({"small/000/md/a": both})
    digest = atoms_codec.content_hash(atoms)
    document = {"_id": f"small/000/label/{digest}", "campaign": "small", "kind": "label", "iteration": 0}
    database.actions.insert_one(document | {"params": {"configuration": digest}})
    assert round_of({"small/000/md/a": both}) == [], "what was labelled is its drawn back self"
