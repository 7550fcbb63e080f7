"""Deleting a campaign takes what is its own and nothing else; cleaning never takes what runs."""

from __future__ import annotations

import json

import pytest
from played_campaign import played
from small_campaign import check_documents

from mmtp_fw.database import Claim, store
from mmtp_fw.database.check import check
from mmtp_fw.database.deletion import delete, deletion_of
from mmtp_fw.errors import InputError
from mmtp_fw.firetasks.base import run_action
from mmtp_fw.firetasks.tasks import LabelTask, PretrainTask
from mmtp_fw.workflows.hold import hold
from mmtp_fw.workflows.submit import submit_campaign
from mmtp_fw.workflows.worker import run_worker


def label(database, name):
    """Generate and label; campaigns of the same settings share both."""
    run_action(database, f"{name}/000/pretrain", PretrainTask.work)
    for action in list(database.actions.find({"campaign": name, "kind": "label"})):
        run_action(database, action["_id"], LabelTask.work)


@pytest.fixture
def two(database, tmp_path, monkeypatch):
    """Two campaigns that share all labels, and a third of its own; the first with a potential and an MD run."""
    monkeypatch.chdir(tmp_path)
    for name, sections in (("first", {}), ("second", {}), ("third", {"seed": 9, "pretraining": {"structures": 1}})):
        submit_campaign(database, played(name, **{"pretraining": {"structures": 2}} | sections))
        label(database, name)
    keys = [row["_id"] for row in database.calculations.find()]
    trained = store.add_training_set(database, keys)
    version = store.save_potential(
        database, "text", "hash", b"rows of the active set", campaign="first", iteration=0, training_set=trained
    )
    common = {"campaign": "first", "iteration": 0, "potential": version, "params": {}, "state": "completed", "steps": 3}
    store.save_md_run(database, "first/000/md/a", {"step": [1.0]}, [], b"frames", **common)
    return database


def everything(database):
    names = [name for name in database.db.list_collection_names() if name not in ("blobs.chunks", "meta", "counters")]
    return {name: {str(row["_id"]): row for row in database.db[name].find()} for name in names}


def test_what_is_its_own_goes_and_what_is_shared_stays(two, call):
    before = everything(two)
    hold(two, "first", "cancelled")
    told = json.loads(call("delete", "first", "--json"))
    assert not told["deleted"] and told["stay"] == 2 and told["documents"]["potentials"] == 1
    assert "calculations" not in told["documents"] and "configurations" not in told["documents"]
    assert everything(two)["actions"] == before["actions"], "it was only counted"

    out = call("delete", "first", "--yes")
    assert "2 configurations stay" in out and "deleted: first" in out
    after = everything(two)
    assert '"first"' not in json.dumps([after[name] for name in ("actions", "potentials", "md_runs")], default=str)
    assert after["blobs.files"] == {} and after["training_sets"] == {}
    assert after["calculations"] == before["calculations"] and set(after["configurations"]) == set(
        before["configurations"]
    )
    for name in ("fireworks", "workflows"):
        assert after[name].keys() < before[name].keys() and '"first"' not in json.dumps(after[name], default=str)
    handed_on = [row["origin"] for row in after["configurations"].values() if "deleted" in row["origin"]]
    assert len(handed_on) == 2
    assert all(origin["campaign"] == "second" and origin["deleted"]["campaign"] == "first" for origin in handed_on)
    assert check(two) == []
    check_documents(two)
    assert "no campaign 'first'" in call("delete", "first", code=2)

    submit_campaign(two, played("first", pretraining={"structures": 2}))
    label(two, "first")
    assert everything(two)["calculations"].keys() == before["calculations"].keys(), "a new one finds the labels"


def test_one_that_shares_nothing_goes_whole(two):
    hold(two, "third", "cancelled")
    found = deletion_of(two, "third")
    assert found.counts["configurations"] == 1 and "calculations" not in found.counts, "another is trained on it"
    two.training_sets.delete_many({})
    found = deletion_of(two, "third")
    assert found.counts["calculations"] == 1 and found.handed_on == {}
    delete(two, found)
    assert '"third"' not in json.dumps(everything(two), default=str)


def test_what_may_not_be_deleted(two):
    with pytest.raises(InputError, match="is under way"):
        deletion_of(two, "first")
    with Claim.take(two, "first/000/fit", "somebody:1", 60), pytest.raises(InputError, match="1 tasks of campaign"):
        deletion_of(two, "first")
    hold(two, "first", "cancelled")
    store.save_potential(two, "text", "other", campaign="second", iteration=0, parent=1)
    with pytest.raises(InputError, match="potential 1 of campaign 'first' is the parent of potentials 2 of 'second'"):
        deletion_of(two, "first")


def test_interrupted_it_is_found_again(two, monkeypatch):
    from mmtp_fw.database import deletion

    hold(two, "first", "cancelled")

    def breaks(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(deletion, "_hand_on", breaks)
        with pytest.raises(KeyboardInterrupt):
            delete(two, deletion_of(two, "first"))
    delete(two, deletion_of(two, "first"))
    assert two.campaigns.find_one({"_id": "first"}) is None and check(two) == []


def test_launch_directories_are_listed_then_removed(database, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, played("clean"))
    key = "clean/000/pretrain"
    looks = iter([False, True])
    run_worker(database, ["light"], tmp_path / "runs" / "clean", stop=lambda: next(looks))
    monkeypatch.chdir(tmp_path)  # FireWorks ends in its own directory
    (mine,) = (tmp_path / "runs" / "clean").iterdir()
    foreign = tmp_path / "runs" / "launcher_of_another"
    foreign.mkdir()
    (foreign / "FW.json").write_text((mine / "FW.json").read_text())
    (tmp_path / "runs" / "launcher_link").symlink_to(mine)

    listed = call("clean")
    assert str(mine) in listed and "1 may go" in listed and str(foreign) not in listed and mine.is_dir()
    with Claim.take(database, key, "somebody:1", 60):
        assert "stays: runs" in call("clean", "--yes") and mine.is_dir()
    database.launchpad.fireworks.update_many({}, {"$set": {"state": "FIZZLED"}})
    assert "--all takes it, too" in call("clean", "--yes") and mine.is_dir()
    (row,) = json.loads(call("clean", "--yes", "--all", "--json"))["removed"]
    assert row == str(mine) and not mine.exists() and foreign.is_dir()
    assert "no such directory" in call("clean", "elsewhere", code=2)
