"""Opening: indexes once, one counter, no older program on newer documents, nobody's workflows lost."""

from __future__ import annotations

import threading

import pytest
from fireworks import Firework, ScriptTask, Workflow

from mmtp_fw.database import Database, backup
from mmtp_fw.database.indexes import indexes
from mmtp_fw.database.records import SCHEMA_VERSION
from mmtp_fw.errors import DatabaseError, InputError


def test_several_first_openings_make_one_counter_and_all_indexes(database):
    for name in database.db.list_collection_names():
        database.db.drop_collection(name)

    def first_open():
        Database.open().close()

    threads = [threading.Thread(target=first_open) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.db.fw_id_assigner.count_documents({}) == 1
    for name, models in indexes():
        there = {tuple(index["key"]) for index in database.db[name].index_information().values()}
        assert {tuple(model.document["key"].items()) for model in models} <= there
    assert database.launchpad.get_new_fw_id() == 1


def test_documents_of_a_newer_program_are_refused(database):
    database.db.meta.update_one({"_id": "schema"}, {"$set": {"version": 99}})
    try:
        with pytest.raises(DatabaseError, match="newer mmtp_fw") as caught:
            Database.open()
    finally:
        database.db.meta.delete_one({"_id": "schema"})
    assert "upgrade" in caught.value.hint


def test_a_backup_of_a_newer_program_is_refused_before_anything_is_written(database, tmp_path):
    database.meta.update_one({"_id": "schema"}, {"$set": {"version": 99}})
    backup.backup(database, tmp_path / "b.mmtp")
    database.reset()
    with pytest.raises(InputError, match="newer mmtp_fw") as caught:
        backup.restore(database, tmp_path / "b.mmtp")
    assert "upgrade" in caught.value.hint
    assert database.meta.find_one({"_id": "schema"})["version"] == SCHEMA_VERSION


def test_restore_spares_another_projects_workflows(database, tmp_path):
    backup.backup(database, tmp_path / "b.mmtp")
    database.launchpad.add_wf(Workflow([Firework(ScriptTask.from_str("true"))]))
    with pytest.raises(InputError, match="it has workflows"):
        backup.restore(database, tmp_path / "b.mmtp")
    assert database.db.workflows.count_documents({}) == 1
