"""Collections are declared once: what is stored fits, what is lost is told, what is misspelt is an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import bulk
from pydantic import ValidationError
from small_campaign import check_documents

from mmtp_fw.database import backup, check, environment, store
from mmtp_fw.database.collections import BLOBS, DECLARED, FIREWORKS, KEY
from mmtp_fw.errors import InputError
from tests.conftest import require

TYPO = """from mmtp_fw.database import Database
def f(database: Database) -> None:
    database.calculations.find_one({})
    database.calclations.find_one({})
"""
RUN = {"campaign": "c", "iteration": 0, "potential": 1, "params": {}, "state": "completed", "steps": 1}


def test_a_misspelt_collection_is_an_error_when_it_runs(database):
    with pytest.raises(AttributeError, match="calclations"):
        database.calclations.find_one({})
    with pytest.raises(AttributeError, match="collection"):
        database.calculations = None
    assert database.calculations.name == "calculations"


def test_a_misspelt_collection_is_an_error_for_the_type_checker(tmp_path):
    require("python:mypy")
    path = tmp_path / "typo.py"
    path.write_text(TYPO)
    ask = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(path)]
    done = subprocess.run(ask, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 1
    # The checker's cache may name an older file of this name.
    told = [line.partition(": ")[0] for line in done.stdout.splitlines() if "error" in line][:-1]
    assert [Path(place).name for place in told] == ["typo.py:4"]


def test_declarations_fit_each_other_and_their_models():
    for declared in DECLARED.values():
        fields = {field.alias or name for name, field in declared.model.model_fields.items()}
        paths = [link.field for link in declared.links] + list(declared.blobs)
        paths += [name for index in declared.indexes for name in index.document["key"]]
        paths += [declared.campaign] if declared.campaign else []
        assert {path.split(".")[0] for path in paths} <= fields, declared.name
        for link in declared.links:
            target = DECLARED[link.to].model
            assert link.by == KEY or link.by in target.model_fields


def test_what_belongs_to_a_campaign(database):
    for key in ("c/000/fit", "c-2/000/fit", "c0/000/fit", "b/000/fit"):
        database.claims.insert_one({"_id": key})
        database.properties.insert_one({"_id": key, "campaign": key.split("/")[0]})
    for name in ("claims", "properties"):
        own = database.db[name].find(DECLARED[name].of_campaign("c"))
        assert [document["_id"] for document in own] == ["c/000/fit"]
    with pytest.raises(ValueError, match="training_sets"):
        DECLARED["training_sets"].of_campaign("c")


@pytest.fixture
def complete(database):
    """One document with every link and every blob, and all that they lead to."""
    atoms = bulk("Fe", cubic=True)
    atoms.set_initial_magnetic_moments([2.0, 2.0])
    atoms.info["step"] = 0
    database.campaigns.insert_one({"_id": "c", "name": "c", "created": 1, "settings": {}})
    origin = {"campaign": "c", "md_run": 1, "step": 0, "potential": 1, "grade": 3.0}
    key = store.add_configuration(database, atoms, origin)
    store.begin_calculation(database, f"{key}/s", key, "hamiltonian", {}, "me")
    training = store.add_training_set(database, [f"{key}/s"], [f"{key}/s"])
    fields = {"campaign": "c", "iteration": 0, "training_set": training}
    store.save_potential(database, "t", "h", b"set", action="c/000/fit", **fields)
    store.save_potential(database, "t", "h", b"other", action="c/001/fit", parent=1, member_of=1, **fields)
    store.save_md_run(database, "c/000/md/a", {"step": [0]}, [atoms], b"frames", **RUN)
    store.save_md_run(database, "c/000/md/b", {"step": [1]}, [], b"more", continues="c/000/md/a", **RUN)
    values = {"campaign": "c", "iteration": 0, "source": "mmtp", "potential": 1, "params": {}, "values": {}}
    store.save_property(database, "c/000/property/x", frames=[atoms, atoms], **values)
    execution = {"environment": environment.keep(database, environment.content(database, {}))}
    for name in ("potentials", "md_runs", "properties"):
        database.db[name].update_many({}, {"$set": {"execution": execution}})
    store.save_stage(database, f"{key}/s", {"index": 0, "execution": execution})
    database.actions.insert_one(
        {
            "attempts": [execution],
            "_id": "c/000/label/x",
            "campaign": "c",
            "params": {"configuration": key, "potential": 1},
            "result": {"calculation": f"{key}/s", "configurations": [key], "potential": 2},
        }
    )
    return database


def _links():
    for name, declared in DECLARED.items():
        if declared.campaign not in (None, KEY):
            yield name, declared.campaign, "campaigns", KEY
        for link in declared.links:
            yield name, link.field, link.to, link.by


def test_a_link_that_leads_nowhere_is_told(complete):
    assert check.check(complete) == []
    for source, field, target, by in _links():
        document = complete.db[source].find_one({field: {"$nin": [None, []]}})
        for part in field.split("."):
            document = document[part] if isinstance(document, dict) else document[0][part]
        wanted = document[0] if isinstance(document, list) else document
        lost = complete.db[target].find_one_and_delete({by: wanted})
        problems = check.check(complete, contents=False)
        assert any(f"{source}.{field} refers to {target} '{wanted}'" in line for line in problems), problems
        complete.db[target].insert_one(lost)


def test_a_lost_blob_is_told(complete):
    fields = [(name, field) for name, declared in DECLARED.items() for field in declared.blobs]
    assert len(fields) == 5
    for source, field in fields:
        digest = complete.db[source].find_one({field: {"$ne": None}})[field]
        file = complete.db[f"{BLOBS}.files"].find_one({"_id": digest})
        chunks = list(complete.db[f"{BLOBS}.chunks"].find({"files_id": digest}))
        complete.db[f"{BLOBS}.chunks"].delete_many({"files_id": digest})
        assert check.check(complete, contents=False) == []
        assert len(check.check(complete)) == 1, "its content is gone"
        complete.db[f"{BLOBS}.files"].delete_one({"_id": digest})
        assert check.check(complete) == [f"{source}.{field} refers to blob {digest}, which is not there"]
        complete.db[f"{BLOBS}.files"].insert_one(file)
        complete.db[f"{BLOBS}.chunks"].insert_many(chunks)


def test_every_field_that_names_a_blob_is_declared(complete):
    digests = set(complete.db[f"{BLOBS}.files"].distinct("_id"))
    for name, declared in DECLARED.items():
        for document in complete.db[name].find():
            named = {field for field, value in document.items() if isinstance(value, str) and value in digests}
            assert named <= set(declared.blobs)


def test_one_document_of_any_collection_keeps_a_database_from_being_overwritten(database, tmp_path):
    backup.backup(database, tmp_path / "b")
    content = [name for name, declared in DECLARED.items() if declared.content]
    assert {"training_sets", "claims", "fit_checkpoints"} < set(content)
    for name in (*content, f"{BLOBS}.files", *FIREWORKS):
        database.db[name].insert_one({"_id": "x"})
        with pytest.raises(InputError, match=f"it has {name}"):
            backup.restore(database, tmp_path / "b")
        assert database.db[name].delete_one({}).deleted_count == 1


def test_the_servers_own_collections_are_not_backed_up(database, tmp_path):
    database.db.command("profile", 2)
    database.campaigns.find_one({})
    database.db.command("profile", 0)
    try:
        assert "system.profile" not in backup.backup(database, tmp_path / "b")
    finally:
        database.db["system.profile"].drop()


def test_documents_fit_their_models(complete):
    complete.actions.delete_many({})
    complete.campaigns.delete_many({})
    check_documents(complete)
    complete.potentials.update_one({}, {"$set": {"trainingset": "x"}})
    with pytest.raises(ValidationError, match="trainingset"):
        check_documents(complete)
