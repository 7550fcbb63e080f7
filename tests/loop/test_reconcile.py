"""Each kind of damage, made by hand on a real mongod, is mended; nothing that is in progress is touched."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from small_campaign import small

from mmtp_fw.database import Claim
from mmtp_fw.loop.reconcile import Damage, reconcile
from mmtp_fw.workflows.mend import is_our_turn, mend, mend_all
from mmtp_fw.workflows.reopen import reopen
from mmtp_fw.workflows.submit import advance, submit_campaign

KEY = "mend/000/pretrain"


@pytest.fixture
def campaign(database):
    """A submitted campaign whose only Firework is the pretraining, and that Firework's id."""
    submit_campaign(database, small("mend", properties={"reference": False}))
    firework = database.launchpad.fireworks.find_one({"spec.action": KEY})
    return database, firework["fw_id"]


def mended(database, grace=0.0):
    return [item.damage for item in mend(database, "mend", grace)[0]]


def state(database, number):
    return database.launchpad.fireworks.find_one({"fw_id": number})["state"]


def set_state(database, number, value):
    database.launchpad.fireworks.update_one({"fw_id": number}, {"$set": {"state": value}})
    database.launchpad.workflows.update_one({"nodes": number}, {"$set": {f"fw_states.{number}": value, "state": value}})


def test_a_sound_campaign_is_left_alone(campaign):
    database, number = campaign
    assert mended(database) == []
    assert state(database, number) == "READY"


def test_stale_lock(campaign):
    database, number = campaign
    database.launchpad.workflows.update_one({"nodes": number}, {"$set": {"locked": True}})
    assert mended(database) == [Damage.STALE_LOCK]
    assert database.launchpad.workflows.find_one({"locked": True}) is None


def test_orphan_reserved(campaign):
    database, number = campaign
    set_state(database, number, "RESERVED")
    assert mended(database) == [Damage.ORPHAN_RESERVED]
    assert state(database, number) == "READY"


def test_reserved_in_a_queue_is_left_alone(campaign):
    database, number = campaign
    set_state(database, number, "RESERVED")
    database.launchpad.fireworks.update_one({"fw_id": number}, {"$set": {"launches": [1]}})
    assert mended(database) == []


def test_lost_run_but_not_a_living_one(campaign):
    database, number = campaign
    set_state(database, number, "RUNNING")
    with Claim.take(database, KEY, "host:1", 60):
        assert mended(database) == []
    assert mended(database) == [Damage.LOST_RUN]
    assert state(database, number) == "READY"


@pytest.mark.parametrize("ended", ["COMPLETED", "FIZZLED"])
def test_ended_without_its_fact(campaign, ended):
    database, number = campaign
    set_state(database, number, ended)
    assert mended(database) == [Damage.DONE_WITHOUT_FACT]
    assert state(database, number) == "READY"


def test_fact_that_fireworks_does_not_know(campaign):
    database, number = campaign
    database.actions.update_one({"_id": KEY}, {"$set": {"result": {"outcome": "done", "configurations": []}}})
    set_state(database, number, "FIZZLED")
    assert Damage.FACT_NOT_NOTED in mended(database)
    assert state(database, number) == "READY"


def test_the_traceback_of_a_failed_action_stays(campaign):
    database, number = campaign
    database.actions.update_one({"_id": KEY}, {"$set": {"result": {"outcome": "failed"}}})
    set_state(database, number, "FIZZLED")
    assert mended(database) == []
    assert state(database, number) == "FIZZLED"


def test_cached_states(campaign):
    database, number = campaign
    database.launchpad.workflows.update_one(
        {"nodes": number}, {"$set": {f"fw_states.{number}": "RUNNING", "state": "RUNNING"}}
    )
    assert mended(database) == [Damage.STALE_STATES]
    workflow = database.launchpad.workflows.find_one({"nodes": number})
    assert workflow["state"] == workflow["fw_states"][str(number)] == "READY"


def test_action_without_firework(campaign):
    database, number = campaign
    database.launchpad.fireworks.delete_one({"fw_id": number})
    assert mended(database) == [Damage.NO_WORKFLOW]
    assert database.launchpad.fireworks.count_documents({"spec.action": KEY, "state": "READY"}) == 1
    assert database.launchpad.workflows.count_documents({"metadata.key": KEY}) == 1
    assert mended(database) == []


@pytest.mark.parametrize("chosen", ["PAUSED", "DEFUSED", "ARCHIVED"])
def test_what_a_person_has_set_stays(campaign, chosen):
    database, number = campaign
    set_state(database, number, chosen)
    assert mended(database) == []
    assert state(database, number) == chosen


def test_nothing_is_mended_before_it_has_lasted(campaign):
    database, number = campaign
    set_state(database, number, "RESERVED")
    assert mended(database, grace=0.5) == []
    time.sleep(0.6)
    assert mended(database, grace=0.5) == [Damage.ORPHAN_RESERVED]


