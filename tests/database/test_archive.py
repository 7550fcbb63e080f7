"""One campaign in one file: whole, verifiable, and the same again wherever it is imported."""

from __future__ import annotations

import json
import zipfile

import pytest
from small_campaign import check_documents, run_until, small

from mmtp_fw.database import archive, backup, check, history
from mmtp_fw.database.archive import _KEPT
from mmtp_fw.errors import InputError
from mmtp_fw.workflows.submit import submit_campaign
from tests.database.test_dump import DUMP

FEW = {"pretraining": {"structures": 3}, "fit": {"max_iterations": 5}, "md": {"steps": 10}}


def contents(database) -> dict:
    return {name: list(database.db[name].find().sort("_id", 1)) for name in _KEPT}


def test_a_campaign_comes_back_as_it_was_and_once(database, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small("c", **FEW))
    run_until(database, "fit", iteration=1)
    before = contents(database)
    assert "campaign c" in call("archive", "create", "c", "c.zip")
    assert "exists" in call("archive", "create", "c", "c.zip", code=2)
    assert "whole" in call("archive", "verify", "c.zip")
    listed = json.loads(call("archive", "list", "c.zip", "--json"))["c.zip"]
    assert listed["documents"] == {name: len(documents) for name, documents in before.items()}
    assert (listed["archive_version"], listed["finished"]) == (1, False) and "under way" in call(
        "archive", "list", "c.zip"
    )

    database.reset()
    found = json.loads(call("archive", "import", "c.zip", "--json"))
    assert found["written"] == listed["documents"] and found["renumbered"] == 0
    assert contents(database) == before
    assert check.check(database) == []
    check_documents(database)
    again = archive.load(database, "c.zip")
    assert set(again["written"].values()) == {0} and again["there"] == found["written"]
    assert contents(database) == before
    assert database.counters.find_one({"_id": "potentials"})["value"] == max(p["_id"] for p in before["potentials"])


def test_only_one_campaign_is_in_it_and_all_that_it_refers_to(database, tmp_path):
    backup.restore(database, DUMP)
    archive.create(database, "small", tmp_path / "s.zip")
    before = contents(database)
    versions = [document["_id"] for document in before["potentials"] if document["campaign"] == "small"]
    shown = history.potential(database, versions[-1])
    database.reset()
    archive.load(database, tmp_path / "s.zip")
    assert [document["_id"] for document in database.campaigns.find()] == ["small"]
    assert {document["campaign"] for document in database.actions.find()} == {"small"}
    assert history.potential(database, versions[-1]) == shown
    assert check.check(database) == []


def test_another_campaign_of_that_database_is_not_touched(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backup.restore(database, DUMP)
    archive.create(database, "small", "s.zip")
    archived = [(document["_id"], document["number"]) for document in contents(database)["configurations"]]
    database.reset()
    submit_campaign(database, small("c", **FEW))
    run_until(database, "fit")
    there = {document["_id"] for document in contents(database)["configurations"]}
    with zipfile.ZipFile("s.zip") as file:
        inside = file.read("collections/configurations.jsonl").decode()
    taken = next(number for key, number in archived if key in inside and key not in there)
    database.configurations.update_many({"number": taken}, {"$set": {"number": 10**6}})
    database.configurations.update_one({"number": {"$ne": taken}}, {"$set": {"number": taken}})
    own = contents(database)
    found = archive.load(database, "s.zip")  # its versions begin at 11
    assert found["renumbered"] == 1
    numbers = [document["number"] for document in database.configurations.find()]
    assert len(numbers) == len(set(numbers))
    for name, documents in own.items():
        kept = [database.db[name].find_one({"_id": document["_id"]}) for document in documents]
        assert kept == documents
    assert check.check(database) == []
    database.reset()
    archive.load(database, "s.zip")
    database.potentials.update_one({"_id": 11}, {"$set": {"created": 1}})
    before = contents(database)
    with pytest.raises(InputError, match="'11' of potentials is another one"):
        archive.load(database, "s.zip")
    assert contents(database) == before


def rewritten(source, target, change) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)


def newer(name, content):
    if name != "manifest.json":
        return content
    return json.dumps(json.loads(content) | {"archive_version": 99}).encode()


DAMAGES = {
    "checksum": lambda name, content: content.replace(b"accepted", b"rejected") if "calculations" in name else content,
    "missing": lambda name, content: None if name.startswith("blobs/") else content,
    "newer mmtp_fw": newer,
    "no manifest": lambda name, content: None if name == "manifest.json" else content,
}


@pytest.mark.parametrize("said", DAMAGES)
def test_a_damaged_archive_is_refused(database, tmp_path, said):
    backup.restore(database, DUMP)
    archive.create(database, "small", tmp_path / "s.zip")
    rewritten(tmp_path / "s.zip", tmp_path / "d.zip", DAMAGES[said])
    with pytest.raises(InputError, match=said):
        archive.verify(tmp_path / "d.zip")


def test_what_is_no_archive_is_said(tmp_path, call):
    (tmp_path / "x.zip").write_text("no zip")
    assert "not an archive" in call("archive", "verify", str(tmp_path / "x.zip"), code=2)
    assert "can't be read" in call("archive", "list", str(tmp_path / "y.zip"), code=2)
