"""Each kind of damage, made by hand on a real mongod, is mended; nothing that is in progress is touched."""

from __future__ import annotations

import time

import pytest
from small_campaign import small

from mmtp_fw.database import Claim
from mmtp_fw.loop.reconcile import Damage
from mmtp_fw.workflows.mend import mend, mend_all
from mmtp_fw.workflows.submit import submit_campaign

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