def test_what_changed_in_between_is_no_longer_suspect(campaign):
    database, number = campaign
    set_state(database, number, "RESERVED")
    assert mended(database, grace=0.5) == []
    time.sleep(0.6)
    set_state(database, number, "RUNNING")
    assert mended(database, grace=0.5) == []


def test_all_campaigns_that_are_not_finished(campaign):
    database, number = campaign
    set_state(database, number, "RESERVED")
    database.campaigns.update_one({"_id": "mend"}, [{"$set": {"finished": "$$NOW"}}])
    assert mend_all(database, 0) == []
    database.campaigns.update_one({"_id": "mend"}, {"$set": {"finished": None}})
    assert [item.damage for item in mend_all(database, 0)] == [Damage.ORPHAN_RESERVED]


def test_one_worker_mends_for_all_and_its_death_keeps_nobody_from_it(database):
    with ThreadPoolExecutor(8) as pool:
        turns = list(pool.map(lambda _: is_our_turn(database, 0.2), range(24)))
    assert 1 <= sum(turns) < 24
    until = database.meta.find_one({"_id": "mending"})["until"]
    while database.db.command("hello")["localTime"] <= until:
        time.sleep(0.05)
    assert is_our_turn(database, 3600.0) and not is_our_turn(database, 0.0)


def examined(database, ask) -> int:
    """Return how many documents the server looks at."""
    database.db["system.profile"].drop()
    database.db.command("profile", 2)
    try:
        ask()
    finally:
        database.db.command("profile", 0)
    seen = list(database.db["system.profile"].find({"ns": {"$not": {"$regex": "system"}}}))
    database.db["system.profile"].drop()
    assert not [entry for entry in seen if "COLLSCAN" in entry.get("planSummary", "") and "meta" not in entry["ns"]]
    return sum(entry.get("docsExamined", 0) for entry in seen)


def test_mending_reads_nothing_that_is_finished(campaign):
    database, number = campaign
    before = examined(database, lambda: mend(database, "mend", 60))
    firework = database.launchpad.fireworks.find_one({"fw_id": number})
    workflow = database.launchpad.workflows.find_one({"nodes": number})
    action = database.actions.find_one({"_id": KEY})
    for copies, state, outcome in ((range(1000, 1400), "COMPLETED", "done"), (range(2000, 2100), "FIZZLED", "failed")):
        for n in copies:
            key = f"mend/000/property/x{n}"
            firework.pop("_id"), workflow.pop("_id")
            firework |= {"fw_id": n, "state": state, "spec": firework["spec"] | {"action": key}}
            workflow |= {"nodes": [n], "state": state, "fw_states": {str(n): state}, "parent_links": {}}
            workflow |= {"links": {str(n): []}}
            database.launchpad.fireworks.insert_one(firework)
            database.launchpad.workflows.insert_one(workflow)
            result = {"outcome": outcome}
            database.actions.insert_one(action | {"_id": key, "kind": "property", "iteration": 7, "result": result})
            database.actions.update_one({"_id": key}, [{"$set": {"finished": "$$NOW"}}])
    assert mended(database) == []
    assert database.launchpad.fireworks.count_documents({"settled": True}) == 100, "those that fizzled are read once"
    mend_only = examined(database, lambda: reconcile(database, "mend", lambda key: None, 60))
    assert mend_only <= before


def test_what_was_settled_is_mended_when_its_action_is_to_be_done_again(campaign):
    database, number = campaign
    failed = {"result": {"outcome": "failed", "reason": "x"}, "finished": "$$NOW"}
    database.actions.update_one({"_id": KEY}, [{"$set": failed}])
    set_state(database, number, "FIZZLED")
    assert mended(database) == [] and database.launchpad.fireworks.find_one({"fw_id": number})["settled"]
    reopen(database, "mend", [KEY], "test")
    advance(database, "mend")
    assert database.launchpad.fireworks.count_documents({"spec.action": KEY, "state": "READY"}) == 1
    done = {"outcome": "done", "configurations": []}
    database.actions.update_one({"_id": KEY}, [{"$set": {"result": done, "finished": "$$NOW"}}])
    assert mended(database) == [Damage.FACT_NOT_NOTED]
    assert state(database, number) == "READY"
    assert "settled" not in database.launchpad.fireworks.find_one({"fw_id": number})
    assert "settled" not in database.launchpad.workflows.find_one({"nodes": number})


def test_a_campaign_that_is_not_understood_keeps_nobody_from_mending_others(campaign):
    database, number = campaign
    database.campaigns.insert_one({"_id": "newer", "name": "newer", "settings": {"from": "the future"}})
    set_state(database, number, "RESERVED")
    assert [item.damage for item in mend_all(database, 0)] == [Damage.ORPHAN_RESERVED]
