"""Writes are idempotent, configurations keep every bit, histories lead both ways."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.database import atoms_codec, backup, blobs, check, history, queries, store
from mmtp_fw.errors import InputError


def make_atoms(seed: int = 0) -> Atoms:
    random = np.random.default_rng(seed)
    atoms = Atoms("Fe3Pd", positions=random.uniform(0, 3.7, (4, 3)), cell=3.7 * np.eye(3), pbc=True)
    atoms.set_initial_magnetic_moments(random.normal(size=4))
    return atoms


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_atoms_come_back_bit_for_bit(seed):
    atoms = make_atoms(seed)
    atoms.calc = SinglePointCalculator(
        atoms, energy=-1.1, forces=np.full((4, 3), 0.1), magmoms=atoms.get_initial_magnetic_moments()
    )
    atoms.arrays["magnetic_forces"] = np.arange(4) / 3.0
    back = atoms_codec.from_document(atoms_codec.to_document(atoms))
    assert np.array_equal(back.positions, atoms.positions)
    assert np.array_equal(back.arrays["magnetic_forces"], atoms.arrays["magnetic_forces"])
    assert back.get_potential_energy() == -1.1
    assert atoms_codec.content_hash(back) == atoms_codec.content_hash(atoms)


@given(st.integers(0, 1000), st.permutations(range(4)), st.integers(-2, 2))
@settings(max_examples=25, deadline=None)
def test_hash_knows_permuted_and_wrapped_atoms_again(seed, order, shift):
    atoms = make_atoms(seed)
    moved = atoms[list(order)]
    moved.positions[0] += shift * atoms.cell[1]
    assert atoms_codec.content_hash(moved) == atoms_codec.content_hash(atoms)


def test_hash_tells_different_configurations_apart():
    atoms = make_atoms()
    displaced, flipped, strained = atoms.copy(), atoms.copy(), atoms.copy()
    displaced.positions[0, 0] += 1e-3
    flipped.set_initial_magnetic_moments(-atoms.get_initial_magnetic_moments())
    strained.set_cell(atoms.cell * 1.0001, scale_atoms=True)
    hashes = {atoms_codec.content_hash(a) for a in (atoms, displaced, flipped, strained)}
    assert len(hashes) == 4


def test_everything_twice_is_once(database):
    atoms = make_atoms()
    key = store.add_configuration(database, atoms, {"campaign": "c"})
    assert store.add_configuration(database, atoms, {"campaign": "other"}) == key
    assert database.configurations.find_one({})["origin"]["campaign"] == "c"
    for _ in range(2):
        store.begin_calculation(database, f"{key}/s", key, "hamiltonian", {"a": 1}, "me")
        store.save_stage(database, f"{key}/s", {"index": 0, "name": "equilibrium"})
        store.save_stage(database, f"{key}/s", {"index": 1, "name": "ramp"})
    store.finish_calculation(database, f"{key}/s", "accepted", "", {"label": {"energy_eV": 1.0}})
    store.finish_calculation(database, f"{key}/s", "rejected", "late", {})
    calculation = database.calculations.find_one({})
    assert [stage["name"] for stage in calculation["stages"]] == ["equilibrium", "ramp"]
    assert calculation["status"] == "accepted"
    one = store.add_training_set(database, [f"{key}/s"])
    assert store.add_training_set(database, [f"{key}/s", f"{key}/s"]) == one
    fields = {"campaign": "c", "iteration": 0, "action": "c/000/fit", "training_set": one}
    assert store.save_potential(database, "t", "h", b"set", **fields) == 1
    assert store.save_potential(database, "t", "h", b"set", **fields) == 1
    assert store.save_potential(database, "t", "h", **(fields | {"action": "c/001/fit", "parent": 1})) == 2


def test_candidates_come_back(database):
    fields = {
        "campaign": "c",
        "iteration": 0,
        "potential": 1,
        "params": {},
        "state": "completed",
        "steps": 10,
    }
    atoms = make_atoms()
    atoms.info.update(step=5, grade=np.float64(2.5))
    for _ in range(2):
        assert store.save_md_run(database, "c/000/md/a", {"step": [0]}, [atoms], **fields) == 1
    (found,) = store.candidates_of(database, "c/000/md/a")
    assert np.array_equal(found.positions, atoms.positions)
    assert found.info["grade"] == 2.5
    assert store.candidates_of(database, "nothing") == []


def test_blobs_are_kept_once_and_damage_is_found(database):
    digest = blobs.put(database, b"x" * 100_000, "test")
    assert blobs.put(database, b"x" * 100_000, "test") == digest
    assert blobs.get(database, digest) == b"x" * 100_000
    assert database.db["blobs.files"].count_documents({}) == 1
    assert check.check(database) == []
    database.db["blobs.chunks"].update_one({}, {"$set": {"data": b"rubbish"}})
    assert len(check.check(database)) == 1


@pytest.fixture
def campaign(database):
    """A small finished campaign: one generated and one selected configuration, two potentials."""
    database.campaigns.insert_one(
        {"_id": "c", "name": "c", "created": 1, "settings": {"system": {"held_out_lattice_parameters_A": []}}}
    )
    keys = [store.add_configuration(database, make_atoms(0), {"campaign": "c", "generator": "fcc"})]
    fields = {
        "campaign": "c",
        "iteration": 0,
        "potential": 1,
        "params": {},
        "state": "completed",
        "steps": 10,
    }
    for iteration in (0, 1):
        calculations = []
        for key in keys:
            store.begin_calculation(database, f"{key}/s", key, "hamiltonian", {}, "me")
            store.save_stage(
                database,
                f"{key}/s",
                {"index": 0, "name": "ramp", "lambda_eV_per_muB2": 5.0, "mae_muB": 0.01, "achieved": {}},
            )
            store.finish_calculation(database, f"{key}/s", "accepted", "", {"label": {"energy_eV": 0.0}})
            calculations.append(f"{key}/s")
        training = store.add_training_set(database, calculations)
        store.save_potential(
            database, "t", "h", campaign="c", iteration=iteration, action=f"c/{iteration}/fit",
            training_set=training, parent=iteration or None,
        )  # fmt: skip
        if iteration == 0:
            store.save_md_run(database, "c/000/md", {"step": [0]}, [make_atoms(1)], **fields)
            origin = {"campaign": "c", "md_run": 1, "step": 5, "grade": 3.0, "potential": 1}
            keys.append(store.add_configuration(database, make_atoms(1), origin))
    return keys


def test_history_leads_back_and_forward(database, campaign):
    found = history.configuration(database, "2")
    assert found["origin"]["md"]["potential"] == 1
    assert [p["_id"] for p in found["potentials"]] == [2]
    assert found["calculations"][0]["stages"][0]["lambda_eV_per_muB2"] == 5.0
    assert [p["_id"] for p in history.configuration(database, campaign[0])["potentials"]] == [1, 2]
    version = history.potential(database, "2")
    assert version["parents"] == [1]
    assert version["added"] == [f"{campaign[1]}/s"]
    assert {label["configuration"] for label in version["labels"]} == {1, 2}
    assert history.potential(database, 1)["md_runs"][0]["number"] == 1
    assert history.md_run(database, 1)["selected"][0]["number"] == 2


def test_what_is_not_there_is_said(database, campaign):
    for call in (
        lambda: history.configuration(database, "99"),
        lambda: history.potential(database, "99"),
        lambda: history.potential(database, "x"),
        lambda: history.md_run(database, 99),
        lambda: queries.campaign(database, "nope"),
    ):
        with pytest.raises(InputError):
            call()


def test_find_by_status_and_formula(database, campaign):
    assert len(queries.find_configurations(database, status="accepted")) == 2
    assert queries.find_configurations(database, formula="Fe3Pd", status="rejected") == []
    assert queries.find_configurations(database, campaign="c", limit=1)[0]["configuration"] == 2


def test_backup_round_trip(database, campaign, tmp_path):
    counts = backup.backup(database, tmp_path / "b.mmtp")
    before = {name: list(database.db[name].find().sort("_id", 1)) for name in ("potentials", "blobs.chunks")}
    with pytest.raises(InputError, match="never overwritten"):
        backup.backup(database, tmp_path / "b.mmtp")
    with pytest.raises(InputError, match="not empty"):
        backup.restore(database, tmp_path / "b.mmtp")
    database.reset()
    (tmp_path / "cut.mmtp").write_bytes((tmp_path / "b.mmtp").read_bytes()[:-40])
    with pytest.raises(InputError):
        backup.restore(database, tmp_path / "cut.mmtp")
    assert backup.restore(database, tmp_path / "b.mmtp") == counts
    for name, documents in before.items():
        assert list(database.db[name].find().sort("_id", 1)) == documents
    assert check.check(database) == []
