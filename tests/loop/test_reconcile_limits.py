"""What is left alone: others' campaigns, work that is alive, launches in a queue, and what fails again and again."""

from __future__ import annotations

import pytest
from small_campaign import small

from mmtp_fw.database import Claim
from mmtp_fw.loop.reconcile import MOST_RERUNS, Damage, Mended, live_claims, reconcile
from mmtp_fw.workflows.submit import submit_campaign

KEY = "mend/000/pretrain"


@pytest.fixture
def campaign(database):
    """A submitted campaign whose only Firework is the pretraining, and that Firework's id."""
    submit_campaign(database, small("mend", properties={"reference": False}))
    return database, database.launchpad.fireworks.find_one({"spec.action": KEY})["fw_id"]


def mended(database, grace=0.0, name="mend"):
    asked: list[str] = []
    found = reconcile(database, name, asked.append, grace)
    assert asked == [item.key for item in found if item.damage == Damage.NO_WORKFLOW]
    return found


def become(database, number, state, **fields):
    database.launchpad.fireworks.update_one({"fw_id": number}, {"$set": {"state": state, **fields}})
    workflow = {f"fw_states.{number}": state, "state": state}
    database.launchpad.workflows.update_one({"nodes": number}, {"$set": workflow})


def state(database, number):
    return database.launchpad.fireworks.find_one({"fw_id": number})["state"]


def test_what_was_mended_is_told_with_its_key(campaign):
    database, number = campaign
    become(database, number, "RESERVED")
    assert mended(database) == [Mended(Damage.ORPHAN_RESERVED, KEY)]
    database.launchpad.workflows.update_one({"nodes": number}, {"$set": {"locked": True}})
    assert mended(database) == [Mended(Damage.STALE_LOCK, str(number))]
    database.launchpad.workflows.update_one({"nodes": number}, {"$set": {f"fw_states.{number}": "FIZZLED"}})
    assert mended(database) == [Mended(Damage.STALE_STATES, str(number))]
    assert mended(database) == []


def test_other_campaigns_are_not_touched(campaign):
    database, number = campaign
    submit_campaign(database, small("other", properties={"reference": False}))
    become(database, number, "RESERVED")
    database.launchpad.workflows.update_one({"nodes": number}, {"$set": {"locked": True}})
    assert mended(database, name="other") == []
    assert state(database, number) == "RESERVED"
    assert database.launchpad.workflows.count_documents({"locked": True}) == 1


def test_a_launch_that_waits_in_a_queue_is_left_alone(campaign):
    database, number = campaign
    become(database, number, "RESERVED", launches=[1])
    assert mended(database) == [] and state(database, number) == "RESERVED"
    done = {"result": {"outcome": "done", "configurations": []}}
    database.actions.update_one({"_id": KEY}, {"$set": done})
    assert mended(database) == [] and state(database, number) == "RESERVED"


@pytest.mark.parametrize(("launches", "again"), [(MOST_RERUNS - 1, True), (MOST_RERUNS, False)])
def test_what_fizzles_again_and_again_is_left_for_a_person(campaign, launches, again):
    database, number = campaign
    become(database, number, "FIZZLED", archived_launches=list(range(1, launches + 1)))
    assert mended(database) == [Mended(Damage.DONE_WITHOUT_FACT, KEY)] * again
    assert state(database, number) == ("READY" if again else "FIZZLED")


@pytest.mark.parametrize(
    ("found", "outcome", "expected"),
    [
        ("RUNNING", "done", "READY"),
        ("RUNNING", "failed", "READY"),
        ("RESERVED", "failed", "READY"),
        ("FIZZLED", "done", "READY"),
        ("FIZZLED", "failed", "FIZZLED"),
        ("COMPLETED", "done", "COMPLETED"),
        ("READY", "done", "READY"),
    ],
)
def test_facts_that_fireworks_does_not_know(campaign, found, outcome, expected):
    database, number = campaign
    database.actions.update_one({"_id": KEY}, {"$set": {"result": {"outcome": outcome, "configurations": []}}})
    become(database, number, found)
    told = mended(database)
    assert state(database, number) == expected
    assert told == [Mended(Damage.FACT_NOT_NOTED, KEY)] * (found != expected)


def test_a_living_claim_protects_and_a_dead_one_does_not(campaign):
    database, number = campaign
    become(database, number, "RUNNING")
    claim = Claim.take(database, KEY, "host:1", 60)
    with claim:
        assert list(live_claims(database)) == [KEY]
        assert mended(database) == []
        database.claims.update_one({"_id": KEY}, [{"$set": {"lease_until": {"$subtract": ["$$NOW", 1]}}}])
        assert list(live_claims(database)) == []
        assert mended(database) == [Mended(Damage.LOST_RUN, KEY)]


def test_of_several_fireworks_the_newest_runs_again(campaign):
    database, number = campaign
    become(database, number, "FIZZLED")
    from mmtp_fw.workflows.submit import add_workflows, stored_action

    add_workflows(database, "mend", [stored_action(database, KEY)])
    second = database.launchpad.fireworks.find_one({"spec.action": KEY, "fw_id": {"$ne": number}})["fw_id"]
    assert mended(database) == [], "the second is ready"
    become(database, second, "FIZZLED")
    assert mended(database) == [Mended(Damage.DONE_WITHOUT_FACT, KEY)]
    newest, oldest = max(number, second), min(number, second)
    assert (state(database, newest), state(database, oldest)) == ("READY", "FIZZLED")


@pytest.mark.parametrize(
    ("since", "seen", "mends"), [(61, 590, True), (61, 610, False), (590, 590, True), (0, 0, False), (50, 1, False)]
)
def test_a_suspicion_must_last_and_be_seen_again(campaign, since, seen, mends):
    """A minute of grace: what was last seen ten minutes ago may be another one of the same kind."""
    database, number = campaign
    become(database, number, "RESERVED")
    assert mended(database, grace=60.0) == []
    ago = {"since": {"$subtract": ["$$NOW", 1000 * max(since, seen)]}, "seen": {"$subtract": ["$$NOW", 1000 * seen]}}
    assert database.suspicions.update_many({}, [{"$set": ago}]).modified_count == 1
    assert mended(database, grace=60.0) == [Mended(Damage.ORPHAN_RESERVED, KEY)] * mends


def test_a_locked_workflow_is_unlocked_before_it_runs_again(campaign):
    database, number = campaign
    become(database, number, "RUNNING")
    database.launchpad.workflows.update_one({"nodes": number}, {"$set": {"locked": True}})
    assert [item.damage for item in mended(database)] == [Damage.STALE_LOCK, Damage.LOST_RUN]
